/* Helium (MVE, Cortex-M55 and M85): what the kernels for these cores are made of. Part of nn_port.h.
 *
 * A product is VMLADAV: 16 int8 by 16 int8 into one core register, of which only the even ones can take it. Tiles have
 * eight of them, so that six loads serve eight products. A tile is one block of assembly, since compilers spill. */
#ifndef NN_MVE_H
#define NN_MVE_H

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1) && defined(__OPTIMIZE__) /* the blocks' constants */
#define NN_HAS_MVE 1
#if !defined(__clang__) && __GNUC__ < 13
#pragma GCC optimize("no-tree-vectorize") /* gcc 12 makes a constant of a predicate that its assembler refuses */
#endif
typedef int8_t nn_q8 __attribute__((vector_size(16)));
typedef int16_t nn_q16 __attribute__((vector_size(16)));
typedef int32_t nn_q32 __attribute__((vector_size(16)));
typedef nn_q8 nn_q8_at_1 __attribute__((aligned(1), may_alias));
#else
#define NN_HAS_MVE 0
#endif

enum { NN_MVE_LANES = 16 }; /* int8 in a vector */

/* Copies 16 int8. */
NN_INLINE void nn_mve_copy_vector(int8_t *to, const int8_t *from) {
#if NN_HAS_MVE
    *(nn_q8_at_1 *)to = *(const nn_q8_at_1 *)from;
#else
    for (int i = 0; i < NN_MVE_LANES; i++) {
        to[i] = from[i];
    }
#endif
}

/* Copies 16 int8 and moves on behind them. */
NN_INLINE void nn_mve_copy_next(int8_t **to, const int8_t **from) {
#if NN_HAS_MVE
    __asm__ volatile("vldrb.u8 q0, [%[from]], #16; vstrb.8 q0, [%[to]], #16"
                     : [to] "+r"(*to), [from] "+r"(*from)
                     :
                     : "q0", "memory");
#else
    nn_mve_copy_vector(*to, *from);
    *to += NN_MVE_LANES;
    *from += NN_MVE_LANES;
#endif
}

/* Copies n int8; the two do not overlap. */
NN_INLINE void nn_mve_copy(int8_t *to, const int8_t *from, int n) {
    if (__builtin_constant_p(n) && n >= NN_MVE_LANES && n <= 16 * NN_MVE_LANES) {
#pragma GCC unroll 16
        for (int i = 0; i + NN_MVE_LANES <= n; i += NN_MVE_LANES) {
            nn_mve_copy_vector(to + i, from + i);
        }
        if (n % NN_MVE_LANES != 0) {
            nn_mve_copy_vector(to + n - NN_MVE_LANES, from + n - NN_MVE_LANES);
        }
        return;
    }
#if NN_HAS_MVE
    __asm__ volatile("wlstp.8 lr, %[n], 2f\n"
                     "1:\n\t"
                     "vldrb.u8 q0, [%[from]], #16\n\t"
                     "vstrb.8 q0, [%[to]], #16\n\t"
                     "letp lr, 1b\n"
                     "2:"
                     : [to] "+l"(to), [from] "+l"(from)
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
                     : [to] "+l"(to)
                     : [value] "r"(value), [n] "r"(n)
                     : "lr", "q0", "memory");
#else
    for (int i = 0; i < n; i++) {
        to[i] = value;
    }
#endif
}

/* clamp(zero_point + floor((acc * half * 2 + 2^31) / 2^32), lo, hi): what the vectors below do to each lane. */
NN_INLINE int8_t nn_mve_requantize(int32_t acc, int32_t half, int32_t zero_point, int32_t lo, int32_t hi) {
    const int32_t scaled = (int32_t)(((int64_t)acc * half * 2 + ((int64_t)1 << 31)) >> 32);
    return (int8_t)nn_clamp(nn_clamp(scaled, INT16_MIN, INT16_MAX) + zero_point, lo, hi);
}

/* Two pixels, at x and at x + apart, with 4 * blocks channels each, or (nn_mve_outputs_1) one pixel with 8 * blocks: y = the
 * requantized sums of 16 * steps products. The words of a block: for each step 16 weights of channel after channel, then four
 * biases, four halves of multipliers and, where `shifts` says so, four left shifts; a block of eight has these constants for
 * its even channels, then for its odd ones, and its weights in that order too. `apart`, `steps`, `shifts`, `lo` and `hi` are
 * constants, for two pixels `zero_point` too; x and `apart` are multiples of 4 there. Returns the next block. */
enum { NN_MVE_UNROLLED = 9 }; /* steps of two pixels that need no loop: apart and 16 * (steps - 1) together are at most 508 */

#if NN_HAS_MVE
/* The even registers are accumulators; operands live in odd ones, without r7, which may be the frame pointer. */
#define NN_MVE_IF(condition, text) ".if " condition "; " text ".endif; "
#define NN_MVE_TWO(op, near, far, q, a0, a1) \
    "vldrb.u8 " q ",[%[w]],#16;" op " " a0 "," near "," q ";" op " " a1 "," far "," q ";"
#define NN_MVE_PRODUCTS_2(op, near, far) \
    NN_MVE_TWO(op, near, far, "q2", "r0", "r8") NN_MVE_TWO(op, near, far, "q3", "r2", "r10") \
    NN_MVE_TWO(op, near, far, "q2", "r4", "r12") NN_MVE_TWO(op, near, far, "q3", "r6", "lr")
#define NN_MVE_STEP_2(op, near, far) \
    "vldrw.u32 q0, " near "; vldrw.u32 q1, " far "; " NN_MVE_PRODUCTS_2(op, "q0", "q1")
#define NN_MVE_AT_2(k) NN_MVE_STEP_2("vmladava.s8", "[%[x], #" #k "]", "[%[x], #%c[apart] + " #k "]")
#define NN_MVE_STEP_AT_2(step, k) NN_MVE_IF("%c[steps] > " #step, NN_MVE_AT_2(k))
#define NN_MVE_NEXT_2(op) NN_MVE_STEP_2(op, "[%[x]], #16", "[%[far]], #16")

#define NN_MVE_ONE(op, q, a) "vldrb.u8 " q ",[%[w]],#16;" op " " a ",q0," q ";"
#define NN_MVE_STEP_1(op, at) \
    "vldrb.u8 q0, " at "; " \
    NN_MVE_ONE(op, "q2", "r0") NN_MVE_ONE(op, "q3", "r2") NN_MVE_ONE(op, "q2", "r4") NN_MVE_ONE(op, "q3", "r6") \
    NN_MVE_ONE(op, "q2", "r8") NN_MVE_ONE(op, "q3", "r10") NN_MVE_ONE(op, "q2", "r12") NN_MVE_ONE(op, "q3", "lr")
