/* What a program of nnrules asks of its board: a console, files for the test programs, a tick counter, the stack's peak.
 *
 * Implemented by hosted.c (a PC), semihosting.c (an emulator or a debugger) and silent.c (a board on its own); the
 * Cortex-M and RISC-V startups add the ticks and the stack. Every program starts in nn_main(). */
#ifndef NN_BOARD_H
#define NN_BOARD_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define BOARD_NORETURN __attribute__((noreturn))
#else
#define BOARD_NORETURN
#endif

/* The program; its result becomes the exit code. */
int nn_main(void);

/* Writes n characters to the console. */
void board_write(const char *text, size_t n);

/* Reads up to n bytes of a file in the working directory, from a byte offset on; returns how many there were (0: no
 * such file, or its end). */
int board_read(const char *file, size_t offset, void *buffer, size_t n);

/* Adds n bytes to a file in the working directory; the program's first call for a file empties it. Returns n, or a
 * smaller count when the write failed. At most four files may be in use. */
int board_append(const char *file, const void *data, size_t n);

/* Ticks since reset, modulo 2^32. The toolchain's instructions_per_tick tells what one tick is worth; 0 always on a
 * PC, where nothing is counted. */
uint32_t board_ticks(void);

/* Bytes of stack used at the deepest point since reset; 0 where that is not known (on a PC). */
size_t board_stack_peak(void);

/* Ends the program. */
BOARD_NORETURN void board_exit(int code);

#endif
