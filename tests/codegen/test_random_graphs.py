"""Whole random graphs: every tensor by numpy, torch, ONNX Runtime and the C under sanitizers, and the C on a core.

One graph in five is drawn for each core: the C with its kernels is traced on this machine, through their twins, and run
under the emulator as it ships; twice where rows can stream, with whole tensors and with rows. Rows also stream through
parts of graphs where no planner would have them, a few at a time. Each program takes whole images and pushed rows, in
memory that is watched (guarded.c).
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.codegen.model import ModelCode
from nnrules.graph.emit import integer_model
from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.graph.operator import Geometry
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.packed import packed, views
from nnrules.graph.requant import Requantization
from nnrules.plan.record import Plan
from nnrules.plan.widths import packable
from nnrules.verify.engines import numpy_reference, torch_simulation
from nnrules.verify.engines.c_program import Tensors, outputs, trace
from nnrules.verify.engines.onnx_runtime import OnnxRuntime
from nnrules.verify.program import Program
from tests.cases.graphs import graphs, narrow_graphs, row_graphs
from tests.codegen.plans import KERNELS as KERNEL_LIST
from tests.codegen.plans import plans_of_parts, streamed_plan, whole_plan
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
HOST = ["gcc", *FLAGS, *(f"-I{path}" for path in (".", KERNELS / "include", TOOLCHAINS / "board"))]
GUARDED = Path(__file__).parent / "guarded.c"
CORES = ["cortex-m0plus", "cortex-m4", "cortex-m7", "cortex-m55", "riscv32"]
PER_CORE = 3
SOAK_PER_CORE = 100
quick = settings(
    max_examples=PER_CORE, deadline=None, database=None, phases=[Phase.generate], print_blob=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def written(graph: Graph, isa: tuple[str, ...], folder: Path, plan: Plan | None = None) -> str:
    """The C of a graph in a folder, with whole tensors or as planned; the name of the source."""
    code, name = ModelCode(graph, plan or whole_plan(graph, isa)), graph.name
    for file, text in {f"{name}.c": code.source(), f"{name}.h": code.header(), "check.c": code.check()}.items():
        (folder / file).write_text(text)
    return f"{name}.c"


def built(graph: Graph, isa: tuple[str, ...], folder: Path, *defines: str, plan: Plan | None = None) -> Program:
    """The check program of a graph's C on this machine, under sanitizers."""
    sources = [written(graph, isa, folder, plan), "check.c", str(TOOLCHAINS / "board/hosted.c")]
    program = "".join(["check", *defines])
    subprocess.run([*HOST, *defines, *sources, "-o", program], cwd=folder, check=True)
    return Program(program, folder / program)


def traced_and_guarded(graph: Graph, isa: tuple[str, ...], folder: Path, plan: Plan) -> tuple[Program, Program]:
    """Both on this machine, under sanitizers, with one object."""
    source = written(graph, isa, folder, plan)
    subprocess.run([*HOST, "-DNN_TRACE_ROWS", "-c", source, "-o", "host.o"], cwd=folder, check=True)
    for main, name in (("check.c", "traced"), (str(GUARDED), "guarded")):
        sources = [main, "host.o", str(TOOLCHAINS / "board/hosted.c")]
        command = [*HOST, "-DNN_TRACE_ROWS", *lists(graph), *sources, "-o", name]
        subprocess.run(command, cwd=folder, check=True)
    return Program("c-host", folder / "traced"), Program("c-host-guarded", folder / "guarded")


def lists(graph: Graph) -> list[str]:
    """What guarded.c has to know."""
    kinds = {"IN": ("INPUT", graph.inputs), "OUT": ("OUTPUT", graph.outputs)}
    return [f"-D{kind}_LIST={' '.join(f'{n}({i})' for i in range(len(e)))}" for n, (kind, e) in kinds.items()]


