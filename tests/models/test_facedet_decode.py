"""The C decoder equals its Python twin, number for number; the example application prints what both found."""

import ctypes
import subprocess

import numpy as np
import pytest
from decode import CHANNELS, GRID, STEPS, Face, coordinate_factor, decode
from hypothesis import given, settings
from hypothesis import strategies as st

MOST = 40


class CFace(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int16) for name in ("left", "top", "right", "bottom", "score"))


@pytest.fixture(scope="module")
def c_decode(facedet, tmp_path_factory):
    library = tmp_path_factory.mktemp("decode") / "decode.so"
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-ftrapv", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, facedet / "facedet_decode.c", "-o", library], check=True)
    function = ctypes.CDLL(str(library)).facedet_decode
    function.restype = ctypes.c_size_t

    def run(output, scale, zero_point, threshold, limit):
        cells = np.ascontiguousarray(np.moveaxis(output, 0, -1))
        faces = (CFace * MOST)()
        numbers = (ctypes.c_int32(n) for n in (coordinate_factor(scale), zero_point, threshold))
        count = function(cells.ctypes.data_as(ctypes.c_void_p), *numbers, faces, ctypes.c_size_t(limit))
        return [Face(f.left, f.top, f.right, f.bottom, f.score) for f in faces[:count]]

    return run


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([2, 20, 128]),
    scale=st.floats(2.0**-14, 1.0, width=32),
    zero_point=st.integers(-128, 127),
    threshold=st.integers(-256, 256),
    limit=st.integers(0, MOST),
)
def test_c_equals_python(c_decode, seed, spread, scale, zero_point, threshold, limit):
    rng = np.random.default_rng(seed)
    output = rng.integers(-spread, spread, (CHANNELS, GRID, GRID)).astype(np.int8)
    wanted = decode(output, scale, zero_point, threshold, limit)
    assert c_decode(output, scale, zero_point, threshold, limit) == wanted


@pytest.mark.parametrize("value", [-128, 127])
def test_extremes(c_decode, value):
    output = np.full((CHANNELS, GRID, GRID), value, np.int8)
    wanted = decode(output, 1.0, -value - 1, -256, MOST)
    assert c_decode(output, 1.0, -value - 1, -256, MOST) == wanted
    assert wanted


def test_a_face_is_where_its_cell_says():
    output = np.zeros((CHANNELS, GRID, GRID), np.int8)
    output[:, 3, 5] = (50, 2, -4, 8, 0)  # at scale 1/16: 1 pixel right, 2 up, 4 pixels wider than 32
    (face,) = decode(output, 1 / 16, 0, 1, MOST)
    assert face == Face((45 - 18) * STEPS, (26 - 16) * STEPS, (45 + 18) * STEPS, (26 + 16) * STEPS, 50)


def test_the_weaker_of_two_overlapping_boxes_goes():
    output = np.zeros((CHANNELS, GRID, GRID), np.int8)
    output[0, 5, 5], output[0, 5, 6], output[0, 5, 9] = 30, 40, 20
    assert [face.score for face in decode(output, 1 / 16, 0, 1, MOST)] == [40, 20]
    assert [face.score for face in decode(output, 1 / 16, 0, 1, 1)] == [40]


def console_line(index: int, face: Face) -> str:
    """How the example application prints a face: whole pixels, rounded half up."""
    x, y, w, h = (
        (steps + STEPS // 2) // STEPS for steps in (face.left, face.top, face.right - face.left, face.bottom - face.top)
    )
    return f"face {index}: x={x} y={y} w={w} h={h} score={face.score}"


HEADER = """
#include <stddef.h>
#include <stdint.h>
#define FACEDET_DONE 0
#define FACEDET_MORE 1
#define FACEDET_ROW_BYTES 96
#define FACEDET_ARENA_BYTES 10000
#define FACEDET_ARENA_ALIGN 16
#define FACEDET_OUTPUT_0_OFFSET {offset}
#define FACEDET_OUTPUT_0_BYTES 720
#define FACEDET_OUTPUT_0_SCALE {scale}
#define FACEDET_OUTPUT_0_ZERO_POINT {zero_point}
extern const int8_t facedet_selftest_input[];
int facedet_reset(void *arena, size_t bytes);
int facedet_push_row(void *arena, const int8_t *row, size_t bytes);
"""
BOARD = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "facedet.h"
#include "nn_board.h"
const int8_t facedet_selftest_input[9216] = {1, 2, 3};
static const int8_t answer[720] = {ANSWER};
static size_t pushed;
int facedet_reset(void *arena, size_t bytes) { (void)arena, pushed = 0; return bytes == FACEDET_ARENA_BYTES ? 0 : -1; }
int facedet_push_row(void *arena, const int8_t *row, size_t bytes)
{
    const int same = memcmp(row, facedet_selftest_input + pushed, bytes) == 0;
    pushed += bytes;
    if (pushed < sizeof facedet_selftest_input) return same ? FACEDET_MORE : -2;
    memcpy((int8_t *)arena + FACEDET_OUTPUT_0_OFFSET, answer, same ? sizeof answer : 0);
    return FACEDET_DONE;
}
void board_write(const char *text, size_t n) { fwrite(text, 1, n, stdout); }
uint32_t board_ticks(void) { static uint32_t ticks; return ticks += 1234; }
size_t board_stack_peak(void) { return 608; }
void board_exit(int code) { exit(code); }
int main(void) { return nn_main(); }
"""


@pytest.mark.parametrize("offset", [9216, 80, 72, 0])
def test_the_example_application_prints_what_python_finds(offset, facedet, tmp_path):
    output = np.random.default_rng(3).integers(-60, 60, (CHANNELS, GRID, GRID)).astype(np.int8)
    scale, zero_point = 0.046875, -5
    (tmp_path / "facedet.h").write_text(HEADER.format(scale=scale, zero_point=zero_point, offset=offset))
    answer = ", ".join(str(value) for value in np.moveaxis(output, 0, -1).ravel())
    (tmp_path / "board.c").write_text(BOARD.replace("ANSWER", answer))
    sources = [facedet / "main.c", facedet / "facedet_decode.c", tmp_path / "board.c"]
    top = facedet.parents[1]
    includes = [f"-I{folder}" for folder in (tmp_path, facedet, top / "toolchains/board", top / "kernels/include")]
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", *includes]
    subprocess.run(["gcc", *flags, *sources, "-o", tmp_path / "program"], check=True)
    console = subprocess.run([tmp_path / "program"], check=True, capture_output=True, text=True).stdout
    faces = decode(output, scale, zero_point, 0, 8)
    lines = [console_line(index, face) for index, face in enumerate(faces)]
    assert len(faces) == 8
    assert console.splitlines() == [*lines, "nn:run 1234", "nn:stack 608"]
