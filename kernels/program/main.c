/* The application of a model that brings none: runs the self test and prints what an inference took.
 *
 * Compiled with -DNN_MODEL=facedet -DNN_MODEL_MACRO=FACEDET, the prefixes of the model's C names and macros,
 * and -DNN_MODEL_HEADER='"facedet.h"'. */
#define JOIN_OF(a, b) a##b
#define JOIN(a, b) JOIN_OF(a, b)

#include NN_MODEL_HEADER
#include "nn_board.h"
#include "nn_port.h"

static NN_ALIGNED(8) uint8_t arena[JOIN(NN_MODEL_MACRO, _ARENA_BYTES)];

NN_NOINLINE static void print_line(const char *name, size_t length, uint32_t value) {
    char digits[12];
    size_t at = sizeof digits;
    digits[--at] = '\n';
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    board_write(name, length);
    board_write(digits + at, sizeof digits - at);
}

int nn_main(void) {
    static const char passed[] = "self test passed\n", failed[] = "self test failed\n";
    const uint32_t start = board_ticks();
    JOIN(NN_MODEL, _selftest_run)(arena);
    const uint32_t ticks = board_ticks() - start;
    const int result = JOIN(NN_MODEL, _selftest)(arena);
    if (result == 0) {
        board_write(passed, sizeof passed - 1);
    } else {
        board_write(failed, sizeof failed - 1);
    }
    print_line("nn:run ", 7, ticks);
    if (board_stack_peak() > 0) {
        print_line("nn:stack ", 9, (uint32_t)board_stack_peak());
    }
    return result;
}
