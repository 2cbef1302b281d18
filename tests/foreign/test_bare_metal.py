"""A bare-metal Cortex-M7 repository like panda's: three firmwares with different flags from one training."""

from collections import Counter

import pytest

from tests.foreign.project import Foreign
from tests.needs import need_target

FIRMWARES = {"panda": ("tiny", "dense"), "jungle": ("tiny",), "body": ("tiny",)}


@pytest.fixture
def panda(foreign: Foreign) -> Foreign:
    """The repository with its two models."""
    need_target("cortex-m7")
    foreign.take("panda")
    foreign.take("bare_metal", "board")
    foreign.model("tiny")
    foreign.model("dense")
    return foreign


def test_three_firmwares_from_one_training(panda: Foreign) -> None:
    printed = panda.built("cache=none").splitlines()
    ran = Counter(panda.stages())
    assert set(ran.values()) == {1}
    assert {"tiny train", "tiny generate", "tiny verify", "tiny release", "dense release"} <= ran.keys()
    proof = next(at for at, line in enumerate(printed) if line.startswith("[tiny armv7em] verify:"))
    compiled = [at for at, line in enumerate(printed) if line.startswith("arm-none-eabi-gcc") and "tiny.c" in line]
    assert len(compiled) == len(FIRMWARES)
    assert min(compiled) > proof
    for flag in ("-O2", "-Os", "-O3"):
        assert sum(f" {flag} " in printed[at] for at in compiled) == 1
    for name, models in FIRMWARES.items():
        assert panda.emulated("mps2-an500", f"obj/{name}.elf") == panda.says(*models)
    assert panda.built() == "scons: `.' is up to date.\n"


def test_a_changed_option_reaches_every_firmware(panda: Foreign) -> None:
    panda.built()
    printed = panda.built("dense.quantize.method=percentile")
    assert "tiny.c" not in printed
    assert panda.emulated("mps2-an500", "obj/panda.elf") == panda.says("tiny", "dense")
    assert "-o obj/panda.elf" in printed
    assert "-o obj/body.elf" not in printed
