"""The command line: `target=`, `model=`, `data=`, `build_dir=`, `cache=`, and `model.stage.option=value`."""

import math
import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from nnrules.catalog.checked import parse_size
from nnrules.catalog.names import EVERY
from nnrules.catalog.stages import STAGES, Options
from nnrules.error import UserError, suggest

VARIABLES = {
    "target": "NAME[,NAME...] or all: what to build for (default x86-64)",
    "model": "NAME[,NAME...] or all: what to build (default all that are cheap)",
    "onnx": "PATH: instead of model=: a model file (.onnx, .tflite or .pt2), named after its stem",
    "samples": "PATH.npz: with onnx=: inputs and, as y, labels; for calibration, verification and top-1",
    "data": "PATH: a folder with the models' real data set",
    "build_dir": "PATH: where everything is built (default build)",
    "cache": "PATH, URL or none: where results are shared (default NNRULES_CACHE, else .nnrules/cache)",
}

_SIZES = {("gate", "ram"), ("gate", "flash"), ("quantize", "size")}
_SIZES |= {("plan", name) for name in ("budget", "reserve", "ram", "ram_budget", "ram_reserve")}

Overrides = dict[tuple[str, str], dict[str, str]]


class Arguments(msgspec.Struct, kw_only=True):
    """`named`: whether models were asked for by name; `overrides`: (model, stage) -> option -> value as written.

    A stage takes its own overrides out; what stays was misspelt.
    """

    targets: list[str]
    models: list[str]
    named: bool = True
    data: str | None
    build: Path
    onnx: str | None = None
    samples: str | None = None
    cache: str | None = None
    overrides: Overrides = msgspec.field(default_factory=dict)


def parse(words: Mapping[str, str], targets: list[str], models: list[str], foreign: Collection[str] = ()) -> Arguments:
    """Check the command line against the known targets and models; `foreign`: variables that mean nothing to us.

    Raises UserError for anything unknown.
    """
    words = {name: value for name, value in words.items() if name not in foreign}
    plain = {name: value for name, value in words.items() if "." not in name}
    for name, value in plain.items():
        if name not in VARIABLES:
            cure = _option_cure(name, value, models, [*VARIABLES, *foreign])
            raise UserError(f"{name}={value}", "there is no such variable", cure)
    data, build = plain.get("data"), plain.get("build_dir", "build")
    if data is not None:
        _require_data(data)
    if not build or Path.cwd().is_relative_to(Path(build).resolve()):
        raise UserError(f"build_dir={build}", "is the project's own folder", "name one that holds nothing else")
    _require_import(plain)
    return Arguments(
        targets=_chosen("target", plain.get("target", "x86-64"), targets),
        models=[] if "onnx" in plain else _chosen("model", plain.get("model", EVERY), models),
        named="model" in plain,
        onnx=plain.get("onnx"),
        samples=plain.get("samples"),
        data=data,
        build=Path(build),
        cache=plain.get("cache"),
        overrides=_overrides({name: value for name, value in words.items() if "." in name}),
    )


def options(place: str, verb: str, declared: Mapping[str, Any], overrides: Mapping[str, str], model: str) -> Options:
    """A stage's options: defaults, then what the SConscript says, then what the command line says.

    Raises UserError for an unknown option or a value of the wrong type, at `place` or at the word of the command line.
    """
    kind = STAGES[verb].options
    types = _types(kind) if declared or overrides else {}
    values = dict[str, Any]()
    for name, value in declared.items():
        values[name] = _value(place, verb, types, name, value)
    for name, text in overrides.items():
        values[name] = _value(f"{model}.{verb}.{name}={text}", verb, types, name, text, written=True)
    return kind(**values)


def option_value(place: str, verb: str, name: str, value: Any) -> Any:
    """A value as the type of a stage's option. Raises UserError like options."""
    return _value(place, verb, _types(STAGES[verb].options), name, value)


def require_option(place: str, verb: str, name: str) -> None:
    """Raises UserError where a stage has no option of a name."""
    types = _types(STAGES[verb].options)
    if name not in types:
        raise UserError(place, f"{verb} has no option {name!r}", suggest(name, types))


def require_table(place: str, verb: str, name: str) -> None:
    """Raises UserError where an option is no table, whose entries may be named."""
    require_option(place, verb, name)
    if get_origin(_types(STAGES[verb].options)[name]) is not dict:
        raise UserError(place, f"{verb} option {name!r} is no table", f"write {verb}.{name}")


def refuse_unused(overrides: Overrides, stages: Mapping[str, list[str]]) -> None:
    """Raises UserError for an override that no stage took; `stages`: the stages of every model that was read."""
    for (model, verb), values in overrides.items():
        word = next(f"{model}.{verb}.{name}={value}" for name, value in values.items())
        if model not in stages:
            raise UserError(word, f"no model {model!r} is built", suggest(model, stages))
        raise UserError(word, f"{model} has no stage {verb!r}", suggest(verb, stages[model]))


def _option_cure(name: str, value: str, models: list[str], known: list[str]) -> str:
    """The cure for an unknown variable; one that is named like a stage's option is meant for a model, most likely."""
    verb = next((verb for verb, stage in STAGES.items() if name in _types(stage.options)), None)
    if verb is None:
        return suggest(name, known)
    example = f"{models[0] if models else 'MODEL'}.{verb}.{name}={value}"
    return f"choose from {', '.join(sorted(known))}, or MODEL.STAGE.OPTION as in {example}"


