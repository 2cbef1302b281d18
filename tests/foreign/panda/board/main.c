/* Proves each model on the board and prints its outputs for the self test's sample; all models share one pool. */
#include "console.h"

#ifdef WITH_TINY
#include "tiny.h"
#else
#define TINY_ARENA_BYTES 0
#endif
#ifdef WITH_DENSE
#include "dense.h"
#else
#define DENSE_ARENA_BYTES 0
#endif
#define POOL_BYTES (TINY_ARENA_BYTES > DENSE_ARENA_BYTES ? TINY_ARENA_BYTES : DENSE_ARENA_BYTES)

static int8_t pool[POOL_BYTES] __attribute__((aligned(8)));

#ifdef WITH_TINY
static void show_tiny(void *arena) {
    int8_t output[TINY_OUTPUT_0_BYTES];
    console_text(tiny_selftest(arena) == 0 ? "self test passed\n" : "self test failed\n");
    if (tiny_run(arena, tiny_selftest_input, output) == TINY_DONE) {
        console_bytes("tiny", output, sizeof output);
    }
}
#endif

#ifdef WITH_DENSE
static void show_dense(void *arena) {
    int8_t output[DENSE_OUTPUT_0_BYTES];
    console_text(dense_selftest(arena) == 0 ? "self test passed\n" : "self test failed\n");
    if (dense_run(arena, dense_selftest_input, output) == DENSE_DONE) {
        console_bytes("dense", output, sizeof output);
    }
}
#endif

void entry(void);

void entry(void) {
#ifdef WITH_TINY
    show_tiny(pool);
#endif
#ifdef WITH_DENSE
    show_dense(pool);
#endif
    console_exit(0);
}
