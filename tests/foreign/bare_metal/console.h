/* Text and the end of the run through Arm's semihosting, for firmware under QEMU; memset and memcpy, which gcc calls. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stddef.h>
#include <stdint.h>

static inline int32_t console_request(uint32_t operation, const void *block) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt #0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

static inline void console_text(const char *text) { console_request(0x04, text); }

static inline void console_number(int32_t value) {
    char text[13];
    size_t at = sizeof text;
    uint32_t left = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    text[--at] = '\0';
    do {
        text[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left != 0);
    if (value < 0) {
        text[--at] = '-';
    }
    console_text(text + at);
}

static inline void console_bytes(const char *name, const int8_t *bytes, size_t n) {
    console_text(name);
    for (size_t i = 0; i < n; i++) {
        console_text(" ");
        console_number(bytes[i]);
    }
    console_text("\n");
}

static inline void console_exit(uint32_t code) {
    const uint32_t block[] = {0x20026, code};
    console_request(0x20, block);
}

#endif
