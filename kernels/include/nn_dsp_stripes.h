/* Convolutions on Armv7E-M that skip vectors of weights which are zero. Part of nn_port.h. */
#ifndef NN_DSP_STRIPES_H
#define NN_DSP_STRIPES_H

/* Four pixels and one filter at a time. x holds the four pixels' taps as int16, by turns word by word: taps (k, k+1) of pixel 0,
 * 1, 2 and 3, then (k+2, k+3) of pixel 0 and so on, as nn_widen_four makes them.
 *
 * The stream of constants holds for each filter how far from a tile's x its first vector is in bytes, its bias four times, then
 * its vectors: each its weights, then how far behind its end the next one begins, NN_STRIPES_END behind the last one (and
 * instead of the first distance where a filter has none); then its multiplier. Weights are int16 in the order of x, or int8,
 * four to a word, taps k, k+2, k+1, k+3 in x's order. nn_stripes_s16_N is for vectors of N weights. */
struct nn_stripes {
    const int16_t *x; /* of the first tile, aligned to 4 bytes */
    int8_t *y;        /* the outputs of pixel 0, all channels side by side; the next tile's follow on them */
    int32_t to[3];    /* bytes from there to those of pixels 1, 2, 3 */
    int32_t zero_point;
    const uint32_t *end; /* of the stream */
    int32_t tiles;
    int32_t step; /* bytes from a tile's x to the next one's */
};
#define NN_STRIPES_END 0xFFFFFFFFu

#if NN_HAS_DSP
#define NN_STRIPES_PAIR(w) \
    "ldmia.w r1!, {r6-r9}\n\t" \
    "smlad r10, r6, " w ", r10\n\t" \
    "smlad r11, r7, " w ", r11\n\t" \
    "smlad r12, r8, " w ", r12\n\t" \
    "smlad lr, r9, " w ", lr\n\t"
#define NN_STRIPES_EIGHT_S16 \
    "ldmia.n r0!, {r2-r5}\n\t" \
    NN_STRIPES_PAIR("r2") NN_STRIPES_PAIR("r3") NN_STRIPES_PAIR("r4") NN_STRIPES_PAIR("r5")
#define NN_STRIPES_FOUR_S16 \
    "ldmia.n r0!, {r2, r3}\n\t" \
    NN_STRIPES_PAIR("r2") NN_STRIPES_PAIR("r3")
#define NN_STRIPES_EIGHT_S8 \
    "ldmia.n r0!, {r2, r4}\n\t" \
    "sxtb16 r3, r2, ror #8\n\t" \
    "sxtb16 r2, r2\n\t" \
    "sxtb16 r5, r4, ror #8\n\t" \
    "sxtb16 r4, r4\n\t" \
    NN_STRIPES_PAIR("r2") NN_STRIPES_PAIR("r3") NN_STRIPES_PAIR("r4") NN_STRIPES_PAIR("r5")
#define NN_STRIPES_FOUR_S8 \
    "ldr r2, [r0], #4\n\t" \
    "sxtb16 r3, r2, ror #8\n\t" \
    "sxtb16 r2, r2\n\t" \
    NN_STRIPES_PAIR("r2") NN_STRIPES_PAIR("r3")

