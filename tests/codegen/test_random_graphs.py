"""Whole random graphs: every tensor of the generated C, traced under sanitizers, equals the reference's."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from nnrules.catalog.kernel import load_kernels
from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.codegen.model import ModelCode
from nnrules.graph.ir import Graph
from nnrules.plan.planner import make_plan
from nnrules.verify.engines.c_program import outputs, trace
from nnrules.verify.program import Program
from tests.cases.graphs import graphs

FLAGS = [
    "-std=c11",
    "-O1",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
]
KERNEL_LIST = load_kernels()
quick = settings(
    max_examples=5, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def built(graph: Graph, isa: tuple[str, ...], folder: Path, *defines: str) -> Program:
    """The check program of a graph's C on this machine."""
    code, name = ModelCode(graph, make_plan(graph, KERNEL_LIST, "host", isa)), graph.name
    for file, text in {f"{name}.c": code.source(), f"{name}.h": code.header(), "check.c": code.check()}.items():
        (folder / file).write_text(text)
    sources = [f"{name}.c", "check.c", str(TOOLCHAINS / "board/hosted.c")]
    includes = [f"-I{path}" for path in (".", KERNELS / "include", TOOLCHAINS / "board")]
    program = "".join(["check", *defines])
    subprocess.run(["gcc", *FLAGS, *defines, *includes, *sources, "-o", program], cwd=folder, check=True)
    return Program(program, folder / program)


def check(graph: Graph, isa: tuple[str, ...]) -> None:
    """Traced, and not traced (as it ships), on three samples one after the other."""
    x = np.random.default_rng(1).integers(-128, 128, (3, *graph.tensors["x"].shape)).astype(np.int8)
    expected = graph.run(x)
    with tempfile.TemporaryDirectory() as name:
        traced = trace(graph, built(graph, isa, Path(name), "-DNN_TRACE_ROWS"), {"x": x})
        shipped = outputs(graph, built(graph, isa, Path(name)), {"x": x})
    for node in graph.nodes:
        np.testing.assert_array_equal(traced[node.output], expected[node.output], err_msg=node.name)
    for output in graph.outputs:
        np.testing.assert_array_equal(shipped[output], expected[output], err_msg=output)


@pytest.mark.parametrize("isa", [("portable",), ("armv7em", "portable")], ids=["portable", "dsp"])
def test_random_graphs(isa: tuple[str, ...]) -> None:
    @quick
    @given(graphs())
    def property_holds(graph: Graph) -> None:
        check(graph, isa)

    property_holds()


@pytest.mark.soak
@pytest.mark.parametrize("isa", [("portable",), ("armv7em", "portable")], ids=["portable", "dsp"])
def test_many_random_graphs(isa: tuple[str, ...]) -> None:
    @settings(quick, max_examples=60, derandomize=False, print_blob=True)
    @given(graphs())
    def property_holds(graph: Graph) -> None:
        check(graph, isa)

    property_holds()
