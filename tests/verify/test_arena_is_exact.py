"""The arena of a linked program: as large as planned by the linker's map, and used to its last buffer, not beyond."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from nnrules.catalog.paths import KERNELS
from nnrules.graph.ir import Graph
from nnrules.plan.schedule import ALIGNMENT, aligned
from nnrules.verify import console, memory
from nnrules.verify.program import Program
from tests.needs import need_target
from tests.verify.programs import compile_object, generate, link, plan

GUARD = 64
# Runs the self test in an arena filled with one value, then with another, between guards, and prints what has changed.
PAINTED = f"""
#include "nn_board.h"
#include "small.h"

enum {{ GUARD = {GUARD}, ALL = GUARD + SMALL_ARENA_BYTES + GUARD }};
static __attribute__((aligned(SMALL_ARENA_ALIGN))) uint8_t memory[ALL];

static void print(const char *name, size_t length, int value)
{{
    char digits[10];
    size_t at = sizeof digits;
    digits[--at] = '\\n';
    do {{
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    }} while (value != 0);
    board_write(name, length);
    board_write(digits + at, sizeof digits - at);
}}

int nn_main(void)
{{
    static const uint8_t fills[] = {{0xA5, 0x5A}};
    int top = 0, outside = 0;
    for (int run = 0; run < 2; run++) {{
        for (int i = 0; i < ALL; i++) {{
            memory[i] = fills[run];
        }}
        if (small_selftest(memory + GUARD) != 0) {{
            return 1;
        }}
        for (int i = 0; i < ALL; i++) {{
            if (memory[i] != fills[run]) {{
                const int offset = i - GUARD;
                outside += offset < 0 || offset >= SMALL_ARENA_BYTES;
                top = offset + 1 > top ? offset + 1 : top;
            }}
        }}
    }}
    print("nn:top ", 7, top);
    print("nn:outside ", 11, outside);
    return 0;
}}
"""


def arena_in_map(path: Path) -> int:
    """The bytes of the arena in a linker's map."""
    found = re.findall(r"^ \.bss\.arena\s+0x[0-9a-f]+\s+0x([0-9a-f]+) ", path.read_text(), re.MULTILINE)
    assert len(found) == 1
    return int(found[0], 16)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("target", ["cortex-m7", "riscv32"])
def test_plan_map_and_run_agree(
    target: str, streamed: bool, graph: Graph, samples: dict[str, np.ndarray], tmp_path: Path
) -> None:
    chain = need_target(target)
    assert chain.runner is not None
    slots, planned = plan(graph, target, streamed).tensors, plan(graph, target, streamed).arena_bytes
    generate(graph, target, samples["image"][0], tmp_path, streamed)
    objects = [compile_object(target, tmp_path, source) for source in ("small.c", "small_selftest.c")]
    names = ("-DNN_MODEL=small", "-DNN_MODEL_MACRO=SMALL", '-DNN_MODEL_HEADER="small.h"')
    main = compile_object(target, tmp_path, KERNELS / "program/main.c", *names)
    shipped = link(target, tmp_path, "small.elf", [*objects, main], f"-Wl,-Map={tmp_path / 'small.map'}")
    assert arena_in_map(tmp_path / "small.map") == planned
    assert memory.read(shipped, objects[:1], planned).arena == planned

    (tmp_path / "painted.c").write_text(PAINTED)
    painted = link(target, tmp_path, "painted.elf", [*objects, compile_object(target, tmp_path, "painted.c")])
    told = Program("painted.elf", painted, chain.runner.command).run({}).console
    assert console.number(told, "outside") == 0
    top = console.number(told, "top")
    assert top is not None
    highest = max(slot.offset for slot in slots if aligned(slot.offset + slot.bytes) == planned)
    assert highest < top <= planned


def test_a_program_that_writes_beyond_is_seen(graph: Graph, samples: dict[str, np.ndarray], tmp_path: Path) -> None:
    """The arena's macro is smaller than what the program uses."""
    chain = need_target("cortex-m7")
    assert chain.runner is not None
    generate(graph, "cortex-m7", samples["image"][0], tmp_path)
    objects = [compile_object("cortex-m7", tmp_path, source) for source in ("small.c", "small_selftest.c")]
    header = tmp_path / "small.h"
    less = plan(graph, "cortex-m7").arena_bytes - ALIGNMENT
    text = re.sub(r"(SMALL_ARENA_BYTES) \d+", rf"\1 {less}", header.read_text())
    assert str(less) in text
    header.write_text(text)
    (tmp_path / "painted.c").write_text(PAINTED)
    painted = link("cortex-m7", tmp_path, "painted.elf", [*objects, compile_object("cortex-m7", tmp_path, "painted.c")])
    told = subprocess.run(
        [word.replace("{elf}", str(painted)) for word in chain.runner.command],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert console.number(told, "outside")
