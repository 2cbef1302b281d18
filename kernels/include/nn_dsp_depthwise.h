/* Depthwise convolutions on Armv7E-M, four channels or one at a time. Part of nn_port.h. */
#ifndef NN_DSP_DEPTHWISE_H
#define NN_DSP_DEPTHWISE_H

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

#endif
