/* Convolutions on Armv7E-M that skip vectors of weights which are zero. Part of nn_port.h. */
#ifndef NN_DSP_STRIPES_H
#define NN_DSP_STRIPES_H

/* Four pixels and one filter at a time. x holds the four pixels' taps as int16, by turns word by word: taps (k, k+1) of pixel 0,
 * 1, 2 and 3, then (k+2, k+3) of pixel 0 and so on, as NN_WIDEN_FOUR's functions make them.
 *
 * The stream of constants holds for each filter how far from a tile's x its first vector is in bytes, its bias four times, then
 * its vectors: each its weights, then how far behind its end the next one begins, NN_STRIPES_END behind the last one (and
 * instead of the first distance where a filter has none); then its multiplier and with `shifted` the left shift of its sums, or
 * its thresholds with the sign bit inverted.
 *
 * NN_STRIPES(name, n, skips, bits, odd, up, shifted, levels) defines name(stream, job) for vectors of n weights, a multiple of 4
 * and of 32 / `bits`, that take 16, 8, 4, 2 or 1 bits: int16 in the order of x, or from the highest bits of each byte of a word on
 * down, four to a word at a time, in the order k, k+2, k+1, k+3 of x. With `odd` a number c means 2c + 1. Sums are 2^`up` times
 * as large as with the weights themselves, `up` = 8 - bits - odd or 0 for int16: so are biases and thresholds. Where `skips` is
 * 0, no vector is left out and the stream holds no distances. All but the name are plain numbers. */
struct nn_stripes {
    const int16_t *x; /* of the first tile, aligned to 4 bytes */
    int8_t *y;        /* the outputs of pixel 0, all channels side by side; the next tile's follow on them */
    int32_t to[3];    /* bytes from there to those of pixels 1, 2, 3 */
    int32_t offset;   /* the zero point; with `levels` what is put out where no threshold is reached */
    const uint32_t *end; /* of the stream */
    int32_t tiles;
    int32_t step; /* bytes from a tile's x to the next one's */
    const int16_t *x_end; /* of the first tile's x, used where nothing is skipped */
};
#define NN_STRIPES_END 0xFFFFFFFFu

#if NN_HAS_DSP
#define NN_STRIPES_PAIR(w) \
    "ldmia.w r1!, {r6-r9}\n\t" \
    "smlad r10, r6, " w ", r10\n\t" \
    "smlad r11, r7, " w ", r11\n\t" \
    "smlad r12, r8, " w ", r12\n\t" \
    "smlad lr, r9, " w ", lr\n\t"
#define NN_STRIPES_S16(n) \
    ".rept " #n " / 8\n\t" \
    "ldmia.n r0!, {r2-r5}\n\t" \
    NN_STRIPES_PAIR("r2") NN_STRIPES_PAIR("r3") NN_STRIPES_PAIR("r4") NN_STRIPES_PAIR("r5") \
    ".endr\n\t" \
    ".rept " #n " % 8 / 4\n\t" \
    "ldmia.n r0!, {r2, r3}\n\t" \
    NN_STRIPES_PAIR("r2") NN_STRIPES_PAIR("r3") \
    ".endr\n\t"
#define NN_STRIPES_FOUR(bits, odd) \
    ".if " #bits " < 8\n\t" \
    "and r3, r5, #0x01010101 * (0x100 - (0x100 >> " #bits "))\n\t" \
    ".if " #odd "\n\t" \
    "orr r3, r3, #0x01010101 * (0x80 >> " #bits ")\n\t" \
    ".endif\n\t" \
    "sxtb16 r2, r3\n\t" \
    "sxtb16 r3, r3, ror #8\n\t" \
    ".else\n\t" \
    "sxtb16 r2, r5\n\t" \
    "sxtb16 r3, r5, ror #8\n\t" \
    ".endif\n\t" \
    NN_STRIPES_PAIR("r2") NN_STRIPES_PAIR("r3")
#define NN_STRIPES_NARROW(n, bits, odd) \
    ".rept " #n " * " #bits " / 32\n\t" \
    "ldr r5, [r0], #4\n\t" \
    ".rept 8 / " #bits " - 1\n\t" \
    NN_STRIPES_FOUR(bits, odd) \
    "lsl r5, r5, #" #bits "\n\t" \
    ".endr\n\t" \
    NN_STRIPES_FOUR(bits, odd) \
    ".endr\n\t"
