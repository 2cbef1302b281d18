"""An RT-Thread board package: building.Env, DefineGroup, variant directories, a program that always relinks."""

import pytest

from tests.foreign.project import Foreign
from tests.needs import need_target


@pytest.fixture
def bsp(foreign: Foreign) -> Foreign:
    """The tree with the board package and one model."""
    need_target("cortex-m4")
    foreign.take("rt_thread")
    foreign.take("bare_metal", "bsp/board")
    (foreign.top / "bsp/board/link.ld").rename(foreign.top / "bsp/board/link.lds")
    foreign.model("tiny", "bsp/models")
    return foreign


def test_a_group_with_a_model_inside(bsp: Foreign) -> None:
    printed = bsp.built("-j2", folder="bsp").splitlines()
    compiled = [line for line in printed if line.startswith("CC ") and "/tiny.o" in line]
    assert compiled == ["CC build/nnrules/tiny/armv7em/library/tiny.o"]
    assert "LINK rtthread.elf" in printed
    assert bsp.emulated("mps2-an386", "bsp/rtthread.elf") == bsp.says("tiny", build="bsp/build/nnrules")
    assert bsp.built(folder="bsp") == "LINK rtthread.elf\n"
