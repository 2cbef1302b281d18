/* What a program says to right and wrong use; prints each sentence that does not hold. SMALL_... as small.h has it. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "small.h"

enum { GUARD = SMALL_ROWS * SMALL_ROW_BYTES, SIZE = SMALL_ARENA_BYTES, ROW = SMALL_ROW_BYTES, ROWS = SMALL_ROWS, OUT = SMALL_OUTPUT_0_BYTES };

extern const int8_t image[ROWS * ROW], expected[OUT];

static int8_t outside[OUT];
static _Alignas(SMALL_ARENA_ALIGN) int8_t memory[GUARD + SIZE + GUARD], before[GUARD + SIZE + GUARD];
static int8_t *const arena = memory + GUARD;
static int failures;

static void fill(int value)
{
    memset(memory, value, sizeof memory);
}

static void expect(bool holds, const char *sentence)
{
    if (!holds) {
        printf("%s\n", sentence);
        failures++;
    }
}

/* A wrong call gives its code and writes nothing. */
#define REFUSED(call, code, sentence)                                       \
    do {                                                                    \
        memcpy(before, memory, sizeof memory);                              \
        expect((call) == (code), sentence);                                 \
        expect(memcmp(before, memory, sizeof memory) == 0, sentence " (written)"); \
    } while (0)

/* Rows first..last-1 from memory that is overwritten at once, at odd addresses too; the last result. */
static int push(void *to, int first, int last)
{
    int result = SMALL_MORE;
    for (int row = first; row < last; row++) {
        int8_t *const place = malloc(ROW + 1); /* to the byte: what reads further is found */
        memcpy(place + 1, image + row * ROW, ROW);
        result = small_push_row(to, place + 1, ROW);
        memset(place, 0x77, ROW + 1);
        free(place);
    }
    return result;
}

static bool right(const int8_t *base)
{
    return memcmp(base + SMALL_OUTPUT_0_OFFSET, expected, OUT) == 0;
}

static void arenas(void)
{
    REFUSED(small_reset(NULL, SIZE), SMALL_ERROR_ARENA, "reset refuses NULL");
    REFUSED(small_reset(arena + 1, SIZE), SMALL_ERROR_ARENA, "reset refuses an odd arena");
    REFUSED(small_reset(arena + SMALL_ARENA_ALIGN / 2, SIZE), SMALL_ERROR_ARENA, "reset refuses half an alignment");
    REFUSED(small_reset(arena, SIZE - 1), SMALL_ERROR_ARENA, "reset refuses an arena one byte short");
    REFUSED(small_reset(arena, 0), SMALL_ERROR_ARENA, "reset refuses no arena");
    REFUSED(push(arena, 0, 1), SMALL_ERROR_RESET, "a refused reset is none");
    REFUSED(small_push_row(NULL, image, ROW), SMALL_ERROR_ARENA, "push_row refuses NULL for an arena");
    REFUSED(small_push_row(arena + 1, image, ROW), SMALL_ERROR_ARENA, "push_row refuses an odd arena");
    REFUSED(small_run(NULL, image, arena + SMALL_OUTPUT_0_OFFSET), SMALL_ERROR_ARENA, "run refuses NULL");
    REFUSED(small_run(arena + 4, image, arena + SMALL_OUTPUT_0_OFFSET), SMALL_ERROR_ARENA, "run refuses an odd arena");
    REFUSED(small_run(arena, NULL, arena), SMALL_ERROR_DATA, "run refuses no image");
    REFUSED(small_run(arena, image, NULL), SMALL_ERROR_DATA, "run refuses no output");
}

/* Data that shares memory with the arena, from one byte at its beginning to one at its end. */
static void overlaps(void)
{
    static const int places[] = {1 - ROW, 0, 1, SIZE - 1};
    expect(small_reset(arena, SIZE) == SMALL_DONE, "reset before rows in the arena");
    for (int i = 0; i < 4; i++) {
        REFUSED(small_push_row(arena, arena + places[i], ROW), SMALL_ERROR_DATA, "push_row refuses a row in the arena");
    }
    REFUSED(small_run(arena, arena + SIZE - 1, outside), SMALL_ERROR_DATA, "run refuses an image that begins in the arena");
    REFUSED(small_run(arena, arena + 1 - ROWS * ROW, outside), SMALL_ERROR_DATA, "run refuses an image that ends in the arena");
    REFUSED(small_run(arena, image, arena + SMALL_OUTPUT_0_OFFSET + 1), SMALL_ERROR_DATA, "run refuses an output elsewhere in the arena");
    REFUSED(small_run(arena, image, arena + SIZE - 1), SMALL_ERROR_DATA, "run refuses an output that begins in the arena");
    REFUSED(small_run(arena, image, arena + 1 - OUT), SMALL_ERROR_DATA, "run refuses an output that ends in the arena");
    memcpy(arena - ROW, image, ROW);
    expect(small_push_row(arena, arena - ROW, ROW) == SMALL_MORE, "a row right before the arena");
    memcpy(arena + SIZE, image + ROW, ROW);
    expect(small_push_row(arena, arena + SIZE, ROW) == SMALL_MORE, "a row right behind the arena");
    expect(push(arena, 2, ROWS) == SMALL_DONE && right(arena), "right after rows beside the arena");
}

