/* The instructions of Armv7E-M (Cortex-M4, M7, M33) that work on pairs of int16, and what the kernels for these cores are made
 * of. Part of nn_port.h. */
#ifndef NN_DSP_H
#define NN_DSP_H

/* The signed bytes 0 and 2 of a word as two int16. */
NN_INLINE uint32_t nn_sxtb16(uint32_t x) {
#if NN_HAS_DSP
    uint32_t y;
    __asm__("sxtb16 %0, %1" : "=r"(y) : "r"(x));
    return y;
#else
    return (uint16_t)(int8_t)x | (uint32_t)(uint16_t)(int8_t)(x >> 16) << 16;
#endif
}

/* The signed bytes 1 and 3 of a word as two int16. */
NN_INLINE uint32_t nn_sxtb16_ror8(uint32_t x) {
#if NN_HAS_DSP
    uint32_t y;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(y) : "r"(x));
    return y;
#else
    return nn_sxtb16(x >> 8);
#endif
}

/* Low half of a, low half of b above it. */
NN_INLINE uint32_t nn_pkhbt(uint32_t a, uint32_t b) {
#if NN_HAS_DSP
    uint32_t y;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(y) : "r"(a), "r"(b));
    return y;
#else
    return (a & 0xFFFFu) | b << 16;
#endif
}

/* High half of b, high half of a below it. */
NN_INLINE uint32_t nn_pkhtb(uint32_t a, uint32_t b) {
#if NN_HAS_DSP
    uint32_t y;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(y) : "r"(b), "r"(a));
    return y;
#else
    return (b & 0xFFFF0000u) | a >> 16;
#endif
}

/* acc + low(a) * low(b) + high(a) * high(b), the halves as int16. */
NN_INLINE int32_t nn_smlad(uint32_t a, uint32_t b, int32_t acc) {
#if NN_HAS_DSP
    int32_t sum;
    __asm__("smlad %0, %1, %2, %3" : "=r"(sum) : "r"(a), "r"(b), "r"(acc));
    return sum;
#else
    return acc + (int16_t)a * (int16_t)b + (int16_t)(a >> 16) * (int16_t)(b >> 16);
#endif
}

/* Two int16 sums plus the signed bytes 0 and 2 of a word, or 1 and 3; they wrap. */
NN_INLINE uint32_t nn_sxtab16(uint32_t sums, uint32_t x) {
#if NN_HAS_DSP
    __asm__("sxtab16 %0, %0, %1" : "+r"(sums) : "r"(x));
    return sums;
#else
    const uint32_t y = nn_sxtb16(x);
    return ((sums + y) & 0xFFFFu) | ((sums & 0xFFFF0000u) + (y & 0xFFFF0000u));
#endif
}
NN_INLINE uint32_t nn_sxtab16_ror8(uint32_t sums, uint32_t x) {
#if NN_HAS_DSP
    __asm__("sxtab16 %0, %0, %1, ror #8" : "+r"(sums) : "r"(x));
    return sums;
#else
    return nn_sxtab16(sums, x >> 8);
#endif
}

/* The larger of each pair of signed bytes. */
NN_INLINE uint32_t nn_larger(uint32_t a, uint32_t b) {
#if NN_HAS_DSP
    uint32_t y;
    __asm__("ssub8 %0, %1, %2; sel %0, %1, %2" : "=&r"(y) : "r"(a), "r"(b) : "cc");
    return y;
#else
    uint32_t y = 0;
    for (int at = 0; at < 32; at += 8) {
        y |= ((int8_t)(a >> at) >= (int8_t)(b >> at) ? a : b) & 0xFFu << at;
    }
    return y;
#endif
}

/* acc + a half of a * a half of b, the halves as int16: bottom or top of each. */
#if NN_HAS_DSP
#define NN_SMLA(name, half_a, half_b) \
    NN_INLINE int32_t nn_##name(uint32_t a, uint32_t b, int32_t acc) { \
        int32_t sum; \
        __asm__(#name " %0, %1, %2, %3" : "=r"(sum) : "r"(a), "r"(b), "r"(acc)); \
        return sum; \
    }
#else
#define NN_SMLA(name, half_a, half_b) \
    NN_INLINE int32_t nn_##name(uint32_t a, uint32_t b, int32_t acc) { \
        return acc + (int16_t)(a >> (half_a)) * (int16_t)(b >> (half_b)); \
    }
#endif
NN_SMLA(smlabb, 0, 0)
NN_SMLA(smlabt, 0, 16)
NN_SMLA(smlatb, 16, 0)
NN_SMLA(smlatt, 16, 16)

/* to = value >> shift within -128 .. 127; `shift` a constant from 1 to 31. */
#if NN_HAS_DSP
#define NN_SHIFT_TO_S8(to, value, shift) \
    do { \
        int32_t nn_value = (value); \
        __asm__("ssat %0, #8, %0, asr %1" : "+r"(nn_value) : "i"(shift)); \
        (to) = (int8_t)nn_value; \
    } while (0)
#else
#define NN_SHIFT_TO_S8(to, value, shift) ((to) = (int8_t)nn_clamp((value) >> (shift), -128, 127))
#endif

/* The inner step of the depthwise kernel: acc[k] += four[k] * weight k for k = 0 .. 3. `four` points to int8 of any alignment;
 * `weights` (const uint32_t *) moves on by its two words of int16, in the order 0, 2, 1, 3. */
#if NN_HAS_DSP
#define NN_FOUR_CHANNELS(acc, weights, four) \
    do { \
        uint32_t nn_w0, nn_w1, nn_even, nn_odd; \
        __asm__("ldr %[odd], %[x]\n\t" \
                "ldrd %[w0], %[w1], [%[w]], #8\n\t" \
                "sxtb16 %[even], %[odd]\n\t" \
                "sxtb16 %[odd], %[odd], ror #8\n\t" \
                "smlabb %[a0], %[even], %[w0], %[a0]\n\t" \
                "smlabb %[a1], %[odd], %[w1], %[a1]\n\t" \
                "smlatt %[a2], %[even], %[w0], %[a2]\n\t" \
                "smlatt %[a3], %[odd], %[w1], %[a3]\n\t" \
                : [a0] "+r"((acc)[0]), [a1] "+r"((acc)[1]), [a2] "+r"((acc)[2]), [a3] "+r"((acc)[3]), \
                  [w] "+r"(weights), [w0] "=&r"(nn_w0), [w1] "=&r"(nn_w1), [even] "=&r"(nn_even), [odd] "=&r"(nn_odd) \
                : [x] "m"(*(const nn_word_at_1 *)(four)) \
                : "memory"); \
    } while (0)
#else
NN_INLINE void nn_four_channels(int32_t acc[4], const uint32_t weights[2], const int8_t *four) {
    for (int k = 0; k < 4; k++) {
        acc[k] += four[k] * (int16_t)(weights[k % 2] >> (k / 2 * 16));
    }
}
#define NN_FOUR_CHANNELS(acc, weights, four) (nn_four_channels((acc), (weights), (four)), (weights) += 2)
#endif

/* Functions that are all assembly. */
#if NN_HAS_DSP
#define NN_NAKED __attribute__((naked, noinline, unused)) static
#define NN_TEXT(x) #x
#define NN_TEXT_OF(x) NN_TEXT(x)
#endif

/* Dense layers (1x1 and other convolutions of one group, fully connected ones): a tile of four accumulators walks along the
 * taps k of a layer, whose order is that of the packed weights.
 *
 * The stream of constants holds, for each two output channels, two biases, the weights and two multipliers. Eight of
 * sixteen bits make a block, four words: channel 0 and 1 of taps (k, k+1), channel 0 and 1 of taps (k+2, k+3); of eight bits
 * two words, channel 0 and 1 of taps k, k+2, k+1, k+3 (what SXTB16 makes of it is the same). x holds two pixels of int16 by
 * turns, word by word: taps (k, k+1) of pixel 0, of pixel 1, (k+2, k+3) of pixel 0, of pixel 1. */
struct nn_dense {
    const int16_t *x; /* of the two pixels, aligned to 4 bytes */
    int32_t zero_point;
    int8_t *y0, *y1;     /* the outputs of the two pixels, all channels side by side; they may be the same */
    uint32_t skip;       /* NN_DENSE_S16_SKIP(blocks) or its like */
    const uint32_t *end; /* of the stream */
    const int16_t *x_end;
    int32_t step; /* bytes from a tile's x to the next one's; its outputs follow on those of the tile before */
    int32_t tiles;
};

/* The loops are unrolled so many times and entered in the middle for what is left over. */
#define NN_DENSE_UNROLL 16
#define NN_DENSE_SKIP(blocks, unroll, bytes) (((unroll) - (blocks) % (unroll)) % (unroll) * (bytes) + 1)
#define NN_DENSE_S16_SKIP(blocks) NN_DENSE_SKIP(blocks, NN_DENSE_UNROLL, 38)
#define NN_DENSE_S8_SKIP(blocks) NN_DENSE_SKIP(blocks, NN_DENSE_UNROLL, 52)

#if NN_HAS_DSP
#define NN_TILE_2X2(x0, x1, w0, w1) \
    "smlad r10, " x0 ", " w0 ", r10\n\t" \
    "smlad r11, " x0 ", " w1 ", r11\n\t" \
    "smlad r12, " x1 ", " w0 ", r12\n\t" \
    "smlad lr, " x1 ", " w1 ", lr\n\t"
#define NN_BLOCK_S16 \
    "ldmia.n r1!, {r2-r5}\n\t" \
    "ldmia.w r0!, {r6-r9}\n\t" \
    NN_TILE_2X2("r2", "r3", "r6", "r7") \
    NN_TILE_2X2("r4", "r5", "r8", "r9")
#define NN_BLOCK_S8 \
    "ldmia.n r1!, {r2-r5}\n\t" \
    "ldmia.n r0!, {r6, r7}\n\t" \
    "sxtb16 r8, r6\n\t" \
    "sxtb16 r9, r7\n\t" \
    "sxtb16 r6, r6, ror #8\n\t" \
    "sxtb16 r7, r7, ror #8\n\t" \
    NN_TILE_2X2("r2", "r3", "r8", "r9") \
    NN_TILE_2X2("r4", "r5", "r6", "r7")

/* On the stack: x, zero_point, y0, y1, where to enter the loop, end, x_end, step, tiles left, stream. */
#define NN_DENSE_BEGIN(enter) \
    "push {r4-r11, lr}\n\t" \
    "ldmia.w r1, {r1-r9}\n\t" enter \
    "mov r10, r0\n\t" \
    "push {r1-r10}\n" \
    "1:\n\t" \
    "ldrd r10, r11, [r0]\n\t" \
    "ldrd r12, lr, [r0], #8\n\t"
#define NN_DENSE_END(next) \
    "ldmia.w r0!, {r8, r9}\n\t" \
    "ldmia.w sp, {r1-r6}\n\t" \
    "smmlar r12, r12, r8, r2\n\t" \
    "smmlar lr, lr, r9, r2\n\t" \
    "smmlar r10, r10, r8, r2\n\t" \
    "smmlar r11, r11, r9, r2\n\t" \
    "ssat r12, #8, r12\n\t" \
    "ssat lr, #8, lr\n\t" \
    "ssat r10, #8, r10\n\t" \
    "ssat r11, #8, r11\n\t" \
    "strb r12, [r4], #1\n\t" \
    "strb lr, [r4], #1\n\t" \
    "strb r10, [r3], #1\n\t" \
    "strb r11, [r3], #1\n\t" \
    "strd r3, r4, [sp, #8]\n\t" \
    "cmp r0, r6\n\t" \
    "bne 1b\n\t" \
    "add r8, sp, #28\n\t" \
    "ldmia.w r8, {r2-r4}\n\t" \
    "add r1, r1, r2\n\t" \
    "str r1, [sp]\n\t" next \
    "mov r0, r4\n\t" \
    "subs r3, r3, #1\n\t" \
    "str r3, [sp, #32]\n\t" \
    "bne 1b\n\t" \
    "add sp, sp, #40\n\t" \
    "pop {r4-r11, pc}"
#define NN_DENSE_2X2(block) \
    NN_DENSE_BEGIN("adr r10, 2f\n\tadd r5, r5, r10\n\t") \
    "bx r5\n\t" \
    ".p2align 2\n" \
    "2:\n\t" \
    ".rept " NN_TEXT_OF(NN_DENSE_UNROLL) "\n\t" \
    block \
    ".endr\n\t" \
    "ldr r2, [sp, #24]\n\t" \
    "cmp r1, r2\n\t" \
    "bne 2b\n\t" \
    NN_DENSE_END("ldr r9, [sp, #24]\n\tadd r9, r9, r2\n\tstr r9, [sp, #24]\n\t")
/* The same for a known number of blocks. */
#define NN_DENSE_2X2_EXACT(blocks, block) \
    NN_DENSE_BEGIN("") \
    ".rept " #blocks "\n\t" \
    block \
    ".endr\n\t" \
    NN_DENSE_END("")

#define NN_DENSE_FUNCTION(name, code, s8) \
    NN_NAKED void name(const uint32_t *stream __attribute__((unused)), \
                              const struct nn_dense *job __attribute__((unused))) { \
        __asm__ volatile(code); \
    }
#else
NN_INLINE void nn_dense_block(int32_t acc[2][2], const int16_t *x, const uint32_t *stream, bool s8) {
    const nn_word *const pixel = (const nn_word *)x;
    for (int half = 0; half < 2; half++) {
        for (int i = 0; i < 2; i++) {
            for (int j = 0; j < 2; j++) {
                const uint32_t w = !s8 ? stream[half * 2 + j] : half ? nn_sxtb16_ror8(stream[j]) : nn_sxtb16(stream[j]);
                acc[i][j] = nn_smlad(pixel[half * 2 + i], w, acc[i][j]);
            }
        }
    }
}

