/* Armv6-M (Cortex-M0, M0+; also Armv8-M Baseline): what the kernels for these cores are made of. Part of nn_port.h. */
#ifndef NN_THUMB_H
#define NN_THUMB_H

#if defined(__thumb__) && !defined(__thumb2__)
#define NN_HAS_THUMB1 1
#else
#define NN_HAS_THUMB1 0
#endif

enum { NN_THUMB_STEP = 8 };

/* floor((acc * multiplier + 2^31) / 2^32) by products of 16 bits, for cores that multiply into 32 bits only. No sum of them
 * overflows, and the last shift leaves the half that rounds in the carry. */
NN_INLINE int32_t nn_scale_by_halves(int32_t acc, int32_t multiplier) {
#if NN_HAS_THUMB1
    int32_t high, factor, low;
    __asm__(".syntax unified; "
            "asrs %[factor], %[m], #16; uxth %[m], %[m]; asrs %[high], %[acc], #16; uxth %[acc], %[acc]; "
            "movs %[low], %[acc]; muls %[low], %[m]; muls %[acc], %[factor]; muls %[m], %[high]; muls %[high], %[factor]; "
            "lsrs %[low], %[low], #16; adds %[m], %[m], %[low]; uxth %[low], %[m]; adds %[acc], %[acc], %[low]; "
            "asrs %[m], %[m], #16; adds %[high], %[high], %[m]; asrs %[acc], %[acc], #16; adcs %[high], %[acc]"
            : [high] "=&l"(high), [factor] "=&l"(factor), [low] "=&l"(low), [acc] "+l"(acc), [m] "+l"(multiplier)
            :
            : "cc");
    return high;
#else
    const int32_t high = acc >> 16, factor = multiplier >> 16;
    const uint32_t low = (uint16_t)acc, rest = (uint16_t)multiplier;
    const int32_t middle = high * (int32_t)rest + (int32_t)(low * rest >> 16); /* weighs 2^16 as the next */
    const int32_t other = (int32_t)low * factor + (uint16_t)middle;
    return high * factor + (middle >> 16) + (other >> 16) + (other >> 15 & 1);
#endif
}

/* acc[j] += the sum of x[k] * weights[4 * k + j] over k below n, modulo 2^32, for four channels: x is widened to int32 and n a multiple of
 * 8, so that one LDM fetches two values, and the weights, unsigned, lie within reach of LDRB. Returns the end of the weights.
 * The sums are in high registers, which only ADD can reach; one block, since compilers spill. */
NN_INLINE const uint8_t *nn_thumb_sums(int32_t acc[4], const int32_t *x, const uint8_t *weights, int n) {
#if NN_HAS_THUMB1
    register int32_t a0 __asm__("r8") = acc[0];
    register int32_t a1 __asm__("r9") = acc[1];
    register int32_t a2 __asm__("r10") = acc[2];
    register int32_t a3 __asm__("r11") = acc[3];
    const int32_t *const end = x + n;
#define NN_THUMB_VALUE(x, w0, w1, w2, w3) \
    "ldrb r6, [%[w], #" w0 "]; muls r6, " x "; add r8, r6; ldrb r6, [%[w], #" w1 "]; muls r6, " x "; add r9, r6; " \
    "ldrb r6, [%[w], #" w2 "]; muls r6, " x "; add r10, r6; ldrb r6, [%[w], #" w3 "]; muls r6, " x "; add r11, r6; "
    __asm__(".syntax unified; 1: "
            "ldmia %[x]!, {r4, r5}; " NN_THUMB_VALUE("r4", "0", "1", "2", "3") NN_THUMB_VALUE("r5", "4", "5", "6", "7")
            "ldmia %[x]!, {r4, r5}; " NN_THUMB_VALUE("r4", "8", "9", "10", "11") NN_THUMB_VALUE("r5", "12", "13", "14", "15")
            "ldmia %[x]!, {r4, r5}; " NN_THUMB_VALUE("r4", "16", "17", "18", "19") NN_THUMB_VALUE("r5", "20", "21", "22", "23")
            "ldmia %[x]!, {r4, r5}; " NN_THUMB_VALUE("r4", "24", "25", "26", "27") NN_THUMB_VALUE("r5", "28", "29", "30", "31")
            "adds %[w], #32; cmp %[x], %[end]; bne 1b"
            : [x] "+l"(x), [w] "+l"(weights), "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3)
            : [end] "r"(end)
            : "r4", "r5", "r6", "cc", "memory");
#undef NN_THUMB_VALUE
    acc[0] = a0;
    acc[1] = a1;
    acc[2] = a2;
    acc[3] = a3;
#else
    for (int k = 0; k < n; k++, weights += 4) {
        for (int j = 0; j < 4; j++) {
            acc[j] = (int32_t)((uint32_t)acc[j] + (uint32_t)(x[k] * weights[j]));
        }
    }
#endif
    return weights;
}

#endif
