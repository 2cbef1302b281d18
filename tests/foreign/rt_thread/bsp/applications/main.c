#include <rtthread.h>

#include "tiny.h"

/* Two images are under way at once, each in memory of its own. */
static rt_int8_t near_core[TINY_ARENA_BYTES] __attribute__((aligned(TINY_ARENA_ALIGN)));
static rt_int8_t elsewhere[TINY_ARENA_BYTES + 64] __attribute__((aligned(TINY_ARENA_ALIGN)));

int main(void)
{
    rt_int8_t *const arenas[] = {near_core, elsewhere + 64};
    int state = TINY_MORE, row, i;

    rt_kprintf(tiny_selftest(near_core) == 0 ? "self test passed\n" : "self test failed\n");
    for (i = 0; i < 2; i++) {
        if (tiny_reset(arenas[i], TINY_ARENA_BYTES) != TINY_DONE) {
            rt_kprintf("an arena was not taken\n");
        }
    }
    for (row = 0; state == TINY_MORE; row++) {
        for (i = 0; i < 2; i++) {
            state = tiny_push_row(arenas[i], tiny_selftest_input + row * TINY_ROW_BYTES, TINY_ROW_BYTES);
        }
    }
    for (i = 0; i < TINY_OUTPUT_0_BYTES; i++) {
        if (arenas[0][TINY_OUTPUT_0_OFFSET + i] != arenas[1][TINY_OUTPUT_0_OFFSET + i]) {
            rt_kprintf("the images differ\n");
        }
    }
    rt_dump("tiny", arenas[1] + TINY_OUTPUT_0_OFFSET, TINY_OUTPUT_0_BYTES);
    return 0;
}
