"""What training begins with or learns from beside its data: a teacher, a script of the user's."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnrules.error import UserError
from nnrules.rules.failure import caller
from nnrules.rules.workspace import Subject

if TYPE_CHECKING:
    from nnrules.rules.model import Declaration

Teacher = tuple[dict[str, Any], Subject]  # what a stage gets of one: its inputs, and the model it is of

_FOLDER = "script"  # of a model's, for what its script writes beside the weights


def recipe(model: "Declaration", verb: str, declared: Mapping[str, Any]) -> tuple[Any, Teacher | None]:
    """The options of a stage that trains, and the teacher if that is a step.

    Raises UserError for a step without weights, and where "other" stands for none.
    """
    given = declared.get("teacher")
    found: Teacher | None = None
    if given is not None and not isinstance(given, str):
        nodes = getattr(given, "nodes", {})
        if "weights" not in nodes:
            cure = "name a step that gives weights: Train, Prune, or Model with weights="
            raise UserError(caller(), "teacher= is no trained network", cure)
        inputs, searched = {"teacher": nodes["weights"]}, given.model.searched
        if searched and searched.has_arguments:
            inputs["teacher_best"] = searched.best
        found = inputs, given.model.subject
        declared = {**declared, "teacher": "other"}
    chosen: Any = model.options(verb, declared)
    if chosen.teacher != "other":
        return chosen, None
    if found is None:
        raise UserError(caller(), f"{verb} option 'teacher': 'other' names no network", "write teacher=STEP, or 'self'")
    return chosen, found


def with_teacher(subject: Subject, teacher: Teacher | None) -> Subject:
    """A model whose stage reads the teacher's network too."""
    if teacher is None:
        return subject
    theirs = teacher[1]
    references = {**subject.references, "teacher_network": theirs.references["network"]}
    files = [*subject.files, *(each for each in theirs.files if each not in subject.files)]
    return replace(subject, references=references, files=files)


def outputs_of_script(names: Sequence[str]) -> dict[str, str]:
    """The files that a script says it writes, see Workspace.add. Raises UserError for anything but plain names."""
    for name in names:
        if name in ("weights", "log") or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            cure = "write names of files, which the script leaves in the folder that it runs in"
            raise UserError(caller(), f"outputs= has {name!r}", cure)
    return {name: f"{_FOLDER}/{name}" for name in names}


def require_python(script: str) -> None:
    """Raises UserError where a script is not named like Python's."""
    if Path(script).suffix != ".py":
        raise UserError(caller(), f"script={script!r} is not a Python file", 'name one like "train.py"')
