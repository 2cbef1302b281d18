/* Finds the faces of one built-in scene and prints them. */
#include "facedet.h"
#include "facedet_decode.h"
#include "nn_board.h"
#include "nn_port.h"

enum { MOST_FACES = 8, LINE = 80 };

/* Between two images the arena is free but for the outputs: the faces lie in front of them, or behind. */
static union {
    _Alignas(FACEDET_ARENA_ALIGN) int8_t bytes[FACEDET_ARENA_BYTES];
    facedet_face faces[FACEDET_ARENA_BYTES / sizeof(facedet_face)];
} arena;

enum {
    OUTPUT_END = FACEDET_OUTPUT_0_OFFSET + FACEDET_OUTPUT_0_BYTES,
    IN_FRONT = FACEDET_OUTPUT_0_OFFSET >= MOST_FACES * sizeof(facedet_face),
    FIRST_FACE = IN_FRONT ? 0 : (OUTPUT_END + sizeof(facedet_face) - 1) / sizeof(facedet_face)
};
_Static_assert((FIRST_FACE + MOST_FACES) * sizeof(facedet_face) <= sizeof arena, "the arena has room for faces");

typedef struct {
    char text[LINE];
    size_t length;
} line;

static void put_text(line *out, const char *text)
{
    while (*text != '\0' && out->length < LINE) {
        out->text[out->length++] = *text++;
    }
}

static void put_number(line *out, uint32_t value)
{
    char digits[11];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    put_text(out, &digits[at]);
}

static void put_named(line *out, const char *name, uint32_t value)
{
    put_text(out, name);
    put_number(out, value);
}

static void end_line(line *out)
{
    put_text(out, "\n");
    board_write(out->text, out->length);
    out->length = 0;
}

static uint32_t pixels(int32_t steps)
{
    return (uint32_t)(steps + FACEDET_STEPS_PER_PIXEL / 2) / FACEDET_STEPS_PER_PIXEL;
}

/* These are functions of their own, so that neither inference nor decoding has their lines on the stack. */
NN_NOINLINE static void print_face(size_t index, const facedet_face *face)
{
    line out;
    out.length = 0;
    put_named(&out, "face ", (uint32_t)index);
    put_named(&out, ": x=", pixels(face->left));
    put_named(&out, " y=", pixels(face->top));
    put_named(&out, " w=", pixels(face->right - face->left));
    put_named(&out, " h=", pixels(face->bottom - face->top));
    put_named(&out, " score=", (uint32_t)face->score);
    end_line(&out);
}

NN_NOINLINE static void print_faces(void)
{
    facedet_face *const faces = &arena.faces[FIRST_FACE];
    size_t count = facedet_decode(&arena.bytes[FACEDET_OUTPUT_0_OFFSET], FACEDET_BOX_FACTOR(FACEDET_OUTPUT_0_SCALE),
                                  FACEDET_OUTPUT_0_ZERO_POINT, 0, faces, MOST_FACES);
    for (size_t i = 0; i < count; i++) {
        print_face(i, &faces[i]);
    }
}

NN_NOINLINE static void print_figures(uint32_t ticks)
{
    line out;
    out.length = 0;
    put_named(&out, "nn:run ", ticks);
    end_line(&out);
    size_t stack = board_stack_peak();
    if (stack > 0) {
        put_named(&out, "nn:stack ", (uint32_t)stack);
        end_line(&out);
    }
}

int nn_main(void)
{
    const int8_t *row = facedet_selftest_input; /* in the place of a sensor */
    uint32_t start = board_ticks();
    if (facedet_reset(&arena, sizeof arena) != FACEDET_DONE) {
        board_exit(1);
    }
    while (facedet_push_row(&arena, row, FACEDET_ROW_BYTES) == FACEDET_MORE) {
        row += FACEDET_ROW_BYTES;
    }
    uint32_t ticks = board_ticks() - start;
    print_faces();
    print_figures(ticks);
    return 0;
}