def shipped(graph: Graph, target: str, folder: Path, plan: Plan | None = None) -> Program:
    """The guarded program for a core, with the object that ships, under the core's emulator."""
    chain = need_target(target)
    firmware = chain.firmware
    sources = [written(graph, chain.isa, folder, plan), str(GUARDED), *(str(TOOLCHAINS / s) for s in firmware.sources)]
    places = [".", KERNELS / "include", *(TOOLCHAINS / name for name in firmware.include)]
    script = ["-T", str(TOOLCHAINS / firmware.linker_script)] if firmware.linker_script else []
    flags = [*chain.compiler.cflags, *(f"-I{place}" for place in places), *lists(graph)]
    command = [chain.compiler.command, *flags, *sources, *chain.linkflags, *script, "-o", "core.elf"]
    subprocess.run(command, cwd=folder, check=True)
    assert chain.runner is not None
    return Program(target, folder / "core.elf", chain.runner.command)


def check(graph: Graph, target: str, *plans: Plan) -> None:
    """Three samples one after the other, through a program for each plan."""
    chance = np.random.default_rng(1)
    x = {name: chance.integers(-128, 128, (3, *graph.tensors[name].shape)).astype(np.int8) for name in graph.inputs}
    if graph.selector:
        x[graph.selector] = np.array([[graph.formats - 1], [0], [1]], np.int8)
    expected = numpy_reference.run(graph, x)
    with tempfile.TemporaryDirectory() as name:
        folder, isa = Path(name), need_target(target).isa
        onnx.save(integer_model(graph), folder / "integer.onnx")
        compare(graph, expected, "torch", torch_simulation.run(graph, x))
        compare(graph, expected, "onnxruntime", OnnxRuntime(graph, folder / "integer.onnx").run(x))
        for plan in plans:
            parts = [(flow.first, flow.last, flow.pushed) for flow in plan.flows]
            told = f"with rows through {parts}, {[layer.band for layer in plan.layers]} at a time" if parts else "whole"
            traced, guarded = traced_and_guarded(graph, isa, folder, plan)
            compare(graph, expected, f"c-host, {told}", trace(graph, traced, x))
            for program in (guarded, shipped(graph, target, folder, plan)):
                values = outputs(graph, program, x)
                for output in graph.outputs:
                    where = f"{program.name}, {told}: {output}"
                    np.testing.assert_array_equal(values[output], expected[output], err_msg=where)


def compare(graph: Graph, expected: Tensors, engine: str, tensors: Tensors) -> None:
    """All layers of an engine."""
    for node in graph.nodes:
        told = f"{engine}: {node.name}, {node.operator.op}"
        np.testing.assert_array_equal(tensors[node.output], expected[node.output], err_msg=told)


def both(graph: Graph, target: str) -> list[Plan]:
    """With whole tensors and, where that takes less RAM, with rows."""
    isa = need_target(target).isa
    streamed = streamed_plan(graph, isa)
    return [whole_plan(graph, isa), *([streamed] if streamed.flows else [])]


def drawn(graph: Graph, target: str, draw: st.DataObject, most: int) -> list[Plan]:
    """Plans of parts, drawn by lot, which nobody would take for their RAM."""
    every = list(plans_of_parts(graph, need_target(target).isa))
    return draw.draw(st.lists(st.sampled_from(every), max_size=most, unique_by=id)) if every else []


@pytest.mark.parametrize("target", CORES)
def test_random_graphs(target: str) -> None:
    @seed(CORES.index(target))
    @quick
    @given(graphs())
    def property_holds(graph: Graph) -> None:
        check(graph, target, *both(graph, target))

    property_holds()


@pytest.mark.soak
@pytest.mark.parametrize("target", CORES)
def test_many_random_graphs(target: str) -> None:
    @settings(quick, max_examples=SOAK_PER_CORE)
    @given(graphs())
    def property_holds(graph: Graph) -> None:
        check(graph, target, *both(graph, target))

    property_holds()


