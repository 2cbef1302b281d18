/* Runs every kernel of the program on inputs.bin, once with the memory full of 0xA5 and once of 0x5A, where allowed the
 * second time in place, and with tensors at odd addresses then: the caller's may lie anywhere. On a PC each buffer is its own heap block of the exact size, so that the address sanitizer sees
 * a byte too many; elsewhere 8 to 15 guard bytes stand behind each buffer, from its last byte to the next block, other ones each time. */
#include "harness.h"

#include "nn_board.h"

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);

#ifdef HOSTED
#include <stdlib.h>

static void *take(size_t n) { return malloc(n > 0 ? n : 1); }
static void give_back(void *block) { free(block); }
static int guards_hold(void) { return 1; }
static void take_all_back(void) {}
#else
enum { POOL = 1 << 20, BLOCKS = 8 };
static uint8_t pool[POOL] __attribute__((aligned(8)));
static size_t used;
static struct guard {
    uint8_t *bytes;
    size_t n;
} guards[BLOCKS];
static int blocks;
static uint8_t guard_byte = 0xC3;

static void *take(size_t n) {
    uint8_t *block = pool + used;
    const struct guard guard = {block + n, (n + 7) / 8 * 8 + 8 - n};
    memset(guard.bytes, guard_byte, guard.n);
    guards[blocks++] = guard;
    used += n + guard.n;
    return block;
}
static void give_back(void *block) { (void)block; }
static int guards_hold(void) {
    for (int i = 0; i < blocks; i++) {
        for (size_t k = 0; k < guards[i].n; k++) {
            if (guards[i].bytes[k] != guard_byte) {
                return 0;
            }
        }
    }
    return 1;
}
static void take_all_back(void) {
    used = 0;
    blocks = 0;
    guard_byte ^= 0xFF;
}
#endif

static size_t largest(size_t a, size_t b) { return a > b ? a : b; }

static size_t run(const struct test *test, size_t offset, int pattern, size_t skew, int in_place) {
    int8_t *x[4] = {NULL, NULL, NULL, NULL};
    for (int i = 0; i < test->inputs; i++) {
        const size_t n = test->input_bytes[i];
        x[i] = (int8_t *)take((in_place && i == 0 ? largest(n, test->output_bytes) : n) + skew) + skew;
        board_read("inputs.bin", offset, x[i], n);
        offset += n;
    }
    int8_t *y = in_place ? x[0] : (int8_t *)take(test->output_bytes + skew) + skew;
    void *scratch = take(test->scratch_bytes);
    if (!in_place) {
        memset(y, pattern, test->output_bytes);
    }
    memset(scratch, pattern, test->scratch_bytes);
    test->call(x, y, scratch);
    board_append("outputs.bin", y, test->output_bytes);
    for (int i = 0; i < test->inputs; i++) {
        give_back(x[i] - skew);
    }
    if (!in_place) {
        give_back(y - skew);
    }
    give_back(scratch);
    return offset;
}

int nn_main(void) {
    size_t offset = 0;
    for (int i = 0; tests[i] != NULL; i++) {
        run(tests[i], offset, 0xA5, 0, 0);
        const int intact = guards_hold();
        take_all_back();
        offset = run(tests[i], offset, 0x5A, 1, tests[i]->in_place);
        if (!intact || !guards_hold()) {
            static const char text[] = "a kernel wrote behind a buffer\n";
            board_write(text, sizeof text - 1);
            return 1;
        }
        take_all_back();
    }
    return 0;
}
