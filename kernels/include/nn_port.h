/* What generated kernels need from the compiler and the core: alignment, sections, hooks, and the few instructions
 * that C cannot name. Every instruction has a twin in plain C, bit for bit the same, so that kernels written for a DSP
 * core also run (and are checked by sanitizers) on a PC. */
#ifndef NN_PORT_H
#define NN_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__GNUC__)
#error "nn_port.h needs GCC or Clang"
#endif

#define NN_ALIGNED(n) __attribute__((aligned(n)))
#define NN_INLINE static inline __attribute__((always_inline, unused))

/* For kernels that need much of the stack, which inlined they would take as long as <model>_run lasts, and for what has no
 * registers left in its caller. Where rows stream the generator puts it before every kernel. */
#define NN_NOINLINE __attribute__((noinline, unused))

/* Put in front of every array of weights, so that a linker script can place them. */
#if !defined(NN_WEIGHTS) && defined(__ELF__)
#define NN_WEIGHTS __attribute__((section(".rodata.nn_weights")))
#elif !defined(NN_WEIGHTS)
#define NN_WEIGHTS
#endif

/* NN_TRACE: a row of a layer's output is ready. NN_PROFILE: a layer begins, or (layer = their count) the last is done. */
#if defined(NN_TRACE_ROWS)
void nn_trace(uint32_t tensor, uint32_t row, const void *data, uint32_t bytes);
#define NN_TRACE(tensor, row, data, bytes) nn_trace((tensor), (row), (data), (bytes))
#else
#define NN_TRACE(tensor, row, data, bytes) ((void)0)
#endif
#if defined(NN_PROFILE_LAYERS)
void nn_profile(uint32_t layer);
#define NN_PROFILE(layer) nn_profile(layer)
#else
#define NN_PROFILE(layer) ((void)0)
#endif

/* cppcheck-suppress shiftNegativeLHS */
_Static_assert((-5 >> 1) == -3, "kernels need an arithmetic right shift of negative values");
_Static_assert((int8_t)0x80 == -128, "kernels need two's complement conversions");
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "kernels that load words of int8 or int16 need a little-endian core"
#endif

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_SIMD32) && __ARM_ARCH >= 7
#define NN_HAS_DSP 1
#else
#define NN_HAS_DSP 0
#endif

/* acc * 2^shift; the graph's certificate says that it does not overflow. */
NN_INLINE int32_t nn_shift_left(int32_t acc, uint32_t shift) { return (int32_t)((uint32_t)acc << shift); }

NN_INLINE int32_t nn_clamp(int32_t value, int32_t lo, int32_t hi) {
    return value < lo ? lo : value > hi ? hi : value;
}

#include "nn_thumb.h"

/* clamp(zero_point + floor((acc * multiplier + 2^31) / 2^32), lo, hi): one rounding, half up. */
NN_INLINE int8_t nn_requantize(int32_t acc, int32_t multiplier, int32_t zero_point, int32_t lo, int32_t hi) {
    int32_t value;
#if NN_HAS_DSP
    __asm__("smmlar %0, %1, %2, %3" : "=r"(value) : "r"(acc), "r"(multiplier), "r"(zero_point));
    if (lo == -128 && hi == 127) {
        __asm__("ssat %0, #8, %1" : "=r"(value) : "r"(value));
        return (int8_t)value;
    }
#elif NN_HAS_THUMB1
    value = zero_point + nn_scale_by_halves(acc, multiplier);
#else
    const int64_t product = (int64_t)acc * multiplier;
    value = zero_point + (int32_t)(product >> 32) + (int32_t)((uint32_t)product >> 31); /* half up */
#endif
    return (int8_t)nn_clamp(value, lo, hi);
}

/* How many of so many ascending thresholds a value reaches. */
NN_INLINE int32_t nn_count_reached(int32_t acc, const int32_t *thresholds, int32_t count) {
    int32_t reached = 0;
    while (count > 0) {
        const int32_t half = count >> 1;
        if (acc >= thresholds[reached + half]) {
            reached += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return reached;
}

/* Eight codes of so many bits (1 to 4) as a word, the first in the lowest bits. */
NN_INLINE uint32_t nn_codes(const uint8_t *packed, int32_t bits) {
    uint32_t word = packed[0];
    if (bits > 1) {
        word |= (uint32_t)packed[1] << 8;
    }
    if (bits > 2) {
        word |= (uint32_t)packed[2] << 16;
    }
    if (bits > 3) {
        word |= (uint32_t)packed[3] << 24;
    }
    return word;
}

/* Value number i of those from here on that have so many bits (8, 4 or 2) each, the first in a byte's lowest bits. */
NN_INLINE int32_t nn_packed(const int8_t *x, int32_t i, int32_t bits) {
    const uint32_t bit = (uint32_t)(i * bits);
    return bits == 8 ? x[i] : (int32_t)((uint32_t)(uint8_t)x[bit / 8] >> bit % 8 & ((1U << bits) - 1));
}

/* Stores value number i: in ascending order, since the first of a byte clears the others. */
NN_INLINE void nn_pack(int8_t *y, int32_t i, int32_t value, int32_t bits) {
    const uint32_t bit = (uint32_t)(i * bits), others = bit % 8 == 0 ? 0 : (uint8_t)y[bit / 8];
    y[bit / 8] = (int8_t)(others | (uint32_t)value << bit % 8);
}

/* n values of 4 or 2 bits each as int8, counted from `low` on. */
NN_INLINE void nn_unpack(int8_t *to, const int8_t *from, int32_t n, int32_t bits, int32_t low) {
    const int32_t each = 8 / bits;
    const uint32_t mask = (1U << bits) - 1;
    for (; n >= each; n -= each) {
        uint32_t byte = (uint8_t)*from++;
#pragma GCC unroll 4
        for (int32_t i = 0; i < each; i++, byte >>= bits) {
            *to++ = (int8_t)(low + (int32_t)(byte & mask));
        }
    }
    for (int32_t i = 0; i < n; i++) {
        *to++ = (int8_t)(low + nn_packed(from, i, bits));
    }
}

/* Words of packed int8 or int16 inside arrays of another type, at addresses that are a multiple of 4, 2 or 1 bytes. */
typedef uint32_t __attribute__((may_alias)) nn_word;
typedef uint32_t __attribute__((may_alias, aligned(2))) nn_word_at_2;
typedef uint32_t __attribute__((may_alias, aligned(1))) nn_word_at_1;

#include "nn_dsp.h"
#include "nn_dsp_dense.h"
#include "nn_dsp_widen.h"
#include "nn_dsp_depthwise.h"
#include "nn_dsp_depthwise_rows.h"
#include "nn_dsp_winograd.h"
#include "nn_dsp_winograd_row.h"
#include "nn_dsp_stripes.h"
#include "nn_mve.h"
#include "nn_riscv.h"

#endif
