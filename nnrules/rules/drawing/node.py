"""What is drawn: steps and files, and how a text of any content is shown."""

import re
from dataclasses import dataclass
from typing import Literal

State = Literal["current", "cached", "run", "ran", "failed", "unknown"]

STATES: dict[State, str] = {
    "current": "up to date",
    "cached": "from the cache",
    "run": "to run",
    "ran": "ran",
    "failed": "failed",
    "unknown": "not known",
}

# Control characters, surrogates, what is no character, and marks that turn the direction of writing.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff0-\ufffb\ufffe\uffff]"
)


@dataclass(frozen=True)
class Node:
    """A step or a file of a build. `name`: unique; `label`: short, for the drawing; `detail`: a line for the reader.

    inputs: names of nodes: of a step its files, of a file the step that makes it. group: model/target, or the like.
    """

    name: str
    label: str
    kind: Literal["file", "step"]
    state: State
    detail: str
    inputs: tuple[str, ...]
    group: str


def printable(text: str) -> str:
    """`text` on one line, what cannot be seen spelt out: a file may have any name.

    >>> printable("a\\nb\\u202ec")
    'a\\\\x0ab\\\\u202ec'
    """
    return _UNPRINTABLE.sub(_spelt, text)


def shortened(text: str, length: int) -> str:
    """`text` with its middle left out where it is longer than `length`.

    >>> shortened("facedet.trained.safetensors", 15)
    'facedet…ensors'
    """
    if len(text) <= length:
        return text
    half = (length - 1) // 2
    return f"{text[:half]}…{text[-(half - 1) :]}"


def _spelt(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
