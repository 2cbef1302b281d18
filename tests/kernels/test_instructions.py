"""Instructions per multiply-accumulate of facedet's layers under the emulator, held to a ceiling and to a record.

instructions.json was taken with one version of the compiler: with the same one no layer may need 2 % more. After a
change that is meant, take the record anew with `pytest tests/kernels/test_instructions.py --update-golden`.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kernels import FACEDET, chain, compared
from tests.needs import need_target

RECORD = Path(__file__).with_name("instructions.json")
TARGET = "cortex-m7"
CEILINGS = {"dsp": 2.2, "portable": 6.0}
GROWTH = 1.02


@pytest.fixture(scope="module")
def counted() -> list[dict[str, Any]]:
    """The layers with their multiply-accumulates, and instructions with the core's kernels and the portable ones."""
    need_target(TARGET)
    table = compared(chain("facedet", (96, 96, 1), FACEDET), TARGET)
    return [dict(zip(("layer", "macs", "kernel", "dsp", "portable"), row, strict=True)) for row in table]


def compiler_version() -> str:
    """The version of the target's gcc."""
    command = [need_target(TARGET).compiler.command, "-dumpfullversion"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def grown(recorded: list[dict[str, Any]], counted: list[dict[str, Any]]) -> list[str]:
    """Layers that need more instructions than on record, in words."""
    return [
        f"{now['layer']}, {kernels}: {now[kernels]:,} instructions, {before[kernels]:,} on record"
        for before, now in zip(recorded, counted, strict=True)
        for kernels in CEILINGS
        if now[kernels] > GROWTH * before[kernels]
    ]


@pytest.mark.parametrize("kernels", CEILINGS)
def test_instructions_per_mac(kernels: str, counted: list[dict[str, Any]]) -> None:
    """Of all layers together."""
    instructions, macs = (sum(layer[name] for layer in counted) for name in (kernels, "macs"))
    assert instructions / macs <= CEILINGS[kernels]


def test_no_layer_grows(counted: list[dict[str, Any]], request: pytest.FixtureRequest) -> None:
    """Another compiler makes other code: the ceilings alone hold there."""
    if request.config.getoption("--update-golden"):
        RECORD.write_text(json.dumps({"compiler": compiler_version(), "layers": counted}, indent=1) + "\n")
    record = json.loads(RECORD.read_text())
    assert [layer["layer"] for layer in record["layers"]] == [layer["layer"] for layer in counted]
    if record["compiler"] == compiler_version():
        assert grown(record["layers"], counted) == []


def test_growth_is_found(counted: list[dict[str, Any]]) -> None:
    smaller = [layer | {"dsp": round(layer["dsp"] / 1.021)} for layer in counted]
    assert len(grown(smaller, counted)) == len(FACEDET)
    assert grown([layer | {"dsp": round(layer["dsp"] / 1.019)} for layer in counted], counted) == []
