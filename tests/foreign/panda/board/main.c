/* Proves each model on the board and prints its outputs for the self test's sample. */
#include "console.h"

#ifdef WITH_TINY
#include "tiny.h"
static int8_t tiny_arena[TINY_ARENA_BYTES] __attribute__((aligned(TINY_ARENA_ALIGN)));
#endif
#ifdef WITH_DENSE
#include "dense.h"
static int8_t dense_arena[DENSE_ARENA_BYTES] __attribute__((aligned(DENSE_ARENA_ALIGN)));
#endif

void entry(void);

void entry(void) {
#ifdef WITH_TINY
    console_text(tiny_selftest(tiny_arena) == 0 ? "self test passed\n" : "self test failed\n");
    console_bytes("tiny", tiny_arena + TINY_OUTPUT_0_OFFSET, TINY_OUTPUT_0_BYTES);
#endif
#ifdef WITH_DENSE
    console_text(dense_selftest(dense_arena) == 0 ? "self test passed\n" : "self test failed\n");
    console_bytes("dense", dense_arena + DENSE_OUTPUT_0_OFFSET, DENSE_OUTPUT_0_BYTES);
#endif
    console_exit(0);
}