#define NN_MVE_NEXT_1(op) NN_MVE_STEP_1(op, "[%[x]], #16")

/* One step, then those over, then four at a time; both loops count in the same register. */
#define NN_MVE_LOOP(next) \
    "vmov s28, %[n]; " \
    "movw %[n], #(%c[steps] - 1) / 4; " next("vmladav.s8") \
    NN_MVE_IF("((%c[steps] - 1) & 3) > 0", next("vmladava.s8")) \
    NN_MVE_IF("((%c[steps] - 1) & 3) > 1", next("vmladava.s8")) \
    NN_MVE_IF("((%c[steps] - 1) & 3) > 2", next("vmladava.s8")) \
    ".if %c[steps] > 4;" \
    "2: " next("vmladava.s8") next("vmladava.s8") next("vmladava.s8") next("vmladava.s8") \
    "subs %[n], #1; " \
    "bne 2b; " \
    ".endif; " \
    "vmov %[n], s28; "
#define NN_MVE_SUMS \
    "vmov q0[2], q0[0], r0, r4; " \
    "vmov q0[3], q0[1], r2, r6; " \
    "vmov q1[2], q1[0], r8, r12; " \
    "vmov q1[3], q1[1], r10, lr; "
#define NN_MVE_BACK "movw r0, #16 * %c[steps]; sub %[x], r0; "
#define NN_MVE_SCALE_2 \
    "vldrw.u32 q3, [%[w]],#16; " \
    "vldrw.u32 q2, [%[w]],#16; " \
    "vadd.i32 q0, q0, q3; " \
    "vadd.i32 q1, q1, q3; " \
    ".if %c[shifts]; " \
    "vldrw.u32 q3, [%[w]],#16; " \
    "vshl.s32 q0, q0, q3; " \
    "vshl.s32 q1, q1, q3; " \
    ".endif; " \
    "vqrdmulh.s32 q0, q0, q2; " \
    "vqrdmulh.s32 q1, q1, q2; "
#define NN_MVE_SCALE_1(q) \
    "vldrw.u32 q3, [%[w]],#16; " \
    "vldrw.u32 q2, [%[w]],#16; " \
    "vadd.i32 " q ", " q ", q3; " \
    ".if %c[shifts]; " \
    "vldrw.u32 q3, [%[w]],#16; " \
    "vshl.s32 " q ", " q ", q3; " \
    ".endif; " \
    "vqrdmulh.s32 " q ", " q ", q2; "
/* q0, q1 of int32 -> q0 of eight results in int16, q0[0], q1[0], q0[1], .. */
#define NN_MVE_RESULTS \
    "vqmovnb.s32 q0, q0; " \
    "vqmovnt.s32 q0, q1; " \
    "vqadd.s16 q0, q0, %q[zero_point]; " \
    ".if %c[lo] == -128 && %c[hi] == 127; " \
    "vqmovnb.s16 q0, q0; " \
    ".else; " \
    "vmax.s16 q0, q0, %q[low]; " \
    "vmin.s16 q0, q0, %q[high]; " \
    ".endif; "
#define NN_MVE_STORE_2 \
    "vstrb.32 q0, [%[y0]], #4; " \
    "vshr.u32 q0, q0, #16; " \
    "vstrb.32 q0, [%[y1]], #4; " \
    "subs %[n], #1; " \
    "bne 1b"
/* A constant from -128 to 127. */
#define NN_MVE_SMALL(register, value) \
    ".if " value " < 0; mvn " register ", #~(" value "); .else; mov " register ", #" value "; .endif; "
#define NN_MVE_OPERANDS \
    [steps] "i"(steps), [shifts] "i"(shifts), [lo] "i"(lo), [hi] "i"(hi), [zero_point] "w"(nn_mve_duplicate(zero_point)), \
        [low] "w"(nn_mve_duplicate(lo)), [high] "w"(nn_mve_duplicate(hi))
#define NN_MVE_CLOBBERS \
    "r2", "r4", "r6", "r8", "r10", "r12", "lr", "q0", "q1", "q2", "q3", "s28", "s29", "cc", "memory"
NN_INLINE nn_q16 nn_mve_duplicate(int32_t value) {
    const int16_t lane = (int16_t)value;
    return (nn_q16){lane, lane, lane, lane, lane, lane, lane, lane};
}
#else
NN_INLINE void nn_mve_output(int8_t *y, const int8_t *x, const uint32_t *block, int channel, int channels, int steps,
                             bool shifts, int32_t zero_point, int32_t lo, int32_t hi) {
    const int8_t *const weights = (const int8_t *)block;
    const int32_t *const constants =
        (const int32_t *)block + 4 * steps * channels + channel / 4 * (shifts ? 12 : 8) + channel % 4;
    int32_t acc = constants[0];
    for (int k = 0; k < steps * NN_MVE_LANES; k++) {
        acc += x[k] * weights[(k / NN_MVE_LANES * channels + channel) * NN_MVE_LANES + k % NN_MVE_LANES];
    }
    acc = shifts ? nn_shift_left(acc, (uint32_t)constants[8]) : acc;
    *y = nn_mve_requantize(acc, constants[4], zero_point, lo, hi);
}
#endif

