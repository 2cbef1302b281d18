"""Options of training that would have no effect, found before anything runs."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from nnrules.catalog import optimizers
from nnrules.catalog.stages import PruneOptions, Recipe
from nnrules.error import UserError


def require_effect(
    place: str, word: str, chosen: Recipe, overrides: Mapping[str, Any], searched: Collection[str] = ()
) -> None:
    """Raises UserError for an option that other optimizers have and this one does not, and for one that needs another:
    a patience with no loss to look at, the temperature of no teacher.

    ``place``: where the options are declared; ``word``: how the command line calls the stage; ``overrides``: those that
    it says; ``searched``: those that a search chooses.
    """
    defaults = type(chosen)()
    for name in type(chosen).__struct_fields__:
        users, value = optimizers.users(name), getattr(chosen, name)
        where = f"{word}.{name}={value}" if name in overrides else place
        if value == getattr(defaults, name) or name in searched:
            continue
        if users and chosen.optimizer not in users and "optimizer" not in searched:
            raise UserError(where, f"{chosen.optimizer} does not use {name}", f"it is for {', '.join(users)}")
        needed, cure = _missing(name, chosen)
        if cure and needed not in searched:
            raise UserError(where, f"{name} has no effect", cure)


def require_some_effect(place: str, every: Sequence[Any], searched: Sequence[str]) -> None:
    """The same for the trials of a search: raises UserError for an option that has an effect in none of them.

    ``every``: what the trials may have; ``searched``: the options that are chosen.
    """
    defaults, first = type(every[0])(), every[0]
    for name in type(first).__struct_fields__:
        if name not in searched and getattr(first, name) == getattr(defaults, name):
            continue
        users = optimizers.users(name)
        if users and not any(each.optimizer in users for each in every):
            raise UserError(place, f"{first.optimizer} does not use {name}", f"it is for {', '.join(users)}")
        needed, cure = _missing(name, first)
        if needed not in searched and all(_missing(name, each)[1] for each in every):
            raise UserError(place, f"{name} has no effect", cure)


def _missing(name: str, chosen: Recipe) -> tuple[str, str]:
    """The option for want of which another one has no effect, and the cure."""
    teacher = ("teacher", "", chosen.teacher != "none")
    needs = {  # by option: another one, which value of it, whether it has that
        "patience": ("validation", "=0.2 or the like", chosen.validation > 0),
        "teacher_share": teacher,
        "temperature": teacher,
        "rendezvous": ("launcher", "='torchrun'", chosen.launcher == "torchrun"),
    }
    if isinstance(chosen, PruneOptions):
        needs |= {
            "norm": ("importance", "='norm'", chosen.importance == "norm"),
            "skeleton_penalty": ("importance", "='skeleton'", chosen.importance == "skeleton"),
            "ramp": ("retrain_epochs", "", chosen.retrain_epochs > 0),
        }
    needed, value, is_there = needs.get(name, ("", "", True))
    return ("", "") if is_there else (needed, f"say {needed}{value} too")
