"""What decides a stage's outputs besides the content of its input files: options, versions, Python sources."""

import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from nnrules.catalog.sources import Sources, reference_file
from nnrules.catalog.stages import STAGES, Options

BUILD_PROCESS = "NNRULES_BUILD_PROCESS"  # environment variable: the id of the process without which a stage ends
REPORTS = "NNRULES_REPORTS"  # environment variable: training tells how far it is on stdout, as \x1e and JSON

_OTHER_NAMES = {"PIL": "pillow", "skimage": "scikit_image", "sklearn": "scikit_learn"}  # the most usual ones
_PACKAGE = Path(__file__).resolve().parents[1]


def stage_identity(
    verb: str,
    options: Options,
    references: Mapping[str, str],
    sources: Sources,
    alternatives: Iterable[Options] = (),
) -> dict[str, Any]:
    """Plain data, equal where a stage does the same; `references`: "path.py:Class" by input name; `alternatives`: other
    options that it may turn out to have.

    No path of this machine and nothing of Python's own bytecode enters it.
    """
    known = STAGES[verb]
    values = msgspec.json.decode(msgspec.json.encode(options))
    roots = list(
        dict.fromkeys(file for each in (options, *alternatives) for file in python_files(verb, each, references))
    )
    used = {*map(_normal, known.libraries), *_distributions(sources.outside(roots))}
    return {
        "stage": verb,
        "version": known.version,
        "options": {name: value for name, value in values.items() if name not in options.without_effect},
        "libraries": {name: installed_versions().get(name) for name in sorted(used)},
        "sources": sources.fingerprint(roots),
        "references": {name: reference_file(text)[1] for name, text in references.items()},
    }


def python_files(verb: str, options: Options, references: Mapping[str, str]) -> list[Path]:
    """The roots of the Python that a stage runs: its module, its plug-ins, the files of its references."""
    fields = msgspec.structs.asdict(options)
    globs = (pattern.format_map(fields) for pattern in STAGES[verb].plugins)
    return [*_shipped(f"stages/{verb}.py", *globs), *(reference_file(text)[0] for text in references.values())]


@cache
def _shipped(*globs: str) -> list[Path]:
    """The files of the package that match."""
    return [path for pattern in globs for path in sorted(_PACKAGE.glob(pattern))]


def _distributions(modules: Iterable[str]) -> list[str]:
    """What is installed under other people's names for these modules, as installed_versions calls it."""
    versions, found = installed_versions(), set[str]()
    for module in modules:
        name = _OTHER_NAMES.get(module, module.lower())
        found |= {name} if name in versions else _all_modules().get(module, set())
    return sorted(found)


@cache
def _all_modules() -> dict[str, set[str]]:
    """Distributions by the modules that they install; asked for where a module's name does not tell."""
    from importlib.metadata import packages_distributions

    return {module: set(map(_normal, names)) for module, names in packages_distributions().items()}


def _normal(name: str) -> str:
    """One spelling of a distribution's name, which people and metadata folders write in several."""
    return re.sub(r"[-_.]+", "_", name).lower()


@cache
def installed_versions() -> dict[str, str]:
    """Version by distribution name (see _normal), read off the names of the installed metadata folders."""
    folders = [Path(entry) for entry in reversed(sys.path) if entry and Path(entry).is_dir()]
    names = [path.name.removesuffix(".dist-info") for folder in folders for path in folder.glob("*.dist-info")]
    return {_normal(name): version for name, _, version in (name.partition("-") for name in names)}
