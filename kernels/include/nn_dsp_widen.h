/* int8 as int16, in the orders in which the inner loops of nn_dsp_dense.h take them. Part of nn_port.h. */
#ifndef NN_DSP_WIDEN_H
#define NN_DSP_WIDEN_H

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

#endif
