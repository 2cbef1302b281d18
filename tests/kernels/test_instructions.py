"""Instructions of facedet's layers and of MLPerf Tiny's models under the emulators, held to a record and to ceilings.

instructions.json was taken with one version of the compiler: with the same one no count may differ by more than the
emulator's clock does. The emulators are deterministic, but a core's timer is coarse: a layer's count depends by one
tick on where between two ticks it begins. After a change that is meant, take the record anew with
`pytest tests/kernels/test_instructions.py --update-golden`.
"""

import functools
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.few_bits import few_bits
from benchmarks.kernels import FACEDET, chain, measure
from benchmarks.networks import NETWORKS
from nnrules.catalog.kernel import load_kernels
from nnrules.graph.ir import Graph
from tests.kernels.programs import toolchain
from tests.needs import need_target

RECORD = Path(__file__).with_name("instructions.json")
COLUMNS = {"cortex-m7": "dsp", "cortex-m55": "helium"}  # in the record: what a core's own kernels take
CEILINGS = {"dsp": 1.2, "portable": 6.0, "helium": 0.5}  # a multiply-accumulate, all of facedet's layers together
TICK = {"dsp": 40, "portable": 40, "helium": 32}  # instructions, 31.25 on Cortex-M55, rounded up
MOST = {  # instructions of a whole model
    "cortex-m7": {"kws": 3_300_000, "vww": 10_200_000, "ic": 12_900_000, "ad": 320_000},
    "cortex-m55": {"kws": 950_000, "vww": 3_400_000, "ic": 2_500_000, "ad": 50_000},
}
LARGEST_CODE = 14 * 1024  # bytes
SMALLEST = -1.0  # extra_weights
PACKINGS = "codes", "depthwise_codes", "stripes", "dsp_stripes"  # of few bits, or with stripes left out

Counted = dict[str, list[dict[str, Any]]]


@functools.cache
def counted(target: str) -> Counted:
    """By network its layers with their multiply-accumulates and instructions; on Cortex-M7 facedet's and those of few
    bits with the portable kernels too, of which these have the smallest weights. Every layer's output is compared with
    the reference.
    """
    isa, column = toolchain(target).isa, COLUMNS[target]
    graphs = {"facedet": chain("facedet", (96, 96, 1), FACEDET), **{name: make() for name, make in NETWORKS.items()}}
    found = {name: layers(graph, target, isa, column) for name, graph in graphs.items()}
    if target == "cortex-m7":
        few = few_bits()
        found["facedet, portable"] = layers(graphs["facedet"], target, ("portable",), "portable")
        found["few bits"] = layers(few, target, isa, column)
        found["few bits, portable"] = layers(few, target, ("portable",), "portable", SMALLEST)
    return found


def layers(
    graph: Graph, target: str, isa: tuple[str, ...], column: str, extra_weights: float = 1.0
) -> list[dict[str, Any]]:
    """Those of a network, measured."""
    taken = measure(graph, target, isa, extra_weights)
    assert taken.code_bytes <= LARGEST_CODE, graph.name
    return [
        {"layer": node.name, "macs": graph.macs(node), "kernel": kernel, column: instructions}
        for node, kernel, instructions in zip(graph.nodes, taken.kernels, taken.instructions, strict=True)
    ]


def compiler_version(target: str) -> str:
    """The version of the target's gcc."""
    command = [toolchain(target).compiler.command, "-dumpfullversion"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def different(recorded: Counted, counted: Counted) -> list[str]:
    """Layers that take more or fewer instructions than on record, or another kernel, in words."""
    return [
        f"{name}, {now['layer']}, {now['kernel']}, {kernels}: {now[kernels]:,} instructions, "
        f"{before[kernels]:,} on record with {before['kernel']}"
        for name, layers in counted.items()
        for before, now in zip(recorded[name], layers, strict=True)
        for kernels in CEILINGS.keys() & now.keys()
        if abs(now[kernels] - before[kernels]) > TICK[kernels] or before["kernel"] != now["kernel"]
    ]


@pytest.mark.parametrize(
    ("target", "name", "kernels"),
    [
        ("cortex-m7", "facedet", "dsp"),
        ("cortex-m7", "facedet, portable", "portable"),
        ("cortex-m55", "facedet", "helium"),
        ("cortex-m7", "few bits", "dsp"),
    ],
)
def test_instructions_per_mac(target: str, name: str, kernels: str) -> None:
    """Of all layers together, of which those of few bits count the products that are left."""
    need_target(target)
    instructions, macs = (sum(layer[column] for layer in counted(target)[name]) for column in (kernels, "macs"))
    assert instructions / macs <= CEILINGS[kernels]


@pytest.mark.parametrize("target", COLUMNS)
@pytest.mark.parametrize("name", NETWORKS)
def test_instructions_of_a_model(name: str, target: str) -> None:
    """Also with other compilers."""
    need_target(target)
    assert sum(layer[COLUMNS[target]] for layer in counted(target)[name]) <= MOST[target][name]


@pytest.mark.parametrize("target", COLUMNS)
def test_no_layer_differs_from_the_record(target: str, request: pytest.FixtureRequest) -> None:
    """Another compiler makes other code: the ceilings alone hold there."""
    need_target(target)
    record = json.loads(RECORD.read_text())
    if request.config.getoption("--update-golden"):
        record[target] = {"compiler": compiler_version(target), "networks": counted(target)}
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    if record[target]["compiler"] == compiler_version(target):
        assert different(record[target]["networks"], counted(target)) == []


@pytest.mark.parametrize("target", COLUMNS)
def test_a_difference_is_found(target: str) -> None:
    need_target(target)
    column, now = COLUMNS[target], counted(target)

    def fewer(instructions: int) -> Counted:
        return {
            name: [{key: each - instructions if key in CEILINGS else each for key, each in row.items()} for row in rows]
            for name, rows in now.items()
        }

    assert len(different(fewer(TICK[column] + 1), now)) == sum(map(len, now.values()))
    assert different(fewer(TICK[column]), now) == []


def test_all_kernels_for_few_bits_are_on_record() -> None:
    """And those for stripes, in each kind of core that has some."""
    networks = json.loads(RECORD.read_text())["cortex-m7"]["networks"]
    counted = {row["kernel"].split()[0] for name in ("few bits", "few bits, portable") for row in networks[name]}
    assert counted >= {
        kernel.name for kernel in load_kernels() if kernel.packing in ("codes", "stripes", "dsp_stripes")
    }
