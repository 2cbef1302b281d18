/* The console of this PC, with the names that firmware uses. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static inline void console_text(const char *text) { fputs(text, stdout); }

static inline void console_bytes(const char *name, const int8_t *bytes, size_t n) {
    fputs(name, stdout);
    for (size_t i = 0; i < n; i++) {
        printf(" %d", bytes[i]);
    }
    puts("");
}

static inline void console_exit(uint32_t code) { exit((int)code); }

#endif
