/* Depthwise convolutions on Armv7E-M, a row or two at a time. Part of nn_port.h. */
#ifndef NN_DSP_DEPTHWISE_ROWS_H
#define NN_DSP_DEPTHWISE_ROWS_H

/* A row of a depthwise 3x3 convolution or two, one below the other, four channels at a time: their rows of input are widened to
 * `columns`, side by side, so that a multiplication takes two taps of a column; then each channel's weights stay in registers.
 *
 * NN_DEPTHWISE_BY_ROWS(name, channels, width, stride, left, inside, rows, wide) defines name(const uint32_t *stream,
 * const int8_t *const x[], nn_word *columns, int8_t *y): `rows` (1 or 2) rows of `width` outputs from `rows` + 2 of input, at
 * any address (NULL: padding), of which `inside` columns, after `left`, are in `columns`; `width` * `stride` + 3 - `stride` are
 * needed, those outside hold what is there. A column is eight words, two for each channel: row 1 (low half) and 0, then row 2
 * and, for two rows, 3.
 *
 * The stream holds for each channel three words of weights, then bias and multiplier. The weights are int8 (row, column):
 * (1, 0), (1, 1), (0, 0), (0, 1); (1, 2), (2, 0), (0, 2), (2, 1); then (2, 2) as int16 and, in the high half, how many channels
 * there are. `wide`: in place of the first two words there are four of two int16: (1, 0), (0, 0); (1, 1), (0, 1); (1, 2),
 * (0, 2); (2, 0), (2, 1). At the end are output and input zero point, and four bytes: columns inside, on their left and on
 * their right, and `width`.
 *
 * NN_DEPTHWISE_BY_ANY(name, stride) defines the same for one row of any size, which it takes from the stream: less code where
 * there are several sizes, and more instructions. It also fills in the columns outside. */
#if NN_HAS_DSP
/* Row 0 in r6, 1 in r4, 2 in r11. */
#define NN_COLUMN_WIDEN_1 \
    "pkhtb r10, r6, r4, asr #16\n\t" \
    "pkhbt r4, r4, r6, lsl #16\n\t" \
    "sxtb16 r5, r11\n\t" \
    "sxtb16 r7, r11, ror #8\n\t" \
    "sxtb16 r9, r11, ror #16\n\t" \
    "sxtb16 r11, r11, ror #24\n\t" \
    "sxtb16 r6, r4, ror #8\n\t" \
    "sxtb16 r4, r4\n\t" \
    "sxtb16 r8, r10\n\t" \
    "sxtb16 r10, r10, ror #8\n\t" \
    "stmia.w r0!, {r4-r11}\n\t"
/* Row 0 in r6, 1 in r4, 2 in r5, 3 in r7. */
#define NN_COLUMN_WIDEN_2 \
    "pkhtb r10, r6, r4, asr #16\n\t" \
    "pkhbt r4, r4, r6, lsl #16\n\t" \
    "pkhtb r11, r7, r5, asr #16\n\t" \
    "pkhbt r5, r5, r7, lsl #16\n\t" \
    "sxtb16 r6, r4, ror #8\n\t" \
    "sxtb16 r4, r4\n\t" \
    "sxtb16 r7, r5, ror #8\n\t" \
    "sxtb16 r5, r5\n\t" \
    "sxtb16 r8, r10\n\t" \
    "sxtb16 r10, r10, ror #8\n\t" \
    "sxtb16 r9, r11\n\t" \
    "sxtb16 r11, r11, ror #8\n\t" \
    "stmia.w r0!, {r4-r11}\n\t"
#define NN_COLUMN_NEXT(register, from, channels) \
    ".if " #channels " < 256\n\t" \
    "ldr " register ", [" from "], #" #channels "\n\t" \
    ".else\n\t" \
    "ldr " register ", [" from "]\n\t" \
    "add " from ", " from ", #" #channels "\n\t" \
    ".endif\n\t"
#define NN_COLUMN_1(channels) \
    NN_COLUMN_NEXT("r6", "r1", channels) NN_COLUMN_NEXT("r4", "r2", channels) NN_COLUMN_NEXT("r11", "r3", channels) \
    NN_COLUMN_WIDEN_1
#define NN_COLUMN_2(channels) \
    NN_COLUMN_NEXT("r6", "r1", channels) NN_COLUMN_NEXT("r4", "r2", channels) NN_COLUMN_NEXT("r5", "r3", channels) \
    NN_COLUMN_NEXT("r7", "lr", channels) NN_COLUMN_WIDEN_2
