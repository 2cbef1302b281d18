"""Instructions per multiply-accumulate on an emulated Cortex-M: `python -m benchmarks.kernels [--target cortex-m7]`.

The layers are facedet's, some of MLPerf Tiny's, and (`--networks kws,vww,ic,ad`, or `all`) whole models of MLPerf Tiny,
with random weights; each runs with the kernels for the core and with the portable ones (`--alone`: without) under QEMU,
and its output is checked. Instructions are not cycles.
"""

import argparse
import struct
import subprocess
import tempfile
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.networks import NETWORKS
from nnrules.catalog.kernel import load_kernels
from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.catalog.toolchain import Toolchain, load_toolchain
from nnrules.codegen.model import ModelCode
from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.graph.operator import Geometry, Operator, Shape
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.ops.fully_connected import FullyConnected
from nnrules.graph.requant import Requantization
from nnrules.plan.costs import costs_file, load_costs
from nnrules.plan.planner import make_plan
from nnrules.plan.record import Layer
from nnrules.verify.console import layer_ticks

FACEDET: list[tuple[str, int, int, int]] = [  # kind, kernel, stride, out channels
    ("conv", 3, 2, 4), ("conv", 3, 2, 12), ("conv", 3, 2, 64), ("conv", 1, 1, 16),
    ("conv", 3, 1, 64), ("conv", 1, 1, 16), ("conv", 3, 1, 64), ("conv", 1, 1, 5),
]  # fmt: skip
OTHERS: dict[str, tuple[Shape, list[tuple[str, int, int, int]]]] = {
    "conv 3x3 3->8": ((96, 96, 3), [("conv", 3, 2, 8)]),
    "conv 3x3 16->16": ((32, 32, 16), [("conv", 3, 1, 16)]),
    "conv 3x3 64->64": ((8, 8, 64), [("conv", 3, 1, 64)]),
    "conv 1x1 64->64": ((25, 5, 64), [("conv", 1, 1, 64)]),
    "depthwise 3x3 64": ((25, 5, 64), [("depthwise", 3, 1, 64)]),
    "fully connected 640->128": ((640,), [("fc", 1, 1, 128)]),
}


