/* small for armv7em, made by nnrules.
 * Graph SHA-256 034ea3394d4d9021ad439f14d71100cc0e43e64bca5d9f2d707cca7e2b0022d7.
 *
 *      layer      operator         inputs -> output                      MACs   kernel
 *   0  stem       conv2d           image 8x6x2 -> 8x6x4                  3,456  conv2d_dense_s8__armv7em
 *   1  depthwise  conv2d           stem 8x6x4 -> 8x6x4                   1,728  depthwise_3x3_s8__armv7em
 *   2  add        add              stem 8x6x4, depthwise 8x6x4 -> 8x6x4  0      add_s8__armv7em
 *   3  pool       max_pool2d       add 8x6x4 -> 4x3x4                    0      max_pool2d_s8__armv7em
 *   4  flat       reshape          pool 4x3x4 -> 48                      0      none: the same memory
 *   5  head       fully_connected  flat 48 -> 5                          240    fully_connected_narrow_s8__armv7em
 *
 * The arena, 1,024 bytes:
 *   from  to    layers  what
 *   0     136   0..0    stem (scratch)
 *   0     640   1..1    depthwise (scratch)
 *   0     48    3..5    pool
 *   0     48    3..5    flat
 *   48    53    5..5    head
 *   136   232   0..0    image
 *   640   832   0..3    stem
 *   640   832   0..3    add
 *   832   1024  1..2    depthwise
 */
#include "small.h"
#include "nn_port.h"

NN_WEIGHTS static const uint32_t stem_stream[50] = {
    0xffffbfc3, 0x00005612, 0xffbaffbb, 0x0073ff97, 0xffaeff9c, 0x0004ffa9, 0x0013005d, 0x003e0044, 0xffb3ffb2,
    0xfff2ffb8, 0xffd9ffe5, 0x00050073, 0xffd7007c, 0x00150014, 0xffdd0069, 0x007bffb4, 0x0072ffd0, 0x00650066,
    0xffc6ffa4, 0xffed0054, 0x00000000, 0x00000000, 0x0058f3e4, 0x002aca7a, 0x00002e7e, 0xfffffa39, 0x00600072,
    0x002d002e, 0xff92ff99, 0x0078006b, 0x0073000b, 0xffb4003b, 0xffe9ffe0, 0x0037ffd0, 0xffeeffc0, 0xffd5ffcd,
    0xffc1003f, 0xff8dffac, 0x006c0037, 0x0021ffa3, 0x0005ffaa, 0xffe6001e, 0x004e0049, 0xffb7fff8, 0x00000000,
    0x00000000, 0x0067aeb8, 0x0059f678, 0xfffffffd, 0xffffffd8,
};

NN_WEIGHTS static const uint32_t depthwise_stream[20] = {
    0xadfbfb68, 0x29f5f518, 0xa0cfcfe0, 0xfffffe7d, 0x003c86e4, 0xf7414176, 0xea2121bc, 0xaf989822, 0xfffffb99,
    0x00247a86, 0x2d90903c, 0x438181e9, 0x65505033, 0x0000228b, 0x003056fa, 0x9d57573b, 0x3169696b, 0x603e3e4d,
    0x00006514, 0x0022e860,
};

