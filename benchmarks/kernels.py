"""Instructions per multiply-accumulate on an emulated Cortex-M: `python benchmarks/kernels.py [--target cortex-m7]`.

The layers are facedet's and some of MLPerf Tiny's, with random weights; each runs with the kernels for the core and
with the portable ones under QEMU, and its output is checked. Instructions are not cycles.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from nnrules.catalog.kernel import load_kernels
from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.catalog.toolchain import load_toolchain
from nnrules.codegen.model import ModelCode
from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.graph.operator import Geometry, Operator, Shape
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.ops.fully_connected import FullyConnected
from nnrules.graph.requant import Requantization
from nnrules.plan.planner import make_plan
from nnrules.verify.console import layer_ticks

FACEDET: list[tuple[str, int, int, int]] = [  # kind, kernel, stride, out channels
    ("conv", 3, 2, 8), ("depthwise", 3, 2, 8), ("conv", 1, 1, 16), ("conv", 3, 2, 40),
    ("conv", 3, 1, 40), ("conv", 3, 1, 40), ("conv", 1, 1, 96), ("conv", 1, 1, 5),
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


def measure(graph: Graph, target: str, isa: tuple[str, ...]) -> list[tuple[str, int]]:
    """Kernel and instructions of each layer; the outputs are checked against the reference."""
    toolchain = load_toolchain(TOOLCHAINS / f"{target}.toml")
    assert toolchain.runner is not None
    plan = make_plan(graph, load_kernels(), target, isa)
    code = ModelCode(graph, plan)
    sample = np.random.default_rng(0).integers(-128, 128, (1, *graph.tensors["x"].shape)).astype(np.int8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {f"{code.prefix}.h": code.header(), "model.c": code.source(), "check.c": code.check()}
        for file, text in files.items():
            (folder / file).write_text(text)
        (folder / "inputs.bin").write_bytes(sample.tobytes())
        sources = ["model.c", "check.c", *(str(TOOLCHAINS / source) for source in toolchain.firmware.sources)]
        folders = [KERNELS / "include", *(TOOLCHAINS / path for path in toolchain.firmware.include)]
        flags = [*toolchain.compiler.cflags, "-DNN_PROFILE_LAYERS", "-I.", *(f"-I{path}" for path in folders)]
        link = [*toolchain.linkflags, "-T", str(TOOLCHAINS / str(toolchain.firmware.linker_script))]
        build = [toolchain.compiler.command, *flags, *sources, *link, "-o", "m.elf"]
        subprocess.run(build, cwd=folder, check=True)
        command = [word.replace("{elf}", "m.elf") for word in toolchain.runner.command]
        console = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
        got = np.frombuffer((folder / "outputs.bin").read_bytes(), np.int8)
    expected = graph.run(sample)[graph.outputs[0]].reshape(-1)
    assert np.array_equal(got, expected), f"{graph.name}: {np.count_nonzero(got != expected)} values differ"
    per_tick = toolchain.runner.instructions_per_tick
    ticks = layer_ticks(console)
    return [(str(layer.kernel), round(ticks[index] * per_tick)) for index, layer in enumerate(plan.layers)]


def rows(graph: Graph, target: str) -> list[tuple[str, int, str, int, int]]:
    """Layer, multiply-accumulates, kernel, its instructions, the portable kernel's instructions."""
    toolchain = load_toolchain(TOOLCHAINS / f"{target}.toml")
    fast, portable = measure(graph, target, toolchain.isa), measure(graph, target, ("portable",))
    return [
        (node.name, graph.macs(node), kernel, instructions, plain)
        for node, (kernel, instructions), (_, plain) in zip(graph.nodes, fast, portable, strict=True)
    ]


def print_table(title: str, table: list[tuple[str, int, str, int, int]]) -> None:
    """One line a layer and their sum."""
    total = ("total", sum(r[1] for r in table), "", sum(r[3] for r in table), sum(r[4] for r in table))
    print(f"{title:30}{'MACs':>10}  {'kernel':32}{'instr.':>10}{'/MAC':>7}{'portable':>12}{'/MAC':>7}")
    for name, macs, kernel, instructions, portable in [*table, *([total] if len(table) > 1 else [])]:
        ratios = instructions / macs, portable / macs
        print(f"{name:30}{macs:10}  {kernel:32}{instructions:10}{ratios[0]:7.2f}{portable:12}{ratios[1]:7.2f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="cortex-m7")
    target = parser.parse_args().target
    print_table("facedet", rows(chain("facedet", (96, 96, 1), FACEDET), target))
    print_table("other layers", [row for name, spec in OTHERS.items() for row in rows(chain("layer", *spec), target)])


if __name__ == "__main__":
    main()