#define NN_STRIPES_REQUANTIZED(up, shifted) \
    "ldr r8, [r0], #4\n\t" \
    ".if " #up "\n\t" \
    "asr r10, r10, #" #up "\n\t" \
    "asr r11, r11, #" #up "\n\t" \
    "asr r12, r12, #" #up "\n\t" \
    "asr lr, lr, #" #up "\n\t" \
    ".endif\n\t" \
    ".if " #shifted "\n\t" \
    "ldr r9, [r0], #4\n\t" \
    "lsl r10, r10, r9\n\t" \
    "lsl r11, r11, r9\n\t" \
    "lsl r12, r12, r9\n\t" \
    "lsl lr, lr, r9\n\t" \
    ".endif\n\t" \
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
    "strb r10, [r2], #1\n\t"
/* Carry: the sum reaches the threshold. */
#define NN_STRIPES_REACHED \
    "cmp r10, r8\n\t" \
    "adc r6, r6, #0\n\t" \
    "cmp r11, r8\n\t" \
    "adc r3, r3, #0\n\t" \
    "cmp r12, r8\n\t" \
    "adc r4, r4, #0\n\t" \
    "cmp lr, r8\n\t" \
    "adc r5, r5, #0\n\t"
#define NN_STRIPES_COUNTED(levels) \
    "eor r10, r10, #0x80000000\n\t" \
    "eor r11, r11, #0x80000000\n\t" \
    "eor r12, r12, #0x80000000\n\t" \
    "eor lr, lr, #0x80000000\n\t" \
    "mov r3, r6\n\t" \
    "mov r4, r6\n\t" \
    "mov r5, r6\n\t" \
    ".rept " #levels " - 1\n\t" \
    "ldr r8, [r0], #4\n\t" \
    NN_STRIPES_REACHED \
    ".endr\n\t" \
    "ldrd r8, r9, [sp, #8]\n\t" \
    "strb r3, [r2, r8]\n\t" \
    "strb r4, [r2, r9]\n\t" \
    "ldr r8, [sp, #16]\n\t" \
    "strb r5, [r2, r8]\n\t" \
    "strb r6, [r2], #1\n\t"

/* On the stack: x, y, to, offset, end, tiles, step, x_end, stream. A distance to the next vector that is negative carries. */
#define NN_STRIPES(name, n, skips, bits, odd, up, shifted, levels) \
    NN_NAKED void name(const uint32_t *stream __attribute__((unused)), \
                       const struct nn_stripes *job __attribute__((unused))) { \
        __asm__ volatile("push {r4-r11, lr}\n\t" \
                         "ldmia.w r1, {r1-r10}\n\t" \
                         "mov r11, r0\n\t" \
                         "push {r1-r11}\n" \
                         "1:\n\t" \
                         ".if " #skips "\n\t" \
                         "ldmia.w r0!, {r2, r10-r12, lr}\n\t" \
                         "adds r1, r1, r2\n\t" \
                         "bcs 3f\n\t" \
                         ".else\n\t" \
                         "ldmia.w r0!, {r10-r12, lr}\n\t" \
                         ".endif\n" \
                         "2:\n\t" \
                         ".if " #bits " == 16\n\t" \
                         NN_STRIPES_S16(n) \
                         ".else\n\t" \
                         NN_STRIPES_NARROW(n, bits, odd) \
                         ".endif\n\t" \
                         ".if " #skips "\n\t" \
                         "ldr r2, [r0], #4\n\t" \
                         "adds r1, r1, r2\n\t" \
                         "bcc 2b\n\t" \
                         ".else\n\t" \
                         "ldr r2, [sp, #36]\n\t" \
                         "cmp r1, r2\n\t" \
                         "bne 2b\n\t" \
                         ".endif\n" \
                         "3:\n\t" \
                         "ldmia.w sp, {r1-r7}\n\t" \
                         ".if " #levels "\n\t" \
                         NN_STRIPES_COUNTED(levels) \
                         ".else\n\t" \
                         NN_STRIPES_REQUANTIZED(up, shifted) \
                         ".endif\n\t" \
                         "str r2, [sp, #4]\n\t" \
                         "cmp r0, r7\n\t" \
                         "bne 1b\n\t" \
                         "add r8, sp, #28\n\t" \
                         "ldmia.w r8, {r2-r5}\n\t" \
                         "mov r0, r5\n\t" \
                         "add r1, r1, r3\n\t" \
                         "str r1, [sp]\n\t" \
                         "add r4, r4, r3\n\t" \
                         "str r4, [sp, #36]\n\t" \
                         "subs r2, r2, #1\n\t" \
                         "str r2, [sp, #28]\n\t" \
                         "bne 1b\n\t" \
                         "add sp, sp, #44\n\t" \
                         "pop {r4-r11, pc}"); \
    }