NN_WEIGHTS static const uint32_t head_stream[114] = {
    0x000018d8, 0xffffeed4, 0x00000b59, 0x00000b3a, 0x652f2071, 0x04a58af2, 0x5f1d023a, 0x29985fff, 0xba554614,
    0x6a4ff778, 0x1925dd2f, 0x5858a208, 0x5fc9cd8f, 0x04f12152, 0xe329909c, 0x671b71fc, 0x52008269, 0xc0e1ffc4,
    0xa7bad319, 0xa6c81275, 0xf89f4ca2, 0xb299847e, 0xe1e751e2, 0x6d40b210, 0xc7d8ce51, 0xb4613178, 0x17e57a13,
    0xaf8d0dbf, 0xf27dc138, 0x81fddf38, 0x23f21bf1, 0x247862e1, 0x0e1501fa, 0xa82a541e, 0xa7742d0c, 0xe0901215,
    0x4b4e7e02, 0x6177c509, 0xbedcf110, 0xbeb7e97b, 0x7dd71f33, 0x597002b0, 0x9953e78e, 0x60788a36, 0xa958b7f7,
    0x3e8b2435, 0xb77377e8, 0x0c43f811, 0x8c9e1d5b, 0x0abf98f9, 0xcd842c82, 0x40f2d3fa, 0x006c2158, 0x007b6996,
    0x00513f92, 0x002865a8, 0xffffeed4, 0x00000b59, 0x00000b3a, 0x00000531, 0x04a58af2, 0x5f1d023a, 0x29985fff,
    0xdf38878f, 0x6a4ff778, 0x1925dd2f, 0x5858a208, 0xa068884d, 0x04f12152, 0xe329909c, 0x671b71fc, 0x289c77eb,
    0xc0e1ffc4, 0xa7bad319, 0xa6c81275, 0x0695ee3a, 0xb299847e, 0xe1e751e2, 0x6d40b210, 0xd82e5fef, 0xb4613178,
    0x17e57a13, 0xaf8d0dbf, 0x2fc8178f, 0x81fddf38, 0x23f21bf1, 0x247862e1, 0x0567db5d, 0xa82a541e, 0xa7742d0c,
    0xe0901215, 0x684a4408, 0x6177c509, 0xbedcf110, 0xbeb7e97b, 0x6feaa77f, 0x597002b0, 0x9953e78e, 0x60788a36,
    0x411382cf, 0x3e8b2435, 0xb77377e8, 0x0c43f811, 0xa3254f3e, 0x0abf98f9, 0xcd842c82, 0x40f2d3fa, 0x5059eb59,
    0x007b6996, 0x00513f92, 0x002865a8, 0x0065ae78, 0xfffffffd, 0xfffffffd,
};

/* Convolution of one group, two pixels and two channels at a time. For a row of outputs (ROWS = 2: two rows; PIECE pixels of it
 * at a time) the K_H input rows are widened to int16 side by side, one column after the other, so that the taps of a window lie
 * in one piece. A pixel is paired with the one half a piece further right, or below it.
 * stream: see dsp_dense. */
