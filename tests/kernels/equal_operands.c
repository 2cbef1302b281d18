/* RV32's loops where operands of equal values begin: a compiler may give those one register, unless it is told that the
 * loop changes one before it has read the other for the last time. Exits with the number of the first one that is wrong. */
#include "nn_board.h"
#include "nn_port.h"

enum { N = 4, ROWS = 4, PITCH = N + 2, OUTPUTS = N * ROWS, PLANE = (ROWS + 2) * PITCH };
static int8_t arena[OUTPUTS + PLANE];
static const struct nn_rv_channel channel = {{0, 0, 0, 0, 4, 0, 0, 0, 0}, 12, 1 << 30, 0};

/* The output ends where the plane begins. Each is the middle of what it sees, times 4, + 12, times a quarter. */
static bool output_before_plane(void) {
    int8_t *const plane = arena + OUTPUTS;
    for (int i = 0; i < PLANE; i++) {
        plane[i] = (int8_t)i;
    }
    nn_rv_depthwise_3x3(arena, 1, arena + OUTPUTS, PITCH, 1, PITCH, N, ROWS, &channel, false, 0, -128, 127);
    for (int i = 0; i < OUTPUTS; i++) {
        if (arena[i] != (i / N + 1) * PITCH + i % N + 1 + 3) {
            return false;
        }
    }
    return true;
}

static const int32_t bias[4] = {1, 2, 3, 4};
static const int8_t values[16] = {1, 2, 3, 4};
static const int8_t weights[16] = {1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4};

/* The sums of a tile whose pixels are one and the same; all weights of channel j are j + 1. */
static bool summed(const int32_t acc[4][4]) {
    for (int i = 0; i < 16; i++) {
        if (acc[i / 4][i % 4] != (i % 4 + 1) * (1 + 1 + 2 + 3 + 4)) {
            return false;
        }
    }
    return true;
}

static void copy(void *to, const void *from) {
    for (int i = 0; i < 16; i++) {
        ((int8_t *)to)[i] = ((const int8_t *)from)[i];
    }
}

/* The sums take the place of what they are made of. */
static bool sums_over_values(void) {
    int32_t acc[4][4];
    copy(acc, values);
    nn_rv_tile(acc, bias, (const int8_t *)acc, 0, weights, N, 0, 1);
    return summed(acc);
}

static bool sums_over_weights(void) {
    int32_t acc[4][4];
    copy(acc, weights);
    nn_rv_tile(acc, bias, values, 0, (const int8_t *)acc, N, 0, 1);
    return summed(acc);
}

static bool sums_over_bias(void) {
    int32_t acc[4][4];
    copy(acc, bias);
    nn_rv_tile(acc, acc[0], values, 0, weights, N, 0, 1);
    return summed(acc);
}

int nn_main(void) {
    return !output_before_plane() ? 1 : !sums_over_values() ? 2 : !sums_over_weights() ? 3 : !sums_over_bias() ? 4 : 0;
}
