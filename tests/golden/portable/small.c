/* small for portable, made by nnrules.
 * Graph SHA-256 034ea3394d4d9021ad439f14d71100cc0e43e64bca5d9f2d707cca7e2b0022d7.
 *
 *      layer      operator         inputs -> output                      MACs   kernel
 *   0  stem       conv2d           image 8x6x2 -> 8x6x4                  3,456  conv2d_s8__portable
 *   1  depthwise  conv2d           stem 8x6x4 -> 8x6x4                   1,728  depthwise_plane_s8__portable
 *   2  add        add              stem 8x6x4, depthwise 8x6x4 -> 8x6x4  0      add_s8__portable
 *   3  pool       max_pool2d       add 8x6x4 -> 4x3x4                    0      max_pool2d_s8__portable
 *   4  flat       reshape          pool 4x3x4 -> 48                      0      none: the same memory
 *   5  head       fully_connected  flat 48 -> 5                          240    fully_connected_s8__portable
 *
 * The arena, 464 bytes:
 *   from  to   layers  what
 *   0     192  0..3    stem
 *   0     192  0..3    add
 *   0     5    5..5    head
 *   192   288  0..0    image
 *   192   384  1..2    depthwise
 *   192   240  3..5    pool
 *   192   240  3..5    flat
 *   384   464  1..1    depthwise (scratch)
 */
#include "small.h"
#include "nn_port.h"

NN_WEIGHTS static const int8_t stem_weights[72] = {
    -69, -105, 114, 46, -70, 115, 96, 45, -78, -72, -32, -48, -77, -14, -23, 55, 105, -76, 55, -93, -35, 123, 108,
    33, -100, -87, -103, 107, -82, 4, -110, 120, -27, 115, -64, -51, -39, 5, -18, -43, -48, 102, -86, 30, 114, 101,
    5, -26, 93, 68, 11, 59, 19, 62, 115, -76, 124, 20, 63, -84, -41, 21, -63, -115, -92, 84, 73, -8, -58, -19, 78,
    -73,
};

NN_WEIGHTS static const int32_t stem_bias[4] = {
    -2005, 4154, 3142, 3401,
};

NN_WEIGHTS static const int32_t stem_multiplier[4] = {
    5829604, 2804346, 6794936, 5895800,
};

NN_WEIGHTS static const int8_t depthwise_weights[36] = {
    104, 118, 60, 59, -5, 65, -112, 87, -83, -9, 45, -99, 24, -68, -23, 107, -11, 33, -127, 105, 41, -22, 67, 49,
    -32, 34, 51, 77, -49, -104, 80, 62, -96, -81, 101, 96,
};

NN_WEIGHTS static const int32_t depthwise_bias[4] = {
    -387, -1127, 8843, 25876,
};

NN_WEIGHTS static const int32_t depthwise_multiplier[4] = {
    3966692, 2390662, 3167994, 2287712,
};

NN_WEIGHTS static const int8_t head_weights[384] = {
    113, -14, 58, -1, 32, -118, 2, 95, 47, -91, 29, -104, 101, 4, 95, 41, 20, 120, 47, 8, 70, -9, -35, -94, 85, 79,
    37, 88, -70, 106, 25, 88, -113, 82, -100, -4, -51, 33, -112, 113, -55, -15, 41, 27, 95, 4, -29, 103, 105, -60,
    25, 117, -126, -1, -45, 18, 0, -31, -70, -56, 82, -64, -89, -90, -94, 126, -30, 16, 76, -124, 81, -78, -97,
    -103, -25, 64, -8, -78, -31, 109, 81, 120, 19, -65, -50, 49, 122, 13, -40, 97, -27, -115, -57, -76, 23, -81, 56,
    56, -15, -31, -63, -33, 27, 98, 125, -3, -14, 120, -14, -127, 35, 36, -6, 30, 12, 21, 1, 84, 45, 18, 21, 42,
    116, -112, 14, -88, -89, -32, 2, 9, 16, 123, 126, -59, -15, -23, 78, 119, -36, -73, 75, 97, -66, -66, 51, -80,
    -114, 54, 31, 2, -25, -118, -41, 112, 83, 120, 125, 89, -103, 96, -9, 53, -24, 17, -73, 36, 119, -8, 88, -117,
    115, 67, -87, 62, -73, 12, 91, -7, -126, -6, 29, -104, 44, -45, -98, -65, -124, -14, -116, 10, -51, 64, -113, 0,
    0, 0, -121, 0, 0, 0, 56, 0, 0, 0, -33, 0, 0, 0, 77, 0, 0, 0, -120, 0, 0, 0, 104, 0, 0, 0, -96, 0, 0, 0, -21, 0,
    0, 0, 119, 0, 0, 0, -100, 0, 0, 0, 40, 0, 0, 0, 58, 0, 0, 0, -18, 0, 0, 0, -107, 0, 0, 0, 6, 0, 0, 0, -17, 0, 0,
    0, 95, 0, 0, 0, 46, 0, 0, 0, -40, 0, 0, 0, -113, 0, 0, 0, 23, 0, 0, 0, -56, 0, 0, 0, 47, 0, 0, 0, 93, 0, 0, 0,
    -37, 0, 0, 0, 103, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 68, 0, 0, 0, 74, 0, 0, 0, 104, 0, 0, 0, 127, 0, 0, 0, -89,
    0, 0, 0, -22, 0, 0, 0, 111, 0, 0, 0, -49, 0, 0, 0, -126, 0, 0, 0, 19, 0, 0, 0, 65, 0, 0, 0, 62, 0, 0, 0, 79, 0,
    0, 0, 37, 0, 0, 0, -93, 0, 0, 0, 89, 0, 0, 0, -21, 0, 0, 0, 89, 0, 0, 0, 80, 0, 0, 0,
};

