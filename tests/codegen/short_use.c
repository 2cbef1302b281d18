/* Runs a model on one image, whole and row by row, in memory of exactly the size; says nothing where all is right. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "small.h"

extern const int8_t image[], expected[];

static void expect(int holds, const char *sentence)
{
    if (!holds) {
        printf("%s\n", sentence);
    }
}

int main(void)
{
    int8_t *const arena = aligned_alloc(SMALL_ARENA_ALIGN, SMALL_ARENA_BYTES), *const output = malloc(SMALL_OUTPUT_0_BYTES);
    memset(arena, 0x5a, SMALL_ARENA_BYTES);
    expect(small_run(arena, image, output) == SMALL_DONE, "run");
    expect(memcmp(output, expected, SMALL_OUTPUT_0_BYTES) == 0, "run is right");
    expect(small_reset(arena, SMALL_ARENA_BYTES - 1) == SMALL_ERROR_ARENA, "reset refuses an arena one byte short");
    expect(small_reset(arena, SMALL_ARENA_BYTES) == SMALL_DONE, "reset");
    for (int row = 0; row < SMALL_ROWS; row++) {
        const int last = row == SMALL_ROWS - 1;
        const int result = small_push_row(arena, image + row * SMALL_ROW_BYTES, SMALL_ROW_BYTES);
        expect(result == (last ? SMALL_DONE : SMALL_MORE), "done with the last row");
    }
    expect(memcmp(arena + SMALL_OUTPUT_0_OFFSET, expected, SMALL_OUTPUT_0_BYTES) == 0, "rows are right");
    expect(small_push_row(arena, image, SMALL_ROW_BYTES) == SMALL_ERROR_RESET, "a row too many");
    free(arena);
    free(output);
    return 0;
}
