"""Options of training that would have no effect, found before anything runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnrules.catalog import optimizers
from nnrules.catalog.stages import Recipe
from nnrules.error import UserError


def require_effect(place: str, word: str, chosen: Recipe, overrides: Mapping[str, Any]) -> None:
    """Raises UserError for an option that other optimizers have and this one does not, and for a patience with no loss
    to look at.

    ``place``: where the options are declared; ``word``: how the command line calls the stage; ``overrides``: those that
    it says.
    """
    defaults = type(chosen)()
    for name in type(chosen).__struct_fields__:
        users, value = optimizers.users(name), getattr(chosen, name)
        if users and chosen.optimizer not in users and value != getattr(defaults, name):
            where = f"{word}.{name}={value}" if name in overrides else place
            raise UserError(where, f"{chosen.optimizer} does not use {name}", f"it is for {', '.join(users)}")
    if chosen.patience and not chosen.validation:
        where = f"{word}.patience={chosen.patience}" if "patience" in overrides else place
        raise UserError(where, "patience has no effect", "say validation=0.2 or the like too")


def require_some_effect(place: str, every: Sequence[Any], searched: Sequence[str]) -> None:
    """The same for the trials of a search: raises UserError for an option that has an effect in none of them.

    ``every``: what the trials may have; ``searched``: the options that are chosen.
    """
    defaults, first = type(every[0])(), every[0]
    for name in type(first).__struct_fields__:
        users = optimizers.users(name)
        said = name in searched or getattr(first, name) != getattr(defaults, name)
        if users and said and not any(each.optimizer in users for each in every):
            raise UserError(place, f"{first.optimizer} does not use {name}", f"it is for {', '.join(users)}")
    if any(each.patience for each in every) and not any(each.validation for each in every):
        raise UserError(place, "patience has no effect", "say validation=0.2 or the like too")