NN_NOINLINE static void conv2d_dense_s8__armv7em_0(const int8_t *x, int8_t *y, const uint32_t *stream, void *scratch)
{
    enum {
        IN_H = 8, IN_W = 6, IN_C = 2, OUT_H = 8, OUT_W = 6, OUT_C = 4,
        K_H = 3, K_W = 3, STRIDE_H = 1, STRIDE_W = 1, PAD_TOP = 1, PAD_LEFT = 1,
        LO = -128, HI = 127, WIDE = 1, ROWS = 1, PIECE = OUT_W / 1, TILES = 3,
        APART = ROWS == 2 ? 0 : PIECE - 0 - TILES, COLUMNS = (TILES - 1) * STRIDE_W + K_W,
        COLUMN = K_H * IN_C + K_H * IN_C % 2 * (STRIDE_W % 2), BLOCKS = (K_W * COLUMN + 3) / 4,
        WORDS = 4 + BLOCKS * (WIDE ? 4 : 2), SKIP = WIDE ? NN_DENSE_S16_SKIP(BLOCKS) : NN_DENSE_S8_SKIP(BLOCKS)
    };
    const uint32_t *const zero_points = stream + (OUT_C + 1) / 2 * WORDS;
    int16_t *const wide = scratch;
    int8_t *const outside = (int8_t *)(wide + (TILES - 1) * STRIDE_W * COLUMN * 2 + BLOCKS * 8);
    for (int c = 0; c < IN_C; c++) {
        outside[c] = (int8_t)zero_points[1];
    }

    for (int oy = 0; oy < OUT_H; oy += ROWS) {
        const int below = 0;
        const int8_t *row0[(ROWS - 1) * STRIDE_H + K_H];
        for (int i = 0; i < (ROWS - 1) * STRIDE_H + K_H; i++) {
            const int iy = oy * STRIDE_H - PAD_TOP + i;
            row0[i] = iy >= 0 && iy < IN_H ? x + iy * IN_W * IN_C : NULL;
        }
        const int8_t *const *const row1 = row0 + below * STRIDE_H;
        bool inside = true;
        for (int ky = 0; ky < K_H; ky++) {
            inside = inside && row0[ky] != NULL && row1[ky] != NULL;
        }
        for (int ox = 0; ox + PIECE <= OUT_W; ox += PIECE) {
            const int left = ox * STRIDE_W - PAD_LEFT, right = left + APART * STRIDE_W;
            const int first = left < 0 ? -left : 0, end = IN_W - right < COLUMNS ? IN_W - right : COLUMNS; /* inside for both */
            struct nn_dense job = {
                .x = wide, .x_end = wide + BLOCKS * 8, .skip = SKIP, .zero_point = (int32_t)zero_points[0],
                .step = STRIDE_W * COLUMN * 4, .tiles = TILES
            };
            for (int column = 0; column < COLUMNS; column++) {
                const int ix0 = left + column, ix1 = right + column, odd = column * COLUMN % 2;
                int16_t *const to = wide + column * COLUMN / 2 * 4;
                if (inside && column >= first && column < end && odd == 0) {
#pragma GCC unroll 16
                    for (int ky = 0; ky < K_H; ky++) {
                        nn_widen_in_order(to, row0[ky] + ix0 * IN_C, row1[ky] + ix1 * IN_C, ky * IN_C, IN_C);
                    }
                    continue;
                }
                for (int ky = 0; ky < K_H; ky++) {
                    const int8_t *const x0 = row0[ky] != NULL && ix0 >= 0 && ix0 < IN_W ? row0[ky] + ix0 * IN_C : outside;
                    const int8_t *const x1 = row1[ky] != NULL && ix1 >= 0 && ix1 < IN_W ? row1[ky] + ix1 * IN_C : outside;
                    nn_widen_in_order(to, x0, x1, odd + ky * IN_C, IN_C);
                }
            }
            job.y0 = y + (oy * OUT_W + ox) * OUT_C;
            job.y1 = y + ((oy + below) * OUT_W + ox + APART) * OUT_C;
            nn_dense_channels(stream, &job, OUT_C, BLOCKS, WIDE);
        }
    }
}

/* Depthwise 3x3 convolution, channels a multiple of four: a band of rows of four channels is widened to int16, each channel by
 * itself and with its padding; then each channel's weights stay in registers. stream: see dsp_depthwise_3x3. Runs in place where
 * one band is the whole image. */
NN_DEPTHWISE_3X3(depthwise_3x3_s8__armv7em_1_channel, -3, 4, 6, 1,
                 16, 16)

