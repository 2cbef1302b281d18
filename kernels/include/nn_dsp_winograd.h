/* 3x3 convolutions on Armv7E-M by Winograd's F(2x2, 3x3). Part of nn_port.h; the blocks are those of nn_dsp_dense.h. */
#ifndef NN_DSP_WINOGRAD_H
#define NN_DSP_WINOGRAD_H

/* Winograd's F(2x2, 3x3) in integers (Lavin and Gray, 2015, arXiv:1509.09308): from tiles of 4x4 inputs d, transformed as
 * V = B'dB, and weights g, transformed offline as U = (2G)g(2G)', come 2x2 outputs: four times the accumulators are
 * A'MA, where M is the sum of U * V over the input channels, for each of the 16 positions by itself.
 *
 * NN_WINOGRAD(name, blocks, positions) defines name(stream, job) for 4 * blocks input channels, its loop unrolled over
 * `positions`, a divisor of 16. It walks along two tiles and two output channels at a time. The stream holds for each two
 * channels the weights of the positions in turn, in blocks as nn_dense_s16 takes them, then four times the biases, and the
 * multipliers. x holds both tiles' V in turn by position, each as nn_dense_s16 takes it, and NN_WINOGRAD_END. */
struct nn_winograd {
    const int16_t *x; /* aligned to 4 bytes */
    int32_t zero_point;
    const uint32_t *end; /* of the stream */
    int8_t *y[8];        /* the pixels of the first tile, then of the second; each all channels side by side */
};
#define NN_WINOGRAD_END 0x80008000u

#if NN_HAS_DSP
#define NN_TILE_2X2_FIRST(x0, x1, w0, w1) \
    "smuad r10, " x0 ", " w0 "\n\t" \
    "smuad r11, " x0 ", " w1 "\n\t" \
    "smuad r12, " x1 ", " w0 "\n\t" \
    "smuad lr, " x1 ", " w1 "\n\t"
#define NN_WINOGRAD_AT(row, column) "[sp, #20 + 16 * (15 - 4 * " #row " - " #column ") + 8 * \\tile]\n\t"
#define NN_WINOGRAD_COLUMN(column, bias, y00, y01, y10, y11) \
    "ldrd r0, r1, " NN_WINOGRAD_AT(1, column) bias \
    "ldrd r2, r3, " NN_WINOGRAD_AT(2, column) \
    "add r4, r0, r2\n\t" \
    "add lr, r1, r3\n\t" \
    "sub r0, r0, r2\n\t" \
    "sub r1, r1, r3\n\t" \
    "ldrd r2, r3, " NN_WINOGRAD_AT(0, column) \
    "add " y00 ", r4, r2\n\t" \
    "add " y01 ", lr, r3\n\t" \
    "ldrd r2, r3, " NN_WINOGRAD_AT(3, column) \
    "sub " y10 ", r0, r2\n\t" \
    "sub " y11 ", r1, r3\n\t"
#define NN_WINOGRAD_BIAS \
    "ldrd r2, r3, [sp, #4]\n\t" \
    "add r0, r0, r2\n\t" \
    "add r1, r1, r3\n\t"
#define NN_WINOGRAD_PIXEL(a, b, pixel) \
    "asr " a ", " a ", #2\n\t" \
    "asr " b ", " b ", #2\n\t" \
    "smmlar " a ", " a ", r0, r4\n\t" \
    "smmlar " b ", " b ", r1, r4\n\t" \
    "ssat " a ", #8, " a "\n\t" \
    "ssat " b ", #8, " b "\n\t" \
    "bfi " a ", " b ", #8, #8\n\t" \
    "ldr lr, [r2, #12 + 4 * (4 * \\tile + " #pixel ")]\n\t" \
    "strh " a ", [lr, r3]\n\t"
