/* 3x3 convolutions on Armv7E-M by Winograd's F(4, 3) along the rows. Part of nn_port.h, behind nn_dsp_winograd.h. */
#ifndef NN_DSP_WINOGRAD_ROW_H
#define NN_DSP_WINOGRAD_ROW_H

/* Winograd's F(4, 3) in integers, along the rows of an image (the one-dimensional minimal filter whose nesting is the
 * F(4x4, 3x3) of Lavin and Gray, 2015, arXiv:1509.09308): from six inputs d side by side, transformed as V = B'd, and three
 * weights g, transformed offline as U = 24 G g, come four outputs side by side: 24 times the accumulators are A'M, where M is
 * the sum of U * V over the kernel's rows and the input channels, for each of the six positions by itself. The matrices are in
 * the plain C below and in codegen/packing/dsp_winograd_row.py; |V| is at most 10 * 128, |U| at most 24 * 128, and M fits 32
 * bits for up to 512 taps. A'M may wrap: a third of it, its product with the inverse of 3 modulo 2^32, is exactly eight times
 * the accumulator, which therefore must fit 29 bits.
 *
 * NN_WINOGRAD_4(name, steps, blocks, channels) defines name(stream, job) for 4 * steps * blocks taps (steps: 1 or 2) and so
 * many output channels. It walks along two tiles of four outputs and two output channels at a time. The stream holds for each
 * two channels the weights of the positions in turn, in blocks as nn_dense_s16 takes them, then 24 times the biases, and the
 * multipliers. x holds both tiles' V in turn by position, each as nn_dense_s16 takes it, and NN_WINOGRAD_END. */
struct nn_winograd_4 {
    const int16_t *x;    /* aligned to 4 bytes */
    const uint32_t *end; /* of the stream */
    int8_t *y[2];        /* the first pixels of both tiles */
    int32_t zero_point;
    uint32_t third; /* NN_THIRD */
};
#define NN_THIRD 0xAAAAAAABu

#if NN_HAS_DSP
#define NN_WINOGRAD_4_AT(position) "[sp, #20 + 16 * (5 - " #position ") + 8 * \\tile]\n\t"
/* Sums to a0, a1, differences to s0, s1. */
#define NN_WINOGRAD_4_BUTTERFLY(a0, a1, s0, s1) \
    "add " a0 ", r0, r2\n\t" \
    "add " a1 ", r1, r3\n\t" \
    "sub " s0 ", r0, r2\n\t" \
    "sub " s1 ", r1, r3\n\t"
#define NN_WINOGRAD_4_PIXEL(a, b, at) \
    "mul " a ", " a ", r3\n\t" \
    "mul " b ", " b ", r3\n\t" \
    "asr " a ", " a ", #3\n\t" \
    "asr " b ", " b ", #3\n\t" \
    "smmlar " a ", " a ", r0, r2\n\t" \
    "smmlar " b ", " b ", r1, r2\n\t" \
    "ssat " a ", #8, " a "\n\t" \
    "ssat " b ", #8, " b "\n\t" \
    "bfi " a ", " b ", #8, #8\n\t" \
    "strh " a ", " at "\n\t"