#else
/* Weights 2i and 2i + 1 of a vector, in the order of x. */
NN_INLINE uint32_t nn_stripes_pair(const uint32_t *words, int i, int bits, bool odd) {
    if (bits == 16) {
        return words[i];
    }
    const int set = i / 2, sets = 8 / bits;
    uint32_t four = words[set / sets] << (set % sets * bits) & 0x01010101u * (0x100u - (0x100u >> bits));
    four |= odd ? 0x01010101u * (0x80u >> bits) : 0;
    return i % 2 == 0 ? nn_sxtb16(four) : nn_sxtb16_ror8(four);
}

/* The sums of a filter whose part of the stream begins at `word`; what follows on its vectors. `x_end`: NULL where some are
 * left out. */
NN_INLINE const uint32_t *nn_stripes_filter(int32_t acc[4], const uint32_t *word, const int16_t *x, const int16_t *x_end, int n,
                                            int bits, bool odd) {
    uint32_t distance = x_end == NULL ? *word++ : 0;
    for (int p = 0; p < 4; p++) {
        acc[p] = (int32_t)*word++;
    }
    while (distance != NN_STRIPES_END) {
        x += distance / 2;
        for (int i = 0; i < n / 2; i++, x += 8) {
            const uint32_t w = nn_stripes_pair(word, i, bits, odd);
            for (int p = 0; p < 4; p++) {
                acc[p] = nn_smlad(((const nn_word *)x)[p], w, acc[p]);
            }
        }
        word += n * bits / 32;
        distance = x_end == NULL ? *word++ : x == x_end ? NN_STRIPES_END : 0;
    }
    return word;
}

#define NN_STRIPES(name, n, skips, bits, odd, up, shifted, levels) \
    static void name(const uint32_t *stream, const struct nn_stripes *job) { \
        int8_t *y = job->y; \
        for (int tile = 0; tile < job->tiles; tile++) { \
            for (const uint32_t *word = stream; word != job->end; y++) { \
                int32_t acc[4]; \
                word = nn_stripes_filter(acc, word, job->x + tile * job->step / 2, \
                                         (skips) ? NULL : job->x_end + tile * job->step / 2, n, bits, (odd) == 1); \
                const uint32_t left = (shifted) ? word[1] : 0; \
                for (int p = 0; p < 4; p++) { \
                    int32_t value = job->offset; \
                    for (int i = 0; i < (levels) - 1; i++) { \
                        value += acc[p] >= (int32_t)(word[i] ^ 0x80000000u) ? 1 : 0; \
                    } \
                    y[p > 0 ? job->to[p - 1] : 0] = \
                        (levels) > 0 ? (int8_t)value \
                                     : nn_requantize((int32_t)((uint32_t)(acc[p] >> (up)) << left), (int32_t)*word, \
                                                     job->offset, -128, 127); \
                } \
                word += (levels) > 0 ? (levels) - 1 : 1 + (shifted); \
            } \
        } \
    }
#endif

/* NN_WIDEN_FOUR(name, some, tail) defines name(to, x, quads, columns, skip): four pixels of 4 * quads + tail int8 each, by turns
 * word by word, of each four values the words (0, 2) and (1, 3), the last four filled up with zeros; then on by `skip` bytes,
 * all of it `columns` times. `tail`: 0 to 3; `some`: 0 where there are no quads, else 1; both plain numbers. */
#if NN_HAS_DSP
#define NN_WIDEN_BYTES(a, b, c, d) \
    "ldrsb " a ", [r9], #1\n\t" \
    "ldrsb " b ", [r10], #1\n\t" \
    "ldrsb " c ", [r11], #1\n\t" \
    "ldrsb " d ", [r12], #1\n\t"