#define NN_WINOGRAD_TILE \
    NN_WINOGRAD_COLUMN(0, "", "r5", "r6", "r7", "r8") \
    NN_WINOGRAD_COLUMN(1, NN_WINOGRAD_BIAS, "r9", "r10", "r11", "r12") \
    "add r5, r5, r9\n\t" \
    "add r6, r6, r10\n\t" \
    "add r7, r7, r11\n\t" \
    "add r8, r8, r12\n\t" \
    NN_WINOGRAD_COLUMN(2, "", "r4", "lr", "r0", "r1") \
    "add r5, r5, r4\n\t" \
    "add r6, r6, lr\n\t" \
    "add r7, r7, r0\n\t" \
    "add r8, r8, r1\n\t" \
    "sub r9, r9, r4\n\t" \
    "sub r10, r10, lr\n\t" \
    "sub r11, r11, r0\n\t" \
    "sub r12, r12, r1\n\t" \
    NN_WINOGRAD_COLUMN(3, "", "r4", "lr", "r0", "r1") \
    "sub r9, r9, r4\n\t" \
    "sub r10, r10, lr\n\t" \
    "sub r11, r11, r0\n\t" \
    "sub r12, r12, r1\n\t" \
    "ldrd r0, r1, [sp, #12]\n\t" \
    "ldrd r2, r3, [sp, #276]\n\t" \
    "ldr r4, [r2, #4]\n\t" \
    NN_WINOGRAD_PIXEL("r5", "r6", 0) \
    NN_WINOGRAD_PIXEL("r9", "r10", 1) \
    NN_WINOGRAD_PIXEL("r7", "r8", 2) \
    NN_WINOGRAD_PIXEL("r11", "r12", 3)

/* On the stack: job, channel; the M of the 16 positions, 16 bytes each, the last one first; stream, biases, multipliers. */
#define NN_WINOGRAD(name, blocks, positions) \
    NN_NAKED void name(const uint32_t *stream __attribute__((unused)), \
                       const struct nn_winograd *job __attribute__((unused))) { \
        __asm__ volatile("push {r4-r11, lr}\n\t" \
                         "movs r2, #0\n\t" \
                         "push {r1, r2}\n" \
                         "1:\n\t" \
                         "ldr r1, [sp]\n\t" \
                         "ldr r1, [r1]\n" \
                         "2:\n\t" \
                         ".rept " #positions "\n\t" \
                         "ldmia.n r1!, {r2-r5}\n\t" \
                         "ldmia.w r0!, {r6-r9}\n\t" \
                         NN_TILE_2X2_FIRST("r2", "r3", "r6", "r7") \
                         NN_TILE_2X2("r4", "r5", "r8", "r9") \
                         ".rept " #blocks " - 1\n\t" \
                         NN_BLOCK_S16 \
                         ".endr\n\t" \
                         "push {r10-r12, lr}\n\t" \
                         ".endr\n\t" \
                         "ldr r2, [r1]\n\t" \
                         "cmp r2, #0x80008000\n\t" \
                         "bne 2b\n\t" \
                         "ldmia.n r0!, {r2-r5}\n\t" \
                         "push {r0, r2-r5}\n\t" \
                         ".irp tile, 0, 1\n\t" \
                         NN_WINOGRAD_TILE \
                         ".endr\n\t" \
                         "ldr r0, [sp]\n\t" \
                         "add sp, sp, #276\n\t" \
                         "adds r3, r3, #2\n\t" \
                         "str r3, [sp, #4]\n\t" \
                         "ldr r4, [r2, #8]\n\t" \
                         "cmp r0, r4\n\t" \
                         "bne 1b\n\t" \
                         "add sp, sp, #8\n\t" \
                         "pop {r4-r11, pc}"); \
    }
