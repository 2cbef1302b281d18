/* Reset of a Cortex-M (with FPU or without), without a C library: vectors, painted stack, .data, .bss, SysTick. */
#include "nn_board.h"

extern uint32_t __stack_limit[], __stack_top[];              /* from the linker script; all word-aligned */
extern uint32_t __data_start[], __data_end[], __bss_start[], __bss_end[];
extern const uint32_t __data_load[];

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define SYST_CSR REGISTER(0xE000E010u)
#define SYST_RVR REGISTER(0xE000E014u)
#define SYST_CVR REGISTER(0xE000E018u)
#define CPACR REGISTER(0xE000ED88u)

enum { PAINT = 0x5AA5C33C, SYSTICK_MAX = 0xFFFFFF, EXIT_FAULT = 70 };

static volatile uint32_t systick_wraps;

void board_reset(void);

/* No libc yet, and none of these loops may become a call to memset or memcpy: the stack is being painted. */
__attribute__((noreturn, optimize("no-tree-loop-distribute-patterns"))) void board_reset(void) {
    const uint32_t *stack_pointer;
    __asm__ volatile("mov %0, sp" : "=r"(stack_pointer));
    for (volatile uint32_t *word = __stack_limit; word < stack_pointer; word++) {
        *word = PAINT;
    }
    const uint32_t *load = __data_load;
    for (uint32_t *word = __data_start; word < __data_end; word++) {
        *word = *load++;
    }
    for (uint32_t *word = __bss_start; word < __bss_end; word++) {
        *word = 0;
    }
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    CPACR |= 0xFu << 20; /* full access to the FPU and to Helium */
#endif
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    SYST_RVR = SYSTICK_MAX;
    SYST_CVR = 0;
    SYST_CSR = 7; /* processor clock, interrupt at each wrap, on */
    board_exit(nn_main());
}

static void count_wrap(void) { systick_wraps++; }

static void fault(void) {
    static const char text[] = "nn: processor fault\n";
    board_write(text, sizeof text - 1);
    board_exit(EXIT_FAULT);
}

uint32_t board_ticks(void) {
    uint32_t wraps, down;
    do {
        wraps = systick_wraps;
        down = SYST_CVR;
    } while (wraps != systick_wraps);
    return wraps * (SYSTICK_MAX + 1u) + ((0u - down) & SYSTICK_MAX); /* a period begins at 0, then falls from the maximum */
}

size_t board_stack_peak(void) {
    const volatile uint32_t *word = __stack_limit;
    while (word < __stack_top && *word == (uint32_t)PAINT) {
        word++;
    }
    return (size_t)((const char *)__stack_top - (const char *)word);
}

typedef union {
    void (*handler)(void);
    uint32_t *stack;
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {.stack = __stack_top}, {.handler = board_reset}, {.handler = fault}, {.handler = fault},
    {.handler = fault},     {.handler = fault},       {.handler = fault}, {.handler = NULL},
    {.handler = NULL},      {.handler = NULL},        {.handler = NULL},  {.handler = fault},
    {.handler = fault},     {.handler = NULL},        {.handler = fault}, {.handler = count_wrap},
};