NN_INLINE const uint32_t *nn_mve_outputs_2(int8_t *y0, int8_t *y1, const int8_t *x, int apart, const uint32_t *weights,
                                           int blocks, int steps, bool shifts, int32_t zero_point, int32_t lo, int32_t hi) {
#if NN_HAS_MVE
    register int8_t *near_y __asm__("r1") = y0;
    register const uint32_t *w __asm__("r9") = weights;
    register int n __asm__("fp") = blocks;
    if (steps <= NN_MVE_UNROLLED && lo == -128 && hi == 127) { /* the first two steps' pixels stay in registers */
        register int8_t *far_y __asm__("r3") = y1;
        register const int8_t *near_x __asm__("r5") = x;
        __asm__ volatile("vldrw.u32 q4, [%[x]]; "
                         "vldrw.u32 q5, [%[x], #%c[apart]]; "
                         ".if %c[steps] > 1; vldrw.u32 q6, [%[x], #16]; vldrw.u32 q7, [%[x], #%c[apart] + 16]; .endif; "
                         ".if %c[steps] <= 2; " NN_MVE_SMALL("%[x]", "%c[zero_point]") ".endif; "
                         "1:; " NN_MVE_PRODUCTS_2("vmladav.s8", "q4", "q5")
                         NN_MVE_IF("%c[steps] > 1", NN_MVE_PRODUCTS_2("vmladava.s8", "q6", "q7"))
                         NN_MVE_STEP_AT_2(2, 32) NN_MVE_STEP_AT_2(3, 48) NN_MVE_STEP_AT_2(4, 64) NN_MVE_STEP_AT_2(5, 80)
                         NN_MVE_STEP_AT_2(6, 96) NN_MVE_STEP_AT_2(7, 112) NN_MVE_STEP_AT_2(8, 128)
                         NN_MVE_SUMS NN_MVE_SCALE_2
                         "vqmovnb.s32 q0, q0; "
                         "vqmovnt.s32 q0, q1; "
                         ".if %c[steps] > 2; " NN_MVE_SMALL("r0", "%c[zero_point]") "vqadd.s16 q0, q0, r0; "
                         ".else; vqadd.s16 q0, q0, %[x]; .endif; "
                         "vqmovnb.s16 q0, q0; " NN_MVE_STORE_2
                         : [y0] "+r"(near_y), [y1] "+r"(far_y), [x] "+r"(near_x), [w] "+r"(w), [n] "+r"(n)
                         : [apart] "i"(apart), [steps] "i"(steps), [shifts] "i"(shifts), [zero_point] "i"(zero_point)
                         : "r0", "q4", "q5", "q6", "q7", NN_MVE_CLOBBERS);
    } else if (steps <= NN_MVE_UNROLLED) {
        register int8_t *far_y __asm__("r3") = y1;
        register const int8_t *near_x __asm__("r5") = x;
        __asm__ volatile("1: " NN_MVE_STEP_2("vmladav.s8", "[%[x]]", "[%[x], #%c[apart]]")
                         NN_MVE_STEP_AT_2(1, 16) NN_MVE_STEP_AT_2(2, 32) NN_MVE_STEP_AT_2(3, 48) NN_MVE_STEP_AT_2(4, 64)
                         NN_MVE_STEP_AT_2(5, 80) NN_MVE_STEP_AT_2(6, 96) NN_MVE_STEP_AT_2(7, 112) NN_MVE_STEP_AT_2(8, 128)
                         NN_MVE_SUMS NN_MVE_SCALE_2 NN_MVE_RESULTS NN_MVE_STORE_2
                         : [y0] "+r"(near_y), [y1] "+r"(far_y), [w] "+r"(w), [n] "+r"(n)
                         : [x] "r"(near_x), [apart] "i"(apart), NN_MVE_OPERANDS
                         : "r0", NN_MVE_CLOBBERS);
    } else {
        register int32_t distance __asm__("r0") = (int32_t)(y1 - y0);
        register const int8_t *near_x __asm__("r3") = x, *far_x __asm__("r5") = x + apart;
        __asm__ volatile("vmov s29, %[distance]; 1: " NN_MVE_LOOP(NN_MVE_NEXT_2) NN_MVE_SUMS NN_MVE_BACK "sub %[far], r0; "
                         NN_MVE_SCALE_2 NN_MVE_RESULTS
                         "vmov r0, s29; "
                         "add r0, %[y0]; "
                         "vstrb.32 q0, [%[y0]], #4; "
                         "vshr.u32 q0, q0, #16; "
                         "vstrb.32 q0, [r0]; "
                         "subs %[n], #1; "
                         "bne 1b"
                         : [y0] "+r"(near_y), [x] "+r"(near_x), [far] "+r"(far_x), [w] "+r"(w), [n] "+r"(n),
                           [distance] "+r"(distance)
                         : NN_MVE_OPERANDS
                         : NN_MVE_CLOBBERS);
    }
    return w;
#else
    for (int block = 0; block < blocks; block++, y0 += 4, y1 += 4, weights += 16 * steps + (shifts ? 12 : 8)) {
        for (int j = 0; j < 4; j++) {
            nn_mve_output(y0 + j, x, weights, j, 4, steps, shifts, zero_point, lo, hi);
            nn_mve_output(y1 + j, x + apart, weights, j, 4, steps, shifts, zero_point, lo, hi);
        }
    }
    return weights;
#endif
}

NN_INLINE const uint32_t *nn_mve_outputs_1(int8_t *y, const int8_t *x, const uint32_t *weights, int blocks, int steps,
                                           bool shifts, int32_t zero_point, int32_t lo, int32_t hi) {
#if NN_HAS_MVE
    register int8_t *to __asm__("r1") = y;
    register const int8_t *from __asm__("r3") = x;
    register const uint32_t *w __asm__("r9") = weights;
    register int n __asm__("fp") = blocks;
    __asm__ volatile("1: " NN_MVE_LOOP(NN_MVE_NEXT_1) NN_MVE_SUMS NN_MVE_BACK
                     NN_MVE_SCALE_1("q0") NN_MVE_SCALE_1("q1") NN_MVE_RESULTS
                     "vstrb.16 q0, [%[y]], #8; "
                     "subs %[n], #1; "
                     "bne 1b"
                     : [y] "+r"(to), [x] "+r"(from), [w] "+r"(w), [n] "+r"(n)
                     : NN_MVE_OPERANDS
                     : "r0", NN_MVE_CLOBBERS);
    return w;
#else
    for (int block = 0; block < blocks; block++, y += 8, weights += 32 * steps + (shifts ? 24 : 16)) {
        for (int j = 0; j < 8; j++) {
            nn_mve_output(y + j, x, weights, j % 2 * 4 + j / 2, 8, steps, shifts, zero_point, lo, hi);
        }
    }
    return weights;
#endif
}

/* Depthwise windows up to 3 x 3. A cell is four rows of one channel at one column, 4 bytes; the cells of a column's channels
 * lie side by side, `group` of them. Four columns of a channel are a vector, which holds a window and those beside and below.
 *
 * nn_mve_columns fills `count` times 16 cells from four rows of 16 int8 each, which move on by their own steps;
 * `count` is a constant. */
NN_INLINE void nn_mve_columns(int8_t *cells, const int8_t *const rows[4], const int32_t steps[4], int count) {
#if NN_HAS_MVE
    const int8_t *row0 = rows[0], *row1 = rows[1], *row2 = rows[2], *row3 = rows[3];
    __asm__ volatile("movw lr, #%c[count]; "
                     "dls lr, lr; "
                     "1: "
                     "vldrb.u8 q0, [%[row0]]; add %[row0], %[step0]; "
                     "vldrb.u8 q1, [%[row1]]; add %[row1], %[step1]; "
                     "vldrb.u8 q2, [%[row2]]; add %[row2], %[step2]; "
                     "vldrb.u8 q3, [%[row3]]; add %[row3], %[step3]; "
                     "vst40.8 {q0, q1, q2, q3}, [%[cells]]; "
                     "vst41.8 {q0, q1, q2, q3}, [%[cells]]; "
                     "vst42.8 {q0, q1, q2, q3}, [%[cells]]; "
                     "vst43.8 {q0, q1, q2, q3}, [%[cells]]!; "
                     "le lr, 1b"
                     : [cells] "+r"(cells), [row0] "+r"(row0), [row1] "+r"(row1), [row2] "+r"(row2), [row3] "+r"(row3)
                     : [step0] "r"(steps[0]), [step1] "r"(steps[1]), [step2] "r"(steps[2]), [step3] "r"(steps[3]),
                       [count] "i"(count)
                     : "lr", "q0", "q1", "q2", "q3", "memory");
#else
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < NN_MVE_LANES; k++) {
            for (int row = 0; row < 4; row++) {
                cells[(i * NN_MVE_LANES + k) * 4 + row] = rows[row][i * steps[row] + k];
            }
        }
    }
