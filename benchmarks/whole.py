"""Whole models with seeded weights, built without SCons: what one inference takes under an emulator.

`python -m benchmarks.whole vww cortex-m7 --extra-weights 0.1` prints it, here where the weights may be stored
with a tenth more bytes than as int8. The graphs are those of `scons bench`.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

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
from nnrules.plan.planner import make_plan
from nnrules.plan.record import Plan
from nnrules.stages.quantize import calibrated
from nnrules.stages.runner import load_reference
from nnrules.training.onnx_export import export
from nnrules.training.seeded import NOTE, draw_inputs, draw_weights
from nnrules.training.task import make_network
from nnrules.verify import console

MODELS = Path(__file__).resolve().parents[1] / "models"
NETWORKS = {"kws": "KeywordSpotter", "vww": "PersonDetector", "ic": "ResNet8", "ad": "AutoEncoder"}


class Inputs:
    """Items of an array."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self.x[index], 0


def seeded(model: str) -> tuple[Graph, np.ndarray]:
    """The integer program of a model whose weights and calibration are drawn by lot, and its first sample as int8."""
    network = make_network(load_reference(f"{MODELS}/{model}/network.py:{NETWORKS[model]}"))
    draw_weights(network, 0)
    inputs = Inputs(draw_inputs(network, 0))
    real = onnx.load_model_from_string(export(network.eval(), inputs, model))
    record = calibrated(real, inputs, QuantizeOptions(), model)
    graph = msgspec.structs.replace(lower(quantized_model(real, record), model), note=NOTE)
    tensor = graph.tensors[graph.inputs[0]]
    return graph, tensor.to_nhwc(tensor.quantize(inputs.x[:1]))[0]


def planned(graph: Graph, target: str, extra_weights: float = 1.0) -> Plan:
    """The plan by measured costs, as `scons bench` has it."""
    isa, costs = load_toolchain(TOOLCHAINS / f"{target}.toml").isa, load_costs(costs_file(target))
    return make_plan(graph, load_kernels(), target, isa, extra_weights, costs=costs)


def instructions(graph: Graph, sample: np.ndarray, target: str, plan: Plan) -> int:
    """Of one inference of the shipped program; its self test compares every output with the reference."""
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
    ticks = console.number(told, "run")
    assert ticks is not None, told
    return round(ticks * toolchain.runner.instructions_per_tick)


def main() -> None:
    """Print the instructions of one inference, the bytes of the packed weights and of the arena."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=NETWORKS)
    parser.add_argument("target")
    parser.add_argument("--extra-weights", type=float, default=1.0)
    given = parser.parse_args()
    graph, sample = seeded(given.model)
    plan = planned(graph, given.target, given.extra_weights)
    weights = sum(layer.weight_bytes for layer in plan.layers)
    count = instructions(graph, sample, given.target, plan)
    print(f"{count:,} instructions, {weights:,} bytes of weights, {plan.arena_bytes:,} of arena")


if __name__ == "__main__":
    main()
