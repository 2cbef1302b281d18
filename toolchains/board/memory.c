/* The four functions gcc may call on its own even in freestanding code; for firmware without a C library. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* gcc would turn the loops below into calls of themselves. */
#define NOT_ITSELF __attribute__((optimize("no-tree-loop-distribute-patterns")))

typedef uint32_t word __attribute__((may_alias));

static int words_aligned(const void *a, const void *b) { return (((uintptr_t)a | (uintptr_t)b) & 3u) == 0; }

NOT_ITSELF void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    unsigned char *target = to;
    const unsigned char *source = from;
    if (words_aligned(to, from)) {
        for (; n >= 4; n -= 4, target += 4, source += 4) {
            *(word *)target = *(const word *)source;
        }
    }
    while (n-- > 0) {
        *target++ = *source++;
    }
    return to;
}

NOT_ITSELF void *memmove(void *to, const void *from, size_t n) {
    unsigned char *target = to;
    const unsigned char *source = from;
    if ((uintptr_t)target <= (uintptr_t)source) {
        while (n-- > 0) {
            *target++ = *source++;
        }
    } else {
        while (n-- > 0) {
            target[n] = source[n];
        }
    }
    return to;
}

NOT_ITSELF void *memset(void *to, int value, size_t n) {
    unsigned char *target = to;
    const uint32_t pattern = (unsigned char)value * 0x01010101u;
    for (; n > 0 && ((uintptr_t)target & 3u) != 0; n--) {
        *target++ = (unsigned char)value;
    }
    for (; n >= 4; n -= 4, target += 4) {
        *(word *)target = pattern;
    }
    while (n-- > 0) {
        *target++ = (unsigned char)value;
    }
    return to;
}

NOT_ITSELF int memcmp(const void *a, const void *b, size_t n) {
    const unsigned char *left = a, *right = b;
    for (; n > 0; n--, left++, right++) {
        if (*left != *right) {
            return *left - *right;
        }
    }
    return 0;
}
