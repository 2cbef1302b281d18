/* small for armv7em, made by nnrules.
 * Graph SHA-256 5d14aacda3116567e09990eb88d3992ebb4aa05393a17ab1a93e0583cecd5edb.
 *
 *      layer      operator         inputs -> output                      MACs   kernel
 *   0  stem       conv2d           image 8x6x2 -> 8x6x4                  3,456  conv2d_s8__armv7em
 *   1  depthwise  conv2d           stem 8x6x4 -> 8x6x4                   1,728  depthwise_conv2d_s8__armv7em
 *   2  add        add              stem 8x6x4, depthwise 8x6x4 -> 8x6x4  0      add_s8__portable
 *   3  pool       max_pool2d       add 8x6x4 -> 4x3x4                    0      max_pool2d_s8__portable
 *   4  flat       reshape          pool 4x3x4 -> 48                      0      none: the same memory
 *   5  head       fully_connected  flat 48 -> 5                          240    fully_connected_s8__armv7em
 *
 * The arena, 392 bytes:
 *   from  to   layers  what
 *   0     192  0..3    stem
 *   0     192  0..3    add
 *   0     96   5..5    head (scratch)
 *   96    101  5..5    head
 *   192   288  0..0    image
 *   192   384  1..2    depthwise
 *   192   240  3..5    pool
 *   192   240  3..5    flat
 *   288   384  0..0    stem (scratch)
 *   384   388  1..1    depthwise (scratch)
 */
#include "small.h"
#include "nn_port.h"

NN_WEIGHTS static const uint32_t stem_weights[24] = {
    0xb3bab2bb, 0xf273b897, 0x00dd0069, 0x007b00b4, 0xd9aee59c, 0x050473a9, 0x007200d0, 0x00650066, 0xd7137c5d,
    0x153e1444, 0x00c600a4, 0x00ed0054, 0xe960e072, 0x372dd02e, 0x006c0037, 0x002100a3, 0xee92c099, 0xd578cd6b,
    0x000500aa, 0x00e6001e, 0xc1733f0b, 0x8db4ac3b, 0x004e0049, 0x00b700f8,
};

NN_WEIGHTS static const int32_t stem_bias[4] = {
    -16445, 22034, 11902, -1479,
};

NN_WEIGHTS static const int32_t stem_multiplier[4] = {
    5829604, 2804346, 6794936, 5895800,
};

NN_WEIGHTS static const uint32_t depthwise_weights[18] = {
    0x003c0068, 0x003b0076, 0xff90fffb, 0x00570041, 0x002dffad, 0xff9dfff7, 0xffe90018, 0x006bffbc, 0xff81fff5,
    0x00690021, 0x00430029, 0x0031ffea, 0x0033ffe0, 0x004d0022, 0x0050ffcf, 0x003eff98, 0x0065ffa0, 0x0060ffaf,
};

NN_WEIGHTS static const int32_t depthwise_bias[4] = {
    -387, -1127, 8843, 25876,
};

NN_WEIGHTS static const int32_t depthwise_multiplier[4] = {
    3966692, 2390662, 3167994, 2287712,
};

NN_WEIGHTS static const uint32_t head_weights[72] = {
    0x65202f71, 0x048aa5f2, 0xba465514, 0x6af74f78, 0x5fcdc98f, 0x0421f152, 0x52820069, 0xc0ffe1c4, 0xf84c9fa2,
    0xb284997e, 0xc7ced851, 0xb4316178, 0xf2c17d38, 0x81dffd38, 0x0e0115fa, 0xa8542a1e, 0x4b7e4e02, 0x61c57709,
    0x7d1fd733, 0x590270b0, 0xa9b758f7, 0x3e248b35, 0x8c1d9e5b, 0x0a98bff9, 0x5f021d3a, 0x295f98ff, 0x19dd252f,
    0x58a25808, 0xe390299c, 0x67711bfc, 0xa7d3ba19, 0xa612c875, 0xe151e7e2, 0x6db24010, 0x177ae513, 0xaf0d8dbf,
    0x231bf2f1, 0x246278e1, 0xa72d740c, 0xe0129015, 0xbef1dc10, 0xbee9b77b, 0x99e7538e, 0x608a7836, 0xb77773e8,
    0x0cf84311, 0xcd2c8482, 0x40d3f2fa, 0xdf87388f, 0x00000000, 0xa088684d, 0x00000000, 0x28779ceb, 0x00000000,
    0x06ee953a, 0x00000000, 0xd85f2eef, 0x00000000, 0x2f17c88f, 0x00000000, 0x05db675d, 0x00000000, 0x68444a08,
    0x00000000, 0x6fa7ea7f, 0x00000000, 0x418213cf, 0x00000000, 0xa34f253e, 0x00000000, 0x50eb5959, 0x00000000,
};