#endif
}

/* nn_mve_depthwise_2x2: windows at stride 1, two rows of `width` outputs, a row after `below` bytes of y (0: one row); nn_mve_depthwise_1x4:
 * at stride 2, one row of them, which reads cells of up to three columns behind its last window. For `channels` channels from
 * the first of `cells` on; y of a pixel is `apart` bytes before the next one's. The words of a channel are 16 weights by
 * column and row of a cell, its bias, half its multiplier and, where `shifts` says so, its left shift. Constants: width,
 * below, apart, group, shifts, lo, hi. */
#if NN_HAS_MVE
#define NN_MVE_CHANNEL_BEGIN \
    "1: " \
    "vldrb.u8 q4, [%[w]], #16; " \
    "ldrd r8, r10, [%[w]], #8; " \
    ".if %c[shifts]; ldr r12, [%[w]], #4; .endif; "
/* q3 = where the four columns are, less one step. */
#define NN_MVE_CHANNEL_COLUMNS \
    "movs r0, #0; " \
    "vidup.u32 q3, r0, #1; " \
    "movs r0, #4 * %c[group]; " \
    "vmul.i32 q3, q3, r0; " \
    "vadd.i32 q3, q3, %[cells]; " \
    "adds %[cells], #4; "
#define NN_MVE_DEPTHWISE_RESULTS \
    "vmov q1[2], q1[0], r0, r4; " \
    "vmov q1[3], q1[1], r2, r6; " \
    "vadd.i32 q1, q1, r8; " \
    ".if %c[shifts]; vshl.s32 q1, r12; .endif; " \
    "vqrdmulh.s32 q1, q1, r10; " \
    "vadd.i32 q1, q1, %[zero_point]; " \
    ".if %c[lo] == -128 && %c[hi] == 127; " \
    "vqmovnb.s32 q1, q1; " \
    "vqmovnb.s16 q1, q1; " \
    ".else; " \
    "mvn r0, #~(%c[lo]) & 0xFF; .if %c[lo] >= 0; mov r0, #%c[lo] & 0xFF; .endif; vdup.32 q0, r0; vmax.s32 q1, q1, q0; " \
    "mvn r0, #~(%c[hi]) & 0xFF; .if %c[hi] >= 0; mov r0, #%c[hi] & 0xFF; .endif; vdup.32 q0, r0; vmin.s32 q1, q1, q0; " \
    ".endif; "
#define NN_MVE_2X2 \
    "vldrw.u32 q0, [q3, #8 * %c[group]]!; " \
    "vmladav.s8 r0, q0, q4; " \
    "vmladav.s8 r2, q0, q5; " \
    "vmladav.s8 r4, q0, q6; " \
    "vmladav.s8 r6, q0, q7; " \
    NN_MVE_DEPTHWISE_RESULTS \
    "vstrb.32 q1, [%[y], %q[places]]; "
#define NN_MVE_1X4 \
    "vldrw.u32 q0, [q3, #8 * %c[group]]!; vmladav.s8 r0, q0, q4; " \
    "vldrw.u32 q0, [q3, #8 * %c[group]]!; vmladav.s8 r2, q0, q4; " \
    "vldrw.u32 q0, [q3, #8 * %c[group]]!; vmladav.s8 r4, q0, q4; " \
    "vldrw.u32 q0, [q3, #8 * %c[group]]!; vmladav.s8 r6, q0, q4; " \
    NN_MVE_DEPTHWISE_RESULTS
#define NN_MVE_DEPTHWISE_OPERANDS \
    [zero_point] "r"(zero), [places] "w"(places), [shifts] "i"(shifts), [lo] "i"(lo), [hi] "i"(hi), \
        [group] "i"(group), [width] "i"(width), [apart] "i"(apart)
#define NN_MVE_DEPTHWISE_CLOBBERS \
    "r0", "r2", "r4", "r6", "r8", "r10", "r12", "lr", "q0", "q1", "q3", "q4", "q5", "q6", "q7", "cc", "memory"
#define NN_MVE_DEPTHWISE_REGISTERS \
    register int8_t *to __asm__("r1") = y; \
    register const uint32_t *w __asm__("r3") = weights; \
    register const int8_t *from __asm__("r5") = cells - 8 * group; \
    register int n __asm__("fp") = channels; \
    register int32_t zero __asm__("r9") = zero_point
#else
NN_INLINE void nn_mve_depthwise(int8_t *y, const int8_t *cells, const uint32_t *weights, int group, int row, bool shifts,
                                int32_t zero_point, int32_t lo, int32_t hi) {
    const int8_t *const taps = (const int8_t *)weights;
    const int32_t *const constants = (const int32_t *)weights + 4;
    int32_t acc = constants[0];
    for (int k = 0; k < 12; k++) {
        acc += cells[k / 4 * 4 * group + (k + row) % 4] * (k % 4 + row < 4 ? taps[k] : 0);
    }
    acc = shifts ? nn_shift_left(acc, (uint32_t)constants[2]) : acc;
    *y = nn_mve_requantize(acc, constants[1], zero_point, lo, hi);
}
#endif

