/* RV32IM: what the kernels for these cores are made of. Part of nn_port.h. */
#ifndef NN_RISCV_H
#define NN_RISCV_H

#if defined(__riscv_mul) && __riscv_xlen == 32 && defined(__OPTIMIZE__) /* the block's constants */
#define NN_HAS_RV32M 1
#else
#define NN_HAS_RV32M 0
#endif

/* acc[i][j] += the sum of x[i * apart + k] * weights[4 * k + j] over k below n, for four pixels and four channels; returns the
 * end of the weights. n and apart are constants, 3 * apart below 2040. The sums are in 16 registers; one block, since
 * compilers spill. */
NN_INLINE const int8_t *nn_rv_tile(int32_t acc[4][4], const int8_t *x, int apart, const int8_t *weights, int n) {
#if NN_HAS_RV32M
#define NN_RV_PIXEL(x, a0, a1, a2, a3) \
    "lb t4, " x "(%[x]); mul t5, t4, t0; mul t6, t4, t1; add " a0 ", " a0 ", t5; add " a1 ", " a1 ", t6; " \
    "mul t5, t4, t2; mul t6, t4, t3; add " a2 ", " a2 ", t5; add " a3 ", " a3 ", t6; "
#define NN_RV_VALUE(at) \
    "lb t0, 4 * " at "(%[w]); lb t1, 4 * " at " + 1(%[w]); lb t2, 4 * " at " + 2(%[w]); lb t3, 4 * " at " + 3(%[w]); " \
    NN_RV_PIXEL(at, "s2", "s3", "s4", "s5") NN_RV_PIXEL(at " + %[apart]", "s6", "s7", "s8", "s9") \
    NN_RV_PIXEL(at " + 2 * %[apart]", "s10", "s11", "a2", "a3") NN_RV_PIXEL(at " + 3 * %[apart]", "a4", "a5", "a6", "a7")
#define NN_RV_ALL(op, from) \
    op " s2, 0(" from "); " op " s3, 4(" from "); " op " s4, 8(" from "); " op " s5, 12(" from "); " \
    op " s6, 16(" from "); " op " s7, 20(" from "); " op " s8, 24(" from "); " op " s9, 28(" from "); " \
    op " s10, 32(" from "); " op " s11, 36(" from "); " op " a2, 40(" from "); " op " a3, 44(" from "); " \
    op " a4, 48(" from "); " op " a5, 52(" from "); " op " a6, 56(" from "); " op " a7, 60(" from "); "
    const int8_t *const end = x + n;
    __asm__ volatile(NN_RV_ALL("lw", "%[acc]")
                     "1: " NN_RV_VALUE("0")
                     ".if %[unroll] > 1; " NN_RV_VALUE("1") ".endif; "
                     ".if %[unroll] > 2; " NN_RV_VALUE("2") ".endif; "
                     ".if %[unroll] > 3; " NN_RV_VALUE("3") ".endif; "
                     "addi %[x], %[x], %[unroll]; "
                     "addi %[w], %[w], 4 * %[unroll]; "
                     "bne %[x], %[end], 1b; "
                     NN_RV_ALL("sw", "%[acc]")
                     : [x] "+r"(x), [w] "+r"(weights)
                     : [acc] "r"(acc), [end] "r"(end), [apart] "i"(apart),
                       [unroll] "i"(n % 4 == 0 ? 4 : n % 3 == 0 ? 3 : n % 2 == 0 ? 2 : 1)
                     : "t0", "t1", "t2", "t3", "t4", "t5", "t6", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11",
                       "a2", "a3", "a4", "a5", "a6", "a7", "memory");
#undef NN_RV_PIXEL
#undef NN_RV_VALUE
#undef NN_RV_ALL
#else
    for (int k = 0; k < n; k++, weights += 4) {
        for (int i = 0; i < 4; i++) {
            for (int j = 0; j < 4; j++) {
                acc[i][j] += x[i * apart + k] * weights[j];
            }
        }
    }
#endif
    return weights;
}

#endif