/* What an application that does not keep to it may leave in the arena. */
static void garbage(void)
{
    for (int at = 0; at + 8 <= SIZE; at += 4) {
        expect(small_reset(arena, SIZE) == SMALL_DONE, "reset before garbage");
        memcpy(before, arena, SIZE);
        memset(arena, 0, SIZE);
        memcpy(arena + at, before + at, 4); /* at one place the mark of a reset */
        memset(arena + at + 4, 0xff, 4);    /* and counters beyond all rows */
        const int result = small_push_row(arena, image, ROW);
        expect(result == SMALL_ERROR_RESET, "counters beyond all rows");
    }
    expect(small_reset(arena, SIZE) == SMALL_DONE && push(arena, 0, ROWS) == SMALL_DONE && right(arena), "right after garbage");
}

static void rows(void)
{
    expect(small_reset(arena, SIZE) == SMALL_DONE, "reset takes the arena");
    expect(push(arena, 0, 3) == SMALL_MORE, "more after three rows");
    REFUSED(small_push_row(arena, NULL, ROW), SMALL_ERROR_DATA, "push_row refuses NULL");
    REFUSED(small_push_row(arena, image, ROW - 1), SMALL_ERROR_DATA, "push_row refuses a short row");
    REFUSED(small_push_row(arena, image, ROW + 1), SMALL_ERROR_DATA, "push_row refuses a long row");
    expect(push(arena, 3, ROWS - 1) == SMALL_MORE, "more before the last row");
    expect(push(arena, ROWS - 1, ROWS) == SMALL_DONE, "done with the last row");
    expect(right(arena), "right after refused rows");
    REFUSED(push(arena, 0, 1), SMALL_ERROR_RESET, "a row too many");
    REFUSED(push(arena, 0, 1), SMALL_ERROR_RESET, "another row too many");
    expect(right(arena), "right after a row too many");
}

static void resets(void)
{
    for (int part = 0; part <= ROWS; part++) {
        expect(small_reset(arena, SIZE + 100) == SMALL_DONE, "reset takes a larger arena");
        push(arena, 0, part);
        expect(small_reset(arena, SIZE) == SMALL_DONE, "reset in between");
        expect(push(arena, 0, ROWS) == SMALL_DONE && right(arena), "right after a reset in between");
    }
}

/* Two images at a time, one of them in memory of exactly the size. */
static void two(void)
{
    int8_t *const other = aligned_alloc(SMALL_ARENA_ALIGN, SIZE);
    memset(other, 0x5a, SIZE);
    expect(small_reset(arena, SIZE) == SMALL_DONE && small_reset(other, SIZE) == SMALL_DONE, "two arenas");
    for (int row = 0; row < ROWS; row++) {
        expect(push(arena, row, row + 1) == push(other, row, row + 1), "two arenas go together");
    }
    expect(right(arena) && right(other), "right in both arenas");
    free(other);
}

static void whole(void)
{
    int8_t *const given = malloc(ROWS * ROW), *const taken = malloc(OUT);
    memcpy(given, image, ROWS * ROW);
    expect(small_run(arena, given, taken) == SMALL_DONE, "run");
    expect(memcmp(taken, expected, OUT) == 0, "run is right outside of the arena");
    expect(memcmp(given, image, ROWS * ROW) == 0, "run leaves the image alone");
    expect(small_run(arena, given, arena + SMALL_OUTPUT_0_OFFSET) == SMALL_DONE && right(arena), "run is right inside");
    REFUSED(push(arena, 0, 1), SMALL_ERROR_RESET, "a row after run");
    expect(right(arena), "right after a row after run");
    free(given);
    free(taken);
}

int main(void)
{
    static const int fillings[] = {0, 0xa5, 0x5a, 0xff};
    for (int i = 0; i < 4; i++) {
        fill(fillings[i]);
        REFUSED(push(arena, 0, 1), SMALL_ERROR_RESET, "a row without reset");
        arenas();
        rows();
        resets();
        two();
        whole();
        overlaps();
        garbage();
        fill(fillings[i]);
        rows();
        whole();
        for (int at = 0; at < GUARD; at++) {
            expect(memory[at] == (int8_t)fillings[i], "in front of the arena");
            expect(memory[GUARD + SIZE + at] == (int8_t)fillings[i], "behind the arena");
        }
    }
    return failures != 0;
}