NN_INLINE void nn_mve_depthwise_2x2(int8_t *y, const int8_t *cells, const uint32_t *weights, int channels, int group,
                                    int width, int apart, int below, bool shifts, int32_t zero_point, int32_t lo,
                                    int32_t hi) {
#if NN_HAS_MVE
    NN_MVE_DEPTHWISE_REGISTERS;
    const nn_q32 places = {0, below, apart, below + apart};
    __asm__ volatile(NN_MVE_CHANNEL_BEGIN
                     ".if %c[below]; vshl.i32 q5, q4, #8; .else; vmov q5, q4; .endif; " /* a row below */
                     "vmov q6, q4; "
                     NN_MVE_CHANNEL_COLUMNS
                     "movs r0, #0; "
                     "vshlc q6, r0, #32; " /* a column further */
                     ".if %c[below]; vshl.i32 q7, q6, #8; .else; vmov q7, q6; .endif; "
                     "movw r0, #%c[width] / 2; "
                     "dls lr, r0; "
                     "2: " NN_MVE_2X2
                     "add %[y], #2 * %c[apart]; "
                     "le lr, 2b; "
                     ".if %c[width] & 1; " /* the last column once more, with the one before */
                     "movw r0, #4 * %c[group]; "
                     "vsub.i32 q3, q3, r0; "
                     "sub %[y], #%c[apart]; " NN_MVE_2X2
                     ".endif; "
                     "movw r0, #(%c[width] - (%c[width] & 1)) * %c[apart] - (%c[width] & 1) * %c[apart] - 1; "
                     "sub %[y], r0; "
                     "subs %[n], #1; "
                     "bne 1b"
                     : [y] "+r"(to), [w] "+r"(w), [cells] "+r"(from), [n] "+r"(n)
                     : [below] "i"(below), NN_MVE_DEPTHWISE_OPERANDS
                     : NN_MVE_DEPTHWISE_CLOBBERS);
#else
    for (int c = 0; c < channels; c++, weights += shifts ? 7 : 6) {
        for (int i = 0; i < 2 * width; i++) {
            int8_t *to = y + i / width * below + i % width * apart + c;
            const int row = below != 0 ? i / width : 0;
            nn_mve_depthwise(to, cells + (i % width * group + c) * 4, weights, group, row, shifts, zero_point, lo, hi);
        }
    }
#endif
}

NN_INLINE void nn_mve_depthwise_1x4(int8_t *y, const int8_t *cells, const uint32_t *weights, int channels, int group,
                                    int width, int apart, bool shifts, int32_t zero_point, int32_t lo, int32_t hi) {
#if NN_HAS_MVE
    NN_MVE_DEPTHWISE_REGISTERS;
    const nn_q32 places = {0, apart, 2 * apart, 3 * apart};
    __asm__ volatile(NN_MVE_CHANNEL_BEGIN NN_MVE_CHANNEL_COLUMNS
                     ".if %c[width] >= 4; "
                     "movw r0, #%c[width] / 4; "
                     "dls lr, r0; "
                     "2: " NN_MVE_1X4
                     "vstrb.32 q1, [%[y], %q[places]]; "
                     "add %[y], #4 * %c[apart]; "
                     "le lr, 2b; "
                     ".endif; "
                     ".if %c[width] & 3; " NN_MVE_1X4
                     "movs r0, #%c[width] & 3; "
                     "vctp.32 r0; "
                     "vpst; "
                     "vstrbt.32 q1, [%[y], %q[places]]; "
                     ".endif; "
                     "adds %[y], #1; " /* the next channel */
                     ".if %c[width] >= 4; "
                     "movw r0, #%c[width] / 4 * 4 * %c[apart]; "
                     "sub %[y], r0; "
                     ".endif; "
                     "subs %[n], #1; "
                     "bne 1b"
                     : [y] "+r"(to), [w] "+r"(w), [cells] "+r"(from), [n] "+r"(n)
                     : NN_MVE_DEPTHWISE_OPERANDS
                     : NN_MVE_DEPTHWISE_CLOBBERS);
#else
    for (int c = 0; c < channels; c++, weights += shifts ? 7 : 6) {
        for (int i = 0; i < width; i++) {
            nn_mve_depthwise(y + i * apart + c, cells + (2 * i * group + c) * 4, weights, group, 0, shifts, zero_point, lo, hi);
        }
    }
#endif
}

/* Depthwise windows of any size, stride and dilation, on a plane: one channel's values, row after row, with its border.
 *
 * nn_mve_plane copies `rows` by `columns` values that lie `apart` bytes from one another, rows without a gap, to rows of
 * `width` bytes. All but the pointers are constants. */
NN_INLINE void nn_mve_plane(int8_t *to, const int8_t *from, int rows, int columns, int apart, int width) {
#if NN_HAS_MVE
#define NN_MVE_FAR(i) (int16_t)(uint16_t)((i) * apart)
    const nn_q16 places = {NN_MVE_FAR(0), NN_MVE_FAR(1), NN_MVE_FAR(2), NN_MVE_FAR(3),
                           NN_MVE_FAR(4), NN_MVE_FAR(5), NN_MVE_FAR(6), NN_MVE_FAR(7)};
    if (columns <= NN_MVE_LANES / 2) {
        __asm__ volatile("vctp.16 %[columns]; "
                         "dls lr, %[rows]; "
                         "1: "
                         "vpstt; "
                         "vldrbt.u16 q0, [%[from], %q[places]]; "
                         "vstrbt.16 q0, [%[to]]; "
                         "add %[from], %[next]; "
                         "add %[to], %[width]; "
                         "le lr, 1b"
                         : [to] "+l"(to), [from] "+r"(from)
                         : [places] "w"(places), [rows] "r"(rows), [columns] "r"(columns), [width] "r"(width),
                           [next] "r"(columns * apart)
                         : "lr", "q0", "memory");
        return;
    }
    for (int row = 0; row < rows; row++, from += columns * apart, to += width) {
        int8_t *end = to;
        const int8_t *next = from;
        __asm__ volatile("wlstp.16 lr, %[columns], 2f; "
                         "1: "
                         "vldrb.u16 q0, [%[from], %q[places]]; "
                         "add %[from], %[eight]; "
                         "vstrb.16 q0, [%[to]], #8; "
                         "letp lr, 1b; "
                         "2: "
                         : [to] "+l"(end), [from] "+r"(next)
                         : [places] "w"(places), [columns] "r"(columns), [eight] "r"(8 * apart)
                         : "lr", "q0", "memory");
    }
#else
    for (int i = 0; i < rows * columns; i++) {
        to[i / columns * width + i % columns] = from[i * apart];
    }
#endif
}

/* One channel of a plane's windows: `height` by `width` outputs, `apart` bytes from one to the next, rows without a gap.
 *
 * A gather collects what one output sees of `group` kernel rows of `columns` values: 16 at most, which lie `right` bytes from
 * one another, kernel rows `down` bytes, windows `step` and `row` bytes. Eight outputs make a tile: one row of eight, or, where
 * `rows` is 2, two rows of four. The words of the channel are 16 weights for each of `vectors` gathers, its bias, half its
 * multiplier and, where `shifts` says so, its left shift. The plane is readable as far as the last tile of a row reaches.
 * All but the pointers and the zero point are constants; offsets within a gather are below 256, steps below 4096. */
