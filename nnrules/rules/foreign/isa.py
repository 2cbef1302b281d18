"""The kernel features of somebody else's compiler flags: -mcpu, -march, --target, -m<feature>."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from nnrules.catalog.paths import KERNELS
from nnrules.catalog.toolchain import load_toolchain, target_names, toolchain_path
from nnrules.error import UserError, suggest

PORTABLE = "portable"
_DSP = "armv7em"  # Armv7E-M and, with the DSP extension, Armv8-M: the kernels' C asks the compiler for the same macros
_MVE = "mve"  # Helium: where floats may be in registers; a core with it has the DSP extension too
_CORES = {
    **dict.fromkeys(("cortex-m0", "cortex-m0plus", "cortex-m1", "cortex-m3", "cortex-m23", "sc000", "sc300"), False),
    **dict.fromkeys(("cortex-m4", "cortex-m7", "cortex-m33", "cortex-m35p", "cortex-m52"), True),
    **dict.fromkeys(("cortex-m55", "cortex-m85", "star-mc1"), True),
}
_ARCHITECTURES = {
    **dict.fromkeys(("armv6-m", "armv6s-m", "armv7-m", "armv8-m.base", "armv8-m.main", "armv8.1-m.main"), False),
    "armv7e-m": True,
}
_HELIUM = {"cortex-m52", "cortex-m55", "cortex-m85"}
_THUMB = "armv6m"  # cores with 16-bit instructions and 32-bit products only
_SMALL = {"cortex-m0", "cortex-m0plus", "cortex-m1", "cortex-m23", "sc000", "armv6-m", "armv6s-m", "armv8-m.base"}
_TRIPLES = {"v7m": False, "v7em": True, "v8m.main": False, "v8.1m.main": False}
_MULTILETTER = re.compile(r"[zsx][a-z0-9]+")

Features = tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """A flag and the features that it gives."""

    flag: str
    features: Features


@cache
def known_features() -> frozenset[str]:
    """Every feature that a target of toolchains/ has or a kernel asks for."""
    targets = {name for target in target_names() for name in load_toolchain(toolchain_path(target)).isa}
    kernels = {path.stem.rpartition("__")[2] for path in KERNELS.rglob("*__*.toml")}
    return frozenset((targets | kernels) - {PORTABLE})


def features(place: str, words: Iterable[str], wanted: Iterable[str] | None = None) -> Features:
    """The features to generate C for, sorted; () is portable C, also where no flag names a core that is known.

    `wanted`: what the user asks for instead. Raises UserError at `place` where the flags contradict one another or do
    not have what is wanted.
    """
    said = _said(list(words))
    distinct = list({each.features: each for each in reversed(said)}.values())
    if wanted is None:
        if len(distinct) > 1:
            first, second = (f"{each.flag} ({named(each.features)})" for each in distinct[:2][::-1])
            fault = f"the flags of the environment say {first} and {second}"
            raise UserError(place, fault, "keep one of them, or say which is meant with isa= or target=")
        return distinct[0].features if distinct else ()
    chosen = tuple(sorted({_checked(place, name) for name in wanted} - {PORTABLE}))
    if len(distinct) == 1 and not set(chosen) <= set(distinct[0].features):
        fault = f"{named(chosen)} is asked for, and the flags of the environment say {distinct[0].flag}"
        raise UserError(place, f"{fault} ({named(distinct[0].features)})", "correct one of them")
    return chosen


def named(chosen: Features) -> str:
    """How features are called, in messages, folders and comments."""
    return "+".join(chosen) or PORTABLE


def _checked(place: str, name: str) -> str:
    known = known_features() | {PORTABLE}
    if name not in known:
        raise UserError(place, f"there is no instruction set {name!r}", suggest(name, known))
    return name


def _said(words: list[str]) -> list[Said]:
    """What each flag that names a core or an architecture says, in order; `--target` counts where nothing else does."""
    cores = [each for word in words if (each := _core(word)) is not None]
    pairs = [f"--target={after}" for word, after in pairwise(words) if word == "-target"]
    triples = [each for word in (*words, *pairs) if (each := _triple(word)) is not None]
    extra = tuple(sorted({word[2:] for word in words if word[:2] == "-m" and word[2:] in known_features()}))
    said = (cores or triples) + ([Said(f"-m{extra[0]}", extra)] if extra else [])
    if any(re.search(r"^-mfloat-abi=(hard|softfp)$|eabihf", word.lower()) for word in words):
        return said
    return [Said(each.flag, tuple(name for name in each.features if name != _MVE)) for each in said]


def _core(word: str) -> Said | None:
    """-mcpu=cortex-m33+nodsp, -march=armv8-m.main+dsp, -march=rv32imac_zicsr; None for any other word."""
    option, _, value = word.lower().partition("=")
    name, *extensions = value.split("+")
    core = name.partition(".")[0]
    if (option == "-mcpu" and core in _SMALL) or (option == "-march" and name in _SMALL):
        return Said(word, (_THUMB,))
    if option == "-mcpu" and core in _CORES:
        return Said(word, _arm(_CORES[core], ["mve", *extensions] if core in _HELIUM else extensions))
    if option == "-march" and name in _ARCHITECTURES:
        return Said(word, _arm(_ARCHITECTURES[name], extensions))
    if option == "-march" and re.match(r"rv(32|64)[ieg]", name):
        return Said(word, tuple(sorted(each for each in known_features() if _riscv(each) <= _riscv(name))))
    return None


def _triple(word: str) -> Said | None:
    """--target=thumbv7em-none-eabihf."""
    match = re.fullmatch(r"--target=(?:thumb|arm)([a-z0-9.]+)-.*", word)
    if match and match[1] in ("v6m", "v8m.base"):
        return Said(word, (_THUMB,))
    return Said(word, _arm(_TRIPLES[match[1]], [])) if match and match[1] in _TRIPLES else None


def _arm(dsp: bool, extensions: list[str]) -> Features:
    mve = False
    for each in extensions:
        mve = (mve or each in ("mve", "mve.fp")) and each not in ("nomve", "nodsp")
        dsp = (dsp or each in ("dsp", "mve", "mve.fp")) and each != "nodsp"
    return tuple(name for name, has in ((_DSP, dsp), (_MVE, mve)) if has)


def _riscv(name: str) -> frozenset[str]:
    """The width and the extensions of rv32imac_zicsr; of anything else a set that no -march has."""
    match = re.fullmatch(r"(rv32|rv64)([a-z0-9]+?)((?:_[a-z0-9]+)*)", name)
    if not match:
        return frozenset({"not RISC-V", name})
    letters, _, glued = re.sub(r"\d+(p\d+)?", "", match[2]).partition("z")
    several = _MULTILETTER.findall(match[3]) + ([f"z{glued}"] if glued else [])
    return frozenset({match[1], *letters.replace("g", "imafd"), *several})
