/* Proves the model here, then takes an image row by row as a sensor would bring it. */
#include "console.h"
#include "tiny.h"

static int8_t arena[TINY_ARENA_BYTES] __attribute__((aligned(TINY_ARENA_ALIGN)));

void entry(void);

void entry(void) {
    console_text(tiny_selftest(arena) == 0 ? "self test passed\n" : "self test failed\n");
    const int8_t *row = tiny_selftest_input;
    int state = tiny_reset(arena, sizeof arena) == TINY_DONE ? TINY_MORE : TINY_ERROR_ARENA;
    while (state == TINY_MORE) {
        state = tiny_push_row(arena, row, TINY_ROW_BYTES);
        row += TINY_ROW_BYTES;
    }
    console_text(state == TINY_DONE ? "" : "the rows were not taken\n");
    console_bytes("tiny", arena + TINY_OUTPUT_0_OFFSET, TINY_OUTPUT_0_BYTES);
    console_exit(0);
}
