"""Options of training that would have no effect, found before anything runs."""

from collections.abc import Mapping
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
