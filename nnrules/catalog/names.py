"""Names of models: how they are spelt, and the C identifiers they become; keys in ONNX models."""

import re

from nnrules.error import UserError

LONGEST = 48
EVERY = "all"  # of model= and target=
NOTE = "nnrules.note"  # key in an ONNX model's metadata: what all that is made of it is labelled with
FORMATS = "nnrules.formats"  # the same of the input that picks a format


def c_identifier(model: str) -> str:
    """The prefix of everything a model's C defines: its name with `-` and `.` as `_`; macros use it in capital letters.

    >>> c_identifier("face-det.v2")
    'face_det_v2'
    """
    return re.sub(r"[-.]", "_", model)


def check_model_name(place: str, model: str, taken: dict[str, str]) -> None:
    """Enter a name in `taken` (capitalised C identifier -> model name).

    Raises UserError where it is too long, misspelt, the word for all models, or gives an identifier that is there
    already.
    """
    if len(model) > LONGEST:
        raise UserError(place, f"the model name {model!r} has {len(model)} characters", f"use at most {LONGEST}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", model):
        cure = "start with a letter and use letters, digits, '-', '_' and '.'"
        raise UserError(place, f"{model!r} is not a model name", cure)
    if model == EVERY:
        raise UserError(
            place, f"{model!r} is not a model name", f"model={EVERY} stands for all of them; choose another"
        )
    identifier = c_identifier(model).upper()
    if identifier in taken:
        fault = f"the model names {taken[identifier]!r} and {model!r} both become {identifier} in C"
        if taken[identifier] == model:
            fault = f"there are two models {model!r}"
        raise UserError(place, fault, "rename one of them")
    taken[identifier] = model
