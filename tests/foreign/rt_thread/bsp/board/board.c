#include <rtthread.h>

#include "console.h"

void rt_hw_console_output(const char *text) { console_text(text); }
void rt_hw_console_dump(const char *name, const rt_int8_t *bytes, rt_uint32_t n) { console_bytes(name, bytes, n); }
void rt_hw_shutdown(int code) { console_exit((rt_uint32_t)code); }