#if NN_HAS_MVE
#define NN_MVE_TAP(op, a, q) "vldrb.u8 q0,[%[x]," q "]; " op " " a ",q0,q1; "
#define NN_MVE_MOVE(by) ".if (" by ") < 0; sub %[x], #-(" by "); .elseif (" by ") > 0; add %[x], #" by "; .endif; "
#define NN_MVE_GATHERS(op) \
    "vldrb.u8 q1, [%[w]], #16; " \
    NN_MVE_TAP(op, "r0", "%q[offsets]") NN_MVE_TAP(op, "r2", "q5") NN_MVE_TAP(op, "r4", "q6") NN_MVE_TAP(op, "r6", "q7") \
    NN_MVE_MOVE("%c[second]") \
    NN_MVE_TAP(op, "r8", "%q[offsets]") NN_MVE_TAP(op, "r10", "q5") NN_MVE_TAP(op, "r12", "q6") NN_MVE_TAP(op, "lr", "q7")
/* As many separators as repeated instructions, at most: by them compilers know how long a block may get. */
#define NN_MVE_FORTY ";;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;"
#define NN_MVE_ALL_GATHERS \
    NN_MVE_GATHERS("vmladav.s8") \
    "\n.rept %c[vectors] - 1\n" NN_MVE_MOVE("%c[group] - %c[second]") NN_MVE_GATHERS("vmladava.s8") "\n.endr\n" \
    NN_MVE_FORTY NN_MVE_FORTY NN_MVE_FORTY NN_MVE_FORTY
/* By a register that a tile's sums no longer need. */
#define NN_MVE_GO(register, by) \
    ".if (" by ") < 0; movw r0, #-(" by "); sub " register ", r0; " \
    ".elseif (" by ") > 0; movw r0, #" by "; add " register ", r0; .endif; "
#define NN_MVE_BOUND(op, bound) \
    "mvn r0, #~(" bound ") & 0xFF; .if " bound " >= 0; mov r0, #" bound " & 0xFF; .endif; vdup.16 q2, r0; " \
    op ".s16 q0, q0, q2; "
#endif

NN_INLINE void nn_mve_windows(int8_t *y, const int8_t *plane, const uint32_t *weights, int height, int width, int apart,
                              int rows, int columns, int group, int vectors, int right, int down, int step, int row,
                              bool shifts, int32_t zero_point, int32_t lo, int32_t hi) {
    const int tile = 8 / rows, tiles = (width + tile - 1) / tile, bands = (height + rows - 1) / rows;
#if NN_HAS_MVE
    const int spread = rows == 2 ? step : 2 * step; /* between every other output of a tile */
    const int second = rows == 2 ? row : step;      /* to those between them, which are the second row's */
#define NN_MVE_OFFSET(t) (int8_t)(uint8_t)((t) < group * columns ? (t) / columns * down + (t) % columns * right : 0)
#define NN_MVE_PLACE(i) (int16_t)(uint16_t)(rows == 2 ? ((i) / 2 + (i) % 2 * width) * apart : (i) * apart)
    const nn_q8 offsets = {NN_MVE_OFFSET(0),  NN_MVE_OFFSET(1),  NN_MVE_OFFSET(2),  NN_MVE_OFFSET(3),
                           NN_MVE_OFFSET(4),  NN_MVE_OFFSET(5),  NN_MVE_OFFSET(6),  NN_MVE_OFFSET(7),
                           NN_MVE_OFFSET(8),  NN_MVE_OFFSET(9),  NN_MVE_OFFSET(10), NN_MVE_OFFSET(11),
                           NN_MVE_OFFSET(12), NN_MVE_OFFSET(13), NN_MVE_OFFSET(14), NN_MVE_OFFSET(15)};
    const nn_q16 places = {NN_MVE_PLACE(0), NN_MVE_PLACE(1), NN_MVE_PLACE(2), NN_MVE_PLACE(3),
                           NN_MVE_PLACE(4), NN_MVE_PLACE(5), NN_MVE_PLACE(6), NN_MVE_PLACE(7)};
    register int8_t *to __asm__("r1") = y;
    register const int8_t *from __asm__("r3") = plane;
    register const uint32_t *w __asm__("r5") = weights;
    register int32_t zero __asm__("r9") = zero_point;
    register int left __asm__("fp");
    for (int band = 0; band < bands; band++) {
        if (rows == 2 && height % 2 != 0 && band == bands - 1) { /* the row before the last once more */
            from -= row;
            to -= width * apart;
        }
        __asm__ volatile("movw %[left], #%c[rows] * %c[width]; "
                         "movs r0, #%c[spread]; "
                         "vadd.i8 q5, %q[offsets], r0; "
                         "vadd.i8 q6, q5, r0; "
                         "vadd.i8 q7, q6, r0; "
                         "1: " NN_MVE_ALL_GATHERS
                         "vmov q0[2], q0[0], r0, r4; "
                         "vmov q0[3], q0[1], r2, r6; "
                         "vmov q1[2], q1[0], r8, r12; "
                         "vmov q1[3], q1[1], r10, lr; "
                         ".if %c[shifts]; ldr r4, [%[w], #8]; .endif; "
                         "ldrd r0, r2, [%[w]], #-16 * %c[vectors]; "
                         "vadd.i32 q0, q0, r0; "
                         "vadd.i32 q1, q1, r0; "
                         ".if %c[shifts]; vshl.s32 q0, r4; vshl.s32 q1, r4; .endif; "
                         "vqrdmulh.s32 q0, q0, r2; "
                         "vqrdmulh.s32 q1, q1, r2; "
                         "vqmovnb.s32 q0, q0; "
                         "vqmovnt.s32 q0, q1; "
                         "vqadd.s16 q0, q0, %[zero]; "
                         ".if %c[lo] == -128 && %c[hi] == 127; "
                         "vqmovnb.s16 q0, q0; "
                         ".else; "
                         NN_MVE_BOUND("vmax", "%c[lo]") NN_MVE_BOUND("vmin", "%c[hi]")
                         ".endif; "
                         ".if %c[width] %% %c[tile]; "
                         "vctp.16 %[left]; "
                         "vpst; "
                         "vstrbt.16 q0, [%[y], %q[places]]; "
                         ".else; "
                         "vstrb.16 q0, [%[y], %q[places]]; "
                         ".endif; "
                         NN_MVE_GO("%[x]", "%c[tile] * %c[step] - %c[second] - (%c[vectors] - 1) * %c[group]")
                         NN_MVE_GO("%[y]", "%c[tile] * %c[apart]")
                         "subs %[left], #8; "
                         "bgt 1b; "
                         NN_MVE_GO("%[x]", "%c[rows] * %c[row] - %c[tiles] * %c[tile] * %c[step]")
                         NN_MVE_GO("%[y]", "(%c[rows] * %c[width] - %c[tiles] * %c[tile]) * %c[apart]")
                         : [y] "+r"(to), [x] "+r"(from), [w] "+r"(w), [left] "=r"(left)
                         : [zero] "r"(zero), [offsets] "w"(offsets), [places] "w"(places), [rows] "i"(rows),
                           [width] "i"(width), [apart] "i"(apart), [group] "i"(group * down), [vectors] "i"(vectors),
                           [step] "i"(step), [row] "i"(row), [spread] "i"(spread), [second] "i"(second), [tile] "i"(tile),
                           [tiles] "i"(tiles), [shifts] "i"(shifts), [lo] "i"(lo), [hi] "i"(hi)
                         : "r0", "r2", "r4", "r6", "r8", "r10", "r12", "lr", "q0", "q1", "q2", "q5", "q6", "q7", "cc", "memory");
    }
#else
    const int32_t *const constants = (const int32_t *)weights + 4 * vectors;
    for (int i = 0; i < bands * tiles * 8; i++) {
        const int lane = i % 8, column = i / 8 % tiles * tile + (rows == 2 ? lane / 2 : lane);
        const int first = rows == 2 && height % 2 != 0 && i / 8 / tiles == bands - 1 ? height - 2 : i / 8 / tiles * rows;
        const int line = first + (rows == 2 ? lane % 2 : 0);
        const int8_t *const window = plane + line * row + column * step;
        int32_t acc = constants[0];
        for (int t = 0; t < 16 * vectors; t++) {
            const int within = t % 16 < group * columns ? t % 16 / columns * down + t % 16 % columns * right : 0;
            acc += window[t / 16 * group * down + within] * ((const int8_t *)weights)[t];
        }
        acc = shifts ? nn_shift_left(acc, (uint32_t)constants[2]) : acc;
        if (column < width) {
            y[(line * width + column) * apart] = nn_mve_requantize(acc, constants[1], zero_point, lo, hi);
        }
    }
#endif
}

