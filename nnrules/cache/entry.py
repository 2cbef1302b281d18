"""What the cache knows of one step: its outputs by content, and how long it took."""

import math
import re

import msgspec

ENTRY_LIMIT = 1 << 20  # bytes of a serialized entry
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_MOST_OUTPUTS = 4096
_LONGEST = 1e9  # seconds


class BadEntry(Exception):  # noqa: N818 - a miss, not an error
    """An entry that is damaged, or hostile; the text says how."""


class Output(msgspec.Struct, frozen=True):
    """One file of a step. `name`: logical, without a folder ("weights"); `size`: bytes."""

    name: str
    sha256: str
    size: int
    executable: bool = False


class Entry(msgspec.Struct, frozen=True):
    """All outputs of one step. `seconds`: what the step took when it ran."""

    outputs: tuple[Output, ...]
    seconds: float

    @property
    def size(self) -> int:
        """Bytes of all outputs."""
        return sum(output.size for output in self.outputs)


def is_digest(text: str) -> bool:
    """Whether a text is a SHA-256 as the cache writes it: 64 lower-case hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether a text can name an output: no folder, no leading dot."""
    return _NAME.fullmatch(text) is not None


def check_entry(entry: Entry) -> Entry:
    """The entry itself. Raises BadEntry where a name, a digest, a size or the time is none."""
    names = [output.name for output in entry.outputs]
    if not 0 < len(names) <= _MOST_OUTPUTS:
        raise BadEntry(f"{len(names)} outputs")
    if len(set(names)) < len(names):
        raise BadEntry("two outputs of one name")
    for output in entry.outputs:
        if not is_name(output.name):
            raise BadEntry(f"the output name {output.name[:80]!r}")
        if not is_digest(output.sha256):
            raise BadEntry(f"no SHA-256 for {output.name}")
        if output.size < 0 or (output.size == 0) != (output.sha256 == EMPTY):
            raise BadEntry(f"the size of {output.name}")
    if not (math.isfinite(entry.seconds) and 0 <= entry.seconds <= _LONGEST):
        raise BadEntry("the seconds")
    return entry