/* On the stack: x, y, to, zero_point, end, tiles, step, stream. A distance to the next vector that is negative carries. */
#define NN_STRIPES(eights, eight, fours, four) \
    "push {r4-r11, lr}\n\t" \
    "ldmia.w r1, {r1-r9}\n\t" \
    "mov r10, r0\n\t" \
    "push {r1-r10}\n" \
    "1:\n\t" \
    "ldmia.w r0!, {r2, r10-r12, lr}\n\t" \
    "adds r1, r1, r2\n\t" \
    "bcs 3f\n" \
    "2:\n\t" \
    ".rept " #eights "\n\t" \
    eight \
    ".endr\n\t" \
    ".rept " #fours "\n\t" \
    four \
    ".endr\n\t" \
    "ldr r2, [r0], #4\n\t" \
    "adds r1, r1, r2\n\t" \
    "bcc 2b\n" \
    "3:\n\t" \
    "ldmia.w sp, {r1-r7}\n\t" \
    "ldr r8, [r0], #4\n\t" \
    "smmlar r10, r10, r8, r6\n\t" \
    "smmlar r11, r11, r8, r6\n\t" \
    "smmlar r12, r12, r8, r6\n\t" \
    "smmlar lr, lr, r8, r6\n\t" \
    "ssat r10, #8, r10\n\t" \
    "ssat r11, #8, r11\n\t" \
    "ssat r12, #8, r12\n\t" \
    "ssat lr, #8, lr\n\t" \
    "strb r11, [r2, r3]\n\t" \
    "strb r12, [r2, r4]\n\t" \
    "strb lr, [r2, r5]\n\t" \
    "strb r10, [r2], #1\n\t" \
    "str r2, [sp, #4]\n\t" \
    "cmp r0, r7\n\t" \
    "bne 1b\n\t" \
    "add r8, sp, #28\n\t" \
    "ldmia.w r8, {r2-r4}\n\t" \
    "mov r0, r4\n\t" \
    "add r1, r1, r3\n\t" \
    "str r1, [sp]\n\t" \
    "subs r2, r2, #1\n\t" \
    "str r2, [sp, #28]\n\t" \
    "bne 1b\n\t" \
    "add sp, sp, #40\n\t" \
    "pop {r4-r11, pc}"

#define NN_STRIPES_FUNCTION(name, n, s8, code) \
    NN_NAKED void name(const uint32_t *stream __attribute__((unused)), \
                       const struct nn_stripes *job __attribute__((unused))) { \
        __asm__ volatile(code); \
    }
#else
/* A vector of n weights; where its words end. */
NN_INLINE const uint32_t *nn_stripes_vector(int32_t acc[4], const int16_t *x, const uint32_t *word, int n, bool s8) {
    for (int i = 0; i < n / 2; i++, x += 8) {
        const uint32_t w = !s8 ? word[i] : i % 2 == 0 ? nn_sxtb16(word[i / 2]) : nn_sxtb16_ror8(word[i / 2]);
        for (int p = 0; p < 4; p++) {
            acc[p] = nn_smlad(((const nn_word *)x)[p], w, acc[p]);
        }
    }
    return word + (s8 ? n / 4 : n / 2);
}

NN_INLINE void nn_stripes_tiles(const uint32_t *stream, const struct nn_stripes *job, int n, bool s8) {
    int8_t *y = job->y;
    for (int tile = 0; tile < job->tiles; tile++) {
        for (const uint32_t *word = stream; word != job->end; y++) {
            const int16_t *x = job->x + tile * job->step / 2;
            const int32_t bias = (int32_t)word[1];
            int32_t acc[4] = {bias, bias, bias, bias};
            uint32_t distance = *word;
            for (word += 5; distance != NN_STRIPES_END; distance = *word++) {
                x += distance / 2;
                word = nn_stripes_vector(acc, x, word, n, s8);
                x += n * 4;
            }
            for (int p = 0; p < 4; p++) {
                y[p > 0 ? job->to[p - 1] : 0] = nn_requantize(acc[p], (int32_t)*word, job->zero_point, -128, 127);
            }
            word++;
        }
    }
}
#define NN_STRIPES_FUNCTION(name, n, s8, code) \
    __attribute__((unused)) static void name(const uint32_t *stream, const struct nn_stripes *job) { \
        nn_stripes_tiles(stream, job, n, s8); \
    }
#endif

