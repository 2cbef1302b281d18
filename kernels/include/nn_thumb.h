/* Armv6-M (Cortex-M0, M0+; also Armv8-M Baseline): what the kernels for these cores are made of. Part of nn_port.h. */
#ifndef NN_THUMB_H
#define NN_THUMB_H

#if defined(__thumb__) && !defined(__thumb2__)
#define NN_HAS_THUMB1 1
#else
#define NN_HAS_THUMB1 0
#endif

enum { NN_THUMB_STEP = 8 };

/* high = floor((acc * (factor * 2^16 + rest) + 2^31) / 2^32) by products of 16 bits, in low registers; only factor keeps its value. No
 * sum overflows, and the last shift leaves the half that rounds in the carry. */
#define NN_THUMB_SCALE(high, acc, factor, rest, low) \
    "asrs " high ", " acc ", #16; uxth " acc ", " acc "; movs " low ", " acc "; " \
    "muls " low ", " rest "; muls " acc ", " factor "; muls " rest ", " high "; muls " high ", " factor "; " \
    "lsrs " low ", " low ", #16; adds " rest ", " rest ", " low "; uxth " low ", " rest "; adds " acc ", " acc ", " low "; " \
    "asrs " rest ", " rest ", #16; adds " high ", " high ", " rest "; asrs " acc ", " acc ", #16; adcs " high ", " acc "; "

/* Add the zero point and keep within lo and hi, each plus 128, which makes them constants that instructions hold. */
#define NN_THUMB_BOUND(high) \
    "adds " high ", %[zero_point]; cmp " high ", %[hi]; ble 2f; movs " high ", %[hi]; 2: cmp " high ", %[lo]; bge 3f; " \
    "movs " high ", %[lo]; 3: subs " high ", #128; "

/* floor((acc * multiplier + 2^31) / 2^32), for cores that multiply into 32 bits only. */
NN_INLINE int32_t nn_scale_by_halves(int32_t acc, int32_t multiplier) {
#if NN_HAS_THUMB1
    int32_t high, factor, low;
    __asm__(".syntax unified; "
            "asrs %[factor], %[m], #16; uxth %[m], %[m]; "
            NN_THUMB_SCALE("%[high]", "%[acc]", "%[factor]", "%[m]", "%[low]")
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

/* *y = acc requantized by *multiplier, as nn_requantize, whose bounds are constants. */
NN_INLINE void nn_thumb_requantize(int8_t *y, int32_t acc, const int32_t *multiplier, int zero_point, int lo, int hi) {
#if NN_HAS_THUMB1 && defined(__OPTIMIZE__) /* the block's constants */
    int32_t high, factor, low, rest;
    __asm__(".syntax unified; "
            "ldr %[rest], %[multiplier]; asrs %[factor], %[rest], #16; uxth %[rest], %[rest]; "
            NN_THUMB_SCALE("%[high]", "%[acc]", "%[factor]", "%[rest]", "%[low]")
            NN_THUMB_BOUND("%[high]") "strb %[high], %[y]"
            : [high] "=&l"(high), [factor] "=&l"(factor), [low] "=&l"(low), [rest] "=&l"(rest), [acc] "+l"(acc), [y] "=m"(*y)
            : [multiplier] "m"(*multiplier), [zero_point] "i"(zero_point + 128), [lo] "i"(lo + 128), [hi] "i"(hi + 128)
            : "cc");
#else
    *y = (int8_t)nn_clamp(zero_point + nn_scale_by_halves(acc, *multiplier), lo, hi);
#endif
}

/* What one channel of a depthwise 3x3 convolution is made of, in the order in which LDM fetches it. */
struct nn_thumb_channel {
    int32_t weights[9], bias, factor, rest; /* the multiplier is factor * 2^16 + rest */
    uint32_t shift;
};

/* A row of n outputs (y, apart bytes from one to the next) of a depthwise 3x3 convolution of one channel, from three rows of its plane
 * (values plus 128, pitch bytes from row to row, below 256), step bytes from window to window. The row's three weights wait in low
 * registers, which alone can be multiplied. */
NN_INLINE void nn_thumb_depthwise_3x3(int8_t *y, int apart, const uint8_t *plane, int pitch, int step, int n,
                                      const struct nn_thumb_channel *channel, bool shifted, int zero_point, int lo, int hi) {
#if NN_HAS_THUMB1 && defined(__OPTIMIZE__) /* the block's constants */
    register int8_t *out __asm__("r10") = y;
    register int between __asm__("r11") = apart;
    register const int8_t *end __asm__("r12") = y + n * apart;
    const void *constants = channel;
#define NN_THUMB_TAP(at, w) "ldrb r5, [%[plane], #" at "]; muls r5, " w "; adds r6, r5; "
    __asm__ volatile(".syntax unified; 1: "
                     "ldmia %[k]!, {r2, r3, r4}; ldrb r6, [%[plane], #0]; muls r6, r2; "
                     NN_THUMB_TAP("1", "r3") NN_THUMB_TAP("2", "r4")
                     "adds %[plane], %[pitch]; ldmia %[k]!, {r2, r3, r4}; "
                     NN_THUMB_TAP("0", "r2") NN_THUMB_TAP("1", "r3") NN_THUMB_TAP("2", "r4")
                     "adds %[plane], %[pitch]; ldmia %[k]!, {r2, r3, r4}; "
                     NN_THUMB_TAP("0", "r2") NN_THUMB_TAP("1", "r3") NN_THUMB_TAP("2", "r4")
                     "subs %[plane], %[pitch]; subs %[plane], %[back]; "
                     ".if %c[shifted]; ldmia %[k]!, {r2, r3, r4, r5}; adds r6, r2; lsls r6, r5; subs %[k], #52; "
                     ".else; ldmia %[k]!, {r2, r3, r4}; adds r6, r2; subs %[k], #48; .endif; "
                     NN_THUMB_SCALE("r5", "r6", "r3", "r4", "r2") NN_THUMB_BOUND("r5")
                     "mov r2, r10; strb r5, [r2]; add r10, r11; cmp r10, r12; bne 1b"
                     : [plane] "+l"(plane), [k] "+l"(constants), "+r"(out)
                     : "r"(between), "r"(end), [pitch] "i"(pitch), [back] "i"(pitch - step), [shifted] "i"(shifted),
                       [zero_point] "i"(zero_point + 128), [lo] "i"(lo + 128), [hi] "i"(hi + 128)
                     : "r2", "r3", "r4", "r5", "r6", "cc", "memory");
#undef NN_THUMB_TAP
#else
    for (int8_t *const end = y + n * apart; y < end; y += apart, plane += step) {
        int32_t acc = channel->bias;
        for (int tap = 0; tap < 9; tap++) {
            acc += plane[tap / 3 * pitch + tap % 3] * channel->weights[tap];
        }
        acc = nn_shift_left(acc, shifted ? channel->shift : 0);
        const int32_t scaled = nn_scale_by_halves(acc, channel->factor * 65536 + channel->rest);
        *y = (int8_t)nn_clamp(zero_point + scaled, lo, hi);
    }
#endif
}

#endif
