/* Helium (MVE, Cortex-M55 and M85): what the kernels for these cores are made of. Part of nn_port.h.
 *
 * A product is VMLADAV: 16 int8 by 16 int8 into one core register, of which only the even ones can take it. Tiles have
 * eight of them, so that six loads serve eight products; each tile is one block of assembly, since compilers spill. */
#ifndef NN_MVE_H
#define NN_MVE_H

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#define NN_HAS_MVE 1
#else
#define NN_HAS_MVE 0
#endif

enum { NN_MVE_LANES = 16 }; /* int8 in a vector */

/* Vectors of four int32 and of eight int16, and one function for each instruction on them. */
#if NN_HAS_MVE
typedef int32_t nn_q32 __attribute__((vector_size(16)));
typedef int16_t nn_q16 __attribute__((vector_size(16)));
typedef nn_q32 nn_q32_at_4 __attribute__((aligned(4), may_alias));
#else
typedef struct {
    int32_t lane[4];
} nn_q32;
typedef struct {
    int16_t lane[8];
} nn_q16;
#endif

/* Copies n int8; `to` lies before `from` or the two do not overlap. */
NN_INLINE void nn_mve_copy(int8_t *to, const int8_t *from, int n) {
#if NN_HAS_MVE
    __asm__ volatile("wlstp.8 lr, %[n], 2f\n"
                     "1:\n\t"
                     "vldrb.u8 q0, [%[from]], #16\n\t"
                     "vstrb.8 q0, [%[to]], #16\n\t"
                     "letp lr, 1b\n"
                     "2:"
                     : [to] "+r"(to), [from] "+r"(from)
                     : [n] "r"(n)
                     : "lr", "q0", "memory");
#else
    for (int i = 0; i < n; i++) {
        to[i] = from[i];
    }
#endif
}

/* Sets n int8. */
NN_INLINE void nn_mve_fill(int8_t *to, int8_t value, int n) {
#if NN_HAS_MVE
    __asm__ volatile("vdup.8 q0, %[value]\n\t"
                     "wlstp.8 lr, %[n], 2f\n"
                     "1:\n\t"
                     "vstrb.8 q0, [%[to]], #16\n\t"
                     "letp lr, 1b\n"
                     "2:"
                     : [to] "+r"(to)
                     : [value] "r"(value), [n] "r"(n)
                     : "lr", "q0", "memory");
#else
    for (int i = 0; i < n; i++) {
        to[i] = value;
    }
#endif
}

/* The tiles. nn_mve_dot_2x4(a, b, x0, x1, weights, steps): a[j], b[j] = sum of x0[k], x1[k] * weight k of channel j, over k
 * below 16 * steps, for four channels, where weights holds 16 of each channel in turn. nn_mve_dot_1x8(a, b, x, weights,
 * steps): one pixel and eight channels, a[j] the first four, b[j] the others. `steps` is a constant; both return the end of
 * the weights. */
#if NN_HAS_MVE
#define NN_MVE_2X4_CHANNEL(op, q, a0, a1) \
    "vldrb.u8 " q ", [%[w]], #16\n\t" op " " a0 ", q0, " q "\n\t" op " " a1 ", q1, " q "\n\t"
#define NN_MVE_2X4_STEP(op) \
    "vldrb.u8 q0, [%[x0]], #16\n\t" \
    "vldrb.u8 q1, [%[x1]], #16\n\t" \
    NN_MVE_2X4_CHANNEL(op, "q2", "r0", "r8") NN_MVE_2X4_CHANNEL(op, "q3", "r2", "r10") \
    NN_MVE_2X4_CHANNEL(op, "q2", "r4", "r12") NN_MVE_2X4_CHANNEL(op, "q3", "r6", "lr")
#define NN_MVE_1X8_CHANNEL(op, q, a) "vldrb.u8 " q ", [%[w]], #16\n\t" op " " a ", q0, " q "\n\t"
#define NN_MVE_1X8_STEP(op) \
    "vldrb.u8 q0, [%[x0]], #16\n\t" \
    NN_MVE_1X8_CHANNEL(op, "q1", "r0") NN_MVE_1X8_CHANNEL(op, "q2", "r2") NN_MVE_1X8_CHANNEL(op, "q1", "r4") \
    NN_MVE_1X8_CHANNEL(op, "q2", "r6") NN_MVE_1X8_CHANNEL(op, "q1", "r8") NN_MVE_1X8_CHANNEL(op, "q2", "r10") \
    NN_MVE_1X8_CHANNEL(op, "q1", "r12") NN_MVE_1X8_CHANNEL(op, "q2", "lr")