def _require_data(text: str) -> None:
    """Raises UserError unless `text` is a folder of data apart from the project."""
    if not text or not Path(text).is_dir():
        raise UserError(f"data={text}", "there is no such folder", "correct the path")
    if Path.cwd().is_relative_to(Path(text).resolve()):
        raise UserError(f"data={text}", "the folder holds this project", "name a folder of nothing but data")


def _require_import(words: Mapping[str, str]) -> None:
    """Raises UserError where onnx= and model= are both said, or samples= without onnx=."""
    if "onnx" in words and "model" in words:
        raise UserError(f"onnx={words['onnx']}", f"and model={words['model']} are both given", "say one of them")
    if "samples" in words and "onnx" not in words:
        raise UserError(f"samples={words['samples']}", "belongs to no model file", "say onnx=PATH too")


def _chosen(variable: str, text: str, known: list[str]) -> list[str]:
    names = list(dict.fromkeys(text.split(",")))
    if names == [EVERY]:
        return known
    for name in names:
        if name not in known:
            raise UserError(f"{variable}={text}", f"there is no {variable} {name!r}", suggest(name, known))
    return names


def _overrides(words: Mapping[str, str]) -> Overrides:
    """A model's name may have dots itself: the last two parts are the stage and its option."""
    found: Overrides = {}
    for word, value in words.items():
        parts = word.rsplit(".", 2)
        if len(parts) != 3:
            raise UserError(f"{word}={value}", "is not an option of a stage", "write model.stage.option=value")
        model, verb, name = parts
        found.setdefault((model, verb), {})[name] = value
    return found


def _value(place: str, verb: str, types: Mapping[str, Any], name: str, value: Any, written: bool = False) -> Any:
    """`value` as the option's type; a `written` one comes as text from the command line."""
    require_option(place, verb, name)
    words = named_values(types[name])
    if isinstance(value, str) and value not in words:
        if (verb, name) in _SIZES:
            value = parse_size(place, value, words)
        elif words:
            raise UserError(place, f"{verb} option {name!r}: {value!r} is none of its values", suggest(value, words))
    if written and value not in words:
        value = _parts(place, verb, name, types[name], value)
    try:
        found = msgspec.convert(value, types[name], strict=not written)
    except msgspec.ValidationError as fault:
        if str(fault).partition("` ")[2][:1] in ("<", ">"):
            raise UserError(place, f"{verb} option {name!r}: {value} is out of range", _range(types[name])) from None
        told, cure = _told(fault, value, types[name])
        raise UserError(place, f"{verb} option {name!r}: {told}", cure) from None
    if isinstance(found, float) and not math.isfinite(found):
        raise UserError(place, f"{verb} option {name!r}: {value} is not a finite number", _range(types[name]))
    return found


def _parts(place: str, verb: str, name: str, kind: Any, text: Any) -> Any:
    """What is written of an option that is a list, `stem,fc`, or a table of bits, `stem:8:8,fc:4:8`; else the text."""
    origins = {get_origin(each) for each in (kind, *get_args(kind))}
    parts = [each for each in str(text).split(",") if each]
    if dict in origins:
        fields = [each.rsplit(":", 2) for each in parts]
        if not all(len(each) == 3 and each[1].isdigit() and each[2].isdigit() for each in fields):
            fault = f"{verb} option {name!r}: {text!r} is no table"
            raise UserError(place, fault, "write NAME:BITS:BITS,... of weights and inputs")
        return {layer: tuple(map(int, bits)) for layer, *bits in fields}
    return parts if tuple in origins else text


def named_values(kind: Any) -> list[str]:
    """What an option's type may be in words: least and little."""
    return [word for each in (kind, *get_args(kind)) if get_origin(each) is Literal for word in get_args(each)]


def _told(fault: msgspec.ValidationError, value: Any, kind: Any) -> tuple[str, str]:
    """What is wrong with a value of another type, and the cure: `'five' is not a whole number; correct the value`."""
    kinds = {get_origin(each) for each in (kind, *get_args(kind))}
    if dict in kinds:
        return f"{value!r} is no table", 'write it like {"conv1": (4, 8)}, bits of weights and inputs'
    if tuple in kinds:
        return f"{value!r} is no list of names", 'write it like ["one", "two"]'
    if words := named_values(kind):
        return f"{value!r} is none of its values", suggest(str(value), words)
    expected = re.fullmatch(r"Expected `(\w+)(?: \| null)?`, got `\w+`", str(fault))
    names = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "True or False"}
    name = names.get(expected[1]) if expected else None
    return f"{value!r} is not {name}" if name else str(fault), "correct the value"


def _range(kind: Any) -> str:
    """The cure for a number that its type does not allow: `choose 0 or more and less than 1`."""
    import msgspec.inspect  # takes 20 ms, which a build without a mistake does not spend

    told = _limits(msgspec.inspect.type_info(kind))
    return f"choose {', then '.join(told)}" if told else "choose a finite number"


def _limits(known: Any) -> list[str]:
    """What each number of a type, as msgspec.inspect describes it, must be."""
    parts = getattr(known, "types", None) or getattr(known, "item_types", None)
    if parts or hasattr(known, "value_type"):
        return [told for each in parts or (known.value_type,) for told in _limits(each)]
    texts = {"gt": "more than {:g}", "ge": "{:g} or more", "lt": "less than {:g}", "le": "at most {:g}"}
    limits = {name: getattr(known, name, None) for name in texts}
    told = [texts[name].format(limit) for name, limit in limits.items() if limit is not None]
    return [" and ".join(told)] if told else []


@cache
def _types(kind: type[Options]) -> dict[str, Any]:
    return {each.name: each.type for each in msgspec.structs.fields(kind)}
