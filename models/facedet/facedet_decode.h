/* Faces from FaceDet's output, in integers only; models/facedet/decode.py computes the same numbers. */
#ifndef FACEDET_DECODE_H
#define FACEDET_DECODE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FACEDET_STEPS_PER_PIXEL 16

/* What facedet_decode needs to know of the output's scale (at most 1); a constant when the scale is one. */
#define FACEDET_BOX_FACTOR(scale) ((int32_t)((double)(scale) * (8 * FACEDET_STEPS_PER_PIXEL * 65536.0) + 0.5))

/* A box in 1/16 pixel, clipped to the picture; score times the output's scale is the logit. */
typedef struct {
    int16_t left, top, right, bottom;
    int16_t score;
} facedet_face;

/* Writes at most `limit` faces whose score is at least `threshold`, best first, and returns how many.
 *
 * output     12 x 12 cells of 5 values, row by row (NHWC): score, centre offset x y, width - 32, height - 32, the last
 *            four in units of 8 pixels
 * Of two boxes with an intersection over union above 3/8 the weaker one is dropped; equal scores keep the cells' order.
 */
size_t facedet_decode(const int8_t *output, int32_t box_factor, int32_t zero_point, int32_t threshold,
                      facedet_face *faces, size_t limit);

#ifdef __cplusplus
}
#endif

#endif