NN_STRIPES_FUNCTION(nn_stripes_s16_4, 4, false, NN_STRIPES(0, NN_STRIPES_EIGHT_S16, 1, NN_STRIPES_FOUR_S16))
NN_STRIPES_FUNCTION(nn_stripes_s16_8, 8, false, NN_STRIPES(1, NN_STRIPES_EIGHT_S16, 0, NN_STRIPES_FOUR_S16))
NN_STRIPES_FUNCTION(nn_stripes_s16_16, 16, false, NN_STRIPES(2, NN_STRIPES_EIGHT_S16, 0, NN_STRIPES_FOUR_S16))
NN_STRIPES_FUNCTION(nn_stripes_s16_32, 32, false, NN_STRIPES(4, NN_STRIPES_EIGHT_S16, 0, NN_STRIPES_FOUR_S16))
NN_STRIPES_FUNCTION(nn_stripes_s16_64, 64, false, NN_STRIPES(8, NN_STRIPES_EIGHT_S16, 0, NN_STRIPES_FOUR_S16))
NN_STRIPES_FUNCTION(nn_stripes_s8_4, 4, true, NN_STRIPES(0, NN_STRIPES_EIGHT_S8, 1, NN_STRIPES_FOUR_S8))
NN_STRIPES_FUNCTION(nn_stripes_s8_8, 8, true, NN_STRIPES(1, NN_STRIPES_EIGHT_S8, 0, NN_STRIPES_FOUR_S8))
NN_STRIPES_FUNCTION(nn_stripes_s8_16, 16, true, NN_STRIPES(2, NN_STRIPES_EIGHT_S8, 0, NN_STRIPES_FOUR_S8))
NN_STRIPES_FUNCTION(nn_stripes_s8_32, 32, true, NN_STRIPES(4, NN_STRIPES_EIGHT_S8, 0, NN_STRIPES_FOUR_S8))
NN_STRIPES_FUNCTION(nn_stripes_s8_64, 64, true, NN_STRIPES(8, NN_STRIPES_EIGHT_S8, 0, NN_STRIPES_FOUR_S8))

/* Four pixels of 4 * quads int8 each, by turns word by word, of each four values the words (0, 2) and (1, 3); then on by `skip`
 * bytes, all of it `columns` times. */
#if NN_HAS_DSP
NN_NAKED void nn_widen_four(int16_t *to __attribute__((unused)), const int8_t *const x[4] __attribute__((unused)),
                            int quads __attribute__((unused)), int columns __attribute__((unused)),
                            int skip __attribute__((unused))) {
    __asm__ volatile("push {r4-r11, lr}\n\t"
                     "ldr r4, [sp, #36]\n\t"
                     "push {r2-r4}\n\t"
                     "ldmia.w r1, {r9-r12}\n"
                     "1:\n\t"
                     "ldr lr, [sp]\n"
                     "2:\n\t"
                     "ldr r5, [r9], #4\n\t"
                     "ldr r6, [r10], #4\n\t"
                     "ldr r7, [r11], #4\n\t"
                     "ldr r8, [r12], #4\n\t"
                     "sxtb16 r1, r5\n\t"
                     "sxtb16 r2, r6\n\t"
                     "sxtb16 r3, r7\n\t"
                     "sxtb16 r4, r8\n\t"
                     "sxtb16 r5, r5, ror #8\n\t"
                     "sxtb16 r6, r6, ror #8\n\t"
                     "sxtb16 r7, r7, ror #8\n\t"
                     "sxtb16 r8, r8, ror #8\n\t"
                     "stmia.w r0!, {r1-r8}\n\t"
                     "subs lr, lr, #1\n\t"
                     "bne 2b\n\t"
                     "ldrd r1, r2, [sp, #4]\n\t"
                     "add r0, r0, r2\n\t"
                     "subs r1, r1, #1\n\t"
                     "str r1, [sp, #4]\n\t"
                     "bne 1b\n\t"
                     "add sp, sp, #12\n\t"
                     "pop {r4-r11, pc}");
}
#else
__attribute__((unused)) static void nn_widen_four(int16_t *to, const int8_t *const x[4], int quads, int columns, int skip) {
    for (int column = 0; column < columns; column++, to += skip / 2) {
        for (int i = 0; i < quads * 4; i++, to += i % 4 == 0 ? 16 : 0) {
            for (int p = 0; p < 4; p++) { /* 0, 2, 1, 3 */
                to[i % 4 / 2 + i % 2 * 8 + p * 2] = x[p][column * quads * 4 + i];
            }
        }
    }
}
#endif

#endif
