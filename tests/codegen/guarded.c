/* Takes the samples of inputs.bin through both ways into a program, with memory that is watched: rows that are pushed
 * one by one, and whole images. Writes outputs.bin from the images; stops where the rows give other outputs, or where
 * anything around the arena was written.
 *
 * Compiled with -DINPUT_LIST="IN(0) IN(1)" and -DOUTPUT_LIST="OUT(0)", for a model that is called random. */
#include "nn_board.h"
#include "random.h"

enum { GUARD = 64, FILL = 0x5b };

#define IN(i) static int8_t image_##i[RANDOM_INPUT_##i##_BYTES];
INPUT_LIST
#undef IN
#define OUT(i) static int8_t result_##i[RANDOM_OUTPUT_##i##_BYTES];
OUTPUT_LIST
#undef OUT

#if defined(RANDOM_FORMATS)
static int8_t format;
#define FORMAT , format
#else
#define FORMAT
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <stdlib.h>
static int8_t *arena; /* of exactly its size: the sanitizer watches the rest */
#else
static _Alignas(RANDOM_ARENA_ALIGN) int8_t memory[GUARD + RANDOM_ARENA_BYTES + GUARD];
static int8_t *const arena = memory + GUARD;
#endif

#if defined(NN_TRACE_ROWS)
void nn_trace(uint32_t tensor, uint32_t row, const void *data, uint32_t bytes)
{
    (void)tensor, (void)row, (void)data, (void)bytes;
}
#endif

static void require(int holds, const char *text, size_t length)
{
    if (!holds) {
        board_write(text, length);
        board_exit(5);
    }
}
#define REQUIRE(holds, text) require(holds, "nn:error " text "\n", sizeof "nn:error " text)

static void fill(int value)
{
#if defined(__SANITIZE_ADDRESS__)
    free(arena);
    arena = aligned_alloc(RANDOM_ARENA_ALIGN, RANDOM_ARENA_BYTES);
    REQUIRE(arena != NULL, "no memory");
#else
    for (size_t i = 0; i < sizeof memory; i++) {
        memory[i] = FILL;
    }
#endif
    for (size_t i = 0; i < RANDOM_ARENA_BYTES; i++) {
        arena[i] = (int8_t)value;
    }
}

static void look_around(void)
{
#if !defined(__SANITIZE_ADDRESS__)
    for (size_t i = 0; i < GUARD; i++) {
        REQUIRE(memory[i] == FILL, "something wrote in front of the arena");
        REQUIRE(memory[GUARD + RANDOM_ARENA_BYTES + i] == FILL, "something wrote behind the arena");
    }
#endif
}

/* A whole image; its outputs lie outside of the arena. */
static void run_image(void)
{
#define IN(i) , image_##i
#define OUT(i) , result_##i
    fill(0x5a);
    REQUIRE(random_run(arena FORMAT INPUT_LIST OUTPUT_LIST) == RANDOM_DONE, "the image was not taken");
#undef IN
#undef OUT
    look_around();
}

#if defined(RANDOM_ROWS)
static int differs(const int8_t *a, const int8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i]) {
            return 1;
        }
    }
    return 0;
}

/* The same image by rows, each in memory that is written over at once. */
static void push_rows(void)
{
    static _Alignas(8) int8_t line[1 + RANDOM_ROW_BYTES];
    int8_t *const row = line + 1; /* at an odd address */
    fill(0xa5);
    REQUIRE(random_reset(arena, RANDOM_ARENA_BYTES FORMAT) == RANDOM_DONE, "the arena was not taken");
    for (size_t y = 0; y < RANDOM_ROWS; y++) {
        for (size_t i = 0; i < RANDOM_ROW_BYTES; i++) {
            row[i] = image_0[y * RANDOM_ROW_BYTES + i];
        }
        const int told = random_push_row(arena, row, RANDOM_ROW_BYTES);
        REQUIRE(told == (y + 1 < RANDOM_ROWS ? RANDOM_MORE : RANDOM_DONE), "a row was not taken");
        for (size_t i = 0; i < RANDOM_ROW_BYTES; i++) {
            row[i] = 0x33;
        }
    }
    look_around();
#define OUT(i)                                                                                   \
    REQUIRE(!differs(result_##i, arena + RANDOM_OUTPUT_##i##_OFFSET, RANDOM_OUTPUT_##i##_BYTES), \
            "rows give another output " #i " than the image");
    OUTPUT_LIST
#undef OUT
}
#endif

int nn_main(void)
{
    for (size_t at = 0;;) {
#if defined(RANDOM_FORMATS)
        at += (size_t)board_read("inputs.bin", at, &format, sizeof format);
#endif
        const size_t start = at;
#define IN(i)                                                                 \
    if (board_read("inputs.bin", at, image_##i, sizeof image_##i) == 0) {     \
        REQUIRE(at == start, "inputs.bin ends within a sample");              \
        break;                                                                \
    }                                                                         \
    at += sizeof image_##i;
        INPUT_LIST
#undef IN
        run_image();
#if defined(RANDOM_ROWS)
        push_rows();
#endif
#define OUT(i) REQUIRE(board_append("outputs.bin", result_##i, sizeof result_##i) > 0, "outputs.bin cannot be written");
        OUTPUT_LIST
#undef OUT
    }
#if defined(__SANITIZE_ADDRESS__)
    free(arena);
#endif
    return 0;
}
