/* small for portable: 6 layers, 5,424 multiply-accumulates, made by nnrules.
 * Graph SHA-256 034ea3394d4d9021ad439f14d71100cc0e43e64bca5d9f2d707cca7e2b0022d7. */
#ifndef SMALL_H
#define SMALL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The caller owns one arena, zeroed or not, and may use it for other things between two inferences. */
#define SMALL_ARENA_BYTES 464
#define SMALL_ARENA_ALIGN 8
#define SMALL_LAYERS 6
#define SMALL_INPUTS 1
#define SMALL_OUTPUTS 1

/* What the functions return; errors are negative. After one nothing has been written, and nothing else has changed. */
#define SMALL_DONE 0
#define SMALL_MORE 1 /* the row is taken, and there are more to come */
#define SMALL_ERROR_ARENA (-1) /* it is NULL, not aligned to SMALL_ARENA_ALIGN, or smaller than SMALL_ARENA_BYTES */
#define SMALL_ERROR_DATA (-2)  /* a pointer is NULL or into the arena, not at its OFFSET; or a row has not SMALL_ROW_BYTES */
#define SMALL_ERROR_RESET (-3) /* a row without small_reset before the image, or one row too many */

/* real = SCALE * (int8 - ZERO_POINT). Rows of int8 in NHWC order; OFFSET is a place for them inside the arena. */
/* input 0: image 8x6x2, NCHW in the ONNX file */
#define SMALL_INPUT_0_BYTES 96
#define SMALL_INPUT_0_OFFSET 192
#define SMALL_INPUT_0_SCALE 0.05f
#define SMALL_INPUT_0_ZERO_POINT -40
#define SMALL_INPUT_0_HEIGHT 8
#define SMALL_INPUT_0_WIDTH 6
#define SMALL_INPUT_0_CHANNELS 2
/* output 0: head 5 */
#define SMALL_OUTPUT_0_BYTES 5
#define SMALL_OUTPUT_0_OFFSET 0
#define SMALL_OUTPUT_0_SCALE 0.1f
#define SMALL_OUTPUT_0_ZERO_POINT -3

/* One inference, row by row as a sensor delivers them: small_reset with the size of the arena, then small_push_row
 * for each of the SMALL_ROWS rows of the image, top to bottom. It returns SMALL_MORE until the last row, then
 * SMALL_DONE: the outputs are at their OFFSET in the arena until the next reset. A row lies outside of the arena,
 * aligned or not, and is the caller's again when the call returns: it is copied into the arena, which has room for the
 * image, and all layers run with the last row. Between the reset and the last row nothing else may write into the
 * arena. */
#define SMALL_ROWS 8
#define SMALL_ROW_BYTES 12
int small_reset(void *arena, size_t bytes);
int small_push_row(void *arena, const int8_t *row, size_t bytes);

/* One inference. The arena is aligned to SMALL_ARENA_ALIGN and has SMALL_ARENA_BYTES. Inputs and outputs lie
 * outside of it or at their OFFSET in it, where later layers overwrite the inputs; apart from that they do not
 * overlap. No state is kept elsewhere: distinct arenas may run at the same time. */
int small_run(void *arena, const int8_t *input, int8_t *output);

/* From small_selftest.c: runs one sample and compares every output with the reference's integers. 0: equal. */
extern const int8_t small_selftest_input[96];
int small_selftest(void *arena);

/* The same run without the comparison, for timing: what small_run returns; the outputs are left at their OFFSET. */
int small_selftest_run(void *arena);

#ifdef __cplusplus
}
#endif

#endif
