/* RV32IM: what the kernels for these cores are made of. Part of nn_port.h. */
#ifndef NN_RISCV_H
#define NN_RISCV_H

#if defined(__riscv_mul) && __riscv_xlen == 32 && defined(__OPTIMIZE__) /* the block's constants */
#define NN_HAS_RV32M 1
#else
#define NN_HAS_RV32M 0
#endif

/* acc[i][j] = bias[j] + the sum of x[i * apart + k] * weights[4 * k + j] over k below n and all rows, for four pixels and four channels;
 * rows of values are down apart, their weights follow each other; returns the end of the weights. n, apart and rows are constants,
 * 3 * apart below 2040. The sums are in 16 registers; one block, since compilers spill. */
NN_INLINE const int8_t *nn_rv_tile(int32_t acc[4][4], const int32_t *bias, const int8_t *x, int apart, const int8_t *weights, int n, int down,
                                   int rows) {
#if NN_HAS_RV32M
#define NN_RV_PIXEL(x, a0, a1, a2, a3) \
    "lb t4, " x "(%[x]); mul t5, t4, t0; mul t6, t4, t1; add " a0 ", " a0 ", t5; add " a1 ", " a1 ", t6; " \
    "mul t5, t4, t2; mul t6, t4, t3; add " a2 ", " a2 ", t5; add " a3 ", " a3 ", t6; "
#define NN_RV_VALUE(at) \
    "lb t0, 4 * " at "(%[w]); lb t1, 4 * " at " + 1(%[w]); lb t2, 4 * " at " + 2(%[w]); lb t3, 4 * " at " + 3(%[w]); " \
    NN_RV_PIXEL(at, "s2", "s3", "s4", "s5") NN_RV_PIXEL(at " + %[apart]", "s6", "s7", "s8", "s9") \
    NN_RV_PIXEL(at " + 2 * %[apart]", "s10", "s11", "a2", "a3") NN_RV_PIXEL(at " + 3 * %[apart]", "a4", "a5", "a6", "a7")
    int32_t left = rows;
    const int32_t *end = bias; /* then of a row of values */
    __asm__ volatile("lw s2, 0(%[end]); lw s3, 4(%[end]); lw s4, 8(%[end]); lw s5, 12(%[end]); mv s6, s2; mv s7, s3; mv s8, s4; mv s9, s5; "
                     "mv s10, s2; mv s11, s3; mv a2, s4; mv a3, s5; mv a4, s2; mv a5, s3; mv a6, s4; mv a7, s5; "
                     "1: li t0, %[n]; add %[end], %[x], t0; "
                     "2: " NN_RV_VALUE("0")
                     ".if %[unroll] > 1; " NN_RV_VALUE("1") ".endif; "
                     ".if %[unroll] > 2; " NN_RV_VALUE("2") ".endif; "
                     ".if %[unroll] > 3; " NN_RV_VALUE("3") ".endif; "
                     "addi %[x], %[x], %[unroll]; "
                     "addi %[w], %[w], 4 * %[unroll]; "
                     "bne %[x], %[end], 2b; "
                     ".if %[rows] > 1; lw t0, %[left]; lw t1, %[down]; addi t0, t0, -1; sw t0, %[left]; "
                     "li t2, %[n]; sub t1, t1, t2; add %[x], %[x], t1; bnez t0, 1b; .endif; "
                     "sw s2, 0(%[acc]); sw s3, 4(%[acc]); sw s4, 8(%[acc]); sw s5, 12(%[acc]); sw s6, 16(%[acc]); sw s7, 20(%[acc]); "
                     "sw s8, 24(%[acc]); sw s9, 28(%[acc]); sw s10, 32(%[acc]); sw s11, 36(%[acc]); sw a2, 40(%[acc]); "
                     "sw a3, 44(%[acc]); sw a4, 48(%[acc]); sw a5, 52(%[acc]); sw a6, 56(%[acc]); sw a7, 60(%[acc])"
                     : [x] "+&r"(x), [w] "+&r"(weights), [end] "+&r"(end), [left] "+m"(left)
                     : [acc] "r"(acc), [down] "m"(down), [apart] "i"(apart), [n] "i"(n), [rows] "i"(rows),
                       [unroll] "i"(n % 4 == 0 ? 4 : n % 3 == 0 ? 3 : n % 2 == 0 ? 2 : 1)
                     : "t0", "t1", "t2", "t3", "t4", "t5", "t6", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11",
                       "a2", "a3", "a4", "a5", "a6", "a7", "memory");
#undef NN_RV_PIXEL
#undef NN_RV_VALUE
#else
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            acc[i][j] = bias[j];
        }
    }
    for (int k = 0; k < rows * n; k++, weights += 4) {
        for (int i = 0; i < 4; i++) {
            for (int j = 0; j < 4; j++) {
                acc[i][j] += x[k / n * down + i * apart + k % n] * weights[j];
            }
        }
    }
#endif
    return weights;
}

/* n bytes, words at a time where both ends allow. */
NN_INLINE void nn_rv_copy(int8_t *to, const int8_t *from, int n) {
    int8_t *const end = to + n;
    if (((uintptr_t)to | (uintptr_t)from | (uintptr_t)n) % 4 == 0) {
        for (; to < end; to += 4, from += 4) {
            *(nn_word *)to = *(const nn_word *)from;
        }
    } else {
        while (to < end) {
            *to++ = *from++;
        }
    }
}

/* What one channel of a depthwise 3x3 convolution is made of, in words. */
struct nn_rv_channel {
    int32_t weights[9], bias, multiplier;
    uint32_t shift;
};