static void depthwise_3x3_s8__armv7em_1(const int8_t *x, int8_t *y, const uint32_t *stream, void *scratch)
{
    enum {
        IN_H = 8, IN_W = 6, C = 4, OUT_H = 8, OUT_W = 6,
        STRIDE_H = 1, PAD_TOP = 1, PAD_LEFT = 1, X_ZERO_POINT = -40,
        LO = -128, HI = 127, PITCH = 16 / 2, BAND = 8,
        PLANE = ((BAND - 1) * STRIDE_H + 3) * PITCH, LEFT = PAD_LEFT / 2 * 2,
        FIRST = (PAD_LEFT + 1) / 2 * 2, END = IN_W + PAD_LEFT < PITCH ? (IN_W + PAD_LEFT) / 2 * 2 : PITCH
    };
    int16_t *const planes = scratch;
    const uint32_t outside = (uint8_t)X_ZERO_POINT * 0x01010101u;
    for (int i = 0; i < PLANE; i += 2) {
        nn_to_planes(planes + i, PLANE, outside, outside);
    }

    for (int oy = 0; oy < OUT_H; oy += BAND) {
        const int count = oy + BAND <= OUT_H ? BAND : OUT_H - oy, top = oy * STRIDE_H - PAD_TOP;
        for (int c = 0; c < C; c += 4) {
            for (int row = 0; row < (count - 1) * STRIDE_H + 3; row++) {
                int16_t *const to = planes + row * PITCH;
                if (top + row < 0 || top + row >= IN_H) {
                    continue;
                }
                const int8_t *from = x + (top + row) * IN_W * C + c;
                if (LEFT < FIRST) {
                    nn_to_planes(to + LEFT, PLANE, outside, *(const nn_word_at_1 *)from);
                    from += C;
                }
#pragma GCC unroll 2
                for (int i = FIRST; i < END; i += 2, from += 2 * C) {
                    nn_to_planes(to + i, PLANE, *(const nn_word_at_1 *)from, *(const nn_word_at_1 *)(from + C));
                }
                if (END < PITCH && END < IN_W + PAD_LEFT) {
                    nn_to_planes(to + END, PLANE, *(const nn_word_at_1 *)from, outside);
                }
            }
            int8_t *const out = y + oy * OUT_W * C + c;
            for (int i = 0; i < 4; i++) {
                depthwise_3x3_s8__armv7em_1_channel(planes + i * PLANE, out + i, stream + (c + i) * 5, count);
            }
        }
    }
}

/* Element-wise sum with one rounding, four values at a time; y may be x1 or x2. */
static void add_s8__armv7em_2(const int8_t *x1, const int8_t *x2, int8_t *y)
{
    enum { SIZE = 192, M1 = 20000, M2 = 17000, C = 16384, K = 15, LO = -128, HI = 127 };
    const uint32_t factors = ((uint32_t)M1 & 0xFFFFu) | (uint32_t)M2 << 16;

    for (int i = 0; i < SIZE / 4 * 4; i += 4, x1 += 4, x2 += 4, y += 4) {
        const uint32_t a = *(const nn_word_at_1 *)x1, b = *(const nn_word_at_1 *)x2;
        const uint32_t even1 = nn_sxtb16(a), odd1 = nn_sxtb16_ror8(a), even2 = nn_sxtb16(b), odd2 = nn_sxtb16_ror8(b);
        NN_SHIFT_TO_S8(y[0], nn_smlabt(even2, factors, nn_smlabb(even1, factors, C)), K);
        NN_SHIFT_TO_S8(y[1], nn_smlabt(odd2, factors, nn_smlabb(odd1, factors, C)), K);
        NN_SHIFT_TO_S8(y[2], nn_smlatt(even2, factors, nn_smlatb(even1, factors, C)), K);
        NN_SHIFT_TO_S8(y[3], nn_smlatt(odd2, factors, nn_smlatb(odd1, factors, C)), K);
    }
    for (int i = 0; i < SIZE % 4; i++) {
        NN_SHIFT_TO_S8(y[i], M1 * x1[i] + M2 * x2[i] + C, K);
    }
}