NN_WEIGHTS static const int32_t head_bias[6] = {
    6360, -4396, 2905, 2874, 1329, 0,
};

NN_WEIGHTS static const int32_t head_multiplier[6] = {
    7086424, 8087958, 5324690, 2647464, 6663800, 0,
};

/* Convolution of one group: each input row is widened to int16 once, into a ring of K_H rows whose borders hold the zero
 * point; then two pixels by two channels at a time. weights: words of (PAIRS, K_H, QUADS, 2), see dsp_pairs. */
static void conv2d_s8__armv7em_0(const int8_t *x, int8_t *y, const uint32_t *weights, const int32_t *bias,
                                 const int32_t *multiplier, void *scratch)
{
    enum {
        IN_H = 8, IN_W = 6, IN_C = 2, OUT_H = 8, OUT_W = 6, OUT_C = 4,
        K_H = 3, K_W = 3, STRIDE_H = 1, STRIDE_W = 1,
        PAD_TOP = 1, PAD_LEFT = 1, X_ZERO_POINT = -40,
        Y_ZERO_POINT = -3, LO = -128, HI = 127,
        TAPS = K_W * IN_C, QUADS = (TAPS + 1) / 4, HALF = TAPS % 4 == 1 || TAPS % 4 == 2, STEP = STRIDE_W * IN_C,
        NEEDED_W = (OUT_W - 1) * STRIDE_W + K_W, ROW = (NEEDED_W * IN_C + TAPS % 2 + 1) / 2 * 2,
        LEFT = PAD_LEFT < NEEDED_W ? PAD_LEFT : NEEDED_W, MIDDLE = IN_W < NEEDED_W - LEFT ? IN_W : NEEDED_W - LEFT,
        PIXELS = OUT_W < 2 ? 1 : 2, UNROLL_ROWS = QUADS < 4 ? 4 : 1
    };
    int16_t *const ring = scratch;
    const int16_t *rows[K_H];

    for (int oy = 0, next = 0; oy < OUT_H; oy++) {
        for (; next < oy * STRIDE_H + K_H; next++) {
            const int iy = next - PAD_TOP;
            int16_t *to = ring + next % K_H * ROW;
            if (iy < 0 || iy >= IN_H) {
                nn_fill(to, X_ZERO_POINT, NEEDED_W * IN_C);
            } else {
                nn_fill(to, X_ZERO_POINT, LEFT * IN_C);
                nn_widen(to + LEFT * IN_C, x + iy * IN_W * IN_C, MIDDLE * IN_C);
                nn_fill(to + (LEFT + MIDDLE) * IN_C, X_ZERO_POINT, (NEEDED_W - LEFT - MIDDLE) * IN_C);
            }
        }
        for (int ky = 0; ky < K_H; ky++) {
            rows[ky] = ring + (oy * STRIDE_H + ky) % K_H * ROW;
        }
        for (int c = 0; c < OUT_C; c += 2) {
            for (int tile = 0; tile < OUT_W; tile += PIXELS) {
                const int ox = tile < OUT_W - PIXELS ? tile : OUT_W - PIXELS; /* the last tile may overlap */
                const uint32_t *w = weights + c * K_H * (QUADS + HALF);
                int32_t acc[PIXELS][2];
#pragma GCC unroll 2
                for (int i = 0; i < PIXELS; i++) {
                    acc[i][0] = bias[c];
                    acc[i][1] = bias[c + 1];
                }
#pragma GCC unroll UNROLL_ROWS
                for (int ky = 0; ky < K_H; ky++) {
                    const int16_t *in = rows[ky] + ox * STEP;
#pragma GCC unroll 4
                    for (int quad = 0; quad < QUADS; quad++) {
                        NN_QUAD_2X2(acc, w, in, STEP);
                    }
                    if (HALF) {
#pragma GCC unroll 2
                        for (int i = 0; i < PIXELS; i++) {
                            const uint32_t pair = *(const nn_word_at_2 *)(in + i * STEP);
                            acc[i][0] = nn_smlad(pair, nn_sxtb16(w[0]), acc[i][0]);
                            acc[i][1] = nn_smlad(pair, nn_sxtb16(w[1]), acc[i][1]);
                        }
                        w += 2;
                    }
                }
                const int32_t factor[2] = {multiplier[c], multiplier[c + 1]};
                int8_t *out = y + (oy * OUT_W + ox) * OUT_C + c;
#pragma GCC unroll 2
                for (int j = 0; j < 2; j++) {
#pragma GCC unroll 2
                    for (int i = 0; i < PIXELS; i++) {
                        if (OUT_C % 2 == 0 || c + j < OUT_C) {
                            out[i * OUT_C + j] = nn_requantize(acc[i][j], factor[j], Y_ZERO_POINT, LO, HI);
                        }
                    }
                }
            }
        }
    }
}

