/* Self test of small: one sample and the outputs that the exact reference computes for it; made by nnrules.
 * Graph SHA-256 034ea3394d4d9021ad439f14d71100cc0e43e64bca5d9f2d707cca7e2b0022d7. */
#include "small.h"

const int8_t small_selftest_input[96] = {
    79, -107, -83, -68, -82, 77, 94, 21, -118, -104, -43, -18, 31, -6, -61, -88, 49, 60, -120, -99, -13, -28, 99, 4,
    -21, -18, 42, 22, -84, 60, 65, 116, 73, -56, -47, 38, 38, 50, 94, -54, 112, -128, -109, 121, 113, -52, -93, -48,
    -117, 100, 41, 21, -66, -8, -80, 69, -7, -121, -63, 52, 5, -33, -64, -105, 27, 41, 5, 110, 109, -75, 27, 33,
    -65, -52, -4, 61, -54, 56, 39, -73, -29, 84, 87, 40, -127, 46, -71, 81, 105, -19, 116, 66, -45, 96, -30, -102,
};

static const int8_t expected_0[5] = {
    8, 1, 7, 2, 7,
};

static int differs(const int8_t *a, const int8_t *b, int n)
{
    while (n > 0 && *a == *b) {
        a++, b++, n--;
    }
    return n > 0;
}

int small_selftest_run(void *arena)
{
    int8_t *const base = arena;
    return small_run(base, small_selftest_input, base + SMALL_OUTPUT_0_OFFSET);
}

int small_selftest(void *arena)
{
    const int8_t *const base = arena;
    if (small_selftest_run(arena) != SMALL_DONE) {
        return SMALL_ERROR_ARENA;
    }
    if (differs(base + SMALL_OUTPUT_0_OFFSET, expected_0, SMALL_OUTPUT_0_BYTES)) {
        return 1;
    }
    return 0;
}