#define NN_MVE_LOOP(four) "1:\n\t" four "subs %[n], #1\n\tbne 1b\n\t"
#define NN_MVE_TILE(text) \
    __asm__ volatile(text "vmov %q[a][2], %q[a][0], r0, r4\n\tvmov %q[a][3], %q[a][1], r2, r6\n\t" \
                          "vmov %q[b][2], %q[b][0], r8, r12\n\tvmov %q[b][3], %q[b][1], r10, lr" \
                     : [a] "=&w"(*a), [b] "=&w"(*b), [x0] "+r"(x0), [x1] "+r"(x1), [w] "+r"(weights), [n] "+l"(n) \
                     : \
                     : "r0", "r2", "r4", "r6", "r8", "r10", "r12", "lr", "q0", "q1", "q2", "q3", "cc", "memory")
/* One step, then as many as are over, then the others four at a time. */
#define NN_MVE_STEPS(step) \
    do { \
        int n = (steps - 1) / 4; \
        switch ((steps - 1) % 4 + (n > 0 ? 4 : 0)) { \
            case 0: NN_MVE_TILE(step("vmladav.s8")); break; \
            case 1: NN_MVE_TILE(step("vmladav.s8") step(NN_MVE_ADD)); break; \
            case 2: NN_MVE_TILE(step("vmladav.s8") step(NN_MVE_ADD) step(NN_MVE_ADD)); break; \
            case 3: NN_MVE_TILE(step("vmladav.s8") step(NN_MVE_ADD) step(NN_MVE_ADD) step(NN_MVE_ADD)); break; \
            case 4: NN_MVE_TILE(step("vmladav.s8") NN_MVE_FOUR(step)); break; \
            case 5: NN_MVE_TILE(step("vmladav.s8") step(NN_MVE_ADD) NN_MVE_FOUR(step)); break; \
            case 6: NN_MVE_TILE(step("vmladav.s8") step(NN_MVE_ADD) step(NN_MVE_ADD) NN_MVE_FOUR(step)); break; \
            default: \
                NN_MVE_TILE(step("vmladav.s8") step(NN_MVE_ADD) step(NN_MVE_ADD) step(NN_MVE_ADD) NN_MVE_FOUR(step)); \
        } \
    } while (0)
#define NN_MVE_ADD "vmladava.s8"
#define NN_MVE_FOUR(step) NN_MVE_LOOP(step(NN_MVE_ADD) step(NN_MVE_ADD) step(NN_MVE_ADD) step(NN_MVE_ADD))
#else
NN_INLINE void nn_mve_dot(int32_t *sum, const int8_t *x, const int8_t *weights, int channels, int channel, int steps) {
    *sum = 0;
    for (int k = 0; k < steps * NN_MVE_LANES; k++) {
        *sum += x[k] * weights[(k / NN_MVE_LANES * channels + channel) * NN_MVE_LANES + k % NN_MVE_LANES];
    }
}
#endif

NN_INLINE const int8_t *nn_mve_dot_2x4(nn_q32 *a, nn_q32 *b, const int8_t *x0, const int8_t *x1, const int8_t *weights,
                                       int steps) {
#if NN_HAS_MVE
    NN_MVE_STEPS(NN_MVE_2X4_STEP);
    return weights;
#else
    for (int j = 0; j < 4; j++) {
        nn_mve_dot(a->lane + j, x0, weights, 4, j, steps);
        nn_mve_dot(b->lane + j, x1, weights, 4, j, steps);
    }
    return weights + steps * 4 * NN_MVE_LANES;
#endif
}

NN_INLINE const int8_t *nn_mve_dot_1x8(nn_q32 *a, nn_q32 *b, const int8_t *x0, const int8_t *weights, int steps) {
#if NN_HAS_MVE
    const int8_t *x1 = x0; /* not used */
    NN_MVE_STEPS(NN_MVE_1X8_STEP);
    return weights;
#else
    for (int j = 0; j < 4; j++) {
        nn_mve_dot(a->lane + j, x0, weights, 8, j, steps);
        nn_mve_dot(b->lane + j, x0, weights, 8, j + 4, steps);
    }
    return weights + steps * 8 * NN_MVE_LANES;
#endif
}

/* Four words of an array. */
NN_INLINE nn_q32 nn_mve_load(const int32_t *from) {
#if NN_HAS_MVE
    return *(const nn_q32_at_4 *)from;
#else
    return (nn_q32){{from[0], from[1], from[2], from[3]}};
#endif
}

NN_INLINE nn_q32 nn_mve_add(nn_q32 a, nn_q32 b) {
#if NN_HAS_MVE
    return a + b;
#else
    for (int i = 0; i < 4; i++) {
        a.lane[i] += b.lane[i];
    }
    return a;
#endif
}

