#ifndef RT_THREAD_H__
#define RT_THREAD_H__

#include <rtconfig.h>

typedef signed char rt_int8_t;
typedef unsigned int rt_uint32_t;

void rt_kprintf(const char *text);
void rt_dump(const char *name, const rt_int8_t *bytes, rt_uint32_t n);

#endif