/* y = clamp((m1 * x1 + m2 * x2 + c) >> k, lo, hi) for n values; where `step2` is 0, x2 is the same value for all. y may be x1
 * or x2. step2, k, lo and hi are constants. */
NN_INLINE void nn_mve_add(const int8_t *x1, const int8_t *x2, int8_t *y, int n, int step2, int32_t m1, int32_t m2, int32_t c,
                          int32_t k, int32_t lo, int32_t hi) {
#if NN_HAS_MVE
    const nn_q32 factor = {m1, m1, m1, m1}, low = {lo, lo, lo, lo}, high = {hi, hi, hi, hi};
    const int32_t constant = step2 != 0 ? c : c + m2 * *x2;
    __asm__ volatile("wlstp.32 lr, %[n], 2f; "
                     "1: "
                     "vldrb.s32 q0, [%[x1]], #4; "
                     ".if %c[step2]; vldrb.s32 q1, [%[x2]], #4; .endif; "
                     "vmlas.s32 q0, %q[factor], %[c]; " /* q0 * m1 + c */
                     ".if %c[step2]; vmla.s32 q0, q1, %[m2]; .endif; "
                     "vshr.s32 q0, q0, %[k]; "
                     "vmax.s32 q0, q0, %q[low]; "
                     "vmin.s32 q0, q0, %q[high]; "
                     "vstrb.32 q0, [%[y]], #4; "
                     "letp lr, 1b; "
                     "2: "
                     : [x1] "+l"(x1), [x2] "+l"(x2), [y] "+l"(y)
                     : [n] "r"(n), [step2] "i"(step2), [factor] "w"(factor), [m2] "r"(m2), [c] "r"(constant), [k] "i"(k),
                       [low] "w"(low), [high] "w"(high)
                     : "lr", "q0", "q1", "memory");
#else
    for (int i = 0; i < n; i++) {
        y[i] = (int8_t)nn_clamp((m1 * x1[i] + m2 * x2[i * step2] + c) >> k, lo, hi);
    }
#endif
}

/* The maximum of n channels over rows by columns of pixels, `down` and `right` bytes apart. */
NN_INLINE void nn_mve_largest(int8_t *y, const int8_t *x, int n, int rows, int columns, int down, int right) {
    for (int c = 0; c < n; c += NN_MVE_LANES) {
#if NN_HAS_MVE
        const nn_q8 lowest = {-128, -128, -128, -128, -128, -128, -128, -128, -128, -128, -128, -128, -128, -128, -128, -128};
        nn_q8 q = lowest;
        for (int row = 0; row < rows && columns > 0; row++) {
            const int8_t *from = x + row * down + c;
            __asm__ volatile("vctp.8 %[left]; "
                             "dls lr, %[columns]; "
                             "1: "
                             "vpst; "
                             "vldrbt.u8 q0, [%[from]]; "
                             "add %[from], %[right]; "
                             "vmax.s8 %q[q], %q[q], q0; "
                             "le lr, 1b"
                             : [q] "+w"(q), [from] "+r"(from)
                             : [left] "r"(n - c), [columns] "r"(columns), [right] "r"(right)
                             : "lr", "q0", "memory");
        }
        __asm__ volatile("vctp.8 %[left]; vpst; vstrbt.8 %q[q], [%[y]]" : : [left] "r"(n - c), [q] "w"(q), [y] "r"(y + c) : "memory");
#else
        for (int i = c; i < n && i < c + NN_MVE_LANES; i++) {
            int8_t largest = -128;
            for (int tap = 0; tap < rows * columns; tap++) {
                const int8_t value = x[tap / columns * down + tap % columns * right + i];
                largest = value > largest ? value : largest;
            }
            y[i] = largest;
        }
#endif
    }
}

/* q0 and q1 of int32 -> eight results in q0: scaled, every other one from q1, the zero point added, clamped. The registers that
 * they need: half the multiplier, the zero point, and, where `shifts` says so, the left shift. */
#if NN_HAS_MVE
#define NN_MVE_EIGHT_RESULTS \
    ".if %c[shifts]; vshl.s32 q0, %[shift]; vshl.s32 q1, %[shift]; .endif; " \
    "vqrdmulh.s32 q0, q0, %[half]; " \
    "vqrdmulh.s32 q1, q1, %[half]; " \
    "vqmovnb.s32 q0, q0; " \
    "vqmovnt.s32 q0, q1; " \
    "vqadd.s16 q0, q0, %[zero_point]; " \
    ".if %c[lo] == -128 && %c[hi] == 127; " \
    "vqmovnb.s16 q0, q0; " \
    ".else; " \
    "vmax.s16 q0, q0, %q[low]; " \
    "vmin.s16 q0, q0, %q[high]; " \
    ".endif; "
#define NN_MVE_EIGHT_OPERANDS \
    [half] "r"(half), [shifts] "i"(shifts), [shift] "r"(shift), [zero_point] "r"(zero_point), [lo] "i"(lo), [hi] "i"(hi), \
        [low] "w"(nn_mve_duplicate(lo)), [high] "w"(nn_mve_duplicate(hi))
