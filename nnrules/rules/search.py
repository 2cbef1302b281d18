"""env.Search: options and network arguments are found by trying; the steps that follow take the best."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from nnrules.catalog import quantizers
from nnrules.catalog.checked import parse_size
from nnrules.catalog.space import NETWORK, Parameter, with_chosen
from nnrules.catalog.stages import STAGES, Options
from nnrules.catalog.toolchain import toolchain_path
from nnrules.error import UserError, suggest
from nnrules.plan.costs import costs_file
from nnrules.rules import arguments
from nnrules.rules.failure import caller
from nnrules.rules.quantizing import require_heeded, require_tried

if TYPE_CHECKING:
    from nnrules.rules.model import Declaration

GROUPS = ("train", "prune", "quantize")
TRIALS = 20  # where nothing else ends the study
OUTPUTS = {"best": "{}.best.json", "study": "{}.search.json", "report": "{}.search.html", "table": "{}.search.txt"}
_UNITS = {"s": ("seconds", 1), "min": ("seconds", 60), "h": ("seconds", 3600), "epochs": ("epochs", 1)}


class Searched(msgspec.Struct, frozen=True, eq=False):
    """What a search says to the steps after it. `best`: the node of the winner's file, None: nothing is searched;
    `base`: the options of its trials, which these steps have too; `taken`: by (model, stage), options that come from
    the file."""

    best: Any
    space: tuple[Parameter, ...]
    base: Mapping[str, Mapping[str, Any]]
    taken: dict[tuple[str, str], tuple[str, ...]] = msgspec.field(default_factory=dict)

    @property
    def has_arguments(self) -> bool:
        """Whether the network is constructed with what was found."""
        return self.best is not None and any(each.group == NETWORK for each in self.space)

    def declared(self, model: str, group: str, given: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
        """A step's options with those of the trials beneath, and for what the search chooses the least that it may be.
        Raises UserError for one that the search chooses."""
        names = list(dict.fromkeys(_outer(each.option) for each in self.space if each.group == group))
        for name in names:
            if name in given:
                fault = f"{group} option {name!r} is given, but the search chooses it"
                raise UserError(caller(), fault, "leave it out here or out of its space")
        if self.best is not None:
            self.taken[model, group] = tuple(name for name in names if name not in overrides)
        least = {each.name: each.least for each in self.space}
        return {**with_chosen(group, self.base.get(group, {}), least), **given}

    def require_none_of(self, group: str, word: str) -> None:
        """Raises UserError where the search chooses an option of a stage whose place `word` takes."""
        if found := [each.name for each in self.space if each.group == group]:
            fault = f"{word} takes no options of {group}, but the search chooses {found[0]}"
            raise UserError(caller(), fault, "leave it out here or out of its space")

    def alternatives(self, options: Options, group: str, names: Sequence[str]) -> list[Options]:
        """The options with each of the words that the search may choose, such as methods."""
        words = [each for each in self.space if each.group == group and each.option in names]
        return [
            msgspec.structs.replace(options, **{each.option: value})
            for each in words
            for value in each.values
            if isinstance(value, str)
        ]


def search(
    model: "Declaration",
    space: Mapping[str, Any],
    trained: Any,
    stages: Mapping[str, Mapping[str, Any]],
    budget: Any,
    options: Mapping[str, Any],
) -> tuple[Searched, dict[str, Any]]:
    """Declare the stage; what it says to later steps, and its nodes.

    space: by STAGE.OPTION or network.ARGUMENT a list of values, or a tuple (low, high), (low, high, "log") or (low,
    high, step). trained: the node of weights that trials begin with, None: they train. stages: options of the trials'
    stages. budget: seconds, or "90 s", "30 min", "2 h", "400 epochs", of all trials together.
    """
    place = caller()
    if not isinstance(space, Mapping) or not space:
        raise UserError(
            place, "the space of a search is empty", 'write it like {"train.learning_rate": (1e-4, 1e-2, "log")}'
        )
    parameters = tuple(_parameter(place, name, given) for name, given in space.items())
    base = _base(place, model, parameters, trained is not None, stages)
    searched = Searched(None, parameters, base)
    if model.workspace.seeded:
        return searched, {}
    if "search" in model.workspace.stages.get(model.subject.model, ()):
        fault = f"{model.subject.model} has a search already"
        raise UserError(place, fault, f'give this one a variant: {model.subject.model}.Variant("name")')
    plain = _plain(place, parameters, base, model)
    chosen: Any = model.options("search", {**_declared(place, options, budget), **plain})
    inputs, references = _inputs(place, model, chosen, trained)
    _share(model, chosen.jobs)
    nodes = model.add("search", chosen, inputs, OUTPUTS, *references)
    model.workspace.engine.journal.tell(nodes["table"])
    return msgspec.structs.replace(searched, best=nodes["best"]), nodes


def _parameter(place: str, name: str, given: Any) -> Parameter:
    """One of the space, its values checked by the option that they are for."""
    group, dot, option = name.partition(".")
    if group not in (*GROUPS, NETWORK) or not dot or not option:
        known = [f"{each}.OPTION" for each in GROUPS] + [f"{NETWORK}.ARGUMENT"]
        fault = f"{name!r} names no option that can be searched"
        cure = suggest(group, (*GROUPS, NETWORK)) if dot else f"write {', '.join(known)}"
        raise UserError(place, fault, cure)
    if isinstance(given, list) and given:
        return Parameter(name=name, values=tuple(_checked(place, group, option, value) for value in given))
    if not isinstance(given, tuple) or len(given) not in (2, 3):
        cure = 'a list of values, (low, high), (low, high, "log") or (low, high, step)'
        raise UserError(place, f"{name}: {given!r} is no part of a space", f"write {cure}")
    low, high = (_checked(place, group, option, value) for value in given[:2])
    whole = isinstance(low, int) and isinstance(high, int)
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in (low, high)):
        raise UserError(place, f"{name}: {given!r} is no range of numbers", "write a list of values")
    more = given[2] if len(given) == 3 else None
    log, step = more == "log", None if more == "log" else more
    if not low < high or (log and low <= 0):
        fault = f"{name}: {given!r} is no range"
        raise UserError(place, fault, "choose low above 0" if low < high else "choose low below high")
    if step is not None and (isinstance(step, bool) or not isinstance(step, int | float) or not 0 < step <= high - low):
        raise UserError(place, f"{name}: {step!r} is no step", 'write "log" or a number that fits into the range')
    return Parameter(name=name, low=low, high=high, whole=whole, log=log, step=step)


def _checked(place: str, group: str, option: str, value: Any) -> Any:
    """A value as the option's type; of a table (stage.option.key), and for the network, any plain one."""
    if group == NETWORK or "." in option:
        if not isinstance(value, bool | int | float | str | list | None):
            raise UserError(place, f"{group}.{option}: {value!r} is no plain value", "write numbers or words")
        if "." in option:
            arguments.require_option(place, group, _outer(option))
        return value
    return arguments.option_value(place, group, option, value)


