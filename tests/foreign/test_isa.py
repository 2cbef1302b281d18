"""Which kernels a foreign environment's flags allow: held to what the compilers themselves say of those flags."""

import re
import subprocess

import pytest

from nnrules.error import UserError
from nnrules.rules.foreign.isa import _ARCHITECTURES, _CORES, features, known_features, named
from tests.needs import need_command

ARM = "arm-none-eabi-gcc"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("gcc -O2", "portable"),
        ("arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb", "armv7em"),
        ("-mcpu=cortex-m7+nofp.dp -mfpu=fpv5-sp-d16", "armv7em"),
        ("-mcpu=cortex-m3", "portable"),
        ("-mcpu=cortex-m0plus.small-multiply", "armv6m"),
        ("-march=armv6-m -mthumb", "armv6m"),
        ("-mcpu=Cortex-M33", "armv7em"),
        ("-mcpu=cortex-m33+nodsp", "portable"),
        ("-mcpu=cortex-m33 -mcpu=cortex-m7", "armv7em"),
        ("-mcpu=cortex-m55", "armv7em"),
        ("-mcpu=cortex-m55 -mfloat-abi=hard", "armv7em+mve"),
        ("-mcpu=cortex-m85+nofp -mfloat-abi=softfp", "armv7em+mve"),
        ("-mcpu=cortex-m55+nomve -mfloat-abi=hard", "armv7em"),
        ("-mcpu=cortex-m55+nodsp", "portable"),
        ("-march=armv7e-m+fp -mthumb", "armv7em"),
        ("-march=armv7-m", "portable"),
        ("-march=armv8-m.main+dsp", "armv7em"),
        ("clang --target=thumbv8.1m.main-none-eabihf -march=armv8.1-m.main+mve.fp", "armv7em+mve"),
        ("-march=armv8.1-m.main+dsp", "armv7em"),
        ("-march=armv8-m.main", "portable"),
        ("-mcpu=cortex-a53", "portable"),
        ("clang --target=thumbv7em-none-eabihf", "armv7em"),
        ("clang -target armv7em-none-eabi", "armv7em"),
        ("clang --target=thumbv8m.main-none-eabi -mcpu=cortex-m33", "armv7em"),
        ("clang --target=thumbv6m-none-eabi", "armv6m"),
        ("clang --target=x86_64-linux-gnu", "portable"),
        ("-march=rv32imac", "rv32imc"),
        ("-march=rv32imc_zicsr_zifencei", "rv32imc"),
        ("-march=rv32gc", "rv32imc"),
        ("-march=rv32i2p1m2p0a2p1c2p0_zba", "rv32imc"),
        ("-march=rv32imczicsr", "rv32imc"),
        ("-march=rv32im", "portable"),
        ("-march=rv64imac", "portable"),
        ("-march=haswell -mavx2", "portable"),
    ],
)
def test_flags(flags: str, expected: str) -> None:
    assert named(features("here", flags.split())) == expected


def test_features_are_those_of_the_toolchains() -> None:
    assert {"armv6m", "armv7em", "mve", "rv32imc"} <= known_features()
    assert "portable" not in known_features()


@pytest.mark.parametrize(
    "option", [*(f"-mcpu={name}" for name in _CORES), *(f"-march={name}" for name in _ARCHITECTURES)]
)
@pytest.mark.parametrize("floats", ["-mfloat-abi=soft", "-mfloat-abi=softfp"])
def test_the_tables_say_what_gcc_says(floats: str, option: str) -> None:
    need_command(ARM, "gcc-arm-none-eabi")
    command = [ARM, option, "-mthumb", floats, "-dM", "-E", "-"]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False)
    if re.search(r"unrecognized -m(cpu|arch)", done.stderr):
        return  # a core newer than this gcc
    defined = set(re.findall(r"#define (\w+)", done.stdout))
    said = features("here", [option, floats])
    assert ({"__ARM_FEATURE_DSP", "__ARM_FEATURE_SIMD32"} <= defined) == ("armv7em" in said)
    assert ("__ARM_FEATURE_MVE" in defined) == ("mve" in said)
    assert ("__thumb2__" not in defined) == ("armv6m" in said)


@pytest.mark.parametrize(
    ("flags", "wanted", "expected"),
    [
        ("-mcpu=cortex-m4", [], ()),
        ("-mcpu=cortex-m4", ["portable"], ()),
        ("-mcpu=cortex-m4", ["armv7em", "portable"], ("armv7em",)),
        ("", ["armv7em"], ("armv7em",)),
        ("-mcpu=cortex-m4 -mcpu=cortex-m3", ["armv7em"], ("armv7em",)),
    ],
)
def test_what_is_asked_for_counts(flags: str, wanted: list[str], expected: tuple[str, ...]) -> None:
    assert features("here", flags.split(), wanted) == expected


@pytest.mark.parametrize(
    ("flags", "wanted", "line"),
    [
        (
            "-mcpu=cortex-m4 -mcpu=cortex-m3",
            None,
            "SConstruct:7: the flags of the environment say -mcpu=cortex-m4 (armv7em) and -mcpu=cortex-m3 (portable); "
            "keep one of them, or say which is meant with isa= or target=",
        ),
        (
            "-mcpu=cortex-m33 -march=armv8-m.main",
            None,
            "SConstruct:7: the flags of the environment say -mcpu=cortex-m33 (armv7em) and -march=armv8-m.main "
            "(portable); keep one of them, or say which is meant with isa= or target=",
        ),
        (
            "-mfloat-abi=hard -mcpu=cortex-m55 -mcpu=cortex-m7",
            None,
            "SConstruct:7: the flags of the environment say -mcpu=cortex-m55 (armv7em+mve) and -mcpu=cortex-m7 "
            "(armv7em); keep one of them, or say which is meant with isa= or target=",
        ),
        (
            "-mcpu=cortex-m3",
            ["armv7em"],
            "SConstruct:7: armv7em is asked for, and the flags of the environment say -mcpu=cortex-m3 (portable); "
            "correct one of them",
        ),
        ("", ["armv7m"], "SConstruct:7: there is no instruction set 'armv7m'; did you mean 'armv7em'?"),
    ],
)
def test_contradictions(flags: str, wanted: list[str] | None, line: str) -> None:
    with pytest.raises(UserError) as caught:
        features("SConstruct:7", flags.split(), wanted)
    assert str(caught.value) == line