/* Each lane of a times 2^n of the same lane. */
NN_INLINE nn_q32 nn_mve_shift_left(nn_q32 a, nn_q32 n) {
#if NN_HAS_MVE
    __asm__("vshl.s32 %q0, %q0, %q1" : "+w"(a) : "w"(n));
#else
    for (int i = 0; i < 4; i++) {
        a.lane[i] = nn_shift_left(a.lane[i], (uint32_t)n.lane[i]);
    }
#endif
    return a;
}

/* floor((a * b * 2 + 2^31) / 2^32): a requantization where b is half the multiplier. */
NN_INLINE nn_q32 nn_mve_scale(nn_q32 a, nn_q32 b) {
#if NN_HAS_MVE
    __asm__("vqrdmulh.s32 %q0, %q0, %q1" : "+w"(a) : "w"(b));
#else
    for (int i = 0; i < 4; i++) {
        a.lane[i] = (int32_t)(((int64_t)a.lane[i] * b.lane[i] * 2 + ((int64_t)1 << 31)) >> 32);
    }
#endif
    return a;
}

/* Saturated to int16: a[0], b[0], a[1], b[1], .. */
NN_INLINE nn_q16 nn_mve_narrow(nn_q32 a, nn_q32 b) {
    nn_q16 q;
#if NN_HAS_MVE
    __asm__("vqmovnb.s32 %q0, %q1\n\tvqmovnt.s32 %q0, %q2" : "=&w"(q) : "w"(a), "w"(b));
#else
    for (int i = 0; i < 8; i++) {
        q.lane[i] = (int16_t)nn_clamp(i % 2 ? b.lane[i / 2] : a.lane[i / 2], INT16_MIN, INT16_MAX);
    }
#endif
    return q;
}

/* clamp(q + zero_point, lo, hi); the bounds, within int8, are constants. */
NN_INLINE nn_q16 nn_mve_clamp(nn_q16 q, int32_t zero_point, int32_t lo, int32_t hi) {
#if NN_HAS_MVE
    __asm__("vqadd.s16 %q0, %q0, %1" : "+w"(q) : "r"(zero_point));
    if (lo == -128 && hi == 127) {
        __asm__("vqmovnb.s16 %q0, %q0" : "+w"(q)); /* the low bytes are the result, the others stay */
    } else {
        nn_q16 low, high;
        __asm__("vdup.16 %q0, %1" : "=w"(low) : "r"(lo));
        __asm__("vdup.16 %q0, %1" : "=w"(high) : "r"(hi));
        __asm__("vmax.s16 %q0, %q0, %q1\n\tvmin.s16 %q0, %q0, %q2" : "+w"(q) : "w"(low), "w"(high));
    }
#else
    for (int i = 0; i < 8; i++) {
        q.lane[i] = (int16_t)nn_clamp(q.lane[i] + zero_point, lo, hi);
    }
#endif
    return q;
}

/* Requantizes a[0..3], b[0..3] and puts them in turn. The constants are four biases, four multipliers' halves and, where
 * `shifts` (a constant) says so, four shifts; a's lie at `of_a`, b's at `of_b`. */
NN_INLINE nn_q16 nn_mve_requantize(nn_q32 a, nn_q32 b, const int32_t *of_a, const int32_t *of_b, bool shifts,
                                   int32_t zero_point, int32_t lo, int32_t hi) {
    a = nn_mve_add(a, nn_mve_load(of_a));
    b = nn_mve_add(b, nn_mve_load(of_b));
    if (shifts) {
        a = nn_mve_shift_left(a, nn_mve_load(of_a + 8));
        b = nn_mve_shift_left(b, nn_mve_load(of_b + 8));
    }
    a = nn_mve_scale(a, nn_mve_load(of_a + 4));
    b = nn_mve_scale(b, nn_mve_load(of_b + 4));
    return nn_mve_clamp(nn_mve_narrow(a, b), zero_point, lo, hi);
}

/* Stores the low bytes of all eight lanes. */
NN_INLINE void nn_mve_store(int8_t *to, nn_q16 q) {
#if NN_HAS_MVE
    __asm__ volatile("vstrb.16 %q1, [%0]" : : "l"(to), "w"(q) : "memory");
#else
    for (int i = 0; i < 8; i++) {
        to[i] = (int8_t)q.lane[i];
    }
#endif
}

/* Stores the low bytes of the even lanes at one place, of the odd ones at another. */
NN_INLINE void nn_mve_store_apart(int8_t *even, int8_t *odd, nn_q16 q) {
#if NN_HAS_MVE
    __asm__ volatile("vstrb.32 %q0, [%1]\n\tvshr.u32 %q0, %q0, #16\n\tvstrb.32 %q0, [%2]"
                     : "+w"(q)
                     : "l"(even), "l"(odd)
                     : "memory");
#else
    for (int i = 0; i < 4; i++) {
        even[i] = (int8_t)q.lane[2 * i];
        odd[i] = (int8_t)q.lane[2 * i + 1];
    }
#endif
}

#endif