#define NN_COLUMN_EDGE_1(steps) \
    "ldr r6, [r1]\n\t" \
    "ldr r4, [r2]\n\t" \
    "ldr r11, [r3]\n\t" \
    NN_COLUMN_WIDEN_1 \
    "add r4, sp, #" steps "\n\t" \
    "ldmia.w r4, {r4-r6}\n\t"
#define NN_COLUMN_EDGE_2(steps) \
    "ldr r6, [r1]\n\t" \
    "ldr r4, [r2]\n\t" \
    "ldr r5, [r3]\n\t" \
    "ldr r7, [lr]\n\t" \
    NN_COLUMN_WIDEN_2 \
    "add r4, sp, #" steps "\n\t" \
    "ldmia.w r4, {r4-r7}\n\t" \
    "add lr, lr, r7\n\t"
#define NN_COLUMN_FROM_1(load_or_store) load_or_store ".w r4, {r1-r3}\n\t"
#define NN_COLUMN_FROM_2(load_or_store) load_or_store ".w r4, {r1-r3, lr}\n\t"
#define NN_COLUMN_POINTERS_1 "r1, r2, r3"
#define NN_COLUMN_POINTERS_2 "r1, r2, r3, lr"
#define NN_COLUMN_LEFT_1 "lr"
#define NN_COLUMN_LEFT_2 "r12"

/* The column in `pair` and `single` (r10 and r11, or for the second row by turns) ends the output in register a, is in the
 * middle of that in b, and begins the next one, in a. Weights: r2, r3 and `pair2`; the halves of r5 and `single2`. */
#define NN_ROW_LOAD "ldrd r10, r11, [r0], #32\n\t"
#define NN_ROW_BEGIN(a, pair, single) \
    "smlad " a ", " pair ", r2, r7\n\t" \
    "smlabb " a ", " single ", r5, " a "\n\t"
#define NN_ROW_MIDDLE(a, pair, single) \
    "smlad " a ", " pair ", r3, " a "\n\t" \
    "smlabt " a ", " single ", r5, " a "\n\t"
#define NN_ROW_FINISH(a, pair, single, last, channels) \
    "smlad " a ", " pair ", " last "\n\t" \
    "smmlar " a ", " a ", r8, r9\n\t" \
    "ssat " a ", #8, " a "\n\t" \
    ".if " #channels " == 0\n\t" \
    "strb.w " a ", [r1]\n\t" \
    "add.w r1, r1, r6, lsr #16\n\t" \
    ".elseif " #channels " < 256\n\t" \
    "strb " a ", [r1], #" #channels "\n\t" \
    ".else\n\t" \
    "strb " a ", [r1]\n\t" \
    "add r1, r1, #" #channels "\n\t" \
    ".endif\n\t"
#define NN_ROW_LAST_0(a) "r4, " a "\n\tsmlabb " a ", r11, r6, " a
#define NN_ROW_LAST_1(a) "r6, " a "\n\tsmlabt " a ", r10, r4, " a
#define NN_ROW_OUTPUT(channels, stride, pair, single, last) \
    NN_ROW_LOAD \
    ".if " #stride " == 2\n\t" \
    NN_ROW_MIDDLE("r12", pair, single) NN_ROW_LOAD NN_ROW_FINISH("r12", pair, single, last("r12"), channels) \
    NN_ROW_BEGIN("r12", pair, single) \
    ".elseif nn_odd\n\t" \
    NN_ROW_FINISH("lr", pair, single, last("lr"), channels) NN_ROW_MIDDLE("r12", pair, single) \
    NN_ROW_BEGIN("lr", pair, single) \
    ".else\n\t" \
    NN_ROW_FINISH("r12", pair, single, last("r12"), channels) NN_ROW_MIDDLE("lr", pair, single) \
    NN_ROW_BEGIN("r12", pair, single) \
    ".endif\n\t" \
    ".set nn_odd, 1 - nn_odd\n\t"
/* All outputs but the last two (stride 2: the last) are made by loops of six where they are many; in two statements, as no text
 * may be too long. At the end r0 is back at the first column, or at what is `next` bytes behind it, and r1 is `step`
 * bytes behind the last output. */
