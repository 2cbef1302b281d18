"""The README's lines of C that push a sensor's rows compile without a warning, and give what a whole image gives."""

import re
import subprocess
from pathlib import Path

import pytest

from nnrules.catalog.paths import KERNELS
from tests.rules.project import TOP

SECTION = (TOP / "README.md").read_text().partition("\n## RAM\n")[2].partition("\n## ")[0]
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
BEFORE = """
#include "small.h"
static int rows;
static int8_t seen[SMALL_OUTPUT_0_BYTES];
static void sensor_read(int8_t *line, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        line[i] = small_selftest_input[(size_t)rows * bytes + i];
    }
    rows++;
}
static void use(const int8_t *output) {
    for (int i = 0; i < SMALL_OUTPUT_0_BYTES; i++) {
        seen[i] = output[i];
    }
}
int look(void);
"""
AFTER = """
int main(void) {
    int8_t whole[SMALL_OUTPUT_0_BYTES];
    if (look() != SMALL_DONE || rows != SMALL_ROWS || small_run(arena, small_selftest_input, whole) != SMALL_DONE) {
        return 1;
    }
    for (int i = 0; i < SMALL_OUTPUT_0_BYTES; i++) {
        if (seen[i] != whole[i]) {
            return 2;
        }
    }
    return 0;
}
"""


@pytest.mark.parametrize("isa", ["portable", "armv7em"])
def test_a_sensor_line_by_line(isa: str, tmp_path: Path) -> None:
    (listing,) = re.findall(r"^```c\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)
    program = tmp_path / "main.c"
    program.write_text(BEFORE + listing.replace("facedet", "small").replace("FACEDET", "SMALL") + AFTER)
    model = TOP / "tests/golden" / isa
    sources = [program, model / "small.c", model / "small_selftest.c"]
    command = ["gcc", *FLAGS, f"-I{model}", f"-I{KERNELS / 'include'}", *sources, "-o", tmp_path / "look"]
    subprocess.run(command, check=True)
    assert subprocess.run([tmp_path / "look"], check=False).returncode == 0
