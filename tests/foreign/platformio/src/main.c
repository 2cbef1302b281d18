#include "console.h"
#include "tiny.h"

static int8_t arena[TINY_ARENA_BYTES] __attribute__((aligned(TINY_ARENA_ALIGN)));

void entry(void);

void entry(void) {
    console_text(tiny_selftest(arena) == 0 ? "self test passed\n" : "self test failed\n");
    console_bytes("tiny", arena + TINY_OUTPUT_0_OFFSET, TINY_OUTPUT_0_BYTES);
    console_exit(0);
}
