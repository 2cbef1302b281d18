"""Whole models with seeded weights, built without SCons: what one inference takes under an emulator.

`python -m benchmarks.whole vww cortex-m7 --extra-weights 0.1` prints it, here where the weights may be stored
with a tenth more bytes than as int8; `--stream off` and `--ram` are the planner's options of these names. The graphs
are those of `scons bench`.
"""

import argparse
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx

from nnrules.catalog.kernel import load_kernels
from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.catalog.stages import QuantizeOptions
from nnrules.catalog.toolchain import load_toolchain
from nnrules.codegen.model import ModelCode
from nnrules.compress.qdq import quantized_model
from nnrules.graph.ir import Graph
from nnrules.graph.lowering import lower
from nnrules.plan.costs import costs_file, load_costs
from nnrules.plan.planner import Ram, make_plan
from nnrules.plan.record import Plan
from nnrules.stages.quantize import calibrated
from nnrules.stages.runner import load_reference
from nnrules.training.onnx_export import export
from nnrules.training.seeded import NOTE, draw_inputs, draw_weights
from nnrules.training.task import make_network
from nnrules.verify import console, memory

MODELS = Path(__file__).resolve().parents[1] / "models"
STREAMED = Ram(stream=True)
NETWORKS = {"kws": "KeywordSpotter", "vww": "PersonDetector", "ic": "ResNet8", "ad": "AutoEncoder"}


class Inputs:
    """Items of an array."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self.x[index], 0


@dataclass(frozen=True)
class Shipped:
    """A program that was run: `instructions` of one inference, and bytes: `arena` and `data` (all other variables) of
    the linked program, `stack` as it was painted."""

    instructions: int
    arena: int
    stack: int
    data: int


def seeded(model: str) -> tuple[Graph, np.ndarray]:
    """The integer program of a model whose weights and calibration are drawn by lot, and its first sample as int8."""
    return lowered(make_network(load_reference(f"{MODELS}/{model}/network.py:{NETWORKS[model]}")), model)


def lowered(network: Any, model: str) -> tuple[Graph, np.ndarray]:
    """The same of a network."""
    draw_weights(network, 0)
    inputs = Inputs(draw_inputs(network, 0))
    real = onnx.load_model_from_string(export(network.eval(), inputs, model))
    record = calibrated(real, inputs, QuantizeOptions(), model)
    graph = msgspec.structs.replace(lower(quantized_model(real, record), model), note=NOTE)
    tensor = graph.tensors[graph.inputs[0]]
    return graph, tensor.to_nhwc(tensor.quantize(inputs.x[:1]))[0]


def planned(graph: Graph, target: str, extra_weights: float = 1.0, ram: Ram = STREAMED) -> Plan:
    """The plan by measured costs, as `scons bench` has it."""
    isa, costs = load_toolchain(TOOLCHAINS / f"{target}.toml").isa, load_costs(costs_file(target))
    return make_plan(graph, load_kernels(), target, isa, extra_weights, costs=costs, ram=ram)


def instructions(graph: Graph, sample: np.ndarray, target: str, plan: Plan) -> int:
    """Of one inference of the shipped program."""
    return shipped(graph, sample, target, plan).instructions


def shipped(graph: Graph, sample: np.ndarray, target: str, plan: Plan) -> Shipped:
    """Build the shipped program and run it; its self test compares every output with the reference."""
    toolchain = load_toolchain(TOOLCHAINS / f"{target}.toml")
    assert toolchain.runner is not None
    code = ModelCode(graph, plan)
    name = code.prefix
    defines = [f"-DNN_MODEL={name}", f"-DNN_MODEL_MACRO={name.upper()}", f'-DNN_MODEL_HEADER="{name}.h"']
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        files = {f"{name}.h": code.header(), f"{name}.c": code.source(), "selftest.c": code.selftest(sample)}
        for file, content in files.items():
            (folder / file).write_text(content)
        sources = [f"{name}.c", "selftest.c", str(KERNELS / "program/main.c")]
        sources += [str(TOOLCHAINS / source) for source in toolchain.firmware.sources]
        folders = [".", str(KERNELS / "include"), *(str(TOOLCHAINS / path) for path in toolchain.firmware.include)]
        flags = [*toolchain.compiler.cflags, *defines, *(f"-I{path}" for path in folders)]
        script = ["-L", str(TOOLCHAINS), "-T", str(TOOLCHAINS / str(toolchain.firmware.linker_script))]
        build = [toolchain.compiler.command, *flags, *sources, *toolchain.linkflags, *script, "-o", "m.elf"]
        subprocess.run(build, cwd=folder, check=True)
        command = [word.replace("{elf}", "m.elf") for word in toolchain.runner.command]
        told = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
        sizes = memory.read(folder / "m.elf", [], plan.arena_bytes)
    ticks, stack = console.number(told, "run"), console.number(told, "stack")
    assert ticks is not None, told
    count = round(ticks * toolchain.runner.instructions_per_tick)
    return Shipped(count, sizes.arena, stack or 0, sizes.data + sizes.bss)


def main() -> None:
    """Print the instructions of one inference, the bytes of the packed weights and of RAM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=NETWORKS)
    parser.add_argument("target")
    parser.add_argument("--extra-weights", type=float, default=1.0)
    parser.add_argument("--stream", choices=("auto", "off"), default="auto")
    parser.add_argument("--ram", help="bytes that the arena may take, or `least`")
    given = parser.parse_args()
    graph, sample = seeded(given.model)
    streams, least = given.stream == "auto", given.ram == "least"
    ram = Ram(streams, None if least or given.ram is None else int(given.ram), least)
    plan = planned(graph, given.target, given.extra_weights, ram)
    weights = sum(layer.weight_bytes for layer in plan.layers)
    ran = shipped(graph, sample, given.target, plan)
    sizes = f"{ran.arena:,} bytes of arena, {ran.stack:,} of stack, {ran.data:,} of other variables"
    print(f"{ran.instructions:,} instructions, {weights:,} bytes of weights, {sizes}")


if __name__ == "__main__":
    main()
