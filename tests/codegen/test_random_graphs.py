"""Whole random graphs: every tensor by numpy, torch, ONNX Runtime and the C under sanitizers, and the C on a core.

One graph in five is drawn for each core: the C with its kernels is traced on this machine, through their twins, and run
under the emulator as it ships.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from nnrules.catalog.kernel import load_kernels
from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.codegen.model import ModelCode
from nnrules.graph.emit import integer_model
from nnrules.graph.ir import Graph
from nnrules.plan.planner import make_plan
from nnrules.verify.engines import numpy_reference, torch_simulation
from nnrules.verify.engines.c_program import outputs, trace
from nnrules.verify.engines.onnx_runtime import OnnxRuntime
from nnrules.verify.program import Program
from tests.cases.graphs import graphs
from tests.needs import need_target

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
CORES = ["cortex-m0plus", "cortex-m4", "cortex-m7", "cortex-m55", "riscv32"]
PER_CORE = 8
SOAK_PER_CORE = 100
KERNEL_LIST = load_kernels()
quick = settings(
    max_examples=PER_CORE, deadline=None, database=None, phases=[Phase.generate], print_blob=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def written(graph: Graph, isa: tuple[str, ...], folder: Path) -> list[str]:
    """The C of a graph in a folder; the names of the sources."""
    code, name = ModelCode(graph, make_plan(graph, KERNEL_LIST, "host", isa)), graph.name
    for file, text in {f"{name}.c": code.source(), f"{name}.h": code.header(), "check.c": code.check()}.items():
        (folder / file).write_text(text)
    return [f"{name}.c", "check.c"]


def built(graph: Graph, isa: tuple[str, ...], folder: Path, *defines: str) -> Program:
    """The check program of a graph's C on this machine, under sanitizers."""
    sources = [*written(graph, isa, folder), str(TOOLCHAINS / "board/hosted.c")]
    includes = [f"-I{path}" for path in (".", KERNELS / "include", TOOLCHAINS / "board")]
    program = "".join(["check", *defines])
    subprocess.run(["gcc", *FLAGS, *defines, *includes, *sources, "-o", program], cwd=folder, check=True)
    return Program(program, folder / program)


def shipped(graph: Graph, target: str, folder: Path) -> Program:
    """The check program for a core, as it ships, under the core's emulator."""
    chain = need_target(target)
    sources = [*written(graph, chain.isa, folder), *(str(TOOLCHAINS / name) for name in chain.firmware.sources)]
    places = [".", KERNELS / "include", *(TOOLCHAINS / name for name in chain.firmware.include)]
    script = ["-T", str(TOOLCHAINS / chain.firmware.linker_script)] if chain.firmware.linker_script else []
    flags = [*chain.compiler.cflags, *(f"-I{place}" for place in places)]
    command = [chain.compiler.command, *flags, *sources, *chain.linkflags, *script, "-o", "core.elf"]
    subprocess.run(command, cwd=folder, check=True)
    assert chain.runner is not None
    return Program(target, folder / "core.elf", chain.runner.command)


def check(graph: Graph, target: str) -> None:
    """Three samples one after the other."""
    chance = np.random.default_rng(1)
    x = {name: chance.integers(-128, 128, (3, *graph.tensors[name].shape)).astype(np.int8) for name in graph.inputs}
    expected = numpy_reference.run(graph, x)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        onnx.save(integer_model(graph), folder / "integer.onnx")
        engines = {
            "torch": torch_simulation.run(graph, x),
            "onnxruntime": OnnxRuntime(graph, folder / "integer.onnx").run(x),
            "c-host": trace(graph, built(graph, need_target(target).isa, folder, "-DNN_TRACE_ROWS"), x),
        }
        on_core = outputs(graph, shipped(graph, target, folder), x)
    for engine, tensors in engines.items():
        for node in graph.nodes:
            told = f"{engine}: {node.name}, {node.operator.op}"
            np.testing.assert_array_equal(tensors[node.output], expected[node.output], err_msg=told)
    for output in graph.outputs:
        np.testing.assert_array_equal(on_core[output], expected[output], err_msg=f"{target}: {output}")


@pytest.mark.parametrize("target", CORES)
def test_random_graphs(target: str) -> None:
    @seed(CORES.index(target))
    @quick
    @given(graphs())
    def property_holds(graph: Graph) -> None:
        check(graph, target)

    property_holds()


@pytest.mark.soak
@pytest.mark.parametrize("target", CORES)
def test_many_random_graphs(target: str) -> None:
    @settings(quick, max_examples=SOAK_PER_CORE)
    @given(graphs())
    def property_holds(graph: Graph) -> None:
        check(graph, target)

    property_holds()