#define NN_WIDEN_LOW(a, b, c, d) \
    "uxth " a ", " a "\n\t" \
    "uxth " b ", " b "\n\t" \
    "uxth " c ", " c "\n\t" \
    "uxth " d ", " d "\n\t"
#define NN_WIDEN_HIGH(to, from) \
    "ldrsb lr, [" from "], #1\n\t" \
    "pkhbt " to ", " to ", lr, lsl #16\n\t"
#define NN_WIDEN_TAIL(tail) \
    NN_WIDEN_BYTES("r1", "r2", "r3", "r4") \
    ".if " #tail " == 1\n\t" \
    "movs r5, #0\n\t" \
    "movs r6, #0\n\t" \
    "movs r7, #0\n\t" \
    "mov r8, r7\n\t" \
    ".else\n\t" \
    NN_WIDEN_BYTES("r5", "r6", "r7", "r8") \
    NN_WIDEN_LOW("r5", "r6", "r7", "r8") \
    ".endif\n\t" \
    ".if " #tail " == 3\n\t" \
    NN_WIDEN_HIGH("r1", "r9") NN_WIDEN_HIGH("r2", "r10") NN_WIDEN_HIGH("r3", "r11") NN_WIDEN_HIGH("r4", "r12") \
    ".else\n\t" \
    NN_WIDEN_LOW("r1", "r2", "r3", "r4") \
    ".endif\n\t" \
    "stmia.w r0!, {r1-r8}\n\t"
#define NN_WIDEN_FOUR(name, some, tail) \
    NN_NAKED void name(int16_t *to __attribute__((unused)), const int8_t *const x[4] __attribute__((unused)), \
                       int quads __attribute__((unused)), int columns __attribute__((unused)), \
                       int skip __attribute__((unused))) { \
        __asm__ volatile("push {r4-r11, lr}\n\t" \
                         "ldr r4, [sp, #36]\n\t" \
                         "push {r2-r4}\n\t" \
                         "ldmia.w r1, {r9-r12}\n" \
                         "1:\n\t" \
                         ".if " #some "\n\t" \
                         "ldr lr, [sp]\n" \
                         "2:\n\t" \
                         "ldr r5, [r9], #4\n\t" \
                         "ldr r6, [r10], #4\n\t" \
                         "ldr r7, [r11], #4\n\t" \
                         "ldr r8, [r12], #4\n\t" \
                         "sxtb16 r1, r5\n\t" \
                         "sxtb16 r2, r6\n\t" \
                         "sxtb16 r3, r7\n\t" \
                         "sxtb16 r4, r8\n\t" \
                         "sxtb16 r5, r5, ror #8\n\t" \
                         "sxtb16 r6, r6, ror #8\n\t" \
                         "sxtb16 r7, r7, ror #8\n\t" \
                         "sxtb16 r8, r8, ror #8\n\t" \
                         "stmia.w r0!, {r1-r8}\n\t" \
                         "subs lr, lr, #1\n\t" \
                         "bne 2b\n\t" \
                         ".endif\n\t" \
                         ".if " #tail "\n\t" \
                         NN_WIDEN_TAIL(tail) \
                         ".endif\n\t" \
                         "ldrd r1, r2, [sp, #4]\n\t" \
                         "add r0, r0, r2\n\t" \
                         "subs r1, r1, #1\n\t" \
                         "str r1, [sp, #4]\n\t" \
                         "bne 1b\n\t" \
                         "add sp, sp, #12\n\t" \
                         "pop {r4-r11, pc}"); \
    }
#else
NN_INLINE void nn_widen_fours(int16_t *to, const int8_t *const x[4], int channels, int columns, int skip) {
    for (int column = 0; column < columns; column++, to += skip / 2) {
        for (int c = 0; c < (channels + 3) / 4 * 4; c++, to += c % 4 == 0 ? 16 : 0) {
            for (int p = 0; p < 4; p++) { /* 0, 2, 1, 3 */
                to[c % 4 / 2 + c % 2 * 8 + p * 2] = c < channels ? x[p][column * channels + c] : 0;
            }
        }
    }
}
#define NN_WIDEN_FOUR(name, some, tail) \
    static void name(int16_t *to, const int8_t *const x[4], int quads, int columns, int skip) { \
        nn_widen_fours(to, x, 4 * quads + (tail), columns, skip); \
    }
#endif

#endif
