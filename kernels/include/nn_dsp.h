/* The instructions of Armv7E-M (Cortex-M4, M7, M33) that work on pairs of int16. The files nn_dsp_*.h hold what the kernels
 * for these cores are made of. Part of nn_port.h, as they are. */
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

/* Functions that are all assembly. */
#if NN_HAS_DSP
#define NN_NAKED __attribute__((naked, noinline, unused)) static
#define NN_TEXT(x) #x
#define NN_TEXT_OF(x) NN_TEXT(x)
#endif

/* Bounds of n bytes, for what saturates at -128 and 127 only. */
NN_INLINE void nn_bound(int8_t *y, int n, int32_t lo, int32_t hi) {
    for (int i = 0; i < n; i++) {
        y[i] = (int8_t)nn_clamp(y[i], lo, hi);
    }
}

#endif