NN_INLINE void nn_dense_2x2(const uint32_t *stream, const struct nn_dense *job, bool s8) {
    int8_t *y0 = job->y0, *y1 = job->y1;
    for (int tile = 0; tile < job->tiles; tile++) {
        const int step = tile * job->step / 2;
        for (const uint32_t *word = stream; word != job->end;) {
            const int32_t b0 = (int32_t)*word++, b1 = (int32_t)*word++;
            int32_t acc[2][2] = {{b0, b1}, {b0, b1}};
            for (const int16_t *x = job->x + step; x != job->x_end + step; x += 8, word += s8 ? 2 : 4) {
                nn_dense_block(acc, x, word, s8);
            }
            for (int j = 0; j < 2; j++) {
                const int32_t multiplier = (int32_t)*word++;
                *y1++ = nn_requantize(acc[1][j], multiplier, job->zero_point, -128, 127);
                *y0++ = nn_requantize(acc[0][j], multiplier, job->zero_point, -128, 127);
            }
        }
    }
}
#define NN_DENSE_FUNCTION(name, code, s8) \
    __attribute__((unused)) static void name(const uint32_t *stream, const struct nn_dense *job) { \
        nn_dense_2x2(stream, job, s8); \
    }
#endif

NN_DENSE_FUNCTION(nn_dense_s16, NN_DENSE_2X2(NN_BLOCK_S16), false)
NN_DENSE_FUNCTION(nn_dense_s8, NN_DENSE_2X2(NN_BLOCK_S8), true)
NN_DENSE_FUNCTION(nn_dense_s16_by_2, NN_DENSE_2X2_EXACT(2, NN_BLOCK_S16), false)
NN_DENSE_FUNCTION(nn_dense_s16_by_4, NN_DENSE_2X2_EXACT(4, NN_BLOCK_S16), false)
NN_DENSE_FUNCTION(nn_dense_s16_by_8, NN_DENSE_2X2_EXACT(8, NN_BLOCK_S16), false)
NN_DENSE_FUNCTION(nn_dense_s16_by_16, NN_DENSE_2X2_EXACT(16, NN_BLOCK_S16), false)

/* The same stream for one pixel, y0, whose taps lie in one piece. */
#define NN_DENSE_1X2_S16_SKIP(blocks) NN_DENSE_SKIP(blocks, NN_DENSE_UNROLL, 22)
#define NN_DENSE_1X2_S8_SKIP(blocks) NN_DENSE_SKIP(blocks, NN_DENSE_UNROLL, 36)

#if NN_HAS_DSP
#define NN_BLOCK_1X2_S16 \
    "ldmia.n r1!, {r2, r3}\n\t" \
    "ldmia.w r0!, {r4-r7}\n\t" \
    "smlad r8, r2, r4, r8\n\t" \
    "smlad r9, r2, r5, r9\n\t" \
    "smlad r8, r3, r6, r8\n\t" \
    "smlad r9, r3, r7, r9\n\t"
#define NN_BLOCK_1X2_S8 \
    "ldmia.n r1!, {r2, r3}\n\t" \
    "ldmia.n r0!, {r4, r5}\n\t" \
    "sxtb16 r6, r4\n\t" \
    "sxtb16 r7, r5\n\t" \
    "sxtb16 r4, r4, ror #8\n\t" \
    "sxtb16 r5, r5, ror #8\n\t" \
    "smlad r8, r2, r6, r8\n\t" \
    "smlad r9, r2, r7, r9\n\t" \
    "smlad r8, r3, r4, r8\n\t" \
    "smlad r9, r3, r5, r9\n\t"
/* On the stack: end, x_end. */
#define NN_DENSE_1X2(block) \
    "push {r4-r11, lr}\n\t" \
    "ldmia.w r1, {r1-r7}\n\t" \
    "adr r10, 2f\n\t" \
    "add lr, r5, r10\n\t" \
    "mov r10, r1\n\t" \
    "mov r12, r2\n\t" \
    "mov r11, r3\n\t" \
    "push {r6, r7}\n" \
    "1:\n\t" \
    "ldmia.w r0!, {r8, r9}\n\t" \
    "bx lr\n\t" \
    ".p2align 2\n" \
    "2:\n\t" \
    ".rept " NN_TEXT_OF(NN_DENSE_UNROLL) "\n\t" \
    block \
    ".endr\n\t" \
    "ldr r2, [sp, #4]\n\t" \
    "cmp r1, r2\n\t" \
    "bne 2b\n\t" \
    "ldmia.n r0!, {r4, r5}\n\t" \
    "ldr r2, [sp]\n\t" \
    "smmlar r8, r8, r4, r12\n\t" \
    "smmlar r9, r9, r5, r12\n\t" \
    "ssat r8, #8, r8\n\t" \
    "ssat r9, #8, r9\n\t" \
    "strb r8, [r11], #1\n\t" \
    "strb r9, [r11], #1\n\t" \
    "mov r1, r10\n\t" \
    "cmp r0, r2\n\t" \
    "bne 1b\n\t" \
    "add sp, sp, #8\n\t" \
    "pop {r4-r11, pc}"
#else
NN_INLINE void nn_dense_1x2(const uint32_t *stream, const struct nn_dense *job, bool s8) {
    int8_t *y = job->y0;
    for (const uint32_t *word = stream; word != job->end;) {
        int32_t acc[2] = {(int32_t)word[0], (int32_t)word[1]};
        word += 2;
        for (const int16_t *x = job->x; x != job->x_end; x += 4, word += s8 ? 2 : 4) {
            const nn_word *const pixel = (const nn_word *)x;
            for (int i = 0; i < 4; i++) {
                const uint32_t w = !s8 ? word[i] : i < 2 ? nn_sxtb16(word[i]) : nn_sxtb16_ror8(word[i - 2]);
                acc[i % 2] = nn_smlad(pixel[i / 2], w, acc[i % 2]);
            }
        }
        for (int j = 0; j < 2; j++) {
            *y++ = nn_requantize(acc[j], (int32_t)*word++, job->zero_point, -128, 127);
        }
    }
}
#define NN_DENSE_1X2_FUNCTION(name, s8) \
    __attribute__((unused)) static void name(const uint32_t *stream, const struct nn_dense *job) { \
        nn_dense_1x2(stream, job, s8); \
    }
NN_DENSE_1X2_FUNCTION(nn_dense_1x2_s16, false)
NN_DENSE_1X2_FUNCTION(nn_dense_1x2_s8, true)
#endif
#if NN_HAS_DSP
NN_DENSE_FUNCTION(nn_dense_1x2_s16, NN_DENSE_1X2(NN_BLOCK_1X2_S16), false)
NN_DENSE_FUNCTION(nn_dense_1x2_s8, NN_DENSE_1X2(NN_BLOCK_1X2_S8), true)
#endif

/* The same for one pixel and four channels at a time: the stream holds four biases, for each two taps a word of each of the
 * channels (s8: for each four taps), four multipliers. x holds the pixel's taps, a multiple of NN_DENSE_1X4_GRAIN of them: as
 * int16, or (narrow) as int8 in their own order, at any address. */
struct nn_dense_1x4 { /* all in bytes */
    int32_t stream;     /* how much of it to walk along */
    int32_t zero_point; /* how far behind its beginning it is */
    int32_t x;          /* int16 are aligned to 4 */
    uint32_t skip;      /* NN_DENSE_1X4_S16_SKIP(taps) or its like */
};
#define NN_DENSE_1X4_GRAIN 8
#define NN_DENSE_1X4_UNROLL 8
#define NN_DENSE_1X4_S16_SKIP(taps) NN_DENSE_SKIP((taps) / NN_DENSE_1X4_GRAIN, NN_DENSE_1X4_UNROLL, 80)
#define NN_DENSE_1X4_S8_SKIP(taps) NN_DENSE_SKIP((taps) / NN_DENSE_1X4_GRAIN, NN_DENSE_1X4_UNROLL, 136)
#define NN_DENSE_1X4_S16_NARROW_SKIP(taps) NN_DENSE_SKIP((taps) / NN_DENSE_1X4_GRAIN, NN_DENSE_1X4_UNROLL, 96)
#define NN_DENSE_1X4_S8_NARROW_SKIP(taps) NN_DENSE_SKIP((taps) / NN_DENSE_1X4_GRAIN, NN_DENSE_1X4_UNROLL, 156)

#if NN_HAS_DSP
#define NN_BLOCK_1X4_S16 \
    "ldmia.n r1!, {r2, r3}\n\t" \
    "ldmia.w r0!, {r4-r7, r12, lr}\n\t" \
    "smlad r8, r2, r4, r8\n\t" \
    "smlad r9, r2, r5, r9\n\t" \
    "smlad r10, r2, r6, r10\n\t" \
    "smlad r11, r2, r7, r11\n\t" \
    "smlad r8, r3, r12, r8\n\t" \
    "smlad r9, r3, lr, r9\n\t" \
    "ldmia.w r0!, {r4-r7, r12}\n\t" \
    "smlad r10, r3, r4, r10\n\t" \
    "smlad r11, r3, r5, r11\n\t" \
    "ldmia.n r1!, {r2, r3}\n\t" \
    "smlad r8, r2, r6, r8\n\t" \
    "smlad r9, r2, r7, r9\n\t" \
    "smlad r10, r2, r12, r10\n\t" \
    "ldmia.w r0!, {r4-r7, r12}\n\t" \
    "smlad r11, r2, r4, r11\n\t" \
    "smlad r8, r3, r5, r8\n\t" \
    "smlad r9, r3, r6, r9\n\t" \
    "smlad r10, r3, r7, r10\n\t" \
    "smlad r11, r3, r12, r11\n\t"
#define NN_FOUR_TAPS(acc, w) \
    "sxtb16 r12, " w "\n\t" \
    "sxtb16 lr, " w ", ror #8\n\t" \
    "smlad " acc ", r2, r12, " acc "\n\t" \
    "smlad " acc ", r3, lr, " acc "\n\t"
#define NN_BLOCK_1X4_S8_HALF \
    "ldmia.n r1!, {r2, r3}\n\t" \
    "ldmia.n r0!, {r4-r7}\n\t" \
    NN_FOUR_TAPS("r8", "r4") NN_FOUR_TAPS("r9", "r5") NN_FOUR_TAPS("r10", "r6") NN_FOUR_TAPS("r11", "r7")
#define NN_BLOCK_1X4_S8 NN_BLOCK_1X4_S8_HALF NN_BLOCK_1X4_S8_HALF
/* The same where x is int8, at any address. */
#define NN_NARROW_QUAD(low) \
    "ldr r2, [r1], #4\n\t" \
    "sxtb16 " low ", r2\n\t" \
    "sxtb16 r2, r2, ror #8\n\t"
#define NN_BLOCK_1X4_S16_NARROW \
    NN_NARROW_QUAD("r12") \
    "ldmia.w r0!, {r3-r7, lr}\n\t" \
    "smlad r8, r12, r3, r8\n\t" \
    "smlad r9, r12, r4, r9\n\t" \
    "smlad r10, r12, r5, r10\n\t" \
    "smlad r11, r12, r6, r11\n\t" \
    "smlad r8, r2, r7, r8\n\t" \
    "smlad r9, r2, lr, r9\n\t" \
    "ldmia.n r0!, {r3-r7}\n\t" \
    "smlad r10, r2, r3, r10\n\t" \
    "smlad r11, r2, r4, r11\n\t" \
    NN_NARROW_QUAD("r12") \
    "smlad r8, r12, r5, r8\n\t" \
    "smlad r9, r12, r6, r9\n\t" \
    "smlad r10, r12, r7, r10\n\t" \
    "ldmia.n r0!, {r3-r7}\n\t" \
    "smlad r11, r12, r3, r11\n\t" \
    "smlad r8, r2, r4, r8\n\t" \
    "smlad r9, r2, r5, r9\n\t" \
    "smlad r10, r2, r6, r10\n\t" \
    "smlad r11, r2, r7, r11\n\t"
#define NN_BLOCK_1X4_S8_NARROW_HALF \
    "ldr r3, [r1], #4\n\t" \
    "sxtb16 r2, r3\n\t" \
    "sxtb16 r3, r3, ror #8\n\t" \
    "ldmia.n r0!, {r4-r7}\n\t" \
    NN_FOUR_TAPS("r8", "r4") NN_FOUR_TAPS("r9", "r5") NN_FOUR_TAPS("r10", "r6") NN_FOUR_TAPS("r11", "r7")
#define NN_BLOCK_1X4_S8_NARROW NN_BLOCK_1X4_S8_NARROW_HALF NN_BLOCK_1X4_S8_NARROW_HALF

/* On the stack: x, zero_point, y, where to enter the loop, end, x_end. */
#define NN_DENSE_1X4(block) \
    "push {r4-r11, lr}\n\t" \
    "ldmia.w r3, {r4-r7}\n\t" \
    "mov r3, r2\n\t" \
    "ldr r2, [r0, r5]\n\t" \
    "add r5, r0, r4\n\t" \
    "add r6, r6, r1\n\t" \
    "adr r4, 2f\n\t" \
    "add r4, r4, r7\n\t" \
    "mov r12, r4\n\t" \
    "push {r1-r6}\n" \
    "1:\n\t" \
    "ldmia.w r0!, {r8-r11}\n\t" \
    "bx r12\n\t" \
    ".p2align 2\n" \
    "2:\n\t" \
    ".rept " NN_TEXT_OF(NN_DENSE_1X4_UNROLL) "\n\t" \
    block \
    ".endr\n\t" \
    "ldr r2, [sp, #20]\n\t" \
    "cmp r1, r2\n\t" \
    "bne 2b\n\t" \
    "ldmia.n r0!, {r4-r7}\n\t" \
    "ldmia.w sp, {r1-r3, r12, lr}\n\t" \
    "smmlar r8, r8, r4, r2\n\t" \
    "smmlar r9, r9, r5, r2\n\t" \
    "smmlar r10, r10, r6, r2\n\t" \
    "smmlar r11, r11, r7, r2\n\t" \
    "ssat r8, #8, r8\n\t" \
    "ssat r9, #8, r9\n\t" \
    "ssat r10, #8, r10\n\t" \
    "ssat r11, #8, r11\n\t" \
    "strb r8, [r3], #1\n\t" \
    "strb r9, [r3], #1\n\t" \
    "strb r10, [r3], #1\n\t" \
    "strb r11, [r3], #1\n\t" \
    "str r3, [sp, #8]\n\t" \
    "cmp r0, lr\n\t" \
    "bne 1b\n\t" \
    "add sp, sp, #24\n\t" \
    "pop {r4-r11, pc}"

