"""Which Python files made a fingerprint, so that a later build can name the one that changed."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

_KEPT = 200  # fingerprints, the oldest are forgotten


class Prints:
    """`file`: where they are kept, read when first asked for; `current`: says those of this build."""

    def __init__(self, file: Path, current: Callable[[], Mapping[str, Mapping[str, str]]]) -> None:
        self._file, self._current = file, current
        self._known: dict[str, dict[str, str]] | None = None

    def save(self) -> None:
        """Add this build's fingerprints with the digest of each of their files."""
        known, current = self._read(), self._current()
        if not current.keys() - known.keys():
            return
        for name, files in current.items():
            known.pop(name, None)
            known[name] = dict(files)
        kept = dict(list(known.items())[-_KEPT:])
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(kept), encoding="utf-8")
        os.replace(partial, self._file)

    def differences(self, old: str, new: str) -> list[str]:
        """`models/a/network.py changed`, ...; without a name where the old fingerprint was forgotten."""
        known = {**self._read(), **self._current()}
        if old not in known or new not in known:
            return ["its Python files changed"]
        then, now = known[old], known[new]
        return [_sentence(name, then, now) for name in sorted({*then, *now}) if then.get(name) != now.get(name)]

    def _read(self) -> dict[str, dict[str, str]]:
        if self._known is None:
            try:
                self._known = msgspec.json.decode(self._file.read_bytes(), type=dict[str, dict[str, str]])
            except (OSError, msgspec.DecodeError, UnicodeDecodeError):
                self._known = {}
        return self._known


def _sentence(name: str, then: Mapping[str, str], now: Mapping[str, str]) -> str:
    if name not in then:
        return f"{name} is used now"
    return f"{name} changed" if name in now else f"{name} is no longer used"