/* Depthwise convolution, channels a multiple of four: one pixel by four channels at a time; at the image's border a vector
 * of zero points stands for each pixel outside. weights: words of (BLOCKS, K_H, K_W, 2), see dsp_depthwise. */
static void depthwise_conv2d_s8__armv7em_1(const int8_t *x, int8_t *y, const uint32_t *weights, const int32_t *bias,
                                           const int32_t *multiplier, void *scratch)
{
    enum {
        IN_H = 8, IN_W = 6, C = 4, OUT_H = 8, OUT_W = 6,
        K_H = 3, K_W = 3, STRIDE_H = 1, STRIDE_W = 1,
        DILATION_H = 1, DILATION_W = 1, PAD_TOP = 1, PAD_LEFT = 1,
        X_ZERO_POINT = -40, Y_ZERO_POINT = -3, LO = -128, HI = 127,
        BLOCK = 4, REACH_H = (K_H - 1) * DILATION_H, REACH_W = (K_W - 1) * DILATION_W
    };
    int8_t *const outside = scratch;
    for (int c = 0; c < C; c++) {
        outside[c] = X_ZERO_POINT;
    }

    for (int oy = 0; oy < OUT_H; oy++) {
        const int top = oy * STRIDE_H - PAD_TOP;
        const bool row_inside = top >= 0 && top + REACH_H < IN_H;
        for (int ox = 0; ox < OUT_W; ox++, y += C) {
            const int left = ox * STRIDE_W - PAD_LEFT;
            const bool inside = row_inside && left >= 0 && left + REACH_W < IN_W;
            const int8_t *taps[K_H * K_W];
            for (int tap = 0; !inside && tap < K_H * K_W; tap++) {
                const int iy = top + tap / K_W * DILATION_H, ix = left + tap % K_W * DILATION_W;
                const bool tap_inside = iy >= 0 && iy < IN_H && ix >= 0 && ix < IN_W;
                taps[tap] = tap_inside ? x + (iy * IN_W + ix) * C : outside;
            }
            const uint32_t *w = weights;
            for (int c = 0; c < C; c += BLOCK) {
                int32_t acc[BLOCK] = {bias[c], bias[c + 1], bias[c + 2], bias[c + 3]};
                if (inside) {
                    const int8_t *in = x + (top * IN_W + left) * C + c;
#pragma GCC unroll 4
                    for (int ky = 0; ky < K_H; ky++, in += DILATION_H * IN_W * C) {
#pragma GCC unroll 4
                        for (int kx = 0; kx < K_W; kx++) {
                            NN_FOUR_CHANNELS(acc, w, in + kx * DILATION_W * C);
                        }
                    }
                } else {
                    for (int tap = 0; tap < K_H * K_W; tap++) {
                        NN_FOUR_CHANNELS(acc, w, taps[tap] + c);
                    }
                }
#pragma GCC unroll 4
                for (int i = 0; i < BLOCK; i++) {
                    y[c + i] = nn_requantize(acc[i], multiplier[c + i], Y_ZERO_POINT, LO, HI);
                }
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
            for (int c = 0; c < C; c++) {
                int32_t largest = -128;
                for (int ky = ky_begin; ky < ky_end; ky++) {
                    const int8_t *in = x + ((top + ky * DILATION_H) * IN_W + left + kx_begin * DILATION_W) * C + c;
                    for (int kx = kx_begin; kx < kx_end; kx++, in += DILATION_W * C) {
                        largest = *in > largest ? *in : largest;
                    }
                }
                y[c] = (int8_t)largest;
            }
        }
    }
}

/* Fully connected, ROWS vectors: each is widened to int16 once, then meets two outputs at a time.
 * weights: words of (PAIRS, QUADS, 2), see dsp_pairs. */
static void fully_connected_s8__armv7em_4(const int8_t *x, int8_t *y, const uint32_t *weights, const int32_t *bias,
                                          const int32_t *multiplier, void *scratch)
{
    enum {
        ROWS = 1, IN_C = 48, OUT_C = 5, Y_ZERO_POINT = -3, LO = -128, HI = 127,
        QUADS = (IN_C + 3) / 4
    };
    int16_t *const wide = scratch;
    nn_fill(wide + IN_C, 0, QUADS * 4 - IN_C);

    for (int row = 0; row < ROWS; row++, x += IN_C, y += OUT_C) {
        nn_widen(wide, x, IN_C);
        const uint32_t *w = weights;
        for (int c = 0; c < OUT_C; c += 2) {
            int32_t acc[2] = {bias[c], bias[c + 1]};
            const int16_t *in = wide;
#pragma GCC unroll 4
            for (int quad = 0; quad < QUADS; quad++) {
                NN_QUAD_1X2(acc, w, in);
            }
#pragma GCC unroll 2
            for (int j = 0; j < 2; j++) {
                if (OUT_C % 2 == 0 || c + j < OUT_C) {
                    y[c + j] = nn_requantize(acc[j], multiplier[c + j], Y_ZERO_POINT, LO, HI);
                }
            }
        }
    }
}

#if defined(NN_TRACE_ROWS)
static void trace(uint32_t layer, const int8_t *data, uint32_t rows, uint32_t bytes)
{
    for (uint32_t row = 0; row < rows; row++) {
        NN_TRACE(layer, row, data + row * bytes, bytes);
    }
}
#else
#define trace(layer, data, rows, bytes) ((void)0)
#endif

void small_run(void *arena, const int8_t *const inputs[], int8_t *const outputs[])
{
    int8_t *const base = arena;

    /* stem */
    NN_PROFILE(0);
    conv2d_s8__armv7em_0(inputs[0], base, stem_weights, stem_bias, stem_multiplier, base + 288);
    trace(0, base, 8, 24);

    /* depthwise */
    NN_PROFILE(1);
    depthwise_conv2d_s8__armv7em_1(base, base + 192, depthwise_weights, depthwise_bias, depthwise_multiplier, base +
                                   384);
    trace(1, base + 192, 8, 24);

    /* add */
    NN_PROFILE(2);
    add_s8__portable_2(base, base + 192, base);
    trace(2, base, 8, 24);

    /* pool */
    NN_PROFILE(3);
    max_pool2d_s8__portable_3(base, base + 192);
    trace(3, base + 192, 4, 12);

    /* flat */
    NN_PROFILE(4);
    trace(4, base + 192, 1, 48);

    /* head */
    NN_PROFILE(5);
    fully_connected_s8__armv7em_4(base + 192, outputs[0], head_weights, head_bias, head_multiplier, base);
    trace(5, outputs[0], 1, 5);
    NN_PROFILE(6);
}