def _base(
    place: str, model: "Declaration", space: Sequence[Parameter], trained: bool, stages: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """The stages of a trial with their options: those that are given or searched, and train unless that is over."""
    for name, given in stages.items():
        if not isinstance(given, Mapping):
            raise UserError(place, f"{name}={given!r} are no options", f'write them like {name}={{"seed": 2}}')
    here = {each.group for each in space} | stages.keys()
    if trained and (over := [name for name in ("train", NETWORK) if name in here]):
        fault = f"{over[0]} is searched or given, but the search begins with trained weights"
        raise UserError(place, fault, f"search {model.subject.model} before its Train()")
    groups = [name for name in GROUPS if name in here or (name == "train" and not trained)]
    for name in groups:
        _require_no_other(place, name, [stages.get(name, {}).get("teacher", "none"), *_words(space, f"{name}.teacher")])
    return {name: stages.get(name, {}) for name in groups}


def _require_no_other(place: str, group: str, teachers: Iterable[Any]) -> None:
    """Raises UserError where a trial would learn from a network that it has not."""
    if any(each != "none" and (group == "train" or each != "self") for each in teachers):
        cure = "leave teacher out" if group == "train" else "say teacher='self' or leave it out"
        raise UserError(place, f"{group}: the trials of a search have no other network to learn from", cure)


def _words(space: Iterable[Parameter], name: str) -> list[Any]:
    """What a parameter may be, none where it is not searched."""
    return [value for each in space if each.name == name for value in each.values]


def _plain(
    place: str, space: Sequence[Parameter], base: Mapping[str, Mapping[str, Any]], model: "Declaration"
) -> dict[str, Any]:
    """Space and stages as the search's own options. Raises UserError for what no trial can have."""
    name, found = model.subject.model, dict[str, Any](space=msgspec.to_builtins(space))
    for group, given in base.items():
        found[group] = msgspec.to_builtins(arguments.options(place, group, given, {}, name))
        for tried in _tried(space, group):
            largest = {each.name: each.largest for each in space} | tried
            options = arguments.options(place, group, with_chosen(group, given, largest), {}, name)
            model.require_methods(group, options, {})
        if group == "quantize":
            _require_quantizers(place, name, space, given)
    return found


def _tried(space: Sequence[Parameter], group: str) -> list[dict[str, Any]]:
    """Each word that a stage may be given by the search, by parameter name; nothing where there are none."""
    words = [(each.name, value) for each in space if each.group == group for value in each.values]
    return [{name: value} for name, value in words if isinstance(value, str)] or [{}]


def _require_quantizers(place: str, model: str, space: Sequence[Parameter], given: Mapping[str, Any]) -> None:
    """Raises UserError for a method that trials cannot have or that has not what is searched, and where of several
    methods some are trained and some are not."""
    default = given.get("method", STAGES["quantize"].options().method)  # type: ignore[attr-defined]
    searched = [each for each in space if each.group == "quantize"]
    for method in (methods := _words(space, "quantize.method") or [default]):
        require_tried(place, method, {_outer(each.option): _bits(each) for each in searched})
        least = {each.name: each.least for each in searched} | {"quantize.method": method}
        values = with_chosen("quantize", given, least)
        require_heeded(place, model, arguments.options(place, "quantize", values, {}, model), given, {})
    if len({quantizers.method(method).trains for method in methods}) > 1:
        fault = "quantize.method: some of these are trained and some are not"
        raise UserError(place, fault, "search among those of one kind")


def _bits(parameter: Parameter) -> Sequence[Any]:
    """All values of a parameter, none where it is no whole number."""
    whole = range(int(parameter.low), int(parameter.high) + 1, int(parameter.step or 1)) if parameter.whole else ()
    return parameter.values or whole


def _declared(place: str, options: Mapping[str, Any], budget: Any) -> dict[str, Any]:
    """The search's options with the budget's; without either, so many TRIALS."""
    found = dict(options)
    if budget is not None:
        match = re.fullmatch(
            r"(\d+(?:\.\d+)?)\s*(s|min|h|epochs)", f"{budget} s" if _is_number(budget) else str(budget)
        )
        if not match:
            raise UserError(
                place, f"budget={budget!r} is none", 'write it like "90 s", "30 min", "2 h" or "400 epochs"'
            )
        name, factor = _UNITS[match[2]]
        found[name] = int(float(match[1])) if name == "epochs" else float(match[1]) * factor
    elif not {"trials", "seconds", "epochs"} & found.keys():
        found["trials"] = TRIALS
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _inputs(place: str, model: "Declaration", chosen: Any, trained: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Of the stage, with what instructions are estimated by."""
    workspace = model.workspace
    inputs: dict[str, Any] = dict(workspace.data(model.subject))
    if trained is not None:
        inputs["weights"] = trained
    if chosen.minimize and chosen.quantize is None:
        fault = f"minimize={chosen.minimize!r} is known of quantized networks"
        raise UserError(place, fault, 'quantize in the trials, like quantize={"method": "lsq"}')
    if chosen.minimize == "instructions":
        if not chosen.target:
            raise UserError(place, "minimize='instructions' needs a target", 'say whose, like target="cortex-m7"')
        inputs["toolchain"] = workspace.file(toolchain_path(chosen.target))
        inputs["kernels"] = workspace.kernel_descriptions()
        if costs_file(chosen.target).is_file():
            inputs["costs"] = workspace.file(costs_file(chosen.target))
    elif chosen.target:
        raise UserError(place, f"target={chosen.target!r} is of no use here", "leave it out")
    return inputs, ("network", "dataset")


def _share(model: "Declaration", jobs: int) -> None:
    """The resources that are given are those of one trial."""
    needs = model.subject.resources.get("search", {})
    times = {
        name: (parse_size(name, value) if isinstance(value, str) else value) * jobs for name, value in needs.items()
    }
    model.subject.resources["search"] = times


def _outer(option: str) -> str:
    """Of an option that is a table, without the key."""
    return option.partition(".")[0]