/* Maximum over each window, clipped at the image's border, four channels at a time; the last four may overlap. */
static void max_pool2d_s8__armv7em_3(const int8_t *x, int8_t *y)
{
    enum {
        IN_H = 8, IN_W = 6, C = 4, OUT_H = 4, OUT_W = 3,
        K_H = 2, K_W = 2, STRIDE_H = 2, STRIDE_W = 2,
        DILATION_H = 1, DILATION_W = 1, PAD_TOP = 0, PAD_LEFT = 0
    };

    for (int oy = 0; oy < OUT_H; oy++) {
        const int top = oy * STRIDE_H - PAD_TOP;
        const int ky_begin = top < 0 ? (-top + DILATION_H - 1) / DILATION_H : 0;
        const int ky_end = top + (K_H - 1) * DILATION_H < IN_H ? K_H : (IN_H - top + DILATION_H - 1) / DILATION_H;
        for (int ox = 0; ox < OUT_W; ox++, y += C) {
            const int left = ox * STRIDE_W - PAD_LEFT;
            const int kx_begin = left < 0 ? (-left + DILATION_W - 1) / DILATION_W : 0;
            const int kx_end = left + (K_W - 1) * DILATION_W < IN_W ? K_W : (IN_W - left + DILATION_W - 1) / DILATION_W;
            const int8_t *const window = x + ((top + ky_begin * DILATION_H) * IN_W + left + kx_begin * DILATION_W) * C;
            for (int tile = 0; tile < C; tile += 4) {
                const int c = C % 4 == 0 || tile < C - 4 ? tile : C - 4;
                uint32_t largest = 0x80808080;
                for (int ky = 0; ky < ky_end - ky_begin; ky++) {
                    const int8_t *in = window + ky * DILATION_H * IN_W * C + c;
                    for (int kx = kx_begin; kx < kx_end; kx++, in += DILATION_W * C) {
                        largest = nn_larger(largest, *(const nn_word_at_1 *)in);
                    }
                }
                *(nn_word_at_1 *)(y + c) = largest;
            }
        }
    }
}

/* Fully connected, ROWS vectors: each meets four outputs at a time. stream: see dsp_dense_1x4. */
static void fully_connected_narrow_s8__armv7em_4(const int8_t *x, int8_t *y, const uint32_t *stream)
{
    enum {
        ROWS = 1, IN_C = 48, OUT_C = 5, LO = -128, HI = 127,
        WIDE = 0, TAPS = 48, WORDS = 8 + TAPS * (WIDE ? 2 : 1), X_BYTES = TAPS,
        SKIP = WIDE ? NN_DENSE_1X4_S16_NARROW_SKIP(TAPS) : NN_DENSE_1X4_S8_NARROW_SKIP(TAPS)
    };
    static const struct nn_dense_1x4 fours = {OUT_C / 4 * WORDS * 4, (OUT_C + 3) / 4 * WORDS * 4, X_BYTES, SKIP};
    static const struct nn_dense_1x4 last = {WORDS * 4, WORDS * 4, X_BYTES, SKIP};
    for (int row = 0; row < ROWS; row++, x += IN_C, y += OUT_C) {
        nn_dense_1x4_s8_narrow(stream, x, y, &fours);
        int8_t four[4]; /* the last ones again */
        nn_dense_1x4_s8_narrow(stream + OUT_C / 4 * WORDS, x, four, &last);
        for (int i = 0; i < OUT_C % 4; i++) {
            y[OUT_C / 4 * 4 + i] = four[4 - OUT_C % 4 + i];
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
    conv2d_dense_s8__armv7em_0(input, base + 640, stem_stream, base);
    trace(0, base + 640, 0, 8, 24);

    /* depthwise */
    NN_PROFILE(1);
    depthwise_3x3_s8__armv7em_1(base + 640, base + 832, depthwise_stream, base);
    trace(1, base + 832, 0, 8, 24);

    /* add */
    NN_PROFILE(2);
    add_s8__armv7em_2(base + 640, base + 832, base + 640);
    trace(2, base + 640, 0, 8, 24);

    /* pool */
    NN_PROFILE(3);
    max_pool2d_s8__armv7em_3(base + 640, base);
    trace(3, base, 0, 4, 12);

    /* flat */
    NN_PROFILE(4);
    trace(4, base, 0, 1, 48);

    /* head */
    NN_PROFILE(5);
    fully_connected_narrow_s8__armv7em_4(base, output, head_stream);
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
    return (struct state *)(void *)((int8_t *)arena + 232);
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