/* A channel of a depthwise 3x3 convolution: rows of n outputs (y, apart bytes from one to the next, of rows too) from its plane (pitch
 * bytes from row to row), step bytes from window to window, down bytes from row of windows to row of windows. Weights stay in
 * registers, two outputs share what they see; one block, since compilers spill. Offsets of 2 * apart and three rows are below 2048. */
NN_INLINE void nn_rv_depthwise_3x3(int8_t *y, int apart, const int8_t *plane, int pitch, int step, int down, int n, int rows,
                                   const struct nn_rv_channel *channel, bool shifted, int zero_point, int lo, int hi) {
#if NN_HAS_RV32M
#define NN_RV_SEE(at) "lb t2, " at "(%[x]); "
#define NN_RV_A(from, w) "mul t3, t2, " w "; add t0, " from ", t3; "
#define NN_RV_B(from, w) "mul t4, t2, " w "; add t1, " from ", t4; "
#define NN_RV_THREE(row, a, w0, w1, w2) \
    NN_RV_SEE(row) NN_RV_A(a, w0) NN_RV_SEE(row " + 1") NN_RV_A("t0", w1) NN_RV_SEE(row " + 2") NN_RV_A("t0", w2)
#define NN_RV_TWICE(row, a, b, w0, w1, w2) \
    NN_RV_SEE(row) NN_RV_A(a, w0) NN_RV_SEE(row " + 1") NN_RV_A("t0", w1) \
    ".if %[step] == 1; " NN_RV_B(b, w0) NN_RV_SEE(row " + 2") NN_RV_A("t0", w2) NN_RV_B("t1", w1) \
    ".else; " NN_RV_SEE(row " + 2") NN_RV_A("t0", w2) \
    ".if %[step] > 2; " NN_RV_SEE(row " + %[step]") ".endif; " NN_RV_B(b, w0) \
    NN_RV_SEE(row " + %[step] + 1") NN_RV_B("t1", w1) ".endif; " NN_RV_SEE(row " + %[step] + 2") NN_RV_B("t1", w2)
#define NN_RV_FINISH(acc, at) \
    ".if %[shifted]; sll " acc ", " acc ", t6; .endif; " \
    "mul t3, " acc ", a7; mulh " acc ", " acc ", a7; srli t3, t3, 31; add " acc ", " acc ", t3; addi " acc ", " acc ", %[zero_point]; " \
    "bge a5, " acc ", 2f; mv " acc ", a5; 2: bge " acc ", a6, 3f; mv " acc ", a6; 3: sb " acc ", " at "(%[y]); "
    const int8_t *const end = y + rows * n * apart;
    __asm__ volatile("lw s2, 0(%[k]); lw s3, 4(%[k]); lw s4, 8(%[k]); lw s5, 12(%[k]); lw s6, 16(%[k]); lw s7, 20(%[k]); "
                     "lw s8, 24(%[k]); lw s9, 28(%[k]); lw s10, 32(%[k]); lw s11, 36(%[k]); lw a7, 40(%[k]); "
                     ".if %[shifted]; lw t6, 44(%[k]); .endif; li a5, %[hi]; li a6, %[lo]; "
                     "1: .if %[n] > 1; addi t5, %[x], %[n] / 2 * 2 * %[step]; 4: "
                     NN_RV_TWICE("0", "s11", "s11", "s2", "s3", "s4")
                     NN_RV_TWICE("%[pitch]", "t0", "t1", "s5", "s6", "s7")
                     NN_RV_TWICE("2 * %[pitch]", "t0", "t1", "s8", "s9", "s10")
                     NN_RV_FINISH("t0", "0") NN_RV_FINISH("t1", "%[apart]")
                     "addi %[x], %[x], 2 * %[step]; addi %[y], %[y], 2 * %[apart]; bne %[x], t5, 4b; .endif; "
                     ".if %[n] %% 2; "
                     NN_RV_THREE("0", "s11", "s2", "s3", "s4")
                     NN_RV_THREE("%[pitch]", "t0", "s5", "s6", "s7")
                     NN_RV_THREE("2 * %[pitch]", "t0", "s8", "s9", "s10")
                     NN_RV_FINISH("t0", "0") "addi %[y], %[y], %[apart]; .endif; "
                     "addi %[x], %[x], %[down] - %[n] / 2 * 2 * %[step]; bne %[y], %[end], 1b"
                     : [x] "+&r"(plane), [y] "+&r"(y) /* where the output ends may be where the plane begins */
                     : [k] "r"(channel), [end] "r"(end), [apart] "i"(apart), [pitch] "i"(pitch), [step] "i"(step), [down] "i"(down),
                       [n] "i"(n), [shifted] "i"(shifted), [zero_point] "i"(zero_point), [lo] "i"(lo), [hi] "i"(hi)
                     : "t0", "t1", "t2", "t3", "t4", "t5", "t6", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11",
                       "a5", "a6", "a7", "memory");
#undef NN_RV_SEE
#undef NN_RV_A
#undef NN_RV_B
#undef NN_RV_THREE
#undef NN_RV_TWICE
#undef NN_RV_FINISH
#else
    for (int output = 0; output < rows * n; output++, y += apart) {
        const int8_t *const window = plane + output / n * down + output % n * step;
        int32_t acc = channel->bias;
        for (int tap = 0; tap < 9; tap++) {
            acc += window[tap / 3 * pitch + tap % 3] * channel->weights[tap];
        }
        *y = nn_requantize(nn_shift_left(acc, shifted ? channel->shift : 0), channel->multiplier, zero_point, lo, hi);
    }
#endif
}

#endif
