#include <rtthread.h>

void rt_hw_console_output(const char *text);
void rt_hw_console_dump(const char *name, const rt_int8_t *bytes, rt_uint32_t n);

void rt_kprintf(const char *text) { rt_hw_console_output(text); }
void rt_dump(const char *name, const rt_int8_t *bytes, rt_uint32_t n) { rt_hw_console_dump(name, bytes, n); }