#endif

/* y = the requantized sums of `rows` by `columns` pixels, `down` and `right` bytes apart, for n channels; `offset` is added
 * to each sum. A part of up to 256 pixels is summed in 16 bits. n, right, shifts, lo and hi are constants. */
NN_INLINE void nn_mve_average(int8_t *y, const int8_t *x, int n, int rows, int columns, int down, int right, int32_t offset,
                              int32_t half, bool shifts, uint32_t shift, int32_t zero_point, int32_t lo, int32_t hi) {
#if NN_HAS_MVE
    const nn_q32 none = {offset, offset, offset, offset};
    const nn_q16 empty = {0, 0, 0, 0, 0, 0, 0, 0};
    const int most = rows > 0 ? 256 / rows : 1; /* columns of a part */
    for (int c = 0; c < n; c += NN_MVE_LANES / 2) {
        nn_q32 even = none, odd = none;
        for (int column = 0; column < columns; column += most) {
            const int some = columns - column < most ? columns - column : most;
            const int8_t *first = x + column * right + c;
            nn_q16 sum = empty;
            for (int row = 0; row < rows; row++, first += down) {
                const int8_t *from = first;
                __asm__ volatile("vctp.16 %[left]; "
                                 "dls lr, %[some]; "
                                 "1:; "
                                 ".if %c[n] %% 8; vpst; vldrbt.s16 q0, [%[from]]; add %[from], %[step]; "
                                 ".elseif %c[right] > 127; vldrb.s16 q0, [%[from]]; add %[from], %[step]; "
                                 ".else; vldrb.s16 q0, [%[from]], #%c[right]; "
                                 ".endif; "
                                 "vadd.i16 %q[sum], %q[sum], q0; "
                                 "le lr, 1b"
                                 : [sum] "+w"(sum), [from] "+l"(from)
                                 : [left] "r"(n - c), [some] "r"(some), [n] "i"(n), [right] "i"(right), [step] "r"(right)
                                 : "lr", "q0", "memory");
            }
            __asm__("vmovlb.s16 q0, %q[sum]; "
                    "vmovlt.s16 q1, %q[sum]; "
                    "vadd.i32 %q[even], %q[even], q0; "
                    "vadd.i32 %q[odd], %q[odd], q1"
                    : [even] "+w"(even), [odd] "+w"(odd)
                    : [sum] "w"(sum)
                    : "q0", "q1");
        }
        __asm__ volatile("vmov q0, %q[even]; "
                         "vmov q1, %q[odd]; " NN_MVE_EIGHT_RESULTS
                         "vctp.16 %[left]; "
                         "vpst; "
                         "vstrbt.16 q0, [%[y]]"
                         :
                         : [y] "l"(y + c), [left] "r"(n - c), [even] "w"(even), [odd] "w"(odd), NN_MVE_EIGHT_OPERANDS
                         : "q0", "q1", "memory");
    }
#else
    for (int c = 0; c < n; c++) {
        int32_t acc = offset;
        for (int tap = 0; tap < rows * columns; tap++) {
            acc += x[tap / columns * down + tap % columns * right + c];
        }
        y[c] = nn_mve_requantize(shifts ? nn_shift_left(acc, shift) : acc, half, zero_point, lo, hi);
    }
#endif
}

/* y = table[x + 128] for n values; y may be x. */
NN_INLINE void nn_mve_lookup(const int8_t *x, int8_t *y, const int8_t *table, int n) {
#if NN_HAS_MVE
    __asm__ volatile("wlstp.8 lr, %[n], 2f; "
                     "1: "
                     "vldrb.u8 q0, [%[x]], #16; "
                     "vadd.i8 q0, q0, %[offset]; "
                     "vldrb.u8 q1, [%[table], q0]; "
                     "vstrb.8 q1, [%[y]], #16; "
                     "letp lr, 1b; "
                     "2: "
                     : [x] "+l"(x), [y] "+l"(y)
                     : [table] "r"(table), [n] "r"(n), [offset] "r"(128)
                     : "lr", "q0", "q1", "memory");
#else
    for (int i = 0; i < n; i++) {
        y[i] = table[x[i] + 128];
    }
#endif
}

/* y = the requantized products of (x1 + offset1) and (x2 + offset2) for n values; where `step1` or `step2` is 0, that one is
 * the same value for all. y may be x1 or x2. n, steps, shift, lo and hi are constants. */
#if NN_HAS_MVE
/* `when` makes the loads and the store those of the first lanes only. */
#define NN_MVE_PRODUCTS(when, then) \
    ".if %c[step1]; " when "vldrb" then ".s16 q3, [%[x1]], #8; vadd.i16 q3, q3, %[offset1]; .endif; " \
    ".if %c[step2]; " when "vldrb" then ".s16 q2, [%[x2]], #8; vadd.i16 q2, q2, %[offset2]; .endif; " \
    "vmullb.s16 q0, q3, q2; " \
    "vmullt.s16 q1, q3, q2; " NN_MVE_EIGHT_RESULTS \
    when "vstrb" then ".16 q0, [%[y]], #8; "
#endif
NN_INLINE void nn_mve_mul(const int8_t *x1, const int8_t *x2, int8_t *y, int n, int step1, int step2, int32_t offset1,
                          int32_t offset2, int32_t half, uint32_t shift, int32_t zero_point, int32_t lo, int32_t hi) {
#if NN_HAS_MVE
    const bool shifts = shift != 0;
    __asm__ volatile("vdup.16 q3, %[value1]; "
                     "vdup.16 q2, %[value2]; "
                     ".if %c[n] / 8; "
                     "dls lr, %[eights]; "
                     "1:; " NN_MVE_PRODUCTS("", "")
                     "le lr, 1b; "
                     ".endif; "
                     ".if %c[n] %% 8; "
                     "vctp.16 %[rest]; " NN_MVE_PRODUCTS("vpst; ", "t")
                     ".endif; "
                     : [x1] "+l"(x1), [x2] "+l"(x2), [y] "+l"(y)
                     : [n] "i"(n), [eights] "r"(n / 8), [rest] "r"(n % 8), [value1] "r"(*x1 + offset1),
                       [value2] "r"(*x2 + offset2), [step1] "i"(step1), [step2] "i"(step2), [offset1] "r"(offset1),
                       [offset2] "r"(offset2), NN_MVE_EIGHT_OPERANDS
                     : "lr", "q0", "q1", "q2", "q3", "memory");
#else
    for (int i = 0; i < n; i++) {
        const int32_t acc = (x1[i * step1] + offset1) * (x2[i * step2] + offset2);
        y[i] = nn_mve_requantize(nn_shift_left(acc, shift), half, zero_point, lo, hi);
    }
#endif
}

#endif