#define NN_WINOGRAD_4_TILE(channels) \
    "ldrd r0, r1, " NN_WINOGRAD_4_AT(1) \
    "ldrd r2, r3, [sp, #4]\n\t" \
    "add r0, r0, r2\n\t" \
    "add r1, r1, r3\n\t" \
    "ldrd r2, r3, " NN_WINOGRAD_4_AT(2) \
    NN_WINOGRAD_4_BUTTERFLY("r4", "r5", "r6", "r7") \
    "ldrd r0, r1, " NN_WINOGRAD_4_AT(3) \
    "ldrd r2, r3, " NN_WINOGRAD_4_AT(4) \
    NN_WINOGRAD_4_BUTTERFLY("r8", "r9", "r0", "r1") \
    "ldrd r2, r3, " NN_WINOGRAD_4_AT(0) \
    "add r10, r4, r8, lsl #2\n\t" \
    "add r11, r5, r9, lsl #2\n\t" \
    "add r4, r4, r8\n\t" \
    "add r5, r5, r9\n\t" \
    "add r4, r4, r2\n\t" \
    "add r5, r5, r3\n\t" \
    "ldrd r2, r3, " NN_WINOGRAD_4_AT(5) \
    "add r8, r6, r0, lsl #1\n\t" \
    "add r9, r7, r1, lsl #1\n\t" \
    "add r6, r6, r0, lsl #3\n\t" \
    "add r7, r7, r1, lsl #3\n\t" \
    "add r6, r6, r2\n\t" \
    "add r7, r7, r3\n\t" \
    "ldrd r0, r1, [sp, #12]\n\t" \
    "ldrd r2, r3, [sp, #132]\n\t" \
    "ldr r12, [sp, #124 + 4 * \\tile]\n\t" \
    NN_WINOGRAD_4_PIXEL("r4", "r5", "[r12], #2") \
    NN_WINOGRAD_4_PIXEL("r8", "r9", "[r12, #" #channels " - 2]") \
    NN_WINOGRAD_4_PIXEL("r10", "r11", "[r12, #2 * " #channels " - 2]") \
    NN_WINOGRAD_4_PIXEL("r6", "r7", "[r12, #3 * " #channels " - 2]") \
    "str r12, [sp, #124 + 4 * \\tile]\n\t"

/* On the stack: the job; the M of the six positions, 16 bytes each, the last one first; stream, biases, multipliers. The
 * flag Z says that half of a position's blocks are still to come. */
#define NN_WINOGRAD_4(name, steps, blocks, channels) \
    NN_NAKED void name(const uint32_t *stream __attribute__((unused)), \
                       const struct nn_winograd_4 *job __attribute__((unused))) { \
        __asm__ volatile("push {r4-r11, lr}\n\t" \
                         "ldmia.w r1, {r1-r6}\n\t" \
                         "push {r1-r6}\n" \
                         "1:\n\t" \
                         "ldr r1, [sp]\n" \
                         "2:\n\t" \
                         ".if " #steps " == 2\n\t" \
                         "movs r10, #0\n\t" \
                         "mov r11, r10\n\t" \
                         "mov r12, r10\n\t" \
                         "mov lr, r10\n" \
                         "3:\n\t" \
                         ".rept " #blocks "\n\t" \
                         NN_BLOCK_S16 \
                         ".endr\n\t" \
                         "bne 4f\n\t" \
                         "cmp sp, #0\n\t" \
                         "b 3b\n" \
                         "4:\n\t" \
                         ".else\n\t" \
                         "ldmia.n r1!, {r2-r5}\n\t" \
                         "ldmia.w r0!, {r6-r9}\n\t" \
                         NN_TILE_2X2_FIRST("r2", "r3", "r6", "r7") \
                         NN_TILE_2X2("r4", "r5", "r8", "r9") \
                         ".rept " #blocks " - 1\n\t" \
                         NN_BLOCK_S16 \
                         ".endr\n\t" \
                         ".endif\n\t" \
                         "push {r10-r12, lr}\n\t" \
                         "ldr r2, [r1]\n\t" \
                         "cmp r2, #0x80008000\n\t" \
                         "bne 2b\n\t" \
                         "ldmia.n r0!, {r2-r5}\n\t" \
                         "push {r0, r2-r5}\n\t" \
                         ".irp tile, 0, 1\n\t" \
                         NN_WINOGRAD_4_TILE(channels) \
                         ".endr\n\t" \
                         "ldr r0, [sp]\n\t" \
                         "add sp, sp, #116\n\t" \
                         "ldr r2, [sp, #4]\n\t" \
                         "cmp r0, r2\n\t" \
                         "bne 1b\n\t" \
                         "add sp, sp, #24\n\t" \
                         "pop {r4-r11, pc}"); \
    }
#else
NN_INLINE void nn_winograd_4(const uint32_t *stream, const struct nn_winograd_4 *job, int blocks, int channels) {
    static const int8_t a[4][6] = {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};
    for (int channel = 0; stream != job->end; channel += 2) {
        const uint32_t *const bias = stream + 24 * blocks;
        uint32_t sums[16]; /* of each tile, channel and pixel */
        for (int i = 0; i < 16; i++) {
            sums[i] = bias[i / 4 % 2];
        }
        const int16_t *x = job->x;
        for (int position = 0; position < 6; position++) {
            int32_t acc[2][2] = {{0, 0}, {0, 0}};
            for (int block = 0; block < blocks; block++, x += 8, stream += 4) {
                nn_dense_block(acc, x, stream, false);
            }
            for (int i = 0; i < 16; i++) {
                sums[i] += (uint32_t)acc[i / 8][i / 4 % 2] * (uint32_t)a[i % 4][position];
            }
        }
        for (int i = 0; i < 16; i++) {
            const int32_t eightfold = (int32_t)(sums[i] * job->third);
            job->y[i / 8][i % 4 * channels + channel + i / 4 % 2] =
                nn_requantize(eightfold >> 3, (int32_t)stream[2 + i / 4 % 2], job->zero_point, -128, 127);
        }
        stream += 4;
    }
}
#define NN_WINOGRAD_4(name, steps, blocks, channels) \
    static void name(const uint32_t *stream, const struct nn_winograd_4 *job) { \
        nn_winograd_4(stream, job, (steps) * (blocks), (channels)); \
    }
#endif

/* NN_WINOGRAD_4_INPUT(name, channels, apart) defines name(nn_word *v, const int8_t *from): V of six pixels of `channels` (a
 * multiple of 4) side by side, at any address, into every second word from v, the positions `apart` words apart. */
#if NN_HAS_DSP
#define NN_WINOGRAD_4_STORE(from, position, apart) "str " from ", [r0, #4 * " #position " * " #apart " + \\ror]\n\t"
#define NN_WINOGRAD_4_D(to, raw) "sxtb16 " to ", " raw ", ror #\\ror\n\t"
#define NN_FOUR_TIMES(to, x) "and " to ", r3, " x ", lsl #2\n\t"
/* Two channels of the pixels in r4 .. r9. */
#define NN_WINOGRAD_4_PAIR(apart) \
    NN_WINOGRAD_4_D("r10", "r6") \
    NN_WINOGRAD_4_D("r11", "r8") \
    "ssub16 r12, r11, r10\n\t" \
    NN_WINOGRAD_4_D("lr", "r4") \
    "ssub16 lr, lr, r10\n\t" \
    NN_FOUR_TIMES("lr", "lr") \
    "sadd16 lr, lr, r12\n\t" \
    NN_WINOGRAD_4_STORE("lr", 0, apart) \
    NN_FOUR_TIMES("r10", "r10") \
    "ssub16 r11, r11, r10\n\t" \
    NN_WINOGRAD_4_D("r10", "r5") \
    NN_WINOGRAD_4_D("lr", "r7") \
    "ssub16 r2, lr, r10\n\t" \
    NN_FOUR_TIMES("r10", "r10") \
    "ssub16 r10, lr, r10\n\t" \
    "sadd16 r1, r11, r10\n\t" \
    NN_WINOGRAD_4_STORE("r1", 1, apart) \
    "ssub16 r11, r11, r10\n\t" \
    NN_WINOGRAD_4_STORE("r11", 2, apart) \
    "sadd16 r2, r2, r2\n\t" \
    "sadd16 r1, r12, r2\n\t" \
    NN_WINOGRAD_4_STORE("r1", 3, apart) \
    "ssub16 r12, r12, r2\n\t" \
    NN_WINOGRAD_4_STORE("r12", 4, apart) \
    NN_WINOGRAD_4_D("r1", "r9") \
    "ssub16 r1, r1, r10\n\t" \
    NN_FOUR_TIMES("lr", "lr") \
    "ssub16 r1, r1, lr\n\t" \
    NN_WINOGRAD_4_STORE("r1", 5, apart)
/* On the stack: the next pixel, where it ends. */
#define NN_WINOGRAD_4_INPUT(name, channels, apart) \
    NN_NAKED void name(nn_word *v __attribute__((unused)), const int8_t *from __attribute__((unused))) { \
        __asm__ volatile("push {r4-r11, lr}\n\t" \
                         "add r2, r1, #" #channels "\n\t" \
                         "mvn r3, #0x00030003\n\t" \
                         "push {r1, r2}\n" \
                         "1:\n\t" \
                         "ldr r4, [r1]\n\t" \
                         "ldr r5, [r1, #" #channels "]\n\t" \
                         "ldr r6, [r1, #2 * " #channels "]\n\t" \
                         "ldr r7, [r1, #3 * " #channels "]\n\t" \
                         "ldr r8, [r1, #4 * " #channels "]\n\t" \
                         "ldr r9, [r1, #5 * " #channels "]\n\t" \
                         "adds r1, r1, #4\n\t" \
                         "str r1, [sp]\n\t" \
                         ".irp ror, 0, 8\n\t" \
                         NN_WINOGRAD_4_PAIR(apart) \
                         ".endr\n\t" \
                         "ldrd r1, r2, [sp]\n\t" \
                         "adds r0, r0, #16\n\t" \
                         "cmp r1, r2\n\t" \
                         "bne 1b\n\t" \
                         "add sp, sp, #8\n\t" \
                         "pop {r4-r11, pc}"); \
    }
#else
NN_INLINE void nn_winograd_4_input(nn_word *v, const int8_t *from, int channels, int apart) {
    static const int8_t b[6][6] = {{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                   {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
    for (int i = 0; i < 6 * channels; i++) {
        const int position = i / channels, c = i % channels;
        int32_t sum = 0;
        for (int pixel = 0; pixel < 6; pixel++) {
            sum += b[position][pixel] * from[pixel * channels + c];
        }
        ((int16_t *)(v + position * apart + c / 4 * 4 + c % 2 * 2))[c % 4 / 2] = (int16_t)sum;
    }
}
#define NN_WINOGRAD_4_INPUT(name, channels, apart) \
    static void name(nn_word *v, const int8_t *from) { nn_winograd_4_input(v, from, (channels), (apart)); }
#endif

#endif
