#include <rtthread.h>

#include "tiny.h"

static rt_int8_t arena[TINY_ARENA_BYTES] __attribute__((aligned(TINY_ARENA_ALIGN)));

int main(void)
{
    rt_kprintf(tiny_selftest(arena) == 0 ? "self test passed\n" : "self test failed\n");
    rt_dump("tiny", arena + TINY_OUTPUT_0_OFFSET, TINY_OUTPUT_0_BYTES);
    return 0;
}
