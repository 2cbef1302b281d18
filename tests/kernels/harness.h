/* One kernel of a test program. */
#include <stddef.h>
#include <stdint.h>

struct test {
    void (*call)(int8_t **x, int8_t *y, void *scratch);
    int inputs;
    size_t input_bytes[4];
    size_t output_bytes, scratch_bytes;
    int in_place; /* whether to run it again with the output in the first input's memory */
};

extern const struct test *const tests[]; /* ends with NULL */