#else
/* A'MA for one tile and channel. */
NN_INLINE void nn_winograd_outputs(uint32_t y[4], const uint32_t m[16]) {
    uint32_t rows[2][4];
    for (int j = 0; j < 4; j++) {
        rows[0][j] = m[j] + m[4 + j] + m[8 + j];
        rows[1][j] = m[4 + j] - m[8 + j] - m[12 + j];
    }
    for (int i = 0; i < 2; i++) {
        y[2 * i] = rows[i][0] + rows[i][1] + rows[i][2];
        y[2 * i + 1] = rows[i][1] - rows[i][2] - rows[i][3];
    }
}
NN_INLINE void nn_winograd(const uint32_t *stream, const struct nn_winograd *job, int blocks) {
    for (int channel = 0; stream != job->end; channel += 2) {
        const uint32_t *const bias = stream + 64 * blocks;
        uint32_t m[2][2][16];
        const int16_t *x = job->x;
        for (int position = 0; position < 16; position++) {
            int32_t acc[2][2] = {{0, 0}, {0, 0}};
            for (int block = 0; block < blocks; block++, x += 8, stream += 4) {
                nn_dense_block(acc, x, stream, false);
            }
            for (int i = 0; i < 4; i++) {
                m[i / 2][i % 2][position] = (uint32_t)acc[i / 2][i % 2] + (position == 5 ? bias[i % 2] : 0u);
            }
        }
        for (int i = 0; i < 4; i++) {
            uint32_t y[4];
            nn_winograd_outputs(y, m[i / 2][i % 2]);
            for (int pixel = 0; pixel < 4; pixel++) {
                job->y[i / 2 * 4 + pixel][channel + i % 2] =
                    nn_requantize((int32_t)y[pixel] >> 2, (int32_t)stream[2 + i % 2], job->zero_point, -128, 127);
            }
        }
        stream += 4;
    }
}
#define NN_WINOGRAD(name, blocks, positions) \
    static void name(const uint32_t *stream, const struct nn_winograd *job) { nn_winograd(stream, job, (blocks)); }
#endif

/* NN_WINOGRAD_INPUT(name, channels) defines name(word *v, const int8_t *const rows[4], int offset): V of one tile, from its 4x4
 * pixels of `channels` (a multiple of 4, at most 64) side by side, `offset` bytes behind each of rows[], into every second word
 * from v. */
#if NN_HAS_DSP
#define NN_WINOGRAD_D(to, from, which, channels) \
    "ldr " to ", [" from ", #" #which "*" #channels "]\n\t" \
    "sxtb16 " to ", " to ", ror #\\ror\n\t"
/* The four differences and sums of a row of dB in turn: into d0 .. d3, each followed by what is done with it. */
#define NN_WINOGRAD_ROW(from, channels, d0, do0, d1, do1, d2, do2, d3, do3) \
    NN_WINOGRAD_D("r3", from, 0, channels) \
    NN_WINOGRAD_D("r12", from, 2, channels) \
    "ssub16 " d0 ", r3, r12\n\t" do0 \
    NN_WINOGRAD_D("r3", from, 1, channels) \
    "sadd16 " d1 ", r3, r12\n\t" do1 \
    "ssub16 " d2 ", r12, r3\n\t" do2 \
    NN_WINOGRAD_D("r12", from, 3, channels) \
    "ssub16 " d3 ", r3, r12\n\t" do3
#define NN_WINOGRAD_STORE(from, position, channels) \
    "str " from ", [r0, #4 * (" position ") * " #channels " + \\ror]\n\t"