@pytest.mark.parametrize("target", CORES)
def test_random_rows(target: str) -> None:
    @seed(CORES.index(target))
    @quick
    @given(row_graphs(), st.data())
    def property_holds(graph: Graph, draw: st.DataObject) -> None:
        check(graph, target, *both(graph, target), *drawn(graph, target, draw, 1))

    property_holds()


@pytest.mark.parametrize("target", CORES)
def test_random_packed_tensors(target: str) -> None:
    @seed(CORES.index(target))
    @settings(quick, max_examples=PER_CORE - 1)
    @given(narrow_graphs(), st.data())
    def property_holds(graph: Graph, draw: st.DataObject) -> None:
        check_packed(graph, target, draw, 1)

    property_holds()


@pytest.mark.soak
@pytest.mark.parametrize("target", CORES)
def test_many_random_packed_tensors(target: str) -> None:
    @settings(quick, max_examples=SOAK_PER_CORE)
    @given(narrow_graphs(), st.data())
    def property_holds(graph: Graph, draw: st.DataObject) -> None:
        check_packed(graph, target, draw, 3)

    property_holds()


def check_packed(graph: Graph, target: str, draw: st.DataObject, most: int) -> None:
    """With all tensors packed that can be, or some of them."""
    able = packable(graph, KERNEL_LIST, need_target(target).isa)
    some = {*draw.draw(st.lists(st.sampled_from(able), unique=True))} if able and draw.draw(st.booleans()) else {*able}
    narrow = packed(graph, [name for group in views(graph).values() if some & {*group} for name in group])
    check(graph, target, *both(narrow, target), *drawn(narrow, target, draw, most))


@pytest.mark.parametrize("kernel", [(1, 4), (2, 1)])
def test_dilated_windows_of_one_row_and_of_two(kernel: tuple[int, int]) -> None:
    """Some rows at a time, in front of a window: the input's rows come one by one."""
    chance = np.random.default_rng(5)
    geometry = Geometry(kernel=kernel, dilation=(2, 1)), Geometry(kernel=(3, 3), padding=(1, 1, 1, 1))
    weights = [chance.integers(-127, 128, shape).astype(np.int8) for shape in ((2, *kernel, 1), (4, 3, 3, 2))]
    nodes = [
        Node(name=name, inputs=(source,), output=name, operator=Conv2d(
            geometry=window, weights=values, bias=np.zeros(len(values), np.int32), x_zero_point=3,
            requantization=Requantization(
                np.full(len(values), 2**21, np.int32), np.zeros(len(values), np.uint8), 3, -128, 127
            ),
        ))
        for name, source, window, values in zip("ab", "xa", geometry, weights, strict=True)
    ]  # fmt: skip
    shapes = {"x": (9, 6, 1)}
    for node in nodes:
        shapes[node.output] = node.operator.infer(shapes[node.inputs[0]])
    tensors = {name: Tensor(name=name, shape=shape, scale=1.0, zero_point=3) for name, shape in shapes.items()}
    graph = Graph(name="random", inputs=("x",), outputs=("b",), tensors=tensors, nodes=tuple(nodes))
    some = [
        plan
        for plan in plans_of_parts(graph, ("portable",))
        if plan.flow and any(layer.band > 1 for layer in plan.layers)
    ]
    assert some
    for plan in some:
        x = {"x": np.random.default_rng(1).integers(-128, 128, (2, *shapes["x"])).astype(np.int8)}
        with tempfile.TemporaryDirectory() as name:
            traced, guarded = traced_and_guarded(graph, ("portable",), Path(name), plan)
            compare(graph, numpy_reference.run(graph, x), "c-host", trace(graph, traced, x))
            outputs(graph, guarded, x)


@pytest.mark.soak
@pytest.mark.parametrize("target", CORES)
def test_many_random_rows(target: str) -> None:
    @settings(quick, max_examples=SOAK_PER_CORE)
    @given(row_graphs(), st.data())
    def property_holds(graph: Graph, draw: st.DataObject) -> None:
        check(graph, target, *both(graph, target), *drawn(graph, target, draw, 3))

    property_holds()
