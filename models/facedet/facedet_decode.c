#include "facedet_decode.h"

#include <stdbool.h>

enum { GRID = 12, CELL = 8, CHANNELS = 5, STEPS = FACEDET_STEPS_PER_PIXEL, SIDE = GRID * CELL * STEPS, BASE_SIZE = 32 * STEPS };

_Static_assert(-1 >> 1 == -1, "right shifts of negative values must be arithmetic");

static int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }
static int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }
static int16_t clip(int32_t x) { return (int16_t)larger(0, smaller(x, SIDE)); }

static int32_t area(const facedet_face *face)
{
    return (int32_t)(face->right - face->left) * (face->bottom - face->top);
}

static bool overlap(const facedet_face *a, const facedet_face *b)
{
    int32_t width = smaller(a->right, b->right) - larger(a->left, b->left);
    int32_t height = smaller(a->bottom, b->bottom) - larger(a->top, b->top);
    int32_t shared = larger(width, 0) * larger(height, 0);
    return 8 * shared > 3 * (area(a) + area(b) - shared);
}

static facedet_face box(const int8_t *cell, int32_t row, int32_t column, int32_t factor, int32_t zero_point)
{
    int32_t value[CHANNELS];
    for (int i = 1; i < CHANNELS; i++) {
        value[i] = ((cell[i] - zero_point) * factor + 32768) >> 16;
    }
    int32_t x = (column * CELL + CELL / 2) * STEPS + value[1];
    int32_t y = (row * CELL + CELL / 2) * STEPS + value[2];
    int32_t half_width = larger(value[3] + BASE_SIZE, 0) >> 1;
    int32_t half_height = larger(value[4] + BASE_SIZE, 0) >> 1;
    return (facedet_face){clip(x - half_width), clip(y - half_height), clip(x + half_width), clip(y + half_height),
                          (int16_t)(cell[0] - zero_point)};
}

/* The best cell still waiting; false when there is none. */
static bool find_best(const int8_t *output, const uint16_t waiting[GRID], int32_t *best_row, int32_t *best_column)
{
    int32_t best = INT8_MIN - 1;
    for (int32_t row = 0; row < GRID; row++) {
        for (int32_t column = 0; column < GRID; column++) {
            int32_t score = output[(row * GRID + column) * CHANNELS];
            if ((waiting[row] >> column & 1) && score > best) {
                best = score;
                *best_row = row;
                *best_column = column;
            }
        }
    }
    return best >= INT8_MIN;
}

size_t facedet_decode(const int8_t *output, int32_t box_factor, int32_t zero_point, int32_t threshold,
                      facedet_face *faces, size_t limit)
{
    uint16_t waiting[GRID] = {0}; /* a bit per cell that may still hold a face */
    for (int32_t row = 0; row < GRID; row++) {
        for (int32_t column = 0; column < GRID; column++) {
            if (output[(row * GRID + column) * CHANNELS] - zero_point >= threshold) {
                waiting[row] |= (uint16_t)(1u << column);
            }
        }
    }
    size_t count = 0;
    int32_t best_row = 0, best_column = 0;
    while (count < limit && find_best(output, waiting, &best_row, &best_column)) {
        facedet_face *face = &faces[count++];
        *face = box(&output[(best_row * GRID + best_column) * CHANNELS], best_row, best_column, box_factor, zero_point);
        waiting[best_row] &= (uint16_t) ~(1u << best_column);
        for (int32_t row = 0; row < GRID; row++) {
            for (int32_t column = 0; column < GRID; column++) {
                const int8_t *cell = &output[(row * GRID + column) * CHANNELS];
                facedet_face other = box(cell, row, column, box_factor, zero_point);
                if (overlap(face, &other)) {
                    waiting[row] &= (uint16_t) ~(1u << column);
                }
            }
        }
    }
    return count;
}
