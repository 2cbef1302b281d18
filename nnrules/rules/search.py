"""env.Search: options and network arguments are found by trying; the steps that follow take the best."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from nnrules.catalog.space import NETWORK, Parameter, with_chosen
from nnrules.catalog.stages import Options
from nnrules.catalog.toolchain import toolchain_path
from nnrules.error import UserError
from nnrules.plan.costs import costs_file
from nnrules.rules import arguments
from nnrules.rules.failure import caller
from nnrules.rules.quantizing import require_tried
from nnrules.rules.recipes import require_some_effect
from nnrules.rules.space import GROUPS, outer, parameters, require_one_machine, tried
from nnrules.training.search.storage import require_public

if TYPE_CHECKING:
    from nnrules.rules.model import Declaration

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
        names = list(dict.fromkeys(outer(each.option) for each in self.space if each.group == group))
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

    def most(self, group: str, options: Options, names: Sequence[str]) -> Options:
        """The options with the largest of what the search may choose, but for entries of tables."""
        mine = [each for each in self.space if each.group == group and each.option in names]
        return msgspec.structs.replace(options, **{each.option: each.largest for each in mine})

    def require_steps(self, is_taken: Callable[[str], bool]) -> None:
        """Raises UserError for what is chosen of training or pruning and no step before Quantize() has."""
        for each in self.space if self.best is not None else ():
            if each.group in ("train", "prune") and not is_taken(each.group):
                fault = f"the search chooses {each.name}, but no {each.group.capitalize()}() comes before"
                raise UserError(caller(), fault, "add it, or leave that out of the space")

    def require_use(self, place: str, verbs: Sequence[str]) -> None:
        """Raises UserError for what is chosen and no step has; `verbs`: the stages of its model that came later."""
        groups = {group for _, group in self.taken} | {NETWORK}
        if verbs and (lost := [each for each in self.space if each.group not in groups]):
            step = lost[0].group.capitalize()
            fault = f"the search chooses {lost[0].name}, but there is no {step}() to have it"
            raise UserError(place, fault, f"call {step}() of what Search() returned, or leave it out of the space")

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
    chosen_here = parameters(place, space)
    base = _base(place, model, chosen_here, trained is not None, stages)
    name, verbs = model.subject.model, model.workspace.stages.setdefault(model.subject.model, [])
    if "search" in verbs:
        raise UserError(place, f"{name} has a search already", f'give this one a variant: {name}.Variant("name")')
    searched = _after(place, model, Searched(None, chosen_here, base))
    if model.workspace.seeded:
        return searched, {}
    plain = _plain(place, chosen_here, base, model)
    chosen: Any = model.options("search", {**_declared(place, options, budget), **plain})
    require_public(place, chosen.storage)
    inputs, references = _inputs(place, model, chosen, trained)
    _share(model, chosen.jobs)
    nodes = model.add("search", chosen, inputs, OUTPUTS, *references)
    model.workspace.engine.journal.tell(nodes["table"])
    found = msgspec.structs.replace(searched, best=nodes["best"])
    steps = len(verbs)
    model.workspace.promises.append(lambda: found.require_use(place, verbs[steps:]))
    return found, nodes


def _after(place: str, model: "Declaration", searched: Searched) -> Searched:
    """With what a search before this one says to steps yet to come: arguments of the network, and options of the
    trials. Raises UserError for an option that it chooses and that no step has, or that is chosen again."""
    before = model.searched
    if before is None:
        return searched
    names = {each.name for each in searched.space}
    lost = [each for each in before.space if each.name in names or not model.is_taken(each.group)]
    if lost and before.best is not None:
        fault = f"the search before this one chooses {lost[0].name}, which no step has yet"
        raise UserError(place, fault, "let the step come first, or search for both in one space")
    return msgspec.structs.replace(
        searched,
        space=(*(each for each in before.space if each.group == NETWORK), *searched.space),
        base={**before.base, **searched.base},
    )


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
        every = tried(place, space, group, given, name)
        for options in every:
            model.require_methods(group, options, {})
        mine = [outer(each.option) for each in space if each.group == group]
        require_one_machine(place, group, every)
        require_some_effect(place, every, mine)
        if group == "quantize":
            require_tried(place, every, mine, given)
        if group == "prune" and not any(each.sparsity for each in every):
            fault = "prune: the trials of a search have no sparsity"
            raise UserError(place, fault, 'say prune={"sparsity": 0.5} or the like, or search it')
    return found


def _declared(place: str, options: Mapping[str, Any], budget: Any) -> dict[str, Any]:
    """The search's options with the budget's; without either, so many TRIALS."""
    found = dict(options)
    if both := [name for name in ("seconds", "epochs") if name in options and budget is not None]:
        raise UserError(place, f"budget= and {both[0]}= are both given", "say one of them")
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
    counts = model.workspace.slots.checked(model.subject.resources.get("search", {}))
    model.subject.resources["search"] = {
        name: f"{count * jobs} GB" if name == "memory" else count * jobs for name, count in counts.items()
    }
