/* small for armv7em: 6 layers, 5,424 multiply-accumulates, made by nnrules.
 * Graph SHA-256 646c508e94e91d478d201041d6200f3c631d56d5ac072b20c0a6358749de14e9. */
#ifndef SMALL_H
#define SMALL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The caller owns one arena, zeroed or not, and may use it for other things between two calls. */
#define SMALL_ARENA_BYTES 1024
#define SMALL_ARENA_ALIGN 8
#define SMALL_LAYERS 6
#define SMALL_INPUTS 1
#define SMALL_OUTPUTS 1

/* real = SCALE * (int8 - ZERO_POINT). Rows of int8 in NHWC order; OFFSET is a place for them inside the arena. */
/* input 0: image 8x6x2, NCHW in the ONNX file */
#define SMALL_INPUT_0_BYTES 96
#define SMALL_INPUT_0_OFFSET 136
#define SMALL_INPUT_0_SCALE 0.05f
#define SMALL_INPUT_0_ZERO_POINT -40
#define SMALL_INPUT_0_HEIGHT 8
#define SMALL_INPUT_0_WIDTH 6
#define SMALL_INPUT_0_CHANNELS 2
/* output 0: head 5 */
#define SMALL_OUTPUT_0_BYTES 5
#define SMALL_OUTPUT_0_OFFSET 144
#define SMALL_OUTPUT_0_SCALE 0.1f
#define SMALL_OUTPUT_0_ZERO_POINT -3

/* One inference. `arena` is aligned to SMALL_ARENA_ALIGN; inputs[i] and outputs[i] lie outside of it or at their OFFSET in
 * it, where later layers overwrite the inputs. No state is kept: distinct arenas may run at the same time. */
void small_run(void *arena, const int8_t *const inputs[], int8_t *const outputs[]);

/* From small_selftest.c: runs one sample and compares every output with the reference's integers. 0: equal. */
extern const int8_t small_selftest_input[96];
int small_selftest(void *arena);

/* The same run without the comparison, for timing; the outputs are left at their OFFSET. */
void small_selftest_run(void *arena);

#ifdef __cplusplus
}
#endif

#endif