#define NN_ROW(channels, width, stride, pair, single, last, next, step) \
    __asm__ volatile(NN_ROW_LOOP(channels, width, stride, pair, single, last)); \
    __asm__ volatile(NN_ROW_END(channels, width, stride, pair, single, last, next, step));
#define NN_ROW_LOAD_LAST(width, stride, next) \
    ".if 32 * (" #width " * " #stride " + 2 - " #stride ") - " #next " <= 1020\n\t" \
    "ldrd r10, r11, [r0], #-(32 * (" #width " * " #stride " + 2 - " #stride ") - " #next ")\n\t" \
    ".else\n\t" \
    "ldrd r10, r11, [r0]\n\t" \
    "sub r0, r0, #32 * (" #width " * " #stride " + 2 - " #stride ") - " #next "\n\t" \
    ".endif\n\t"
#define NN_ROW_LOOP(channels, width, stride, pair, single, last) \
    ".set nn_odd, 0\n\t" \
    NN_ROW_LOAD NN_ROW_BEGIN("r12", pair, single) \
    ".if " #stride " == 1\n\t" \
    NN_ROW_LOAD NN_ROW_MIDDLE("r12", pair, single) \
    ".if " #width " > 1\n\t" \
    NN_ROW_BEGIN("lr", pair, single) \
    ".endif\n\t" \
    ".endif\n\t" \
    ".if nn_looped > 0\n" \
    "3:\n\t" \
    ".rept 6\n\t" \
    NN_ROW_OUTPUT(channels, stride, pair, single, last) \
    ".endr\n\t" \
    "ldr r10, [sp, #60]\n\t" \
    "cmp r0, r10\n\t" \
    "bne 3b\n\t" \
    ".endif"
#define NN_ROW_END(channels, width, stride, pair, single, last, next, step) \
    ".if nn_full > nn_looped\n\t" \
    ".rept nn_full - nn_looped\n\t" \
    NN_ROW_OUTPUT(channels, stride, pair, single, last) \
    ".endr\n\t" \
    ".endif\n\t" \
    ".if " #stride " == 2\n\t" \
    NN_ROW_LOAD NN_ROW_MIDDLE("r12", pair, single) \
    NN_ROW_LOAD_LAST(width, stride, next) NN_ROW_FINISH("r12", pair, single, last("r12"), step) \
    ".elseif " #width " == 1\n\t" \
    NN_ROW_LOAD_LAST(width, stride, next) NN_ROW_FINISH("r12", pair, single, last("r12"), step) \
    ".elseif nn_odd\n\t" \
    NN_ROW_LOAD NN_ROW_FINISH("lr", pair, single, last("lr"), channels) NN_ROW_MIDDLE("r12", pair, single) \
    NN_ROW_LOAD_LAST(width, stride, next) NN_ROW_FINISH("r12", pair, single, last("r12"), step) \
    ".else\n\t" \
    NN_ROW_LOAD NN_ROW_FINISH("r12", pair, single, last("r12"), channels) NN_ROW_MIDDLE("lr", pair, single) \
    NN_ROW_LOAD_LAST(width, stride, next) NN_ROW_FINISH("lr", pair, single, last("lr"), step) \
    ".endif"
#define NN_ROW_NEXT_1 8
#define NN_ROW_NEXT_2 0
#define NN_ROW_STEP_1(channels) nn_step
#define NN_ROW_STEP_2(channels) channels
#define NN_ROW_AND_1(channels, width, stride)
#define NN_ROW_AND_2(channels, width, stride) \
    __asm__ volatile("pkhtb r10, r3, r2, asr #16\n\t" \
                     "pkhbt r2, r2, r5, lsl #16\n\t" \
                     "pkhbt r3, r3, r5\n\t" \
                     "pkhbt r6, r4, r6, lsl #16\n\t" \
                     "mov r5, r10"); \
    NN_ROW(channels, width, stride, "r11", "r10", NN_ROW_LAST_1, 8, nn_step)

/* On the stack: stream, where the first four channels' constants end, columns, y; four rows of x, and the bytes from a pixel to
 * the next in each (0: of one outside); zero point, end of the stream, columns that are filled in, where a loop ends, whether any
 * row is outside, and what is there. */
