/* What a board must do; the test reads the console and the files. */
#include "nn_board.h"

static uint32_t initialised = 7, zeroed;

static void print(const char *name, size_t length, uint32_t value) {
    char digits[12];
    size_t at = sizeof digits;
    digits[--at] = '\n';
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    board_write(name, length);
    board_write(digits + at, sizeof digits - at);
}

/* Exactly 2 * n instructions. */
static void count_down(uint32_t n) {
#if defined(__arm__)
    __asm__ volatile("1: subs %0, %0, #1\n\tbne 1b" : "+r"(n)::"cc");
#elif defined(__riscv)
    __asm__ volatile("1: addi %0, %0, -1\n\tbnez %0, 1b" : "+r"(n));
#else
    (void)n;
#endif
}

static uint32_t use_stack(size_t n) {
    volatile uint8_t block[1024];
    block[0] = (uint8_t)n;
    block[sizeof block - 1] = 1;
    return block[0] + (uint32_t)block[sizeof block - 1];
}

int nn_main(void) {
    print("data ", 5, initialised + zeroed);
    for (uint32_t n = 1000; n <= 10000000; n *= 100) {
        const uint32_t start = board_ticks();
        count_down(n);
        print("ticks ", 6, board_ticks() - start);
    }
    print("stack before ", 13, (uint32_t)board_stack_peak());
    use_stack(1);
    print("stack after ", 12, (uint32_t)board_stack_peak());
    char text[8];
    print("read ", 5, (uint32_t)board_read("in.bin", 2, text, sizeof text));
    board_append("out.bin", text, 3);
    board_append("out.bin", "end", 3);
    print("missing ", 8, (uint32_t)board_read("missing.bin", 0, text, sizeof text));
#if defined(FAULT)
    ((void (*)(void))0xE0000001u)();
#endif
    return 5;
}
