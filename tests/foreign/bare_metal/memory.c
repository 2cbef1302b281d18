/* What gcc calls for loops and structures even where nothing else is linked. */
#include <stddef.h>

void *memset(void *to, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n);

void *memset(void *to, int value, size_t n) {
    for (volatile char *p = to; n-- > 0;) {
        *p++ = (char)value;
    }
    return to;
}

void *memcpy(void *to, const void *from, size_t n) {
    const char *q = from;
    for (volatile char *p = to; n-- > 0;) {
        *p++ = *q++;
    }
    return to;
}