NN_WEIGHTS static const int32_t head_bias[8] = {
    4704, -4858, 3661, 1284, -147, 0, 0, 0,
};

NN_WEIGHTS static const int32_t head_multiplier[8] = {
    7086424, 8087958, 5324690, 2647464, 6663800, 0, 0, 0,
};

/* Convolution, any geometry: four output channels at a time, windows clipped at the image's border.
 * weights (GROUPS, BLOCKS, K_H, K_W, GROUP_IN, BLOCK). */
static void conv2d_s8__portable_0(const int8_t *x, int8_t *y, const int8_t *weights, const int32_t *bias,
                                  const int32_t *multiplier)
{
    enum {
        IN_H = 8, IN_W = 6, IN_C = 2, OUT_H = 8, OUT_W = 6, OUT_C = 4,
        K_H = 3, K_W = 3, STRIDE_H = 1, STRIDE_W = 1,
        DILATION_H = 1, DILATION_W = 1, PAD_TOP = 1, PAD_LEFT = 1,
        GROUPS = 1, X_ZERO_POINT = -40, Y_ZERO_POINT = -3, LO = -128, HI = 127,
        X_BYTES = IN_C, Y_BYTES = OUT_C,
        GROUP_IN = IN_C / GROUPS, GROUP_OUT = OUT_C / GROUPS,
        BLOCK = 4, BLOCKS = (GROUP_OUT + BLOCK - 1) / BLOCK, BLOCK_WEIGHTS = K_H * K_W * GROUP_IN * BLOCK
    };
    /* A kernel row is one run of memory where neither dilation nor groups tear it apart. */
    const bool row_is_run = true;
    for (int oy = 0; oy < OUT_H; oy++) {
        const int top = oy * STRIDE_H - PAD_TOP;
        const int ky_begin = top < 0 ? (-top + DILATION_H - 1) / DILATION_H : 0;
        const int ky_end = top + (K_H - 1) * DILATION_H < IN_H ? K_H : (IN_H - top + DILATION_H - 1) / DILATION_H;
        for (int ox = 0; ox < OUT_W; ox++) {
            const int left = ox * STRIDE_W - PAD_LEFT;
            const int kx_begin = left < 0 ? (-left + DILATION_W - 1) / DILATION_W : 0;
            const int kx_end = left + (K_W - 1) * DILATION_W < IN_W ? K_W : (IN_W - left + DILATION_W - 1) / DILATION_W;
            const int runs = row_is_run ? kx_begin < kx_end : kx_end - kx_begin;
            const int run = row_is_run ? (kx_end - kx_begin) * GROUP_IN : GROUP_IN;
            for (int block = 0; block < GROUPS * BLOCKS; block++) {
                const int group = block / BLOCKS, channel = block % BLOCKS * BLOCK;
                int32_t acc[BLOCK];
#pragma GCC unroll 4
                for (int i = 0; i < BLOCK; i++) {
                    acc[i] = bias[block * BLOCK + i];
                }
                for (int ky = ky_begin; ky < ky_end; ky++) {
                    const int row = (top + ky * DILATION_H) * IN_W + left + kx_begin * DILATION_W;
                    const int8_t *w = weights + block * BLOCK_WEIGHTS + (ky * K_W + kx_begin) * GROUP_IN * BLOCK;
                    const int8_t *in = x + row * IN_C + group * GROUP_IN;
                    for (int r = 0; r < runs; r++, in += DILATION_W * IN_C) {
                        for (const int8_t *value = in; value < in + run; value++, w += BLOCK) {
                            const int32_t centred = *value - X_ZERO_POINT;
#pragma GCC unroll 4
                            for (int i = 0; i < BLOCK; i++) {
                                acc[i] += centred * w[i];
                            }
                        }
                    }
                }
                int8_t *out = y + (oy * OUT_W + ox) * Y_BYTES + group * GROUP_OUT + channel;
#pragma GCC unroll 4
                for (int i = 0; i < BLOCK; i++) {
                    if (GROUP_OUT % BLOCK == 0 || channel + i < GROUP_OUT) {
                        const int c = block * BLOCK + i;
                        const int32_t level = nn_requantize(acc[i], multiplier[c], Y_ZERO_POINT, LO, HI);
                        out[i] = (int8_t)level;
                    }
                }
            }
        }
    }
}