#define NN_DENSE_1X4_FUNCTION(name, code, s8, narrow) \
    NN_NAKED void name(const uint32_t *stream __attribute__((unused)), const void *x __attribute__((unused)), \
                       int8_t *y __attribute__((unused)), const struct nn_dense_1x4 *job __attribute__((unused))) { \
        __asm__ volatile(code); \
    }
#else
NN_INLINE void nn_dense_1x4(const uint32_t *stream, const int8_t *start, int8_t *y, const struct nn_dense_1x4 *job, bool s8,
                            bool narrow) {
    const int32_t zero_point = (int32_t)stream[job->zero_point / 4];
    const uint32_t *const end = stream + job->stream / 4;
    while (stream != end) {
        int32_t acc[4];
        for (int j = 0; j < 4; j++) {
            acc[j] = (int32_t)*stream++;
        }
        for (const int8_t *x = start; x != start + job->x; x += narrow ? 4 : 8) {
            const uint32_t four = narrow ? *(const nn_word_at_1 *)x : 0;
            const uint32_t pixel[2] = {
                narrow ? nn_sxtb16(four) : *(const nn_word *)(const void *)x,
                narrow ? nn_sxtb16_ror8(four) : *(const nn_word *)(const void *)(x + 4)
            };
            for (int j = 0; j < 8; j++) {
                const uint32_t w = !s8 ? stream[j] : j < 4 ? nn_sxtb16(stream[j]) : nn_sxtb16_ror8(stream[j - 4]);
                acc[j % 4] = nn_smlad(pixel[j / 4], w, acc[j % 4]);
            }
            stream += s8 ? 4 : 8;
        }
        for (int j = 0; j < 4; j++) {
            *y++ = nn_requantize(acc[j], (int32_t)*stream++, zero_point, -128, 127);
        }
    }
}
#define NN_DENSE_1X4_FUNCTION(name, code, s8, narrow) \
    __attribute__((unused)) static void name(const uint32_t *stream, const void *x, int8_t *y, \
                                             const struct nn_dense_1x4 *job) { \
        nn_dense_1x4(stream, x, y, job, s8, narrow); \
    }
#endif

NN_DENSE_1X4_FUNCTION(nn_dense_1x4_s16, NN_DENSE_1X4(NN_BLOCK_1X4_S16), false, false)
NN_DENSE_1X4_FUNCTION(nn_dense_1x4_s8, NN_DENSE_1X4(NN_BLOCK_1X4_S8), true, false)
NN_DENSE_1X4_FUNCTION(nn_dense_1x4_s16_narrow, NN_DENSE_1X4(NN_BLOCK_1X4_S16_NARROW), false, true)
NN_DENSE_1X4_FUNCTION(nn_dense_1x4_s8_narrow, NN_DENSE_1X4(NN_BLOCK_1X4_S8_NARROW), true, true)

/* The function for so many blocks. */
NN_INLINE void nn_dense(const uint32_t *stream, const struct nn_dense *job, int blocks, bool wide) {
    if (!wide) {
        nn_dense_s8(stream, job);
    } else if (blocks == 2) {
        nn_dense_s16_by_2(stream, job);
    } else if (blocks == 4) {
        nn_dense_s16_by_4(stream, job);
    } else if (blocks == 8) {
        nn_dense_s16_by_8(stream, job);
    } else if (blocks == 16) {
        nn_dense_s16_by_16(stream, job);
    } else {
        nn_dense_s16(stream, job);
    }
}

/* All channels of all tiles. An odd last channel runs again with the one before it, a single one with itself. */
NN_INLINE void nn_dense_channels(const uint32_t *stream, struct nn_dense *job, int channels, int blocks, bool wide) {
    const int words = 4 + blocks * (wide ? 4 : 2);
    const uint32_t *const last = stream + channels / 2 * words;
    if (channels % 2 == 0) {
        job->end = last;
        nn_dense(stream, job, blocks, wide);
        return;
    }
    struct nn_dense one = *job;
    one.tiles = 1;
    for (int tile = 0; tile < job->tiles; tile++) {
        int8_t *const y0 = job->y0 + tile * channels, *const y1 = job->y1 + tile * channels;
        int8_t y[4];
        if (channels > 1) {
            one.y0 = y0;
            one.y1 = y1;
            one.end = last;
            nn_dense(stream, &one, blocks, wide);
        }
        one.y0 = channels > 1 ? y0 + channels - 2 : y;
        one.y1 = channels > 1 ? y1 + channels - 2 : y + 2;
        one.end = last + words;
        nn_dense(last, &one, blocks, wide);
        if (channels == 1) { /* nn_dense wrote y through one.y0 and one.y1 */
            /* cppcheck-suppress uninitvar */
            *y0 = y[0];
            /* cppcheck-suppress uninitvar */
            *y1 = y[2];
        }
        one.x += job->step / 2;
        one.x_end += job->step / 2;
    }
}

/* All channels of all tiles: the weights of the first `wide` ones are int16, of the others int8; both numbers even. */
NN_INLINE void nn_dense_mixed(const uint32_t *stream, const struct nn_dense *job, int wide, int channels, int blocks) {
    const uint32_t *const narrow = stream + wide / 2 * (4 + 4 * blocks);
    const uint32_t *const end = narrow + (channels - wide) / 2 * (4 + 2 * blocks);
    struct nn_dense one = *job;
    one.tiles = 1;
    for (int tile = 0; tile < job->tiles; tile++) {
        one.y0 = job->y0 + tile * channels;
        one.y1 = job->y1 + tile * channels;
        one.skip = (uint32_t)NN_DENSE_S16_SKIP(blocks);
        one.end = narrow;
        nn_dense(stream, &one, blocks, true);
        one.y0 += wide;
        one.y1 += wide;
        one.skip = (uint32_t)NN_DENSE_S8_SKIP(blocks);
        one.end = end;
        nn_dense(narrow, &one, blocks, false);
        one.x += job->step / 2;
        one.x_end += job->step / 2;
    }
}

/* All channels of one pixel: x and y0. */
NN_INLINE void nn_dense_pixel(const uint32_t *stream, struct nn_dense *job, int channels, int blocks, bool wide) {
    const uint32_t *const last = stream + channels / 2 * (4 + blocks * (wide ? 4 : 2));
    int8_t y[2], *const y0 = job->y0;
    job->x_end = job->x + blocks * 4;
    job->skip = (uint32_t)(wide ? NN_DENSE_1X2_S16_SKIP(blocks) : NN_DENSE_1X2_S8_SKIP(blocks));
    if (channels > 1) {
        job->end = last;
        wide ? nn_dense_1x2_s16(stream, job) : nn_dense_1x2_s8(stream, job);
    }
    if (channels % 2 != 0) {
        job->y0 = channels > 1 ? y0 + channels - 2 : y;
        job->end = last + 4 + blocks * (wide ? 4 : 2);
        wide ? nn_dense_1x2_s16(last, job) : nn_dense_1x2_s8(last, job);
        if (channels == 1) { /* nn_dense_1x2 wrote y through job->y0 */
            /* cppcheck-suppress uninitvar */
            *y0 = y[0];
        }
    }
}

/* One pixel of n int8 as nn_dense_1x4 takes it, of each four values the words (0, 2) and (1, 3), the last four filled up with
 * anything. */
NN_INLINE void nn_widen_one(int16_t *to, const int8_t *x, int n) {
#pragma GCC unroll 4
    for (int i = 0; i + 4 <= n; i += 4, x += 4, to += 4) {
        const uint32_t four = *(const nn_word_at_1 *)x;
        ((nn_word *)to)[0] = nn_sxtb16(four);
        ((nn_word *)to)[1] = nn_sxtb16_ror8(four);
    }
    for (int i = 0; i < n % 4; i++) {
        to[i / 2 + i % 2 * 2] = x[i];
    }
}

/* Two pixels of four int8 each, by turns as nn_dense_s16 takes them, the values in the order 0, 2, 1, 3; `quads` times, then on
 * by `skip` bytes, all of it `columns` times. */
#if NN_HAS_DSP
#define NN_WIDEN_QUAD \
    "ldr r6, [r1], #4\n\t" \
    "ldr r7, [r2], #4\n\t" \
    "sxtb16 r4, r6\n\t" \
    "sxtb16 r5, r7\n\t" \
    "sxtb16 r6, r6, ror #8\n\t" \
    "sxtb16 r7, r7, ror #8\n\t" \
    "stmia.n r0!, {r4-r7}\n\t"
NN_NAKED void nn_widen_quads(int16_t *to __attribute__((unused)), const int8_t *x0 __attribute__((unused)),
                             const int8_t *x1 __attribute__((unused)), int quads __attribute__((unused)),
                             int columns __attribute__((unused)), int skip __attribute__((unused))) {
    __asm__ volatile("push {r4-r9}\n\t"
                     "ldrd r8, r9, [sp, #24]\n"
                     "1:\n\t"
                     "lsrs r12, r3, #1\n\t"
                     "bcc 2f\n\t"
                     NN_WIDEN_QUAD
                     "beq 3f\n"
                     "2:\n\t"
                     NN_WIDEN_QUAD
                     NN_WIDEN_QUAD
                     "subs r12, r12, #1\n\t"
                     "bne 2b\n"
                     "3:\n\t"
                     "add r0, r0, r9\n\t"
                     "subs r8, r8, #1\n\t"
                     "bne 1b\n\t"
                     "pop {r4-r9}\n\t"
                     "bx lr");
}
#else
__attribute__((unused)) static void nn_widen_quads(int16_t *to, const int8_t *x0, const int8_t *x1, int quads, int columns,
                                                   int skip) {
    for (; columns > 0; columns--, to += skip / 2) {
        for (int i = 0; i < quads * 4; i++, to += i % 4 == 0 ? 8 : 0) {
            int16_t *const word = to + i % 4 / 2 + i % 2 * 4; /* 0, 2, 1, 3 */
            word[0] = *x0++;
            word[2] = *x1++;
        }
    }
}
#endif

/* Two pixels of n int8 in the same way, the last four filled up with anything. */
NN_INLINE void nn_widen_two(int16_t *to, const int8_t *x0, const int8_t *x1, int n) {
    const int whole = n / 4 * 4;
    if (whole > 0) {
        nn_widen_quads(to, x0, x1, n / 4, 1, 0);
    }
    for (int i = 0; i < n % 4; i++) {
        int16_t *const word = to + whole * 2 + i / 2 + i % 2 * 4;
        word[0] = x0[whole + i];
        word[2] = x1[whole + i];
    }
}

/* Two columns of n int8, by turns in the values' own order, behind `first` that are already there. */
NN_INLINE void nn_widen_in_order(int16_t *to, const int8_t *x0, const int8_t *x1, int first, int n) {
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) {
        int16_t *const word = to + (first + i) / 2 * 4 + (first + i) % 2;
        word[0] = x0[i];
        word[2] = x1[i];
    }
}

/* n int8 in their own order. */
NN_INLINE void nn_widen_one_in_order(int16_t *to, const int8_t *x, int n) {
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) {
        to[i] = x[i];
    }
}

/* Depthwise 3x3 convolution of one channel.
 *
 * NN_DEPTHWISE_3X3(name, zero_point, channels, width, stride, pitch, row_step) defines
 * name(const int16_t *rows, int8_t *y, const uint32_t *stream, int count): `count` rows of `width` outputs, each `channels`
 * bytes further on. `rows` (aligned to 4 bytes) holds the channel's input with its padding, a row each `pitch` bytes, a
 * multiple of 4 and at most 508; a row of outputs begins `row_step` bytes after the one before. The stream holds a word of each
 * row of weights, int8 w0, w1, w1, w2, then bias and multiplier. All but the name are plain numbers. */
#if NN_HAS_DSP
#define NN_DEPTHWISE_ROW(first, a, b) \
    "smlad r9, r11, " a ", " first "\n\t" \
    "smlabt r9, r12, " b ", r9\n\t"
#define NN_DEPTHWISE_ROW_ODD(first, a, b) \
    "smlatb r10, r11, " a ", " first "\n\t" \
    "smlad r10, r12, " b ", r10\n\t"
#define NN_DEPTHWISE_LOADS(pitch, row1, row2, row0) \
    "ldrd r11, r12, [r0, #" #pitch "]\n\t" row1 "ldrd r11, r12, [r0, #2*" #pitch "]\n\t" row2 \
    "ldrd r11, r12, [r0], #4\n\t" row0 "ldmia.w sp, {r11, r12}\n\t"
#define NN_DEPTHWISE_ONE(channels, pitch) \
    NN_DEPTHWISE_LOADS(pitch, NN_DEPTHWISE_ROW("r8", "r4", "r5"), NN_DEPTHWISE_ROW("r9", "r6", "r7"), \
                       NN_DEPTHWISE_ROW("r9", "r2", "r3")) \
    "smmlar r9, r9, r11, r12\n\t" \
    "ssat r9, #8, r9\n\t" \
    ".if " #channels " < 256\n\t" \
    "strb r9, [r1], #" #channels "\n\t" \
    ".else\n\t" \
    "strb r9, [r1]\n\t" \
    "add r1, r1, #" #channels "\n\t" \
    ".endif\n\t"