#define NN_DEPTHWISE_BY_ROWS(name, channels, width, stride, left, inside, rows, wide) \
    NN_NAKED void name(const uint32_t *stream __attribute__((unused)), const int8_t *const x[] __attribute__((unused)), \
                       nn_word *columns __attribute__((unused)), int8_t *y __attribute__((unused))) { \
        __asm__ volatile("push {r4-r11, lr}\n\t" \
                         "sub sp, sp, #72\n\t" \
                         "movw r4, #(20 + 8 * " #wide ") * " #channels "\n\t" \
                         "add r4, r4, r0\n\t" \
                         "ldrd r5, r6, [r4]\n\t" \
                         "uxtb r6, r6\n\t" \
                         "orr r6, r6, r6, lsl #8\n\t" \
                         "orr r6, r6, r6, lsl #16\n\t" \
                         "add r7, r0, #80 + 32 * " #wide "\n\t" \
                         "add r8, r2, #32 * " #left "\n\t" \
                         "strd r0, r7, [sp]\n\t" \
                         "strd r2, r3, [sp, #8]\n\t" \
                         "strd r5, r4, [sp, #48]\n\t" \
                         "str r8, [sp, #56]\n\t" \
                         "str r6, [sp, #68]\n\t" \
                         "movs r0, #0\n\t" \
                         ".irp row, 0, 1, 2, 3\n\t" \
                         ".if \\row < " #rows " + 2\n\t" \
                         "ldr r5, [r1, #4 * \\row]\n\t" \
                         "movw r6, #" #channels "\n\t" \
                         "cbnz r5, 1f\n\t" \
                         "add r5, sp, #68\n\t" \
                         "movs r6, #0\n\t" \
                         "movs r0, #1\n" \
                         "1:\n\t" \
                         "str r5, [sp, #16 + 4 * \\row]\n\t" \
                         "str r6, [sp, #32 + 4 * \\row]\n\t" \
                         ".endif\n\t" \
                         ".endr\n\t" \
                         "str r0, [sp, #64]\n" \
                         "1:\n\t" \
                         "add r4, sp, #16\n\t" \
                         NN_COLUMN_FROM_##rows("ldmia") \
                         "ldr r0, [sp, #56]\n\t" \
                         "ldr r5, [sp, #64]\n\t" \
                         "cmp r5, #0\n\t" \
                         "bne 4f\n\t" \
                         ".set nn_rest, " #inside "\n\t" \
                         ".if " #inside " > 7\n\t" \
                         ".set nn_rest, " #inside " % 4\n\t" \
                         "mov " NN_COLUMN_LEFT_##rows ", #" #inside " / 4\n" \
                         "2:\n\t" \
                         ".rept 4\n\t" \
                         NN_COLUMN_##rows(channels) \
                         ".endr\n\t" \
                         "subs " NN_COLUMN_LEFT_##rows ", " NN_COLUMN_LEFT_##rows ", #1\n\t" \
                         "bne 2b\n\t" \
                         ".endif\n\t" \
                         ".if nn_rest > 0\n\t" \
                         ".rept nn_rest\n\t" \
                         NN_COLUMN_##rows(channels) \
                         ".endr\n\t" \
                         ".endif\n\t" \
                         ".irp from, " NN_COLUMN_POINTERS_##rows "\n\t" \
                         "sub \\from, \\from, #" #channels " * " #inside " - 4\n\t" \
                         ".endr\n\t" \
                         "b 7f"); \
        __asm__ volatile("4:\n\t" \
                         "mov " NN_COLUMN_LEFT_##rows ", #" #inside "\n" \
                         "5:\n\t" \
                         NN_COLUMN_EDGE_##rows("32") \
                         "add r1, r1, r4\n\t" \
                         "add r2, r2, r5\n\t" \
                         "add r3, r3, r6\n\t" \
                         "subs " NN_COLUMN_LEFT_##rows ", " NN_COLUMN_LEFT_##rows ", #1\n\t" \
                         "bne 5b\n\t" \
                         ".set nn_row, 0\n\t" \
                         ".irp from, " NN_COLUMN_POINTERS_##rows "\n\t" \
                         "ldr r5, [sp, #32 + 4 * nn_row]\n\t" \
                         "ldr \\from, [sp, #16 + 4 * nn_row]\n\t" \
                         "cbz r5, 6f\n\t" \
                         "add \\from, \\from, #4\n" \
                         "6:\n\t" \
                         ".set nn_row, nn_row + 1\n\t" \
                         ".endr\n" \
                         "7:\n\t" \
                         "add r4, sp, #16\n\t" \
                         NN_COLUMN_FROM_##rows("stmia") \
                         ".set nn_step, 1 - " #channels " * (" #width " * " #rows " - 1)\n\t" \
                         ".if nn_step < -255\n\t" \
                         ".set nn_step, " #channels "\n\t" \
                         ".endif\n\t" \
                         ".set nn_full, " #width " - 3 + " #stride "\n\t" \
                         ".set nn_looped, 0\n\t" \
                         ".if nn_full > 10\n\t" \
                         ".set nn_looped, nn_full / 6 * 6\n\t" \
                         ".endif\n\t" \
                         "ldrd r0, r1, [sp, #8]\n\t" \
                         "ldr r9, [sp, #48]\n\t" \
                         ".if nn_looped > 0\n\t" \
                         "add r2, r0, #32 * (nn_looped * " #stride " + 3 - " #stride ")\n\t" \
                         "str r2, [sp, #60]\n\t" \
                         ".endif\n" \
                         "2:\n\t" \
                         "ldrd r12, lr, [sp]\n\t" \
                         ".if " #wide "\n\t" \
                         "ldmia.w r12!, {r2-r8}\n\t" \
                         ".else\n\t" \
                         "ldmia.w r12!, {r2, r4, r6-r8}\n\t" \
                         "sxtb16 r3, r2, ror #8\n\t" \
                         "sxtb16 r5, r4, ror #8\n\t" \
                         "sxtb16 r2, r2\n\t" \
                         "sxtb16 r4, r4\n\t" \
                         ".endif\n\t" \
                         "str r12, [sp]\n\t" \
                         "cmp r12, lr"); \
        NN_ROW(channels, width, stride, "r10", "r11", NN_ROW_LAST_0, NN_ROW_NEXT_##rows, NN_ROW_STEP_##rows(channels)) \
        NN_ROW_AND_##rows(channels, width, stride) \
        __asm__ volatile(".if nn_step > 1\n\t" \
                         "sub r1, r1, #" #channels " * " #width " * " #rows " - 1\n\t" \
                         ".endif\n\t" \
                         ".if nn_looped > 0\n\t" \
                         "ldr r10, [sp, #60]\n\t" \
                         "adds r10, r10, #8\n\t" \
                         "str r10, [sp, #60]\n\t" \
                         "ldrd r10, r11, [sp]\n\t" \
                         "cmp r10, r11\n\t" \
                         ".endif\n\t" \
                         "bne 2b\n\t" \
                         "ldr r0, [sp, #4]\n\t" \
                         "ldr r2, [sp, #52]\n\t" \
                         "str r1, [sp, #12]\n\t" \
                         "add r3, r0, #80 + 32 * " #wide "\n\t" \
                         "str r3, [sp, #4]\n\t" \
                         "cmp r0, r2\n\t" \
                         "bne 1b\n\t" \
                         "add sp, sp, #72\n\t" \
                         "pop {r4-r11, pc}"); \
    }

/* On the stack: stream, where the first four channels' constants end; the channel's first column, and where the loop over its
 * outputs ends; three rows of x, each behind its last pixel, and the bytes from a pixel to the next in each (0: of one outside);
 * zero point, end of the stream; first column inside, y; whether any row is outside, and what is there; channels, bytes of a row
 * of x; where the row begins, and where in its loop; bytes of a row of y less one, columns inside.
 *
 * The loop makes six outputs (stride 2: four) of 44 (48) bytes of code each. A row begins in its middle where it does not
 * divide their number; with stride 1, where that is odd, with the registers exchanged. */
#define NN_ANY_OUTPUT(stride) NN_ROW_OUTPUT(0, stride, "r10", "r11", NN_ROW_LAST_0)
#define NN_ANY_LOOP_1 "6"
#define NN_ANY_LOOP_2 "4"
#define NN_ANY_BYTES_1 "44"
#define NN_ANY_BYTES_2 "48"
#define NN_ANY_SIZES_1 \
    "add r11, r2, r9, lsl #5\n\t" \
    "subs r9, r9, #2\n\t" \
    "adr.w r10, 8f\n\t" \
    "tst r9, #1\n\t" \
    "it ne\n\t" \
    "addne r10, r10, #36\n\t" \
    "adds r10, r10, #1\n\t" \
    "str r10, [sp, #72]\n\t"
#define NN_ANY_SIZES_2 \
    "add r11, r2, r9, lsl #6\n\t" \
    "sub r11, r11, #32\n\t" \
    "subs r9, r9, #1\n\t"
#define NN_ANY_BEGIN_1 \
    "ldr pc, [sp, #72]\n" \
    "8:\n\t" \
    NN_ROW_LOAD NN_ROW_BEGIN("r12", "r10", "r11") \
    NN_ROW_LOAD NN_ROW_MIDDLE("r12", "r10", "r11") NN_ROW_BEGIN("lr", "r10", "r11") \
    "ldr.w pc, [sp, #76]\n\t" \
    NN_ROW_LOAD NN_ROW_BEGIN("lr", "r10", "r11") \
    NN_ROW_LOAD NN_ROW_MIDDLE("lr", "r10", "r11") NN_ROW_BEGIN("r12", "r10", "r11") \
    "ldr.w pc, [sp, #76]"
#define NN_ANY_BEGIN_2 \
    NN_ROW_LOAD NN_ROW_BEGIN("r12", "r10", "r11") \
    "ldr.w pc, [sp, #76]"
#define NN_ANY_END_1 \
    NN_ROW_LOAD NN_ROW_FINISH("r12", "r10", "r11", NN_ROW_LAST_0("r12"), 0) NN_ROW_MIDDLE("lr", "r10", "r11") \
    NN_ROW_LOAD NN_ROW_FINISH("lr", "r10", "r11", NN_ROW_LAST_0("lr"), 0)
#define NN_ANY_END_2 \
    NN_ROW_LOAD NN_ROW_MIDDLE("r12", "r10", "r11") \
    NN_ROW_LOAD NN_ROW_FINISH("r12", "r10", "r11", NN_ROW_LAST_0("r12"), 0)
#define NN_DEPTHWISE_BY_ANY(name, stride) \
    NN_NAKED void name(const uint32_t *stream __attribute__((unused)), const int8_t *const x[] __attribute__((unused)), \
                       nn_word *columns __attribute__((unused)), int8_t *y __attribute__((unused))) { \
        __asm__ volatile("push {r4-r11, lr}\n\t" \
                         "sub sp, sp, #88\n\t" \
                         "ldrh r5, [r0, #10]\n\t" \
                         "movs r4, #20\n\t" \
                         "mla r4, r4, r5, r0\n\t" \
                         "ldr r6, [r4]\n\t" \
                         "add r7, r0, #80\n\t" \
                         "strd r0, r7, [sp]\n\t" \
                         "strd r6, r4, [sp, #40]\n\t" \
                         "str r3, [sp, #52]\n\t" \
                         "ldrb r7, [r4, #8]\n\t" \
                         "ldrb r9, [r4, #11]\n\t" \
                         "mul r8, r7, r5\n\t" \
                         "strd r5, r8, [sp, #64]\n\t" \
                         "mul r6, r9, r5\n\t" \
                         "subs r6, r6, #1\n\t" \
                         "strd r6, r7, [sp, #80]\n\t" \
                         NN_ANY_SIZES_##stride \
                         "strd r2, r11, [sp, #8]\n\t" \
                         "adr.w r12, 9f\n\t" \
                         "cmp r9, #0\n\t" \
                         "beq 1f\n\t" \
                         "movs r6, #" NN_ANY_LOOP_##stride "\n\t" \
                         "subs r9, r9, #1\n\t" \
                         "udiv r7, r9, r6\n\t" \
                         "mls r9, r7, r6, r9\n\t" \
                         "rsb r9, r9, #" NN_ANY_LOOP_##stride " - 1\n\t" \
                         "adr.w r12, 3f\n\t" \
                         "movs r6, #" NN_ANY_BYTES_##stride "\n\t" \
                         "mla r12, r9, r6, r12\n" \
                         "1:\n\t" \
                         "add r12, r12, #1\n\t" \
                         "str r12, [sp, #76]\n\t" \
                         "ldrb r6, [r4, #4]\n\t" \
                         "orr r6, r6, r6, lsl #8\n\t" \
                         "orr r6, r6, r6, lsl #16\n\t" \
                         "str r6, [sp, #60]\n\t" \
                         "sxtb16 r6, r6\n\t" \
                         ".irp to, r7, r8, r9, r10, r11, r12, lr\n\t" \
                         "mov \\to, r6\n\t" \
                         ".endr\n\t" \
                         "ldrb r5, [r4, #9]\n\t" \
                         "cbz r5, 2f\n" \
                         "1:\n\t" \
                         "stmia.w r2!, {r6-r12, lr}\n\t" \
                         "subs r5, r5, #1\n\t" \
                         "bne 1b\n" \
                         "2:\n\t" \
                         "str r2, [sp, #48]\n\t" \
                         "ldrb r5, [r4, #8]\n\t" \
                         "add r2, r2, r5, lsl #5\n\t" \
                         "ldrb r5, [r4, #10]\n\t" \
                         "cbz r5, 2f\n" \
                         "1:\n\t" \
                         "stmia.w r2!, {r6-r12, lr}\n\t" \
                         "subs r5, r5, #1\n\t" \
                         "bne 1b\n" \
                         "2:\n\t" \
                         "ldrd r7, r8, [sp, #64]\n\t" \
                         "movs r0, #0\n\t" \
                         ".irp row, 0, 1, 2\n\t" \
                         "ldr r5, [r1, #4 * \\row]\n\t" \
                         "mov r6, r7\n\t" \
                         "cbz r5, 1f\n\t" \
                         "add r5, r5, r8\n\t" \
                         "b 2f\n" \
                         "1:\n\t" \
                         "add r5, sp, #60\n\t" \
                         "movs r6, #0\n\t" \
                         "movs r0, #1\n" \
                         "2:\n\t" \
                         "str r5, [sp, #16 + 4 * \\row]\n\t" \
                         "str r6, [sp, #28 + 4 * \\row]\n\t" \
                         ".endr\n\t" \
                         "str r0, [sp, #56]"); \
        __asm__ volatile("1:\n\t" \
                         "add r4, sp, #16\n\t" \
                         "ldmia.w r4, {r1-r3}\n\t" \
                         "ldr r0, [sp, #48]\n\t" \
                         "ldr r5, [sp, #56]\n\t" \
                         "cbnz r5, 4f\n\t" \
                         "ldrd r12, lr, [sp, #64]\n\t" \
                         "rsb lr, lr, #0\n" \
                         "2:\n\t" \
                         "ldr r6, [r1, lr]\n\t" \
                         "ldr r4, [r2, lr]\n\t" \
                         "ldr r11, [r3, lr]\n\t" \
                         NN_COLUMN_WIDEN_1 \
                         "adds lr, lr, r12\n\t" \
                         "bne 2b\n\t" \
                         "adds r1, r1, #4\n\t" \
                         "adds r2, r2, #4\n\t" \
                         "adds r3, r3, #4\n\t" \
                         "b 7f\n" \
                         "4:\n\t" \
                         "ldr r7, [sp, #84]\n\t" \
                         "add r4, sp, #28\n\t" \
                         "ldmia.w r4, {r4-r6}\n\t" \
                         "mls r1, r4, r7, r1\n\t" \
                         "mls r2, r5, r7, r2\n\t" \
                         "mls r3, r6, r7, r3\n\t" \
                         "mov lr, r7\n" \
                         "5:\n\t" \
                         NN_COLUMN_EDGE_1("28") \
                         "add r1, r1, r4\n\t" \
                         "add r2, r2, r5\n\t" \
                         "add r3, r3, r6\n\t" \
                         "subs lr, lr, #1\n\t" \
                         "bne 5b\n\t" \
                         ".irp from, 1, 2, 3\n\t" \
                         "ldr r5, [sp, #24 + 4 * \\from]\n\t" \
                         "cbz r5, 6f\n\t" \
                         "adds r\\from, r\\from, #4\n" \
                         "6:\n\t" \
                         ".endr\n" \
                         "7:\n\t" \
                         "add r4, sp, #16\n\t" \
                         "stmia.w r4, {r1-r3}\n\t" \
                         "ldr r0, [sp, #8]\n\t" \
                         "ldr r1, [sp, #52]\n\t" \
                         "ldr r9, [sp, #40]\n" \
                         "2:\n\t" \
                         "ldr r12, [sp]\n\t" \
                         "ldmia.w r12!, {r2, r4, r6-r8}\n\t" \
                         "str r12, [sp]\n\t" \
                         "sxtb16 r3, r2, ror #8\n\t" \
                         "sxtb16 r5, r4, ror #8\n\t" \
                         "sxtb16 r2, r2\n\t" \
                         "sxtb16 r4, r4\n\t" \
                         NN_ANY_BEGIN_##stride); \
        __asm__ volatile("3:\n\t" \
                         ".set nn_odd, 0\n\t" \
                         ".rept " NN_ANY_LOOP_##stride "\n\t" \
                         NN_ANY_OUTPUT(stride) \
                         ".endr\n\t" \
                         "ldr r10, [sp, #12]\n\t" \
                         "cmp r0, r10\n\t" \
                         "bne 3b\n" \
                         "9:\n\t" \
                         NN_ANY_END_##stride \
                         "ldrd r0, r10, [sp, #8]\n\t" \
                         "ldr r2, [sp, #80]\n\t" \
                         "adds r0, r0, #8\n\t" \
                         "add r10, r10, #8\n\t" \
                         "subs r1, r1, r2\n\t" \
                         "strd r0, r10, [sp, #8]\n\t" \
                         "ldrd r2, r3, [sp]\n\t" \
                         "cmp r2, r3\n\t" \
                         "bne 2b\n\t" \
                         "subs r0, r0, #32\n\t" \
                         "sub r10, r10, #32\n\t" \
                         "strd r0, r10, [sp, #8]\n\t" \
                         "str r1, [sp, #52]\n\t" \
                         "add r3, r2, #80\n\t" \
                         "str r3, [sp, #4]\n\t" \
                         "ldr r3, [sp, #44]\n\t" \
                         "cmp r2, r3\n\t" \
                         "bne 1b\n\t" \
                         "add sp, sp, #88\n\t" \
                         "pop {r4-r11, pc}"); \
    }
#else
NN_INLINE void nn_depthwise_rows(const uint32_t *stream, const int8_t *const x[], nn_word *columns, int8_t *y, int channels,
                                 int width, int stride, int left, int inside, int rows, int wide) {
    static const uint8_t place[4] = {1, 0, 2, 3}; /* of a row in its column */
    static const uint8_t weight[2][9] = {{2, 3, 6, 0, 1, 4, 5, 7, 8}, {2, 6, 10, 0, 4, 8, 12, 14, 16}}; /* bytes */
    const int words = 5 + 2 * wide;
    const uint32_t *const zero_points = stream + words * channels;
    for (int c = 0; c < channels; c++, stream += words) {
        int16_t *const filled = (int16_t *)(columns + 8 * left);
        for (int i = 0; i < 4 * inside && c % 4 == 0; i++) {
            for (int row = 0; row < rows + 2; row++) {
                filled[4 * i + place[row]] = x[row] != NULL ? x[row][i / 4 * channels + c + i % 4] : (int8_t)zero_points[1];
            }
        }
        for (int i = 0; i < width * rows; i++) {
            const int16_t *const window = (const int16_t *)(columns + i % width * stride * 8 + c % 4 * 2);
            int32_t acc = (int32_t)stream[words - 2];
            for (int tap = 0; tap < 9; tap++) {
                const int at = weight[wide][tap];
                const int8_t w = (int8_t)(stream[at / 4] >> at % 4 * 8);
                acc += window[tap % 3 * 16 + place[i / width + tap / 3]] * w;
            }
            y[i * channels + c] = nn_requantize(acc, (int32_t)stream[words - 1], (int32_t)zero_points[0], -128, 127);
        }
    }
}
#define NN_DEPTHWISE_BY_ROWS(name, channels, width, stride, left, inside, rows, wide) \
    static void name(const uint32_t *stream, const int8_t *const x[], nn_word *columns, int8_t *y) { \
        nn_depthwise_rows(stream, x, columns, y, (channels), (width), (stride), (left), (inside), (rows), (wide)); \
    }
#define NN_DEPTHWISE_BY_ANY(name, stride) \
    __attribute__((unused)) static void name(const uint32_t *stream, const int8_t *const x[], nn_word *columns, int8_t *y) { \
        const int channels = (int)(stream[2] >> 16); \
        const uint32_t wide = (stream[5 * channels + 1] & 0xFFFFu) * 0x00010001u, sizes = stream[5 * channels + 2]; \
        const int inside = (int)(sizes & 255), left = (int)(sizes >> 8 & 255), right = (int)(sizes >> 16 & 255); \
        for (int i = 0; i < 8 * (left + right); i++) { \
            columns[i < 8 * left ? i : i + 8 * inside] = wide; \
        } \
        nn_depthwise_rows(stream, x, columns, y, channels, (int)(sizes >> 24), (stride), left, inside, 1, 0); \
    }
#endif
NN_DEPTHWISE_BY_ANY(nn_depthwise_row_by_1, 1)
NN_DEPTHWISE_BY_ANY(nn_depthwise_row_by_2, 2)

#endif
