/* Reset of a RISC-V hart in machine mode, without a C library: stack, traps, .bss. The image is loaded as it lies in
 * memory (QEMU -M virt, -bios none), so .data needs no copy. */
#include "nn_board.h"

extern uint32_t __stack_limit[], __stack_top[], __bss_start[], __bss_end[]; /* from the linker script, word-aligned */

enum { PAINT = 0x5AA5C33C, EXIT_FAULT = 70 };

void board_reset(void);
void board_fault(void);

__asm__(".section .text.start, \"ax\"\n"
        ".global _start\n"
        "_start:\n"
        ".option push\n"
        ".option norelax\n"
        "    la gp, __global_pointer$\n"
        ".option pop\n"
        "    la sp, __stack_top\n"
        "    la t0, board_trap\n"
        "    csrw mtvec, t0\n"
        "    j board_reset\n"
        ".balign 4\n"
        "board_trap:\n"
        "    j board_fault\n"
        ".text\n");

/* None of these loops may become a call to memset: the stack is being painted. */
__attribute__((noreturn, optimize("no-tree-loop-distribute-patterns"))) void board_reset(void) {
    const uint32_t *stack_pointer;
    __asm__ volatile("mv %0, sp" : "=r"(stack_pointer));
    for (volatile uint32_t *word = __stack_limit; word < stack_pointer; word++) {
        *word = PAINT;
    }
    for (uint32_t *word = __bss_start; word < __bss_end; word++) {
        *word = 0;
    }
    board_exit(nn_main());
}

__attribute__((noreturn)) void board_fault(void) {
    static const char text[] = "nn: processor trap\n";
    board_write(text, sizeof text - 1);
    board_exit(EXIT_FAULT);
}

uint32_t board_ticks(void) {
    uint32_t retired;
    __asm__ volatile("rdinstret %0" : "=r"(retired)::"memory");
    return retired;
}

size_t board_stack_peak(void) {
    const volatile uint32_t *word = __stack_limit;
    while (word < __stack_top && *word == (uint32_t)PAINT) {
        word++;
    }
    return (size_t)((const char *)__stack_top - (const char *)word);
}