#define NN_DEPTHWISE_TWO(channels, pitch) \
    NN_DEPTHWISE_LOADS(pitch, NN_DEPTHWISE_ROW("r8", "r4", "r5") NN_DEPTHWISE_ROW_ODD("r8", "r4", "r5"), \
                       NN_DEPTHWISE_ROW("r9", "r6", "r7") NN_DEPTHWISE_ROW_ODD("r10", "r6", "r7"), \
                       NN_DEPTHWISE_ROW("r9", "r2", "r3") NN_DEPTHWISE_ROW_ODD("r10", "r2", "r3")) \
    "smmlar r9, r9, r11, r12\n\t" \
    "smmlar r10, r10, r11, r12\n\t" \
    "ssat r9, #8, r9\n\t" \
    "ssat r10, #8, r10\n\t" \
    ".if " #channels " < 256\n\t" \
    "strb r9, [r1], #" #channels "\n\t" \
    "strb r10, [r1], #" #channels "\n\t" \
    ".else\n\t" \
    "strb r9, [r1]\n\t" \
    "strb r10, [r1, #" #channels "]\n\t" \
    "add r1, r1, #2*" #channels "\n\t" \
    ".endif\n\t"
/* On the stack: multiplier, zero point, rows left. The steps of a row (stride 1: two outputs each) are unrolled up to four
 * times where that divides them. */
#define NN_DEPTHWISE_3X3(name, zero_point, channels, width, stride, pitch, row_step) \
    NN_NAKED void name(const int16_t *rows __attribute__((unused)), int8_t *y __attribute__((unused)), \
                       const uint32_t *stream __attribute__((unused)), int count __attribute__((unused))) { \
        __asm__ volatile("push {r4-r11, lr}\n\t" \
                         "ldmia.w r2, {r5-r9}\n\t" \
                         "mov r11, r3\n\t" \
                         "mov r10, #" #zero_point "\n\t" \
                         "push {r9-r11}\n\t" \
                         "sxtb16 r2, r5\n\t" \
                         "sxtb16 r3, r5, ror #8\n\t" \
                         "sxtb16 r4, r6\n\t" \
                         "sxtb16 r5, r6, ror #8\n\t" \
                         "sxtb16 r6, r7\n\t" \
                         "sxtb16 r7, r7, ror #8\n\t" \
                         ".set nn_steps, " #width " / (3 - " #stride ")\n\t" \
                         ".set nn_unroll, 1\n\t" \
                         ".irp n, 2, 3, 4, 5\n\t" \
                         ".if nn_steps % \\n == 0\n\t" \
                         ".set nn_unroll, \\n\n\t" \
                         ".endif\n\t" \
                         ".endr\n" \
                         "1:\n\t" \
                         ".if nn_steps > nn_unroll\n\t" \
                         "mov lr, #nn_steps / nn_unroll\n" \
                         ".endif\n" \
                         "2:\n\t" \
                         ".if nn_steps > 0\n\t" \
                         ".rept nn_unroll\n\t" \
                         ".if " #stride " == 1\n\t" \
                         NN_DEPTHWISE_TWO(channels, pitch) \
                         ".else\n\t" \
                         NN_DEPTHWISE_ONE(channels, pitch) \
                         ".endif\n\t" \
                         ".endr\n\t" \
                         ".endif\n\t" \
                         ".if nn_steps > nn_unroll\n\t" \
                         "subs lr, lr, #1\n\t" \
                         "bne 2b\n\t" \
                         ".endif\n\t" \
                         ".if " #stride " == 1 && " #width " % 2 == 1\n\t" \
                         NN_DEPTHWISE_ONE(channels, pitch) \
                         ".endif\n\t" \
                         "ldr r11, [sp, #8]\n\t" \
                         "add r0, r0, #" #row_step " - (" #width " + 2 - " #stride ") / (3 - " #stride ") * 4\n\t" \
                         "subs r11, r11, #1\n\t" \
                         "str r11, [sp, #8]\n\t" \
                         "bne 1b\n\t" \
                         "add sp, sp, #12\n\t" \
                         "pop {r4-r11, pc}"); \
    }
#else
NN_INLINE int8_t nn_depthwise_3x3(const int16_t *rows, const uint32_t *stream, int pitch, int32_t zero_point) {
    int32_t acc = (int32_t)stream[3];
    for (int tap = 0; tap < 9; tap++) {
        acc += rows[tap / 3 * pitch + tap % 3] * (int8_t)(stream[tap / 3] >> (tap % 3 * 3 + 1) / 2 * 8);
    }
    return nn_requantize(acc, (int32_t)stream[4], zero_point, -128, 127);
}
#define NN_DEPTHWISE_3X3(name, zero_point, channels, width, stride, pitch, row_step) \
    static void name(const int16_t *rows, int8_t *y, const uint32_t *stream, int count) { \
        for (int i = 0; i < count * (width); i++, y += (channels)) { \
            const int16_t *const window = rows + i / (width) * (row_step) / 2 + i % (width) * (stride); \
            *y = nn_depthwise_3x3(window, stream, (pitch) / 2, (zero_point)); \
        } \
    }
#endif

/* Two pixels of four channels each as int16 in the same word of four planes, `plane` halfwords apart. */
NN_INLINE void nn_to_planes(int16_t *to, int plane, uint32_t pixel0, uint32_t pixel1) {
    const uint32_t even0 = nn_sxtb16(pixel0), even1 = nn_sxtb16(pixel1);
    const uint32_t odd0 = nn_sxtb16_ror8(pixel0), odd1 = nn_sxtb16_ror8(pixel1);
    *(nn_word *)to = nn_pkhbt(even0, even1);
    *(nn_word *)(to + plane) = nn_pkhbt(odd0, odd1);
    *(nn_word *)(to + 2 * plane) = nn_pkhtb(even0, even1);
    *(nn_word *)(to + 3 * plane) = nn_pkhtb(odd0, odd1);
}

/* A row of a depthwise 3x3 convolution or two, one below the other, four channels at a time: their rows of input are widened to
 * `columns`, side by side, so that a multiplication takes two taps of a column; then each channel's weights stay in registers.
 *
 * NN_DEPTHWISE_BY_ROWS(name, channels, width, stride, left, inside, rows, wide) defines name(const uint32_t *stream,
 * const int8_t *const x[], nn_word *columns, int8_t *y): `rows` (1 or 2) rows of `width` outputs from `rows` + 2 of input (NULL:
 * padding), of which `inside` columns, after `left`, are in `columns`; `width` * `stride` + 3 - `stride` are needed, those
 * outside hold what is there. A column is eight words, for each channel: row 1 and 0, then row 2 (low half) and, for two rows,
 * 3. The stream holds for each channel three words of weights, int8 (row, column): (1, 0), (1, 1), (0, 0), (0, 1); (1, 2),
 * (2, 0), (0, 2), (2, 1); (2, 2) as int16 and how many channels there are; then bias and multiplier. `wide`: in place of the first two, four words
 * of two int16: (1, 0), (0, 0); (1, 1), (0, 1); (1, 2), (0, 2); (2, 0), (2, 1). At the end are output and
 * input zero point, and four bytes: columns inside, on their left and on their right, and `width`.
 *
 * NN_DEPTHWISE_BY_ANY(name, stride) defines the same for one row of any size, which it takes from the stream: less code where
 * there are several sizes, and more instructions. It also fills in the columns outside. */
#if NN_HAS_DSP
/* Row 0 in r6, 1 in r4, 2 in r11. */
#define NN_COLUMN_WIDEN_1 \
    "pkhtb r10, r6, r4, asr #16\n\t" \
    "pkhbt r4, r4, r6, lsl #16\n\t" \
    "sxtb16 r5, r11\n\t" \
    "sxtb16 r7, r11, ror #8\n\t" \
    "sxtb16 r9, r11, ror #16\n\t" \
    "sxtb16 r11, r11, ror #24\n\t" \
    "sxtb16 r6, r4, ror #8\n\t" \
    "sxtb16 r4, r4\n\t" \
    "sxtb16 r8, r10\n\t" \
    "sxtb16 r10, r10, ror #8\n\t" \
    "stmia.w r0!, {r4-r11}\n\t"
/* Row 0 in r6, 1 in r4, 2 in r5, 3 in r7. */
#define NN_COLUMN_WIDEN_2 \
    "pkhtb r10, r6, r4, asr #16\n\t" \
    "pkhbt r4, r4, r6, lsl #16\n\t" \
    "pkhtb r11, r7, r5, asr #16\n\t" \
    "pkhbt r5, r5, r7, lsl #16\n\t" \
    "sxtb16 r6, r4, ror #8\n\t" \
    "sxtb16 r4, r4\n\t" \
    "sxtb16 r7, r5, ror #8\n\t" \
    "sxtb16 r5, r5\n\t" \
    "sxtb16 r8, r10\n\t" \
    "sxtb16 r10, r10, ror #8\n\t" \
    "sxtb16 r9, r11\n\t" \
    "sxtb16 r11, r11, ror #8\n\t" \
    "stmia.w r0!, {r4-r11}\n\t"
#define NN_COLUMN_NEXT(register, from, channels) \
    ".if " #channels " < 256\n\t" \
    "ldr " register ", [" from "], #" #channels "\n\t" \
    ".else\n\t" \
    "ldr " register ", [" from "]\n\t" \
    "add " from ", " from ", #" #channels "\n\t" \
    ".endif\n\t"
#define NN_COLUMN_1(channels) \
    NN_COLUMN_NEXT("r6", "r1", channels) NN_COLUMN_NEXT("r4", "r2", channels) NN_COLUMN_NEXT("r11", "r3", channels) \
    NN_COLUMN_WIDEN_1
#define NN_COLUMN_2(channels) \
    NN_COLUMN_NEXT("r6", "r1", channels) NN_COLUMN_NEXT("r4", "r2", channels) NN_COLUMN_NEXT("r5", "r3", channels) \
    NN_COLUMN_NEXT("r7", "lr", channels) NN_COLUMN_WIDEN_2
#define NN_COLUMN_EDGE_1(steps) \
    "ldr r6, [r1]\n\t" \
    "ldr r4, [r2]\n\t" \
    "ldr r11, [r3]\n\t" \
    NN_COLUMN_WIDEN_1 \
    "add r4, sp, #" steps "\n\t" \
    "ldmia.w r4, {r4-r6}\n\t"
#define NN_COLUMN_EDGE_2(steps) \
    "ldr r6, [r1]\n\t" \
    "ldr r4, [r2]\n\t" \
    "ldr r5, [r3]\n\t" \
    "ldr r7, [lr]\n\t" \
    NN_COLUMN_WIDEN_2 \
    "add r4, sp, #" steps "\n\t" \
    "ldmia.w r4, {r4-r7}\n\t" \
    "add lr, lr, r7\n\t"
#define NN_COLUMN_FROM_1(load_or_store) load_or_store ".w r4, {r1-r3}\n\t"
#define NN_COLUMN_FROM_2(load_or_store) load_or_store ".w r4, {r1-r3, lr}\n\t"
#define NN_COLUMN_POINTERS_1 "r1, r2, r3"
#define NN_COLUMN_POINTERS_2 "r1, r2, r3, lr"
#define NN_COLUMN_LEFT_1 "lr"
#define NN_COLUMN_LEFT_2 "r12"

/* The column in `pair` and `single` (r10 and r11, or for the second row by turns) ends the output in register a, is in the
 * middle of that in b, and begins the next one, in a. Weights: r2, r3 and `pair2`; the halves of r5 and `single2`. */
#define NN_ROW_LOAD "ldrd r10, r11, [r0], #32\n\t"
#define NN_ROW_BEGIN(a, pair, single) \
    "smlad " a ", " pair ", r2, r7\n\t" \
    "smlabb " a ", " single ", r5, " a "\n\t"
#define NN_ROW_MIDDLE(a, pair, single) \
    "smlad " a ", " pair ", r3, " a "\n\t" \
    "smlabt " a ", " single ", r5, " a "\n\t"
#define NN_ROW_FINISH(a, pair, single, last, channels) \
    "smlad " a ", " pair ", " last "\n\t" \
    "smmlar " a ", " a ", r8, r9\n\t" \
    "ssat " a ", #8, " a "\n\t" \
    ".if " #channels " == 0\n\t" \
    "strb.w " a ", [r1]\n\t" \
    "add.w r1, r1, r6, lsr #16\n\t" \
    ".elseif " #channels " < 256\n\t" \
    "strb " a ", [r1], #" #channels "\n\t" \
    ".else\n\t" \
    "strb " a ", [r1]\n\t" \
    "add r1, r1, #" #channels "\n\t" \
    ".endif\n\t"
#define NN_ROW_LAST_0(a) "r4, " a "\n\tsmlabb " a ", r11, r6, " a
#define NN_ROW_LAST_1(a) "r6, " a "\n\tsmlabt " a ", r10, r4, " a
#define NN_ROW_OUTPUT(channels, stride, pair, single, last) \
    NN_ROW_LOAD \
    ".if " #stride " == 2\n\t" \
    NN_ROW_MIDDLE("r12", pair, single) NN_ROW_LOAD NN_ROW_FINISH("r12", pair, single, last("r12"), channels) \
    NN_ROW_BEGIN("r12", pair, single) \
    ".elseif nn_odd\n\t" \
    NN_ROW_FINISH("lr", pair, single, last("lr"), channels) NN_ROW_MIDDLE("r12", pair, single) \
    NN_ROW_BEGIN("lr", pair, single) \
    ".else\n\t" \
    NN_ROW_FINISH("r12", pair, single, last("r12"), channels) NN_ROW_MIDDLE("lr", pair, single) \
    NN_ROW_BEGIN("r12", pair, single) \
    ".endif\n\t" \
    ".set nn_odd, 1 - nn_odd\n\t"
