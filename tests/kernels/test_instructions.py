"""Instructions of facedet's layers and of MLPerf Tiny's models under the emulator, held to a record and to ceilings.

instructions.json was taken with one version of the compiler: with the same one no count may differ by more than the
emulator's clock does. After a change that is meant, take the record anew with
`pytest tests/kernels/test_instructions.py --update-golden`.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kernels import FACEDET, chain, compared, measure
from benchmarks.networks import NETWORKS
from tests.needs import need_target

RECORD = Path(__file__).with_name("instructions.json")
TARGET = "cortex-m7"
CEILINGS = {"dsp": 1.2, "portable": 6.0}  # instructions per multiply-accumulate, all of facedet's layers together
TICK = 40  # instructions
MOST = {"kws": 3_300_000, "vww": 10_200_000, "ic": 12_900_000, "ad": 320_000}  # instructions of a whole model
LARGEST_CODE = 14 * 1024  # bytes

Counted = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def counted() -> Counted:
    """By network its layers with their multiply-accumulates and instructions; facedet's with those of the portable
    kernels too. Every layer's output is compared with the reference.
    """
    toolchain = need_target(TARGET)
    table = compared(chain("facedet", (96, 96, 1), FACEDET), TARGET)
    found = {"facedet": [dict(zip(("layer", "macs", "kernel", "dsp", "portable"), row, strict=True)) for row in table]}
    for name, make in NETWORKS.items():
        graph = make()
        taken = measure(graph, TARGET, toolchain.isa)
        assert taken.code_bytes <= LARGEST_CODE, name
        found[name] = [
            {"layer": node.name, "macs": graph.macs(node), "kernel": kernel, "dsp": instructions}
            for node, kernel, instructions in zip(graph.nodes, taken.kernels, taken.instructions, strict=True)
        ]
    return found


def compiler_version() -> str:
    """The version of the target's gcc."""
    command = [need_target(TARGET).compiler.command, "-dumpfullversion"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def different(recorded: Counted, counted: Counted) -> list[str]:
    """Layers that take more or fewer instructions than on record, or another kernel, in words."""
    return [
        f"{name}, {now['layer']}, {now['kernel']}, {kernels}: {now[kernels]:,} instructions, "
        f"{before[kernels]:,} on record with {before['kernel']}"
        for name, layers in counted.items()
        for before, now in zip(recorded[name], layers, strict=True)
        for kernels in CEILINGS.keys() & now.keys()
        if abs(now[kernels] - before[kernels]) > TICK or before["kernel"] != now["kernel"]
    ]


@pytest.mark.parametrize("kernels", CEILINGS)
def test_instructions_per_mac(kernels: str, counted: Counted) -> None:
    """Of all layers of facedet together."""
    instructions, macs = (sum(layer[name] for layer in counted["facedet"]) for name in (kernels, "macs"))
    assert instructions / macs <= CEILINGS[kernels]


@pytest.mark.parametrize("name", MOST)
def test_instructions_of_a_model(name: str, counted: Counted) -> None:
    """Also with other compilers."""
    assert sum(layer["dsp"] for layer in counted[name]) <= MOST[name]


def test_no_layer_differs_from_the_record(counted: Counted, request: pytest.FixtureRequest) -> None:
    """Another compiler makes other code: the ceilings alone hold there."""
    if request.config.getoption("--update-golden"):
        RECORD.write_text(json.dumps({"compiler": compiler_version(), "networks": counted}, indent=1) + "\n")
    record = json.loads(RECORD.read_text())
    if record["compiler"] == compiler_version():
        assert different(record["networks"], counted) == []


def test_a_difference_is_found(counted: Counted) -> None:
    changed = {name: [layer | {"dsp": layer["dsp"] - TICK - 1} for layer in layers] for name, layers in counted.items()}
    assert len(different(changed, counted)) == sum(map(len, counted.values()))
    changed = {name: [layer | {"dsp": layer["dsp"] - TICK} for layer in layers] for name, layers in counted.items()}
    assert different(changed, counted) == []