#define NN_WINOGRAD_MIDDLE(a, b, column, channels) \
    "sadd16 r3, " a ", " b "\n\t" NN_WINOGRAD_STORE("r3", "4 + " #column, channels) \
    "ssub16 r3, " b ", " a "\n\t" NN_WINOGRAD_STORE("r3", "8 + " #column, channels)
#define NN_WINOGRAD_FIRST(b, column, channels) \
    "ssub16 lr, lr, " b "\n\t" NN_WINOGRAD_STORE("lr", #column, channels)
#define NN_WINOGRAD_LAST(a, column, channels) \
    "ssub16 lr, " a ", lr\n\t" NN_WINOGRAD_STORE("lr", "12 + " #column, channels)
#define NN_WINOGRAD_PAIR(channels) \
    "ldr lr, [sp, #8]\n\t" \
    "add lr, lr, r1\n\t" \
    NN_WINOGRAD_ROW("lr", channels, "r4", "", "r5", "", "r6", "", "r7", "") \
    "ldr lr, [sp, #12]\n\t" \
    "add lr, lr, r1\n\t" \
    NN_WINOGRAD_ROW("lr", channels, "r8", "", "r9", "", "r10", "", "r11", "") \
    NN_WINOGRAD_MIDDLE("r4", "r8", 0, channels) \
    NN_WINOGRAD_MIDDLE("r5", "r9", 1, channels) \
    NN_WINOGRAD_MIDDLE("r6", "r10", 2, channels) \
    NN_WINOGRAD_MIDDLE("r7", "r11", 3, channels) \
    "ldr r2, [sp, #4]\n\t" \
    "add r2, r2, r1\n\t" \
    NN_WINOGRAD_ROW("r2", channels, "lr", NN_WINOGRAD_FIRST("r8", 0, channels), \
                    "lr", NN_WINOGRAD_FIRST("r9", 1, channels), "lr", NN_WINOGRAD_FIRST("r10", 2, channels), \
                    "lr", NN_WINOGRAD_FIRST("r11", 3, channels)) \
    "ldr r8, [sp, #16]\n\t" \
    "add r8, r8, r1\n\t" \
    NN_WINOGRAD_ROW("r8", channels, "lr", NN_WINOGRAD_LAST("r4", 0, channels), \
                    "lr", NN_WINOGRAD_LAST("r5", 1, channels), "lr", NN_WINOGRAD_LAST("r6", 2, channels), \
                    "lr", NN_WINOGRAD_LAST("r7", 3, channels))
#define NN_WINOGRAD_INPUT(name, channels) \
    NN_NAKED void name(nn_word *v __attribute__((unused)), const int8_t *const rows[4] __attribute__((unused)), \
                       int offset __attribute__((unused))) { \
        __asm__ volatile("push {r4-r11, lr}\n\t" \
                         "ldmia.w r1, {r4-r7}\n\t" \
                         "mov r1, r2\n\t" \
                         "add r3, r2, #" #channels "\n\t" \
                         "push {r3-r7}\n" \
                         "1:\n\t" \
                         ".irp ror, 0, 8\n\t" \
                         NN_WINOGRAD_PAIR(channels) \
                         ".endr\n\t" \
                         "ldr r3, [sp]\n\t" \
                         "adds r0, r0, #16\n\t" \
                         "adds r1, r1, #4\n\t" \
                         "cmp r1, r3\n\t" \
                         "bne 1b\n\t" \
                         "add sp, sp, #20\n\t" \
                         "pop {r4-r11, pc}"); \
    }
#else
NN_INLINE void nn_winograd_input(nn_word *v, const int8_t *const rows[4], int offset, int channels) {
    static const int8_t factors[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}}; /* B' */
    for (int i = 0; i < 16 * channels; i++) {
        const int position = i / channels, c = i % channels;
        int32_t sum = 0;
        for (int pixel = 0; pixel < 16; pixel++) {
            const int32_t factor = factors[position / 4][pixel / 4] * factors[position % 4][pixel % 4];
            sum += factor * rows[pixel / 4][offset + pixel % 4 * channels + c];
        }
        ((int16_t *)(v + position * channels + c / 4 * 4 + c % 2 * 2))[c % 4 / 2] = (int16_t)sum;
    }
}
#define NN_WINOGRAD_INPUT(name, channels) \
    static void name(nn_word *v, const int8_t *const rows[4], int offset) { \
        nn_winograd_input(v, rows, offset, (channels)); \
    }
#endif

/* A row of a tile: `left` words of value, `words` from elsewhere, `right` words of value. */
NN_INLINE void nn_pad_row(nn_word_at_1 *to, const int8_t *from, int left, int words, int right, uint32_t value) {
    const nn_word_at_1 *source = (const nn_word_at_1 *)from;
    while (left-- > 0) {
        *to++ = value;
    }
#pragma GCC unroll 4
    while (words-- > 0) {
        *to++ = *source++;
    }
    while (right-- > 0) {
        *to++ = value;
    }
}

#endif