/* All outputs but the last two (stride 2: the last) are made by loops of six where they are many; in two statements, as no text
 * may be too long. At the end r0 is back at the first column, or at what is `next` bytes behind it, and r1 is `step`
 * bytes behind the last output. */
#define NN_ROW(channels, width, stride, pair, single, last, next, step) \
    __asm__ volatile(NN_ROW_LOOP(channels, width, stride, pair, single, last)); \
    __asm__ volatile(NN_ROW_END(channels, width, stride, pair, single, last, next, step));
#define NN_ROW_LOAD_LAST(width, stride, next) \
    ".if 32 * (" #width " * " #stride " + 2 - " #stride ") - " #next " <= 1020\n\t" \
    "ldrd r10, r11, [r0], #-(32 * (" #width " * " #stride " + 2 - " #stride ") - " #next ")\n\t" \
    ".else\n\t" \
    "ldrd r10, r11, [r0]\n\t" \
    "sub r0, r0, #32 * (" #width " * " #stride " + 2 - " #stride ") - " #next "\n\t" \
    ".endif\n\t"
#define NN_ROW_LOOP(channels, width, stride, pair, single, last) \
    ".set nn_odd, 0\n\t" \
    NN_ROW_LOAD NN_ROW_BEGIN("r12", pair, single) \
    ".if " #stride " == 1\n\t" \
    NN_ROW_LOAD NN_ROW_MIDDLE("r12", pair, single) \
    ".if " #width " > 1\n\t" \
    NN_ROW_BEGIN("lr", pair, single) \
    ".endif\n\t" \
    ".endif\n\t" \
    ".if nn_looped > 0\n" \
    "3:\n\t" \
    ".rept 6\n\t" \
    NN_ROW_OUTPUT(channels, stride, pair, single, last) \
    ".endr\n\t" \
    "ldr r10, [sp, #60]\n\t" \
    "cmp r0, r10\n\t" \
    "bne 3b\n\t" \
    ".endif"
#define NN_ROW_END(channels, width, stride, pair, single, last, next, step) \
    ".if nn_full > nn_looped\n\t" \
    ".rept nn_full - nn_looped\n\t" \
    NN_ROW_OUTPUT(channels, stride, pair, single, last) \
    ".endr\n\t" \
    ".endif\n\t" \
    ".if " #stride " == 2\n\t" \
    NN_ROW_LOAD NN_ROW_MIDDLE("r12", pair, single) \
    NN_ROW_LOAD_LAST(width, stride, next) NN_ROW_FINISH("r12", pair, single, last("r12"), step) \
    ".elseif " #width " == 1\n\t" \
    NN_ROW_LOAD_LAST(width, stride, next) NN_ROW_FINISH("r12", pair, single, last("r12"), step) \
    ".elseif nn_odd\n\t" \
    NN_ROW_LOAD NN_ROW_FINISH("lr", pair, single, last("lr"), channels) NN_ROW_MIDDLE("r12", pair, single) \
    NN_ROW_LOAD_LAST(width, stride, next) NN_ROW_FINISH("r12", pair, single, last("r12"), step) \
    ".else\n\t" \
    NN_ROW_LOAD NN_ROW_FINISH("r12", pair, single, last("r12"), channels) NN_ROW_MIDDLE("lr", pair, single) \
    NN_ROW_LOAD_LAST(width, stride, next) NN_ROW_FINISH("lr", pair, single, last("lr"), step) \
    ".endif"
#define NN_ROW_NEXT_1 8
#define NN_ROW_NEXT_2 0
#define NN_ROW_STEP_1(channels) nn_step
#define NN_ROW_STEP_2(channels) channels
#define NN_ROW_AND_1(channels, width, stride)
#define NN_ROW_AND_2(channels, width, stride) \
    __asm__ volatile("pkhtb r10, r3, r2, asr #16\n\t" \
                     "pkhbt r2, r2, r5, lsl #16\n\t" \
                     "pkhbt r3, r3, r5\n\t" \
                     "pkhbt r6, r4, r6, lsl #16\n\t" \
                     "mov r5, r10"); \
    NN_ROW(channels, width, stride, "r11", "r10", NN_ROW_LAST_1, 8, nn_step)

/* On the stack: stream, where the first four channels' constants end, columns, y; four rows of x, and the bytes from a pixel to
 * the next in each (0: of one outside); zero point, end of the stream, columns that are filled in, where a loop ends, whether any
 * row is outside, and what is there. */