/* Depthwise convolution, small windows without dilation: channel by channel, whose values and border are laid out first and
 * whose weights stay in registers. weights (BLOCKS, K_H, K_W, BLOCK). Runs in place where the output is as large. */
static void depthwise_plane_s8__portable_1(const int8_t *x, int8_t *y, const int8_t *weights, const int32_t *bias,
                                           const int32_t *multiplier, void *scratch)
{
    enum {
        IN_H = 8, IN_W = 6, C = 4, OUT_H = 8, OUT_W = 6,
        K_H = 3, K_W = 3, STRIDE_H = 1, STRIDE_W = 1,
        PAD_TOP = 1, PAD_LEFT = 1, X_ZERO_POINT = -40,
        Y_ZERO_POINT = -3, LO = -128, HI = 127, BLOCK = 4,
        HEIGHT = (OUT_H - 1) * STRIDE_H + K_H, WIDTH = (OUT_W - 1) * STRIDE_W + K_W,
        ROWS = IN_H < HEIGHT - PAD_TOP ? IN_H : HEIGHT - PAD_TOP, COLUMNS = IN_W < WIDTH - PAD_LEFT ? IN_W : WIDTH - PAD_LEFT
    };
    int8_t *const plane = scratch;
    for (int i = 0; i < HEIGHT * WIDTH; i++) {
        plane[i] = X_ZERO_POINT;
    }

    for (int c = 0; c < C; c++) {
        for (int iy = 0; iy < ROWS; iy++) {
            const int8_t *from = x + iy * IN_W * C + c;
            int8_t *to = plane + (iy + PAD_TOP) * WIDTH + PAD_LEFT;
            for (int8_t *const end = to + COLUMNS; to < end; from += C) {
                *to++ = *from;
            }
        }
        const int8_t *const of_channel = weights + c / BLOCK * K_H * K_W * BLOCK + c % BLOCK;
        int32_t w[K_H][K_W];
#pragma GCC unroll 9
        for (int tap = 0; tap < K_H * K_W; tap++) {
            w[tap / K_W][tap % K_W] = of_channel[tap * BLOCK];
        }
        const int32_t start = bias[c], factor = multiplier[c];
        int8_t *out = y + c;
        for (int oy = 0; oy < OUT_H; oy++) {
            const int8_t *in = plane + oy * STRIDE_H * WIDTH;
            for (int ox = 0; ox < OUT_W; ox++, in += STRIDE_W, out += C) {
                int32_t acc = start;
#pragma GCC unroll 9
                for (int ky = 0; ky < K_H; ky++) {
#pragma GCC unroll 9
                    for (int kx = 0; kx < K_W; kx++) {
                        acc += in[ky * WIDTH + kx] * w[ky][kx];
                    }
                }
                *out = nn_requantize(acc, factor, Y_ZERO_POINT, LO, HI);
            }
        }
    }
}

