/* Dense layers on Armv7E-M: the inner loops of convolutions and fully connected layers. Part of nn_port.h. */
#ifndef NN_DSP_DENSE_H
#define NN_DSP_DENSE_H

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

#endif