#define NN_DEPTHWISE_BY_ROWS(name, channels, width, stride, left, inside, rows, wide) \
    NN_NAKED void name(const uint32_t *stream __attribute__((unused)), const int8_t *const x[] __attribute__((unused)), \
                       nn_word *columns __attribute__((unused)), int8_t *y __attribute__((unused))) { \
        __asm__ volatile("push {r4-r11, lr}\n\t" \
                         "sub sp, sp, #72\n\t" \
                         "movw r4, #(20 + 8 * " #wide ") * " #channels "\n\t" \
                         "add r4, r4, r0\n\t" \
                         "ldrd r5, r6, [r4]\n\t" \
                         "uxtb r6, r6\n\t" \
                         "orr r6, r6, r6, lsl #8\n\t" \
                         "orr r6, r6, r6, lsl #16\n\t" \
                         "add r7, r0, #80 + 32 * " #wide "\n\t" \
                         "add r8, r2, #32 * " #left "\n\t" \
                         "strd r0, r7, [sp]\n\t" \
                         "strd r2, r3, [sp, #8]\n\t" \
                         "strd r5, r4, [sp, #48]\n\t" \
                         "str r8, [sp, #56]\n\t" \
                         "str r6, [sp, #68]\n\t" \
                         "movs r0, #0\n\t" \
                         ".irp row, 0, 1, 2, 3\n\t" \
                         ".if \\row < " #rows " + 2\n\t" \
                         "ldr r5, [r1, #4 * \\row]\n\t" \
                         "movw r6, #" #channels "\n\t" \
                         "cbnz r5, 1f\n\t" \
                         "add r5, sp, #68\n\t" \
                         "movs r6, #0\n\t" \
                         "movs r0, #1\n" \
                         "1:\n\t" \
                         "str r5, [sp, #16 + 4 * \\row]\n\t" \
                         "str r6, [sp, #32 + 4 * \\row]\n\t" \
                         ".endif\n\t" \
                         ".endr\n\t" \
                         "str r0, [sp, #64]\n" \
                         "1:\n\t" \
                         "add r4, sp, #16\n\t" \
                         NN_COLUMN_FROM_##rows("ldmia") \
                         "ldr r0, [sp, #56]\n\t" \
                         "ldr r5, [sp, #64]\n\t" \
                         "cmp r5, #0\n\t" \
                         "bne 4f\n\t" \
                         ".set nn_rest, " #inside "\n\t" \
                         ".if " #inside " > 7\n\t" \
                         ".set nn_rest, " #inside " % 4\n\t" \
                         "mov " NN_COLUMN_LEFT_##rows ", #" #inside " / 4\n" \
                         "2:\n\t" \
                         ".rept 4\n\t" \
                         NN_COLUMN_##rows(channels) \
                         ".endr\n\t" \
                         "subs " NN_COLUMN_LEFT_##rows ", " NN_COLUMN_LEFT_##rows ", #1\n\t" \
                         "bne 2b\n\t" \
                         ".endif\n\t" \
                         ".if nn_rest > 0\n\t" \
                         ".rept nn_rest\n\t" \
                         NN_COLUMN_##rows(channels) \
                         ".endr\n\t" \
                         ".endif\n\t" \
                         ".irp from, " NN_COLUMN_POINTERS_##rows "\n\t" \
                         "sub \\from, \\from, #" #channels " * " #inside " - 4\n\t" \
                         ".endr\n\t" \
                         "b 7f"); \
        __asm__ volatile("4:\n\t" \
                         "mov " NN_COLUMN_LEFT_##rows ", #" #inside "\n" \
                         "5:\n\t" \
                         NN_COLUMN_EDGE_##rows("32") \
                         "add r1, r1, r4\n\t" \
                         "add r2, r2, r5\n\t" \
                         "add r3, r3, r6\n\t" \
                         "subs " NN_COLUMN_LEFT_##rows ", " NN_COLUMN_LEFT_##rows ", #1\n\t" \
                         "bne 5b\n\t" \
                         ".set nn_row, 0\n\t" \
                         ".irp from, " NN_COLUMN_POINTERS_##rows "\n\t" \
                         "ldr r5, [sp, #32 + 4 * nn_row]\n\t" \
                         "ldr \\from, [sp, #16 + 4 * nn_row]\n\t" \
                         "cbz r5, 6f\n\t" \
                         "add \\from, \\from, #4\n" \
                         "6:\n\t" \
                         ".set nn_row, nn_row + 1\n\t" \
                         ".endr\n" \
                         "7:\n\t" \
                         "add r4, sp, #16\n\t" \
                         NN_COLUMN_FROM_##rows("stmia") \
                         ".set nn_step, 1 - " #channels " * (" #width " * " #rows " - 1)\n\t" \
                         ".if nn_step < -255\n\t" \
                         ".set nn_step, " #channels "\n\t" \
                         ".endif\n\t" \
                         ".set nn_full, " #width " - 3 + " #stride "\n\t" \
                         ".set nn_looped, 0\n\t" \
                         ".if nn_full > 10\n\t" \
                         ".set nn_looped, nn_full / 6 * 6\n\t" \
                         ".endif\n\t" \
                         "ldrd r0, r1, [sp, #8]\n\t" \
                         "ldr r9, [sp, #48]\n\t" \
                         ".if nn_looped > 0\n\t" \
                         "add r2, r0, #32 * (nn_looped * " #stride " + 3 - " #stride ")\n\t" \
                         "str r2, [sp, #60]\n\t" \
                         ".endif\n" \
                         "2:\n\t" \
                         "ldrd r12, lr, [sp]\n\t" \
                         ".if " #wide "\n\t" \
                         "ldmia.w r12!, {r2-r8}\n\t" \
                         ".else\n\t" \
                         "ldmia.w r12!, {r2, r4, r6-r8}\n\t" \
                         "sxtb16 r3, r2, ror #8\n\t" \
                         "sxtb16 r5, r4, ror #8\n\t" \
                         "sxtb16 r2, r2\n\t" \
                         "sxtb16 r4, r4\n\t" \
                         ".endif\n\t" \
                         "str r12, [sp]\n\t" \
                         "cmp r12, lr"); \
        NN_ROW(channels, width, stride, "r10", "r11", NN_ROW_LAST_0, NN_ROW_NEXT_##rows, NN_ROW_STEP_##rows(channels)) \
        NN_ROW_AND_##rows(channels, width, stride) \
        __asm__ volatile(".if nn_step > 1\n\t" \
                         "sub r1, r1, #" #channels " * " #width " * " #rows " - 1\n\t" \
                         ".endif\n\t" \
                         ".if nn_looped > 0\n\t" \
                         "ldr r10, [sp, #60]\n\t" \
                         "adds r10, r10, #8\n\t" \
                         "str r10, [sp, #60]\n\t" \
                         "ldrd r10, r11, [sp]\n\t" \
                         "cmp r10, r11\n\t" \
                         ".endif\n\t" \
                         "bne 2b\n\t" \
                         "ldr r0, [sp, #4]\n\t" \
                         "ldr r2, [sp, #52]\n\t" \
                         "str r1, [sp, #12]\n\t" \
                         "add r3, r0, #80 + 32 * " #wide "\n\t" \
                         "str r3, [sp, #4]\n\t" \
                         "cmp r0, r2\n\t" \
                         "bne 1b\n\t" \
                         "add sp, sp, #72\n\t" \
                         "pop {r4-r11, pc}"); \
    }

/* On the stack: stream, where the first four channels' constants end; the channel's first column, and where the loop over its
 * outputs ends; three rows of x, each behind its last pixel, and the bytes from a pixel to the next in each (0: of one outside);
 * zero point, end of the stream; first column inside, y; whether any row is outside, and what is there; channels, bytes of a row
 * of x; where the row begins, and where in its loop; bytes of a row of y less one, columns inside.
 *
 * The loop makes six outputs (stride 2: four) of 44 (48) bytes of code each. A row begins in its middle where it does not
 * divide their number; with stride 1, where that is odd, with the registers exchanged. */
#define NN_ANY_OUTPUT(stride) NN_ROW_OUTPUT(0, stride, "r10", "r11", NN_ROW_LAST_0)
#define NN_ANY_LOOP_1 "6"
#define NN_ANY_LOOP_2 "4"
#define NN_ANY_BYTES_1 "44"
#define NN_ANY_BYTES_2 "48"
#define NN_ANY_SIZES_1 \
    "add r11, r2, r9, lsl #5\n\t" \
    "subs r9, r9, #2\n\t" \
    "adr.w r10, 8f\n\t" \
    "tst r9, #1\n\t" \
    "it ne\n\t" \
    "addne r10, r10, #36\n\t" \
    "adds r10, r10, #1\n\t" \
    "str r10, [sp, #72]\n\t"
#define NN_ANY_SIZES_2 \
    "add r11, r2, r9, lsl #6\n\t" \
    "sub r11, r11, #32\n\t" \
    "subs r9, r9, #1\n\t"
#define NN_ANY_BEGIN_1 \
    "ldr pc, [sp, #72]\n" \
    "8:\n\t" \
    NN_ROW_LOAD NN_ROW_BEGIN("r12", "r10", "r11") \
    NN_ROW_LOAD NN_ROW_MIDDLE("r12", "r10", "r11") NN_ROW_BEGIN("lr", "r10", "r11") \
    "ldr.w pc, [sp, #76]\n\t" \
    NN_ROW_LOAD NN_ROW_BEGIN("lr", "r10", "r11") \
    NN_ROW_LOAD NN_ROW_MIDDLE("lr", "r10", "r11") NN_ROW_BEGIN("r12", "r10", "r11") \
    "ldr.w pc, [sp, #76]"
#define NN_ANY_BEGIN_2 \
    NN_ROW_LOAD NN_ROW_BEGIN("r12", "r10", "r11") \
    "ldr.w pc, [sp, #76]"
#define NN_ANY_END_1 \
    NN_ROW_LOAD NN_ROW_FINISH("r12", "r10", "r11", NN_ROW_LAST_0("r12"), 0) NN_ROW_MIDDLE("lr", "r10", "r11") \
    NN_ROW_LOAD NN_ROW_FINISH("lr", "r10", "r11", NN_ROW_LAST_0("lr"), 0)
#define NN_ANY_END_2 \
    NN_ROW_LOAD NN_ROW_MIDDLE("r12", "r10", "r11") \
    NN_ROW_LOAD NN_ROW_FINISH("r12", "r10", "r11", NN_ROW_LAST_0("r12"), 0)
#define NN_DEPTHWISE_BY_ANY(name, stride) \
    NN_NAKED void name(const uint32_t *stream __attribute__((unused)), const int8_t *const x[] __attribute__((unused)), \
                       nn_word *columns __attribute__((unused)), int8_t *y __attribute__((unused))) { \
        __asm__ volatile("push {r4-r11, lr}\n\t" \
                         "sub sp, sp, #88\n\t" \
                         "ldrh r5, [r0, #10]\n\t" \
                         "movs r4, #20\n\t" \
                         "mla r4, r4, r5, r0\n\t" \
                         "ldr r6, [r4]\n\t" \
                         "add r7, r0, #80\n\t" \
                         "strd r0, r7, [sp]\n\t" \
                         "strd r6, r4, [sp, #40]\n\t" \
                         "str r3, [sp, #52]\n\t" \
                         "ldrb r7, [r4, #8]\n\t" \
                         "ldrb r9, [r4, #11]\n\t" \
                         "mul r8, r7, r5\n\t" \
                         "strd r5, r8, [sp, #64]\n\t" \
                         "mul r6, r9, r5\n\t" \
                         "subs r6, r6, #1\n\t" \
                         "strd r6, r7, [sp, #80]\n\t" \
                         NN_ANY_SIZES_##stride \
                         "strd r2, r11, [sp, #8]\n\t" \
                         "adr.w r12, 9f\n\t" \
                         "cmp r9, #0\n\t" \
                         "beq 1f\n\t" \
                         "movs r6, #" NN_ANY_LOOP_##stride "\n\t" \
                         "subs r9, r9, #1\n\t" \
                         "udiv r7, r9, r6\n\t" \
                         "mls r9, r7, r6, r9\n\t" \
                         "rsb r9, r9, #" NN_ANY_LOOP_##stride " - 1\n\t" \
                         "adr.w r12, 3f\n\t" \
                         "movs r6, #" NN_ANY_BYTES_##stride "\n\t" \
                         "mla r12, r9, r6, r12\n" \
                         "1:\n\t" \
                         "add r12, r12, #1\n\t" \
                         "str r12, [sp, #76]\n\t" \
                         "ldrb r6, [r4, #4]\n\t" \
                         "orr r6, r6, r6, lsl #8\n\t" \
                         "orr r6, r6, r6, lsl #16\n\t" \
                         "str r6, [sp, #60]\n\t" \
                         "sxtb16 r6, r6\n\t" \
                         ".irp to, r7, r8, r9, r10, r11, r12, lr\n\t" \
                         "mov \\to, r6\n\t" \
                         ".endr\n\t" \
                         "ldrb r5, [r4, #9]\n\t" \
                         "cbz r5, 2f\n" \
                         "1:\n\t" \
                         "stmia.w r2!, {r6-r12, lr}\n\t" \
                         "subs r5, r5, #1\n\t" \
                         "bne 1b\n" \
                         "2:\n\t" \
                         "str r2, [sp, #48]\n\t" \
                         "ldrb r5, [r4, #8]\n\t" \
                         "add r2, r2, r5, lsl #5\n\t" \
                         "ldrb r5, [r4, #10]\n\t" \
                         "cbz r5, 2f\n" \
                         "1:\n\t" \
                         "stmia.w r2!, {r6-r12, lr}\n\t" \
                         "subs r5, r5, #1\n\t" \
                         "bne 1b\n" \
                         "2:\n\t" \
                         "ldrd r7, r8, [sp, #64]\n\t" \
                         "movs r0, #0\n\t" \
                         ".irp row, 0, 1, 2\n\t" \
                         "ldr r5, [r1, #4 * \\row]\n\t" \
                         "mov r6, r7\n\t" \
                         "cbz r5, 1f\n\t" \
                         "add r5, r5, r8\n\t" \
                         "b 2f\n" \
                         "1:\n\t" \
                         "add r5, sp, #60\n\t" \
                         "movs r6, #0\n\t" \
                         "movs r0, #1\n" \
                         "2:\n\t" \
                         "str r5, [sp, #16 + 4 * \\row]\n\t" \
                         "str r6, [sp, #28 + 4 * \\row]\n\t" \
                         ".endr\n\t" \
                         "str r0, [sp, #56]"); \
        __asm__ volatile("1:\n\t" \
                         "add r4, sp, #16\n\t" \
                         "ldmia.w r4, {r1-r3}\n\t" \
                         "ldr r0, [sp, #48]\n\t" \
                         "ldr r5, [sp, #56]\n\t" \
                         "cbnz r5, 4f\n\t" \
                         "ldrd r12, lr, [sp, #64]\n\t" \
                         "rsb lr, lr, #0\n" \
                         "2:\n\t" \
                         "ldr r6, [r1, lr]\n\t" \
                         "ldr r4, [r2, lr]\n\t" \
                         "ldr r11, [r3, lr]\n\t" \
                         NN_COLUMN_WIDEN_1 \
                         "adds lr, lr, r12\n\t" \
                         "bne 2b\n\t" \
                         "adds r1, r1, #4\n\t" \
                         "adds r2, r2, #4\n\t" \
                         "adds r3, r3, #4\n\t" \
                         "b 7f\n" \
                         "4:\n\t" \
                         "ldr r7, [sp, #84]\n\t" \
                         "add r4, sp, #28\n\t" \
                         "ldmia.w r4, {r4-r6}\n\t" \
                         "mls r1, r4, r7, r1\n\t" \
                         "mls r2, r5, r7, r2\n\t" \
                         "mls r3, r6, r7, r3\n\t" \
                         "mov lr, r7\n" \
                         "5:\n\t" \
                         NN_COLUMN_EDGE_1("28") \
                         "add r1, r1, r4\n\t" \
                         "add r2, r2, r5\n\t" \
                         "add r3, r3, r6\n\t" \
                         "subs lr, lr, #1\n\t" \
                         "bne 5b\n\t" \
                         ".irp from, 1, 2, 3\n\t" \
                         "ldr r5, [sp, #24 + 4 * \\from]\n\t" \
                         "cbz r5, 6f\n\t" \
                         "adds r\\from, r\\from, #4\n" \
                         "6:\n\t" \
                         ".endr\n" \
                         "7:\n\t" \
                         "add r4, sp, #16\n\t" \
                         "stmia.w r4, {r1-r3}\n\t" \
                         "ldr r0, [sp, #8]\n\t" \
                         "ldr r1, [sp, #52]\n\t" \
                         "ldr r9, [sp, #40]\n" \
                         "2:\n\t" \
                         "ldr r12, [sp]\n\t" \
                         "ldmia.w r12!, {r2, r4, r6-r8}\n\t" \
                         "str r12, [sp]\n\t" \
                         "sxtb16 r3, r2, ror #8\n\t" \
                         "sxtb16 r5, r4, ror #8\n\t" \
                         "sxtb16 r2, r2\n\t" \
                         "sxtb16 r4, r4\n\t" \
                         NN_ANY_BEGIN_##stride); \
        __asm__ volatile("3:\n\t" \
                         ".set nn_odd, 0\n\t" \
                         ".rept " NN_ANY_LOOP_##stride "\n\t" \
                         NN_ANY_OUTPUT(stride) \
                         ".endr\n\t" \
                         "ldr r10, [sp, #12]\n\t" \
                         "cmp r0, r10\n\t" \
                         "bne 3b\n" \
                         "9:\n\t" \
                         NN_ANY_END_##stride \
                         "ldrd r0, r10, [sp, #8]\n\t" \
                         "ldr r2, [sp, #80]\n\t" \
                         "adds r0, r0, #8\n\t" \
                         "add r10, r10, #8\n\t" \
                         "subs r1, r1, r2\n\t" \
                         "strd r0, r10, [sp, #8]\n\t" \
                         "ldrd r2, r3, [sp]\n\t" \
                         "cmp r2, r3\n\t" \
                         "bne 2b\n\t" \
                         "subs r0, r0, #32\n\t" \
                         "sub r10, r10, #32\n\t" \
                         "strd r0, r10, [sp, #8]\n\t" \
                         "str r1, [sp, #52]\n\t" \
                         "add r3, r2, #80\n\t" \
                         "str r3, [sp, #4]\n\t" \
                         "ldr r3, [sp, #44]\n\t" \
                         "cmp r2, r3\n\t" \
                         "bne 1b\n\t" \
                         "add sp, sp, #88\n\t" \
                         "pop {r4-r11, pc}"); \
    }
#else
NN_INLINE void nn_depthwise_rows(const uint32_t *stream, const int8_t *const x[], nn_word *columns, int8_t *y, int channels,
                                 int width, int stride, int left, int inside, int rows, int wide) {
    static const uint8_t place[4] = {1, 0, 2, 3}; /* of a row in its column */
    static const uint8_t weight[2][9] = {{2, 3, 6, 0, 1, 4, 5, 7, 8}, {2, 6, 10, 0, 4, 8, 12, 14, 16}}; /* bytes */
    const int words = 5 + 2 * wide;
    const uint32_t *const zero_points = stream + words * channels;
    for (int c = 0; c < channels; c++, stream += words) {
        int16_t *const filled = (int16_t *)(columns + 8 * left);
        for (int i = 0; i < 4 * inside && c % 4 == 0; i++) {
            for (int row = 0; row < rows + 2; row++) {
                filled[4 * i + place[row]] = x[row] != NULL ? x[row][i / 4 * channels + c + i % 4] : (int8_t)zero_points[1];
            }
        }
        for (int i = 0; i < width * rows; i++) {
            const int16_t *const window = (const int16_t *)(columns + i % width * stride * 8 + c % 4 * 2);
            int32_t acc = (int32_t)stream[words - 2];
            for (int tap = 0; tap < 9; tap++) {
                const int at = weight[wide][tap];
                const int8_t w = (int8_t)(stream[at / 4] >> at % 4 * 8);
                acc += window[tap % 3 * 16 + place[i / width + tap / 3]] * w;
            }
            y[i * channels + c] = nn_requantize(acc, (int32_t)stream[words - 1], (int32_t)zero_points[0], -128, 127);
        }
    }
}
#define NN_DEPTHWISE_BY_ROWS(name, channels, width, stride, left, inside, rows, wide) \
    static void name(const uint32_t *stream, const int8_t *const x[], nn_word *columns, int8_t *y) { \
        nn_depthwise_rows(stream, x, columns, y, (channels), (width), (stride), (left), (inside), (rows), (wide)); \
    }
#define NN_DEPTHWISE_BY_ANY(name, stride) \
    __attribute__((unused)) static void name(const uint32_t *stream, const int8_t *const x[], nn_word *columns, int8_t *y) { \
        const int channels = (int)(stream[2] >> 16); \
        const uint32_t wide = (stream[5 * channels + 1] & 0xFFFFu) * 0x00010001u, sizes = stream[5 * channels + 2]; \
        const int inside = (int)(sizes & 255), left = (int)(sizes >> 8 & 255), right = (int)(sizes >> 16 & 255); \
        for (int i = 0; i < 8 * (left + right); i++) { \
            columns[i < 8 * left ? i : i + 8 * inside] = wide; \
        } \
        nn_depthwise_rows(stream, x, columns, y, channels, (int)(sizes >> 24), (stride), left, inside, 1, 0); \
    }
#endif
NN_DEPTHWISE_BY_ANY(nn_depthwise_row_by_1, 1)
NN_DEPTHWISE_BY_ANY(nn_depthwise_row_by_2, 2)

/* Winograd's F(2x2, 3x3) in integers (Lavin and Gray, 2015, arXiv:1509.09308): from tiles of 4x4 inputs d, transformed as
 * V = B'dB, and weights g, transformed offline as U = (2G)g(2G)', come 2x2 outputs: four times the accumulators are
 * A'MA, where M is the sum of U * V over the input channels, for each of the 16 positions by itself.
 *
 * NN_WINOGRAD(name, blocks, positions) defines name(stream, job) for 4 * blocks input channels, its loop unrolled over
 * `positions`, a divisor of 16. It walks along two tiles and two output channels at a time. The stream holds for each two
 * channels the weights of the positions in turn, in blocks as nn_dense_s16 takes them, then four times the biases, and the
 * multipliers. x holds both tiles' V in turn by position, each as nn_dense_s16 takes it, and NN_WINOGRAD_END. */
struct nn_winograd {
    const int16_t *x; /* aligned to 4 bytes */
    int32_t zero_point;
    const uint32_t *end; /* of the stream */
    int8_t *y[8];        /* the pixels of the first tile, then of the second; each all channels side by side */
};
#define NN_WINOGRAD_END 0x80008000u

#if NN_HAS_DSP
#define NN_TILE_2X2_FIRST(x0, x1, w0, w1) \
    "smuad r10, " x0 ", " w0 "\n\t" \
    "smuad r11, " x0 ", " w1 "\n\t" \
    "smuad r12, " x1 ", " w0 "\n\t" \
    "smuad lr, " x1 ", " w1 "\n\t"
#define NN_WINOGRAD_AT(row, column) "[sp, #20 + 16 * (15 - 4 * " #row " - " #column ") + 8 * \\tile]\n\t"
#define NN_WINOGRAD_COLUMN(column, bias, y00, y01, y10, y11) \
    "ldrd r0, r1, " NN_WINOGRAD_AT(1, column) bias \
    "ldrd r2, r3, " NN_WINOGRAD_AT(2, column) \
    "add r4, r0, r2\n\t" \
    "add lr, r1, r3\n\t" \
    "sub r0, r0, r2\n\t" \
    "sub r1, r1, r3\n\t" \
    "ldrd r2, r3, " NN_WINOGRAD_AT(0, column) \
    "add " y00 ", r4, r2\n\t" \
    "add " y01 ", lr, r3\n\t" \
    "ldrd r2, r3, " NN_WINOGRAD_AT(3, column) \
    "sub " y10 ", r0, r2\n\t" \
    "sub " y11 ", r1, r3\n\t"
#define NN_WINOGRAD_BIAS \
    "ldrd r2, r3, [sp, #4]\n\t" \
    "add r0, r0, r2\n\t" \
    "add r1, r1, r3\n\t"
#define NN_WINOGRAD_PIXEL(a, b, pixel) \
    "asr " a ", " a ", #2\n\t" \
    "asr " b ", " b ", #2\n\t" \
    "smmlar " a ", " a ", r0, r4\n\t" \
    "smmlar " b ", " b ", r1, r4\n\t" \
    "ssat " a ", #8, " a "\n\t" \
    "ssat " b ", #8, " b "\n\t" \
    "bfi " a ", " b ", #8, #8\n\t" \
    "ldr lr, [r2, #12 + 4 * (4 * \\tile + " #pixel ")]\n\t" \
    "strh " a ", [lr, r3]\n\t"
#define NN_WINOGRAD_TILE \
    NN_WINOGRAD_COLUMN(0, "", "r5", "r6", "r7", "r8") \
    NN_WINOGRAD_COLUMN(1, NN_WINOGRAD_BIAS, "r9", "r10", "r11", "r12") \
    "add r5, r5, r9\n\t" \
    "add r6, r6, r10\n\t" \
    "add r7, r7, r11\n\t" \
    "add r8, r8, r12\n\t" \
    NN_WINOGRAD_COLUMN(2, "", "r4", "lr", "r0", "r1") \
    "add r5, r5, r4\n\t" \
    "add r6, r6, lr\n\t" \
    "add r7, r7, r0\n\t" \
    "add r8, r8, r1\n\t" \
    "sub r9, r9, r4\n\t" \
    "sub r10, r10, lr\n\t" \
    "sub r11, r11, r0\n\t" \
    "sub r12, r12, r1\n\t" \
    NN_WINOGRAD_COLUMN(3, "", "r4", "lr", "r0", "r1") \
    "sub r9, r9, r4\n\t" \
    "sub r10, r10, lr\n\t" \
    "sub r11, r11, r0\n\t" \
    "sub r12, r12, r1\n\t" \
    "ldrd r0, r1, [sp, #12]\n\t" \
    "ldrd r2, r3, [sp, #276]\n\t" \
    "ldr r4, [r2, #4]\n\t" \
    NN_WINOGRAD_PIXEL("r5", "r6", 0) \
    NN_WINOGRAD_PIXEL("r9", "r10", 1) \
    NN_WINOGRAD_PIXEL("r7", "r8", 2) \
    NN_WINOGRAD_PIXEL("r11", "r12", 3)

/* On the stack: job, channel; the M of the 16 positions, 16 bytes each, the last one first; stream, biases, multipliers. */
#define NN_WINOGRAD(name, blocks, positions) \
    NN_NAKED void name(const uint32_t *stream __attribute__((unused)), \
                       const struct nn_winograd *job __attribute__((unused))) { \
        __asm__ volatile("push {r4-r11, lr}\n\t" \
                         "movs r2, #0\n\t" \
                         "push {r1, r2}\n" \
                         "1:\n\t" \
                         "ldr r1, [sp]\n\t" \
                         "ldr r1, [r1]\n" \
                         "2:\n\t" \
                         ".rept " #positions "\n\t" \
                         "ldmia.n r1!, {r2-r5}\n\t" \
                         "ldmia.w r0!, {r6-r9}\n\t" \
                         NN_TILE_2X2_FIRST("r2", "r3", "r6", "r7") \
                         NN_TILE_2X2("r4", "r5", "r8", "r9") \
                         ".rept " #blocks " - 1\n\t" \
                         NN_BLOCK_S16 \
                         ".endr\n\t" \
                         "push {r10-r12, lr}\n\t" \
                         ".endr\n\t" \
                         "ldr r2, [r1]\n\t" \
                         "cmp r2, #0x80008000\n\t" \
                         "bne 2b\n\t" \
                         "ldmia.n r0!, {r2-r5}\n\t" \
                         "push {r0, r2-r5}\n\t" \
                         ".irp tile, 0, 1\n\t" \
                         NN_WINOGRAD_TILE \
                         ".endr\n\t" \
                         "ldr r0, [sp]\n\t" \
                         "add sp, sp, #276\n\t" \
                         "adds r3, r3, #2\n\t" \
                         "str r3, [sp, #4]\n\t" \
                         "ldr r4, [r2, #8]\n\t" \
                         "cmp r0, r4\n\t" \
                         "bne 1b\n\t" \
                         "add sp, sp, #8\n\t" \
                         "pop {r4-r11, pc}"); \
    }
#else
/* A'MA for one tile and channel. */
NN_INLINE void nn_winograd_outputs(uint32_t y[4], const uint32_t m[16]) {
    uint32_t rows[2][4];
    for (int j = 0; j < 4; j++) {
        rows[0][j] = m[j] + m[4 + j] + m[8 + j];
        rows[1][j] = m[4 + j] - m[8 + j] - m[12 + j];
    }
    for (int i = 0; i < 2; i++) {
        y[2 * i] = rows[i][0] + rows[i][1] + rows[i][2];
        y[2 * i + 1] = rows[i][1] - rows[i][2] - rows[i][3];
    }
}
NN_INLINE void nn_winograd(const uint32_t *stream, const struct nn_winograd *job, int blocks) {
    for (int channel = 0; stream != job->end; channel += 2) {
        const uint32_t *const bias = stream + 64 * blocks;
        uint32_t m[2][2][16];
        const int16_t *x = job->x;
        for (int position = 0; position < 16; position++) {
            int32_t acc[2][2] = {{0, 0}, {0, 0}};
            for (int block = 0; block < blocks; block++, x += 8, stream += 4) {
                nn_dense_block(acc, x, stream, false);
            }
            for (int i = 0; i < 4; i++) {
                m[i / 2][i % 2][position] = (uint32_t)acc[i / 2][i % 2] + (position == 5 ? bias[i % 2] : 0u);
            }
        }
        for (int i = 0; i < 4; i++) {
            uint32_t y[4];
            nn_winograd_outputs(y, m[i / 2][i % 2]);
            for (int pixel = 0; pixel < 4; pixel++) {
                job->y[i / 2 * 4 + pixel][channel + i % 2] =
                    nn_requantize((int32_t)y[pixel] >> 2, (int32_t)stream[2 + i % 2], job->zero_point, -128, 127);
            }
        }
        stream += 4;
    }
}
#define NN_WINOGRAD(name, blocks, positions) \
    static void name(const uint32_t *stream, const struct nn_winograd *job) { nn_winograd(stream, job, (blocks)); }
#endif

/* NN_WINOGRAD_INPUT(name, channels) defines name(word *v, const int8_t *const rows[4], int offset): V of one tile, from its 4x4
 * pixels of `channels` (a multiple of 4, at most 64) side by side, `offset` bytes behind each of rows[], into every second word
 * from v. */
#if NN_HAS_DSP
#define NN_WINOGRAD_D(to, from, which, channels) \
    "ldr " to ", [" from ", #" #which "*" #channels "]\n\t" \
    "sxtb16 " to ", " to ", ror #\\ror\n\t"
/* The four differences and sums of a row of dB in turn: into d0 .. d3, each followed by what is done with it. */
#define NN_WINOGRAD_ROW(from, channels, d0, do0, d1, do1, d2, do2, d3, do3) \
    NN_WINOGRAD_D("r3", from, 0, channels) \
    NN_WINOGRAD_D("r12", from, 2, channels) \
    "ssub16 " d0 ", r3, r12\n\t" do0 \
    NN_WINOGRAD_D("r3", from, 1, channels) \
    "sadd16 " d1 ", r3, r12\n\t" do1 \
    "ssub16 " d2 ", r12, r3\n\t" do2 \
    NN_WINOGRAD_D("r12", from, 3, channels) \
    "ssub16 " d3 ", r3, r12\n\t" do3
#define NN_WINOGRAD_STORE(from, position, channels) \
    "str " from ", [r0, #4 * (" position ") * " #channels " + \\ror]\n\t"
#define NN_WINOGRAD_MIDDLE(a, b, column, channels) \
    "sadd16 r3, " a ", " b "\n\t" NN_WINOGRAD_STORE("r3", "4 + " #column, channels) \
    "ssub16 r3, " b ", " a "\n\t" NN_WINOGRAD_STORE("r3", "8 + " #column, channels)
#define NN_WINOGRAD_FIRST(b, column, channels) \
    "ssub16 lr, lr, " b "\n\t" NN_WINOGRAD_STORE("lr", #column, channels)
#define NN_WINOGRAD_LAST(a, column, channels) \
    "ssub16 lr, " a ", lr\n\t" NN_WINOGRAD_STORE("lr", "12 + " #column, channels)
#define NN_WINOGRAD_PAIR(channels) \
    "ldr lr, [sp, #8]\n\t" \
    "add lr, lr, r1\n\t" \
    NN_WINOGRAD_ROW("lr", channels, "r4", "", "r5", "", "r6", "", "r7", "") \
    "ldr lr, [sp, #12]\n\t" \
    "add lr, lr, r1\n\t" \
    NN_WINOGRAD_ROW("lr", channels, "r8", "", "r9", "", "r10", "", "r11", "") \
    NN_WINOGRAD_MIDDLE("r4", "r8", 0, channels) \
    NN_WINOGRAD_MIDDLE("r5", "r9", 1, channels) \
    NN_WINOGRAD_MIDDLE("r6", "r10", 2, channels) \
    NN_WINOGRAD_MIDDLE("r7", "r11", 3, channels) \
    "ldr r2, [sp, #4]\n\t" \
    "add r2, r2, r1\n\t" \
    NN_WINOGRAD_ROW("r2", channels, "lr", NN_WINOGRAD_FIRST("r8", 0, channels), \
                    "lr", NN_WINOGRAD_FIRST("r9", 1, channels), "lr", NN_WINOGRAD_FIRST("r10", 2, channels), \
                    "lr", NN_WINOGRAD_FIRST("r11", 3, channels)) \
    "ldr r8, [sp, #16]\n\t" \
    "add r8, r8, r1\n\t" \
    NN_WINOGRAD_ROW("r8", channels, "lr", NN_WINOGRAD_LAST("r4", 0, channels), \
                    "lr", NN_WINOGRAD_LAST("r5", 1, channels), "lr", NN_WINOGRAD_LAST("r6", 2, channels), \
                    "lr", NN_WINOGRAD_LAST("r7", 3, channels))
#define NN_WINOGRAD_INPUT(name, channels) \
    NN_NAKED void name(nn_word *v __attribute__((unused)), const int8_t *const rows[4] __attribute__((unused)), \
                       int offset __attribute__((unused))) { \
        __asm__ volatile("push {r4-r11, lr}\n\t" \
                         "ldmia.w r1, {r4-r7}\n\t" \
                         "mov r1, r2\n\t" \
                         "add r3, r2, #" #channels "\n\t" \
                         "push {r3-r7}\n" \
                         "1:\n\t" \
                         ".irp ror, 0, 8\n\t" \
                         NN_WINOGRAD_PAIR(channels) \
                         ".endr\n\t" \
                         "ldr r3, [sp]\n\t" \
                         "adds r0, r0, #16\n\t" \
                         "adds r1, r1, #4\n\t" \
                         "cmp r1, r3\n\t" \
                         "bne 1b\n\t" \
                         "add sp, sp, #20\n\t" \
                         "pop {r4-r11, pc}"); \
    }
#else
NN_INLINE void nn_winograd_input(nn_word *v, const int8_t *const rows[4], int offset, int channels) {
    static const int8_t factors[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}}; /* B' */
    for (int i = 0; i < 16 * channels; i++) {
        const int position = i / channels, c = i % channels;
        int32_t sum = 0;
        for (int pixel = 0; pixel < 16; pixel++) {
            const int32_t factor = factors[position / 4][pixel / 4] * factors[position % 4][pixel % 4];
            sum += factor * rows[pixel / 4][offset + pixel % 4 * channels + c];
        }
        ((int16_t *)(v + position * channels + c / 4 * 4 + c % 2 * 2))[c % 4 / 2] = (int16_t)sum;
    }
}
#define NN_WINOGRAD_INPUT(name, channels) \
    static void name(nn_word *v, const int8_t *const rows[4], int offset) { \
        nn_winograd_input(v, rows, offset, (channels)); \
    }
#endif

/* Winograd's F(4, 3) in integers, along the rows of an image: from six inputs d side by side, transformed as V = B'd, and three
 * weights g, transformed offline as U = 24 G g, come four outputs side by side: 24 times the accumulators are A'M, where M is
 * the sum of U * V over the kernel's rows and the input channels, for each of the six positions by itself. The sums may wrap:
 * a third of them is a product with the inverse of 3 modulo 2^32.
 *
 * NN_WINOGRAD_4(name, steps, blocks, channels) defines name(stream, job) for 4 * steps * blocks taps (steps: 1 or 2) and so many
 * output channels. It walks along two tiles of four outputs and two output channels at a time. The stream holds for each two
 * channels the weights of the positions in turn, in blocks as nn_dense_s16 takes them, then 24 times the biases, and the
 * multipliers. x holds both tiles' V in turn by position, each as nn_dense_s16 takes it, and NN_WINOGRAD_END. */
struct nn_winograd_4 {
    const int16_t *x;    /* aligned to 4 bytes */
    const uint32_t *end; /* of the stream */
    int8_t *y[2];        /* the first pixels of both tiles */
    int32_t zero_point;
    uint32_t third; /* NN_THIRD */
};
#define NN_THIRD 0xAAAAAAABu

#if NN_HAS_DSP
#define NN_WINOGRAD_4_AT(position) "[sp, #20 + 16 * (5 - " #position ") + 8 * \\tile]\n\t"
/* Sums to a0, a1, differences to s0, s1. */
#define NN_WINOGRAD_4_BUTTERFLY(a0, a1, s0, s1) \
    "add " a0 ", r0, r2\n\t" \
    "add " a1 ", r1, r3\n\t" \
    "sub " s0 ", r0, r2\n\t" \
    "sub " s1 ", r1, r3\n\t"
#define NN_WINOGRAD_4_PIXEL(a, b, at) \
    "mul " a ", " a ", r3\n\t" \
    "mul " b ", " b ", r3\n\t" \
    "asr " a ", " a ", #3\n\t" \
    "asr " b ", " b ", #3\n\t" \
    "smmlar " a ", " a ", r0, r2\n\t" \
    "smmlar " b ", " b ", r1, r2\n\t" \
    "ssat " a ", #8, " a "\n\t" \
    "ssat " b ", #8, " b "\n\t" \
    "bfi " a ", " b ", #8, #8\n\t" \
    "strh " a ", " at "\n\t"
#define NN_WINOGRAD_4_TILE(channels) \
    "ldrd r0, r1, " NN_WINOGRAD_4_AT(1) \
    "ldrd r2, r3, [sp, #4]\n\t" \
    "add r0, r0, r2\n\t" \
    "add r1, r1, r3\n\t" \
    "ldrd r2, r3, " NN_WINOGRAD_4_AT(2) \
    NN_WINOGRAD_4_BUTTERFLY("r4", "r5", "r6", "r7") \
    "ldrd r0, r1, " NN_WINOGRAD_4_AT(3) \
    "ldrd r2, r3, " NN_WINOGRAD_4_AT(4) \
    NN_WINOGRAD_4_BUTTERFLY("r8", "r9", "r0", "r1") \
    "ldrd r2, r3, " NN_WINOGRAD_4_AT(0) \
    "add r10, r4, r8, lsl #2\n\t" \
    "add r11, r5, r9, lsl #2\n\t" \
    "add r4, r4, r8\n\t" \
    "add r5, r5, r9\n\t" \
    "add r4, r4, r2\n\t" \
    "add r5, r5, r3\n\t" \
    "ldrd r2, r3, " NN_WINOGRAD_4_AT(5) \
    "add r8, r6, r0, lsl #1\n\t" \
    "add r9, r7, r1, lsl #1\n\t" \
    "add r6, r6, r0, lsl #3\n\t" \
    "add r7, r7, r1, lsl #3\n\t" \
    "add r6, r6, r2\n\t" \
    "add r7, r7, r3\n\t" \
    "ldrd r0, r1, [sp, #12]\n\t" \
    "ldrd r2, r3, [sp, #132]\n\t" \
    "ldr r12, [sp, #124 + 4 * \\tile]\n\t" \
    NN_WINOGRAD_4_PIXEL("r4", "r5", "[r12], #2") \
    NN_WINOGRAD_4_PIXEL("r8", "r9", "[r12, #" #channels " - 2]") \
    NN_WINOGRAD_4_PIXEL("r10", "r11", "[r12, #2 * " #channels " - 2]") \
    NN_WINOGRAD_4_PIXEL("r6", "r7", "[r12, #3 * " #channels " - 2]") \
    "str r12, [sp, #124 + 4 * \\tile]\n\t"

/* On the stack: the job; the M of the six positions, 16 bytes each, the last one first; stream, biases, multipliers. The
 * flag Z says that half of a position's blocks are still to come. */
#define NN_WINOGRAD_4(name, steps, blocks, channels) \
    NN_NAKED void name(const uint32_t *stream __attribute__((unused)), \
                       const struct nn_winograd_4 *job __attribute__((unused))) { \
        __asm__ volatile("push {r4-r11, lr}\n\t" \
                         "ldmia.w r1, {r1-r6}\n\t" \
                         "push {r1-r6}\n" \
                         "1:\n\t" \
                         "ldr r1, [sp]\n" \
                         "2:\n\t" \
                         ".if " #steps " == 2\n\t" \
                         "movs r10, #0\n\t" \
                         "mov r11, r10\n\t" \
                         "mov r12, r10\n\t" \
                         "mov lr, r10\n" \
                         "3:\n\t" \
                         ".rept " #blocks "\n\t" \
                         NN_BLOCK_S16 \
                         ".endr\n\t" \
                         "bne 4f\n\t" \
                         "cmp sp, #0\n\t" \
                         "b 3b\n" \
                         "4:\n\t" \
                         ".else\n\t" \
                         "ldmia.n r1!, {r2-r5}\n\t" \
                         "ldmia.w r0!, {r6-r9}\n\t" \
                         NN_TILE_2X2_FIRST("r2", "r3", "r6", "r7") \
                         NN_TILE_2X2("r4", "r5", "r8", "r9") \
                         ".rept " #blocks " - 1\n\t" \
                         NN_BLOCK_S16 \
                         ".endr\n\t" \
                         ".endif\n\t" \
                         "push {r10-r12, lr}\n\t" \
                         "ldr r2, [r1]\n\t" \
                         "cmp r2, #0x80008000\n\t" \
                         "bne 2b\n\t" \
                         "ldmia.n r0!, {r2-r5}\n\t" \
                         "push {r0, r2-r5}\n\t" \
                         ".irp tile, 0, 1\n\t" \
                         NN_WINOGRAD_4_TILE(channels) \
                         ".endr\n\t" \
                         "ldr r0, [sp]\n\t" \
                         "add sp, sp, #116\n\t" \
                         "ldr r2, [sp, #4]\n\t" \
                         "cmp r0, r2\n\t" \
                         "bne 1b\n\t" \
                         "add sp, sp, #24\n\t" \
                         "pop {r4-r11, pc}"); \
    }
#else
NN_INLINE void nn_winograd_4(const uint32_t *stream, const struct nn_winograd_4 *job, int blocks, int channels) {
    static const int8_t a[4][6] = {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};
    for (int channel = 0; stream != job->end; channel += 2) {
        const uint32_t *const bias = stream + 24 * blocks;
        uint32_t sums[16]; /* of each tile, channel and pixel */
        for (int i = 0; i < 16; i++) {
            sums[i] = bias[i / 4 % 2];
        }
        const int16_t *x = job->x;
        for (int position = 0; position < 6; position++) {
            int32_t acc[2][2] = {{0, 0}, {0, 0}};
            for (int block = 0; block < blocks; block++, x += 8, stream += 4) {
                nn_dense_block(acc, x, stream, false);
            }
            for (int i = 0; i < 16; i++) {
                sums[i] += (uint32_t)acc[i / 8][i / 4 % 2] * (uint32_t)a[i % 4][position];
            }
        }
        for (int i = 0; i < 16; i++) {
            const int32_t eightfold = (int32_t)(sums[i] * job->third);
            job->y[i / 8][i % 4 * channels + channel + i / 4 % 2] =
                nn_requantize(eightfold >> 3, (int32_t)stream[2 + i / 4 % 2], job->zero_point, -128, 127);
        }
        stream += 4;
    }
}
#define NN_WINOGRAD_4(name, steps, blocks, channels) \
    static void name(const uint32_t *stream, const struct nn_winograd_4 *job) { \
        nn_winograd_4(stream, job, (steps) * (blocks), (channels)); \
    }
#endif

/* NN_WINOGRAD_4_INPUT(name, channels, apart) defines name(word *v, const int8_t *from): V of six pixels of `channels` (a multiple
 * of 4) side by side, into every second word from v, the positions `apart` words apart. */
#if NN_HAS_DSP
#define NN_WINOGRAD_4_STORE(from, position, apart) "str " from ", [r0, #4 * " #position " * " #apart " + \\ror]\n\t"
#define NN_WINOGRAD_4_D(to, raw) "sxtb16 " to ", " raw ", ror #\\ror\n\t"
#define NN_FOUR_TIMES(to, x) "and " to ", r3, " x ", lsl #2\n\t"
/* Two channels of the pixels in r4 .. r9. */
#define NN_WINOGRAD_4_PAIR(apart) \
    NN_WINOGRAD_4_D("r10", "r6") \
    NN_WINOGRAD_4_D("r11", "r8") \
    "ssub16 r12, r11, r10\n\t" \
    NN_WINOGRAD_4_D("lr", "r4") \
    "ssub16 lr, lr, r10\n\t" \
    NN_FOUR_TIMES("lr", "lr") \
    "sadd16 lr, lr, r12\n\t" \
    NN_WINOGRAD_4_STORE("lr", 0, apart) \
    NN_FOUR_TIMES("r10", "r10") \
    "ssub16 r11, r11, r10\n\t" \
    NN_WINOGRAD_4_D("r10", "r5") \
    NN_WINOGRAD_4_D("lr", "r7") \
    "ssub16 r2, lr, r10\n\t" \
    NN_FOUR_TIMES("r10", "r10") \
    "ssub16 r10, lr, r10\n\t" \
    "sadd16 r1, r11, r10\n\t" \
    NN_WINOGRAD_4_STORE("r1", 1, apart) \
    "ssub16 r11, r11, r10\n\t" \
    NN_WINOGRAD_4_STORE("r11", 2, apart) \
    "sadd16 r2, r2, r2\n\t" \
    "sadd16 r1, r12, r2\n\t" \
    NN_WINOGRAD_4_STORE("r1", 3, apart) \
    "ssub16 r12, r12, r2\n\t" \
    NN_WINOGRAD_4_STORE("r12", 4, apart) \
    NN_WINOGRAD_4_D("r1", "r9") \
    "ssub16 r1, r1, r10\n\t" \
    NN_FOUR_TIMES("lr", "lr") \
    "ssub16 r1, r1, lr\n\t" \
    NN_WINOGRAD_4_STORE("r1", 5, apart)
/* On the stack: the next pixel, where it ends. */
#define NN_WINOGRAD_4_INPUT(name, channels, apart) \
    NN_NAKED void name(nn_word *v __attribute__((unused)), const int8_t *from __attribute__((unused))) { \
        __asm__ volatile("push {r4-r11, lr}\n\t" \
                         "add r2, r1, #" #channels "\n\t" \
                         "mvn r3, #0x00030003\n\t" \
                         "push {r1, r2}\n" \
                         "1:\n\t" \
                         "ldr r4, [r1]\n\t" \
                         "ldr r5, [r1, #" #channels "]\n\t" \
                         "ldr r6, [r1, #2 * " #channels "]\n\t" \
                         "ldr r7, [r1, #3 * " #channels "]\n\t" \
                         "ldr r8, [r1, #4 * " #channels "]\n\t" \
                         "ldr r9, [r1, #5 * " #channels "]\n\t" \
                         "adds r1, r1, #4\n\t" \
                         "str r1, [sp]\n\t" \
                         ".irp ror, 0, 8\n\t" \
                         NN_WINOGRAD_4_PAIR(apart) \
                         ".endr\n\t" \
                         "ldrd r1, r2, [sp]\n\t" \
                         "adds r0, r0, #16\n\t" \
                         "cmp r1, r2\n\t" \
                         "bne 1b\n\t" \
                         "add sp, sp, #8\n\t" \
                         "pop {r4-r11, pc}"); \
    }
#else
NN_INLINE void nn_winograd_4_input(nn_word *v, const int8_t *from, int channels, int apart) {
    static const int8_t b[6][6] = {{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                   {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
    for (int i = 0; i < 6 * channels; i++) {
        const int position = i / channels, c = i % channels;
        int32_t sum = 0;
        for (int pixel = 0; pixel < 6; pixel++) {
            sum += b[position][pixel] * from[pixel * channels + c];
        }
        ((int16_t *)(v + position * apart + c / 4 * 4 + c % 2 * 2))[c % 4 / 2] = (int16_t)sum;
    }
}
#define NN_WINOGRAD_4_INPUT(name, channels, apart) \
    static void name(nn_word *v, const int8_t *from) { nn_winograd_4_input(v, from, (channels), (apart)); }
#endif

/* A row of a tile: `left` words of value, `words` from elsewhere, `right` words of value. */
NN_INLINE void nn_pad_row(nn_word_at_1 *to, const int8_t *from, int left, int words, int right, uint32_t value) {
    const nn_word_at_1 *source = (const nn_word_at_1 *)from;
    while (left-- > 0) {
        *to++ = value;
    }
#pragma GCC unroll 4
    while (words-- > 0) {
        *to++ = *source++;
    }
    while (right-- > 0) {
        *to++ = value;
    }
}

/* Bounds of n bytes, for what saturates at -128 and 127 only. */
NN_INLINE void nn_bound(int8_t *y, int n, int32_t lo, int32_t hi) {
    for (int i = 0; i < n; i++) {
        y[i] = (int8_t)nn_clamp(y[i], lo, hi);
    }
}

#endif
