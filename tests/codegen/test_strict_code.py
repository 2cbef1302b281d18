"""The C of every operator is clean under the strictest warnings of two compilers and under cppcheck."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.few_bits import few_bits
from nnrules.catalog.kernel import load_kernels
from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.codegen.model import ModelCode
from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.graph.operator import Geometry
from nnrules.graph.ops.add import Add
from nnrules.graph.ops.lookup import Lookup
from nnrules.graph.ops.max_pool2d import MaxPool2d
from nnrules.graph.packed import packed
from nnrules.plan.planner import make_plan
from nnrules.plan.record import Plan
from nnrules.plan.widths import packable
from tests.cases import CASES, Case
from tests.codegen.cppcheck import require_clean
from tests.kernels.test_instructions import PACKINGS, SMALLEST
from tests.narrow import folded, narrowed
from tests.needs import need_command, need_module
from tests.plan.test_schedule import Steps

STRICT = [
    "-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wstrict-prototypes",
    "-Wmissing-prototypes", "-Wcast-qual", "-Wvla", "-Werror",
]  # fmt: skip
CLANG = [sys.executable, "-m", "ziglang", "cc"]
HOST = ("armv7em", "mve", "portable")
SMALL = ("armv6m", "portable")
COMPILERS = {
    "gcc": (["gcc"], HOST),
    "clang": ([*CLANG, "-target", "x86_64-linux-gnu"], HOST),
    "cortex-m0plus": (["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb", "-masm-syntax-unified"], SMALL),
    "cortex-m7": (["arm-none-eabi-gcc", "-mcpu=cortex-m7", "-mthumb"], ("armv7em", "portable")),
    "cortex-m7-clang": (
        [*CLANG, "-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m7"], ("armv7em", "portable"),
    ),
    "cortex-m55": (["arm-none-eabi-gcc", "-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"], HOST),
    "cortex-m55-clang": ([*CLANG, "-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m55+mve_fp"], HOST),
    "riscv32": (
        ["riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32", "-ffreestanding"], ("rv32imc", "portable"),
    ),
}  # fmt: skip
CASES_OF_EACH = 3
ONCE = settings(
    max_examples=2, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


def together(cases: list[Case]) -> Graph:
    """A graph of layers side by side, each with inputs and an output of its own."""
    tensors, nodes = {}, []
    for index, case in enumerate(cases):
        names = [f"x{index}_{position}" for position in range(len(case.inputs))]
        tensors |= {
            n: Tensor(name=n, shape=s, scale=1.0, zero_point=0) for n, s in zip(names, case.shapes, strict=True)
        }
        output, operator = f"y{index}", case.operator
        shape, kind = operator.infer(*case.shapes), operator.output_type
        tensors[output] = Tensor(name=output, shape=shape, scale=1.0, zero_point=0, dtype=kind)
        nodes.append(Node(name=f"{operator.op}{index}", inputs=tuple(names), output=output, operator=operator))
    inputs = tuple(name for node in nodes for name in node.inputs)
    outputs = tuple(node.output for node in nodes)
    return Graph(name="every", inputs=inputs, outputs=outputs, tensors=tensors, nodes=tuple(nodes))


@pytest.fixture(scope="module")
def graph() -> Graph:
    """Some layers of every operator that has code."""
    drawn: list[list[Case]] = []
    strategies = [cases for op, cases in sorted(CASES.items()) if op != "reshape" for _ in range(CASES_OF_EACH)]

    @seed(7)
    @ONCE
    @given(st.tuples(*strategies))
    def draw(cases: tuple[Case, ...]) -> None:
        drawn.append(list(cases))

    draw()
    return together(drawn[-1])


@pytest.fixture(scope="module")
def narrow() -> Graph:
    """Layers of few bits, and some behind them that see few levels, but for the last one."""
    graph, table = few_bits(), np.arange(-128, 128)
    steps: Steps = [
        ("pool", (graph.outputs[0],), MaxPool2d(geometry=Geometry(kernel=(2, 2)))),
        ("table", ("pool",), Lookup(table=folded(table, 4, -8))),
        ("sum", ("table", "table"), narrowed(Add.of((0.5, 0.4), (0, 0), 0, (0, -128, 127), "sum"), 4, 0)),
        ("end", ("sum",), Lookup(table=table.astype(np.int8))),
    ]
    tensors, nodes = {**graph.tensors}, [*graph.nodes]
    for name, sources, operator in steps:
        shape = operator.infer(*(tensors[source].shape for source in sources))
        tensors[name] = Tensor(name=name, shape=shape, scale=1.0, zero_point=0)
        nodes.append(Node(name=name, inputs=sources, output=name, operator=operator))
    return msgspec.structs.replace(graph, name="every", outputs=("end",), tensors=tensors, nodes=tuple(nodes))


def written(graph: Graph, isa: tuple[str, ...], folder: Path, plan: Plan | None = None) -> None:
    """Source and header."""
    code = ModelCode(graph, plan or make_plan(graph, load_kernels(), "somewhere", isa))
    (folder / "every.c").write_text(code.source())
    (folder / "every.h").write_text(code.header())
    (folder / "check.c").write_text(code.check())


def needed(words: list[str]) -> Iterator[None]:
    """Skip without the compiler."""
    if words[0] == sys.executable:
        need_module("ziglang", "ziglang")
    else:
        need_command(words[0], words[0])
    yield


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_warnings(compiler: str, graph: Graph, tmp_path: Path) -> None:
    words, isa = COMPILERS[compiler]
    next(needed(words))
    written(graph, isa, tmp_path)
    assert compile_strictly(words, tmp_path) == ""


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_warnings_in_few_bits(compiler: str, narrow: Graph, tmp_path: Path) -> None:
    words, isa = COMPILERS[compiler]
    next(needed(words))
    plans = plans_of(narrow, isa)
    for plan in plans:
        written(narrow, isa, tmp_path, plan)
        assert compile_strictly(words, tmp_path) == ""
    taken = {layer.kernel for plan in plans for layer in plan.layers}
    assert taken >= {each.name for each in load_kernels() if each.packing in PACKINGS and each.isa in isa}


def plans_of(narrow: Graph, isa: tuple[str, ...]) -> list[Plan]:
    """With fast kernels, with small weights, and with packed tensors."""
    kernels = load_kernels()
    graph = packed(narrow, packable(narrow, kernels, ("portable",)))
    tight = make_plan(graph, kernels, "somewhere", ("portable",), SMALLEST)
    assert (tight.widths or {}).keys() == {"t3", "t5", "t8", "pool", "table", "sum"}
    return [*(make_plan(narrow, kernels, "somewhere", isa, extra) for extra in (1.0, SMALLEST)), tight]


def compile_strictly(words: list[str], folder: Path) -> str:
    """What a compiler says of every.c."""
    command = [*words, *STRICT, f"-I{KERNELS / 'include'}", "-c", "every.c", "-o", "every.o"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize(
    ("wrong", "warning"),
    [
        ("int stray(void) { return 0; }", "missing-prototypes"),
        ("static int8_t stray(int32_t x) { return x + 1; }", "conversion"),
        ("static int8_t *stray(const int8_t *x) { return (int8_t *)x; }", "cast-qual"),
    ],
)
def test_a_warning_is_found(wrong: str, warning: str, graph: Graph, tmp_path: Path) -> None:
    written(graph, ("portable",), tmp_path)
    with (tmp_path / "every.c").open("a") as file:
        file.write(f"\n{wrong}\n")
    assert f"-Werror={warning}" in compile_strictly(["gcc"], tmp_path)


@pytest.mark.parametrize("isa", [None, "armv6m", "armv7em", "mve", "rv32imc"])
def test_cppcheck_finds_nothing(isa: str | None, graph: Graph, tmp_path: Path) -> None:
    written(graph, (isa, "portable") if isa else ("portable",), tmp_path)
    require_clean(tmp_path, "every.c")


def test_cppcheck_finds_nothing_in_few_bits(narrow: Graph, tmp_path: Path) -> None:
    for plan in plans_of(narrow, ("armv7em", "portable")):
        written(narrow, (), tmp_path, plan)
        require_clean(tmp_path, "every.c")


def test_the_arena_is_exact_under_sanitizers(graph: Graph, tmp_path: Path) -> None:
    written(graph, HOST, tmp_path)
    sanitizers = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    places = [f"-I{path}" for path in (KERNELS / "include", TOOLCHAINS / "board")]
    sources = ["every.c", "check.c", str(TOOLCHAINS / "board/hosted.c")]
    subprocess.run(["gcc", "-std=c11", *sanitizers, *places, *sources, "-o", "check"], cwd=tmp_path, check=True)
    count = sum(graph.tensors[name].bytes for name in graph.inputs)
    (tmp_path / "inputs.bin").write_bytes(bytes(range(256)) * (count // 256) + bytes(count % 256))
    done = subprocess.run([tmp_path / "check"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
