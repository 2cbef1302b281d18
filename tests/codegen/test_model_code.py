"""The generated C as a firmware engineer meets it: warnings are errors, no library, the same bytes, right answers."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from nnrules.catalog.kernel import load_kernels
from nnrules.catalog.paths import KERNELS
from nnrules.codegen.ctext import array, identifier, real, unique_identifiers
from nnrules.codegen.model import ModelCode
from nnrules.codegen.render import port_header
from nnrules.graph.ir import Graph
from nnrules.graph.lowering import lower
from nnrules.plan.planner import make_plan
from tests.graph.floats import FloatModel
from tests.graph.test_lowering import everything, quantized

STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-pedantic-ms-format", "-Wstrict-prototypes"]
SANITIZED = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
MAIN = """
#include "{0}.h"
static unsigned char arena[{2}_ARENA_BYTES] __attribute__((aligned({2}_ARENA_ALIGN)));
int main(void) {{ return {1}_selftest(arena); }}
"""


def big() -> Graph:
    """One of every operator."""
    return lower(quantized(everything(), (3, 16, 12)), "every-op")


def reshaped_output() -> Graph:
    """A model whose output is another shape of its last layer's."""
    m = FloatModel((1, 6, 6))
    flat = m.node("Flatten", [m.node("Relu", [m.conv("x", "conv", (1, 1, 3, 3))], "relu")], "flat")
    return lower(quantized(m.build(flat), (1, 6, 6)), "flat")


def code(graph: Graph, isa: tuple[str, ...]) -> ModelCode:
    return ModelCode(graph, make_plan(graph, load_kernels(), "somewhere", isa))


def written(graph: Graph, isa: tuple[str, ...], folder: Path) -> ModelCode:
    """The source, header and self test in a folder."""
    made = code(graph, isa)
    tensor = graph.tensors[graph.inputs[0]]
    sample = np.random.default_rng(7).integers(-128, 128, tensor.shape).astype(np.int8)
    (folder / f"{made.prefix}.c").write_text(made.source())
    (folder / f"{graph.name}.h").write_text(made.header())
    (folder / "selftest.c").write_text(made.selftest(sample))
    (folder / "main.c").write_text(MAIN.format(graph.name, made.prefix, made.prefix.upper()))
    return made


@pytest.mark.parametrize("isa", [("portable",), ("armv7em", "portable")])
@pytest.mark.parametrize("graph", [big, reshaped_output])
def test_the_self_test_passes_under_sanitizers(graph, isa: tuple[str, ...], tmp_path: Path) -> None:
    made = written(graph(), isa, tmp_path)
    sources = [f"{made.prefix}.c", "selftest.c", "main.c"]
    command = ["gcc", *STRICT, *SANITIZED, f"-I{KERNELS / 'include'}", *sources, "-o", "test"]
    subprocess.run(command, cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "test"], cwd=tmp_path, check=True)


def test_the_self_test_notices_one_wrong_weight(tmp_path: Path) -> None:
    made = written(big(), ("portable",), tmp_path)
    source = tmp_path / f"{made.prefix}.c"
    wrong = re.sub(r"(one_bias\[\d+\] = \{\s+)-?\d+", r"\g<1>99999", source.read_text())
    assert wrong != source.read_text()
    source.write_text(wrong)
    command = ["gcc", *STRICT, f"-I{KERNELS / 'include'}", source.name, "selftest.c", "main.c", "-o", "test"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "test"], cwd=tmp_path, check=False).returncode != 0


def test_it_needs_nothing_but_its_own_headers(tmp_path: Path) -> None:
    made = written(big(), ("armv7em", "portable"), tmp_path)
    assert re.findall(r"#include (.*)", made.source()) == ['"every-op.h"', '"nn_port.h"']
    flags = ["-mcpu=cortex-m7", "-mthumb", "-nostdinc", "-ffreestanding", "-O2", *STRICT]
    own = subprocess.run(["arm-none-eabi-gcc", "-print-file-name=include"], capture_output=True, text=True, check=True)
    command = ["arm-none-eabi-gcc", *flags, "-isystem", own.stdout.strip(), f"-I{KERNELS / 'include'}"]
    subprocess.run([*command, "-c", f"{made.prefix}.c"], cwd=tmp_path, check=True)
    undefined = subprocess.run(
        ["arm-none-eabi-nm", "--undefined-only", f"{made.prefix}.o"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {line.split()[-1] for line in undefined.stdout.splitlines()} <= {"memcpy", "memset"}
    variables = subprocess.run(
        ["arm-none-eabi-size", f"{made.prefix}.o"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    _, data, bss = variables.stdout.splitlines()[1].split()[:3]
    assert (data, bss) == ("0", "0"), "the model keeps state"


def test_the_header_is_c_plus_plus_too(tmp_path: Path) -> None:
    made = written(big(), ("portable",), tmp_path)
    (tmp_path / "user.cpp").write_text(f'#include "{made.graph.name}.h"\nstatic_assert(EVERY_OP_INPUTS == 1, "");\n')
    subprocess.run(
        ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "user.cpp"], cwd=tmp_path, check=True
    )


def test_same_inputs_same_bytes_and_no_traces_of_the_machine() -> None:
    first, second = code(big(), ("portable",)), code(big(), ("portable",))
    assert (first.source(), first.header()) == (second.source(), second.header())
    assert not re.search(r"/(home|root|usr|tmp)/|20\d\d-\d\d", first.source() + first.header())


def test_the_port_header_is_one_file() -> None:
    """Its parts are in the place of their #include; only the compiler's own headers are left."""
    text = port_header()
    assert set(re.findall(r"#include (.*)", text)) == {"<stdbool.h>", "<stddef.h>", "<stdint.h>"}
    assert all(part.read_text() in text for part in (KERNELS / "include").glob("nn_*.h") if part.name != "nn_port.h")


def test_layers_of_one_shape_share_one_function() -> None:
    m = FloatModel((4, 6, 6))
    x = "x"
    for name in ("a", "b", "c"):
        x = m.node("Relu", [m.conv(x, name, (4, 4, 3, 3), pads=[1, 1, 1, 1])], f"{name}_relu")
    graph = lower(quantized(m.build(x), (4, 6, 6)), "same")
    source = code(graph, ("portable",)).source()
    calls = re.findall(r"^    (conv2d_s8__portable_\d+)\(", source, flags=re.MULTILINE)
    assert len(calls) == 3
    zero_points = {n.operator.x_zero_point for n in graph.nodes}
    assert len(set(calls)) == len(zero_points)


def test_text_of_values() -> None:
    assert unique_identifiers(["a/b", "a.b", "c"]) == ["a_b", "a_b_1", "c"]
    assert identifier("0x") == "n0x"
    assert real(1 / 255) == "0.003921569f"
    assert real(1e-20) == "1.0e-20f"
    assert "INT32_MIN" in array("a", np.array([-(2**31)], np.int32), "static const")