/* Element-wise sum with one rounding; y may be x1 or x2. */
static void add_s8__portable_2(const int8_t *x1, const int8_t *x2, int8_t *y)
{
    enum { SIZE = 192, M1 = 20000, M2 = 17000, C = 16384, K = 15, LO = -128, HI = 127 };

    for (int i = 0; i < SIZE; i++) {
        y[i] = (int8_t)nn_clamp((M1 * x1[i] + M2 * x2[i] + C) >> K, LO, HI);
    }
}

/* Maximum over each window, clipped at the image's border. */
static void max_pool2d_s8__portable_3(const int8_t *x, int8_t *y)
{
    enum {
        IN_H = 8, IN_W = 6, C = 4, OUT_H = 4, OUT_W = 3,
        K_H = 2, K_W = 2, STRIDE_H = 2, STRIDE_W = 2,
        DILATION_H = 1, DILATION_W = 1, PAD_TOP = 0, PAD_LEFT = 0,
        X_BYTES = C, Y_BYTES = C
    };

    for (int oy = 0; oy < OUT_H; oy++) {
        const int top = oy * STRIDE_H - PAD_TOP;
        const int ky_begin = top < 0 ? (-top + DILATION_H - 1) / DILATION_H : 0;
        const int ky_end = top + (K_H - 1) * DILATION_H < IN_H ? K_H : (IN_H - top + DILATION_H - 1) / DILATION_H;
        for (int ox = 0; ox < OUT_W; ox++, y += Y_BYTES) {
            const int left = ox * STRIDE_W - PAD_LEFT;
            const int kx_begin = left < 0 ? (-left + DILATION_W - 1) / DILATION_W : 0;
            const int kx_end = left + (K_W - 1) * DILATION_W < IN_W ? K_W : (IN_W - left + DILATION_W - 1) / DILATION_W;
            for (int c = 0; c < C; c++) {
                int32_t largest = -128;
                for (int ky = ky_begin; ky < ky_end; ky++) {
                    const int8_t *in = x + ((top + ky * DILATION_H) * IN_W + left + kx_begin * DILATION_W) * X_BYTES + c;
                    for (int kx = kx_begin; kx < kx_end; kx++, in += DILATION_W * X_BYTES) {
                        largest = *in > largest ? *in : largest;
                    }
                }
                y[c] = (int8_t)largest;
            }
        }
    }
}

/* Fully connected, ROWS vectors: four outputs at a time. weights (BLOCKS, IN_C, BLOCK). */
static void fully_connected_s8__portable_4(const int8_t *x, int8_t *y, const int8_t *weights, const int32_t *bias,
                                           const int32_t *multiplier)
{
    enum {
        ROWS = 1, IN_C = 48, OUT_C = 5, X_ZERO_POINT = -3,
        X_BYTES = IN_C, Y_BYTES = OUT_C,
        Y_ZERO_POINT = -3, LO = -128, HI = 127, BLOCK = 4
    };

    for (int row = 0; row < ROWS; row++, x += X_BYTES, y += Y_BYTES) {
        const int8_t *w = weights;
        for (int c = 0; c < OUT_C; c += BLOCK) {
            int32_t acc[BLOCK];
#pragma GCC unroll 4
            for (int i = 0; i < BLOCK; i++) {
                acc[i] = bias[c + i];
            }
            for (const int8_t *value = x; value < x + IN_C; value++, w += BLOCK) {
                const int32_t centred = *value - X_ZERO_POINT;
#pragma GCC unroll 4
                for (int i = 0; i < BLOCK; i++) {
                    acc[i] += centred * w[i];
                }
            }
#pragma GCC unroll 4
            for (int i = 0; i < BLOCK; i++) {
                if (OUT_C % BLOCK == 0 || c + i < OUT_C) {
                    const int32_t level = nn_requantize(acc[i], multiplier[c + i], Y_ZERO_POINT, LO, HI);
                    y[c + i] = (int8_t)level;
                }
            }
        }
    }
}

#if defined(NN_TRACE_ROWS)
static void trace(uint32_t layer, const int8_t *data, uint32_t first, int rows, uint32_t bytes)
{
    for (uint32_t row = 0; row < (uint32_t)rows; row++) {
        NN_TRACE(layer, first + row, data + row * bytes, bytes);
    }
}
#else
#define trace(layer, data, first, rows, bytes) ((void)0)
#endif

static bool misplaced(const void *arena)
{
    return arena == NULL || (uintptr_t)arena % SMALL_ARENA_ALIGN != 0;
}

