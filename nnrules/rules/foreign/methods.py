"""Models in somebody else's SConstruct: what env.NNModel and env.NNCache do there."""

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

from SCons.Node import Node
from SCons.Node.FS import get_default_fs

from nnrules.catalog.toolchain import load_toolchain, toolchain_path
from nnrules.error import UserError, suggest
from nnrules.rules.failure import caller, explained
from nnrules.rules.foreign.isa import features
from nnrules.rules.foreign.library import Library
from nnrules.rules.foreign.nodes import NNModel
from nnrules.rules.foreign.workshop import BUILD_OPTIONS, workshop
from nnrules.rules.imported import SUFFIXES

MODEL_OPTIONS = ("target", "isa", "selftest")


@explained
def add_methods(env: Any, options: Mapping[str, Any]) -> None:
    """Give an Environment NNModel, with defaults, and NNCache."""
    place = caller()
    _require_known(place, "nnrules", options, (*MODEL_OPTIONS, *BUILD_OPTIONS))
    for name, value in options.items():
        if name in BUILD_OPTIONS:
            workshop().wish(place, name, value)
    defaults = {name: value for name, value in options.items() if name in MODEL_OPTIONS}

    def model(env: Any, where: Any, **chosen: Any) -> NNModel:
        """See nn_model."""
        explained(_require_known)(caller(), "NNModel", chosen, MODEL_OPTIONS)
        return nn_model(env, where, **{**defaults, **chosen})

    env.AddMethod(model, "NNModel")
    env.AddMethod(nn_cache, "NNCache")


@explained
def nn_model(
    env: Any, where: Any, target: str | None = None, isa: Iterable[str] | None = None, selftest: bool = False
) -> NNModel:
    """env.NNModel: a model's C, compiled by `env` as it is, after the proof that it computes what the model does.

    where: the model's folder or SConscript, or its name in models/. target: of toolchains/, whose instruction set and
    emulator are used; isa: instruction sets (a list, or names with commas), instead of those that the flags of `env`
    name. selftest: with the C that lets a board prove itself.
    """
    place, here = caller(), get_default_fs().getcwd()
    made = library(env, place, where, target, isa)
    sources = [made.nodes[name] for name in (("source", "selftest") if selftest else ("source",))]
    folder = Path(here.get_path(here.fs.Top)) if here.srcnode() is not here else made.folder
    return NNModel(
        declare=lambda: [_object(env, place, source, folder) for source in sources],
        sources=sources,
        headers=[made.nodes["header"], made.nodes["port"]],
        include=made.include,
        isa=made.isa,
        figures=made.nodes["figures"],
    )


@explained
def nn_cache(env: Any, place: str, **options: Any) -> None:
    """env.NNCache(place, size=..., read_only=..., push=...): the cache of the build."""
    with chdir(workshop().top):
        workshop().use_cache(caller(), place, options)


@explained
def _object(env: Any, place: str, source: Any, folder: Path) -> Any:
    if "Object" not in env["BUILDERS"]:
        raise UserError(place, "the environment cannot compile C", 'give it tools, like tools=["default"]')
    return workshop().objects.of(env, source, folder)


def _require_known(place: str, owner: str, given: Mapping[str, Any], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            raise UserError(place, f"{owner} has no option {name!r}", suggest(name, known))


def library(env: Any, place: str, where: Any, target: str | None, isa: Iterable[str] | None) -> Library:
    """A model's C for a target, or for the features that are asked for or that the flags of `env` name.

    Raises UserError where there is no such model, or the flags contradict what is asked for or one another.
    """
    if target is not None and isa is not None:
        raise UserError(place, f"target={target} and isa={isa} are both given", "say one of them")
    shop, flags = workshop(), env.subst("$CC $CFLAGS $CCFLAGS $CPPFLAGS").split()
    script = _script(place, env.subst(where))
    with chdir(shop.top):
        if target is not None:
            wanted = load_toolchain(_toolchain(place, target)).isa
            features(place, flags, wanted)
            return shop.for_target(shop.firmware(script), target)
        chosen = features(place, flags, isa.split(",") if isinstance(isa, str) else isa)
        return shop.for_features(shop.firmware(script), chosen)


def _toolchain(place: str, target: str) -> Path:
    """The file of a target. Raises UserError for an unknown one, at the line that names it."""
    try:
        return toolchain_path(target)
    except UserError as fault:
        raise UserError(place, f"there is no target {target!r}", fault.cure) from None


def _script(place: str, where: Any) -> Path:
    """The SConscript that `where` means, seen from the SConscript that is being read. Raises UserError for none."""
    shop, here = workshop(), Path(get_default_fs().getcwd().srcnode().get_abspath())
    text = where.srcnode().get_abspath() if isinstance(where, Node) else str(where)
    path = shop.top / text[1:].lstrip("/") if text.startswith("#") else here / text
    if path.suffix.lower() in SUFFIXES:
        cure = "name a folder whose SConscript says env.ImportModel"
        raise UserError(place, f"{text} is the file of a model, not a SConscript", cure)
    for found in (path / "SConscript", path, shop.top / "models" / text / "SConscript"):
        if found.is_file():
            return Path(os.path.normpath(found))
    known = [each.parent.relative_to(shop.top) for each in shop.top.glob("models/*/SConscript")]
    names = [each.name if "/" not in text else str(each) for each in known]
    cure = suggest(text.lstrip("#"), names) if names else "name a folder that holds a SConscript"
    raise UserError(place, f"there is no model {text}", cure)
