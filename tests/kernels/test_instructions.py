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

from benchmarks.kernels import FACEDET, chain, compared, measure
from benchmarks.networks import NETWORKS
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

Counted = dict[str, list[dict[str, Any]]]


@functools.cache
def counted(target: str) -> Counted:
    """By network its layers with their multiply-accumulates and instructions; facedet's on Cortex-M7 with those of the
    portable kernels too. Every layer's output is compared with the reference.
    """
    isa, column = toolchain(target).isa, COLUMNS[target]
    facedet = chain("facedet", (96, 96, 1), FACEDET)
    found = {}
    for name, graph in {"facedet": facedet, **{name: make() for name, make in NETWORKS.items()}}.items():
        if name == "facedet" and target == "cortex-m7":
            keys = ("layer", "macs", "kernel", column, "portable")
            found[name] = [dict(zip(keys, row, strict=True)) for row in compared(graph, target)]
            continue
        taken = measure(graph, target, isa)
        assert taken.code_bytes <= LARGEST_CODE, name
        found[name] = [
            {"layer": node.name, "macs": graph.macs(node), "kernel": kernel, column: instructions}
            for node, kernel, instructions in zip(graph.nodes, taken.kernels, taken.instructions, strict=True)
        ]
    return found


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
    ("target", "kernels"), [("cortex-m7", "dsp"), ("cortex-m7", "portable"), ("cortex-m55", "helium")]
)
def test_instructions_per_mac(target: str, kernels: str) -> None:
    """Of all layers of facedet together."""
    need_target(target)
    instructions, macs = (sum(layer[name] for layer in counted(target)["facedet"]) for name in (kernels, "macs"))
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
            name: [layer | {column: layer[column] - instructions} for layer in layers] for name, layers in now.items()
        }

    assert len(different(fewer(TICK[column] + 1), now)) == sum(map(len, now.values()))
    assert different(fewer(TICK[column]), now) == []