/* Whether data is NULL or shares memory with the arena, other than at its own offset there (ARENA_BYTES: it has none). */
static bool unfit(const void *arena, const int8_t *data, size_t bytes, size_t offset)
{
    const uintptr_t start = (uintptr_t)arena, at = (uintptr_t)data;
    return data == NULL || (at != start + offset && at < start + SMALL_ARENA_BYTES && start < at + bytes);
}

#define MARK 0x034ea339u /* in the arena of this program while rows are wanted */

struct __attribute__((may_alias)) eight {
    uint32_t words[8];
};

static void copy(int8_t *to, const int8_t *from, int bytes)
{
    if (((uintptr_t)to | (uintptr_t)from) % 4 == 0) {
        for (; bytes >= 32; bytes -= 32, to += 32, from += 32) {
            *(struct eight *)(void *)to = *(const struct eight *)(const void *)from;
        }
    }
    for (; bytes >= 4; bytes -= 4, to += 4, from += 4) {
        *(nn_word_at_1 *)to = *(const nn_word_at_1 *)from;
    }
    for (; bytes > 0; bytes--) {
        *to++ = *from++;
    }
}

int small_run(void *arena, const int8_t *input, int8_t *output)
{
    if (misplaced(arena)) {
        return SMALL_ERROR_ARENA;
    }
    if (unfit(arena, input, SMALL_INPUT_0_BYTES, SMALL_INPUT_0_OFFSET) ||
        unfit(arena, output, SMALL_OUTPUT_0_BYTES, SMALL_OUTPUT_0_OFFSET)) {
        return SMALL_ERROR_DATA;
    }
    int8_t *const base = arena;

    /* stem */
    NN_PROFILE(0);
    conv2d_s8__portable_0(input, base, stem_weights, stem_bias, stem_multiplier);
    trace(0, base, 0, 8, 24);

    /* depthwise */
    NN_PROFILE(1);
    depthwise_plane_s8__portable_1(base, base + 192, depthwise_weights, depthwise_bias, depthwise_multiplier,
                                   base + 384);
    trace(1, base + 192, 0, 8, 24);

    /* add */
    NN_PROFILE(2);
    add_s8__portable_2(base, base + 192, base);
    trace(2, base, 0, 8, 24);

    /* pool */
    NN_PROFILE(3);
    max_pool2d_s8__portable_3(base, base + 192);
    trace(3, base + 192, 0, 4, 12);

    /* flat */
    NN_PROFILE(4);
    trace(4, base + 192, 0, 1, 48);

    /* head */
    NN_PROFILE(5);
    fully_connected_s8__portable_4(base + 192, output, head_weights, head_bias, head_multiplier);
    trace(5, output, 0, 1, 5);
    NN_PROFILE(6);
    return SMALL_DONE;
}

/* Beside the input while its rows arrive. */
struct state {
    uint32_t mark; /* MARK while rows are wanted */
    uint32_t taken;
};

static struct state *state_of(void *arena)
{
    return (struct state *)(void *)((int8_t *)arena + 288);
}

int small_reset(void *arena, size_t bytes)
{
    if (misplaced(arena) || bytes < SMALL_ARENA_BYTES) {
        return SMALL_ERROR_ARENA;
    }
    struct state *const state = state_of(arena);
    state->mark = MARK;
    state->taken = 0;
    return SMALL_DONE;
}

int small_push_row(void *arena, const int8_t *row, size_t bytes)
{
    if (misplaced(arena)) {
        return SMALL_ERROR_ARENA;
    }
    if (bytes != SMALL_ROW_BYTES || unfit(arena, row, bytes, SMALL_ARENA_BYTES)) {
        return SMALL_ERROR_DATA;
    }
    struct state *const state = state_of(arena);
    if (state->mark != MARK || state->taken >= SMALL_ROWS) {
        return SMALL_ERROR_RESET;
    }
    int8_t *const base = arena;
    copy(base + SMALL_INPUT_0_OFFSET + state->taken * SMALL_ROW_BYTES, row, SMALL_ROW_BYTES);
    if (++state->taken < SMALL_ROWS) {
        return SMALL_MORE;
    }
    state->mark = 0;
    return small_run(arena, base + SMALL_INPUT_0_OFFSET, base + SMALL_OUTPUT_0_OFFSET);
}