def requantization(channels: int, k: int) -> Requantization:
    """Multipliers that spread the accumulators of k random products over int8."""
    multiplier = np.full(channels, int(2**32 / (180 * k**0.5)) // 2 * 2, np.int32)
    return Requantization(multiplier, np.zeros(channels, np.uint8), -128, -128, 127)


def operator(kind: str, kernel: int, stride: int, channels: int, in_c: int) -> Operator:
    """A layer with random weights, padded like PyTorch's padding=kernel // 2."""
    generator = np.random.default_rng(channels)
    if kind == "fc":
        return FullyConnected(
            weights=generator.integers(-127, 128, (channels, in_c)).astype(np.int8),
            bias=np.zeros(channels, np.int32),
            x_zero_point=-128,
            requantization=requantization(channels, in_c),
        )
    group_in = 1 if kind == "depthwise" else in_c
    weights = generator.integers(-127, 128, (channels, kernel, kernel, group_in)).astype(np.int8)
    return Conv2d(
        geometry=Geometry(kernel=(kernel, kernel), stride=(stride, stride), padding=(kernel // 2,) * 4),
        groups=channels if kind == "depthwise" else 1,
        weights=weights,
        bias=generator.integers(-1000, 1000, channels).astype(np.int32),
        x_zero_point=-128,
        requantization=requantization(channels, weights[0].size),
    )


def chain(name: str, shape: Shape, layers: list[tuple[str, int, int, int]]) -> Graph:
    """The layers one after the other."""
    tensors = {"x": Tensor(name="x", shape=shape, scale=1.0, zero_point=-128)}
    nodes = []
    for index, (kind, kernel, stride, channels) in enumerate(layers):
        node = operator(kind, kernel, stride, channels, shape[-1])
        previous, shape = list(tensors)[-1], node.infer(shape)
        tensors[f"t{index}"] = Tensor(name=f"t{index}", shape=shape, scale=1.0, zero_point=-128)
        label = f"{kind} {kernel}x{kernel}/{stride} {tensors[previous].shape[-1]}->{channels}"
        nodes.append(Node(name=f"{index} {label}", inputs=(previous,), output=f"t{index}", operator=node))
    return Graph(name=name, inputs=("x",), outputs=(list(tensors)[-1],), tensors=tensors, nodes=tuple(nodes))


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A network on a target: kernel and instructions of each layer; bytes of code, packed weights and arena."""

    kernels: list[str]
    instructions: list[int]
    code_bytes: int
    weight_bytes: int
    arena_bytes: int


def measure(graph: Graph, target: str, isa: tuple[str, ...], extra_weights: float = 1.0) -> Measured:
    """Build and run a graph, once to count and once to compare each layer's output with the reference.

    ``extra_weights``: as in Offers.select; -1: weights as small as they get.
    """
    toolchain = load_toolchain(TOOLCHAINS / f"{target}.toml")
    plan = make_plan(graph, load_kernels(), target, isa, extra_weights, costs=load_costs(costs_file(target)))
    code = ModelCode(graph, plan)
    sample = np.random.default_rng(0).integers(-128, 128, (1, *graph.tensors["x"].shape)).astype(np.int8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {f"{code.prefix}.h": code.header(), "model.c": code.source(), "check.c": code.check()}
        for file, text in files.items():
            (folder / file).write_text(text)
        (folder / "inputs.bin").write_bytes(sample.tobytes())
        run(toolchain, folder, "-DNN_TRACE_ROWS")
        compare(graph, sample, (folder / "trace.bin").read_bytes())
        ticks = layer_ticks(run(toolchain, folder, "-DNN_PROFILE_LAYERS"))
        code_bytes = text_bytes(toolchain.compiler.command.replace("gcc", "size"), folder / "model.o")
    per_tick = toolchain.runner.instructions_per_tick if toolchain.runner else 0
    return Measured(
        kernels=[label(layer) for layer in plan.layers],
        instructions=[round(ticks[i] * per_tick) for i in range(len(plan.layers))],
        code_bytes=code_bytes,
        weight_bytes=sum(layer.weight_bytes for layer in plan.layers),
        arena_bytes=plan.arena_bytes,
    )


def run(toolchain: Toolchain, folder: Path, *options: str) -> str:
    """Compile model.c to model.o, link it with check.c and the board, run that; the console."""
    firmware, compiler = toolchain.firmware, toolchain.compiler
    folders = [KERNELS / "include", *(TOOLCHAINS / path for path in firmware.include)]
    flags = [*compiler.cflags, *options, "-I.", *(f"-I{path}" for path in folders)]
    subprocess.run([compiler.command, *flags, "-c", "model.c", "-o", "model.o"], cwd=folder, check=True)
    sources = ["model.o", "check.c", *(str(TOOLCHAINS / source) for source in firmware.sources)]
    link = [*toolchain.linkflags, "-T", str(TOOLCHAINS / str(firmware.linker_script))]
    subprocess.run([compiler.command, *flags, *sources, *link, "-o", "m.elf"], cwd=folder, check=True)
    assert toolchain.runner is not None
    command = [word.replace("{elf}", "m.elf") for word in toolchain.runner.command]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def compare(graph: Graph, sample: np.ndarray, trace: bytes) -> None:
    """Hold every layer's rows in a trace against the reference."""
    expected = graph.run(sample)
    outputs = dict.fromkeys(range(len(graph.nodes)), b"")
    while trace:
        layer, _, size = struct.unpack_from("<III", trace)
        outputs[layer] += trace[12 : 12 + size]
        trace = trace[12 + size :]
    for node, got in zip(graph.nodes, outputs.values(), strict=True):
        wrong = np.count_nonzero(np.frombuffer(got, np.int8) != expected[node.output].reshape(-1))
        assert wrong == 0, f"{graph.name}, {node.name}: {wrong} values differ"


def label(layer: Layer) -> str:
    """A layer's kernel and the values of its parameters."""
    return " ".join([layer.kernel or "-", *(f"{name}={value}" for name, value in layer.variant.items())])


def text_bytes(size: str, compiled: Path) -> int:
    """Bytes of code in an object file."""
    table = subprocess.run([size, "-A", str(compiled)], check=True, capture_output=True, text=True).stdout
    return sum(int(line.split()[1]) for line in table.splitlines() if line.startswith(".text"))


def rows(graph: Graph, fast: Measured, portable: Measured | None) -> list[tuple[str, int, str, int, int]]:
    """Layer, multiply-accumulates, kernel, its instructions, the portable kernel's instructions (0: not run)."""
    plain = portable.instructions if portable else [0] * len(graph.nodes)
    names = [node.name for node in graph.nodes]
    macs = [graph.macs(node) for node in graph.nodes]
    return list(zip(names, macs, fast.kernels, fast.instructions, plain, strict=True))


def compared(graph: Graph, target: str, alone: bool = False) -> list[tuple[str, int, str, int, int]]:
    """The rows of a graph on a target, measured."""
    fast = measure(graph, target, load_toolchain(TOOLCHAINS / f"{target}.toml").isa)
    return rows(graph, fast, None if alone else measure(graph, target, ("portable",)))


def print_table(title: str, table: list[tuple[str, int, str, int, int]]) -> None:
    """One line a layer and their sum."""
    total = ("total", sum(r[1] for r in table), "", sum(r[3] for r in table), sum(r[4] for r in table))
    print(f"{title:30}{'MACs':>10}  {'kernel':44}{'instr.':>10}{'/MAC':>7}{'portable':>12}{'/MAC':>7}")
    for name, macs, kernel, instructions, portable in [*table, *([total] if len(table) > 1 else [])]:
        ratios = [f"{count / macs:7.2f}" if macs else " " * 7 for count in (instructions, portable)]
        print(f"{name:30}{macs:10}  {kernel:44}{instructions:10}{ratios[0]}{portable:12}{ratios[1]}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="cortex-m7")
    parser.add_argument("--networks", default="", help="names of whole networks, or all, instead of the layers")
    parser.add_argument("--alone", action="store_true", help="do not measure the portable kernels")
    options = parser.parse_args()
    target = options.target
    if not options.networks:
        print_table("facedet", compared(chain("facedet", (96, 96, 1), FACEDET), target, options.alone))
        layers = [row for spec in OTHERS.values() for row in compared(chain("layer", *spec), target, options.alone)]
        print_table("other layers", layers)
    for name in NETWORKS if options.networks == "all" else filter(None, options.networks.split(",")):
        graph = NETWORKS[name]()
        fast = measure(graph, target, load_toolchain(TOOLCHAINS / f"{target}.toml").isa)
        portable = None if options.alone else measure(graph, target, ("portable",))
        print_table(name, rows(graph, fast, portable))
        print(f"  code {fast.code_bytes:,}, packed weights {fast.weight_bytes:,}, arena {fast.arena_bytes:,} bytes\n")


if __name__ == "__main__":
    main()
