"""What a step's outputs are stored under: SHA-256 over its identity and the content of all its inputs."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.rules.step import Step

Content = Callable[[Any], bytes | None]
Digest = Callable[[Any], str | None]


class Key(msgspec.Struct, frozen=True, dict=True):
    """`components`: all that the digest is made of, for people to compare."""

    components: dict[str, Any]

    @cached_property
    def digest(self) -> str:
        """64 hexadecimal digits."""
        text = json.dumps(self.components, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class Keys:
    """`top`, `build`: the project's and the build's folder; `data`: the folder of the data set. No path enters a key,
    but for the place of a user's own file below the first of these that holds it.
    """

    def __init__(self, top: Path, build: Path, data: Path | None) -> None:
        shipped = [("nnrules", folder.parent) for folder in (KERNELS, TOOLCHAINS)]
        self._bases = [("build", build), *([("data", data)] if data else []), *shipped, ("top", top)]
        self._digests: dict[Path, tuple[tuple[int, ...], str]] = {}

    def base(self, folder: Path) -> None:
        """A folder of the user's outside the others, so that the places of files in it count."""
        if not any(folder.is_relative_to(base) for _, base in self._bases):
            self._bases.append(("folder", folder))

    def names(self, nodes: Sequence[Any]) -> str:
        """A digest of the names of files that nothing makes: one that is renamed is another."""
        given = [self._place(node) for node in nodes if not node.has_builder()]
        return hashlib.sha256("\n".join(given).encode(errors="surrogateescape")).hexdigest()[:16]

    def of(self, step: Step) -> Key:
        """The key, from the files as they are. Raises OSError where one is missing."""
        key = self.predicted(step, self.digest, read)
        assert key is not None
        return key

    def predicted(self, step: Step, digest: Digest, content: Content) -> Key | None:
        """The key where inputs are known by other means than their files; None where one is not known."""
        given = {name: [(node, digest(node)) for node in nodes] for name, nodes in step.inputs.items()}
        known = {node for nodes in step.inputs.values() for node in nodes}
        found = [(node, digest(node)) for node in step.implicit(content) if node not in known]
        if any(each is None for pairs in (*given.values(), found) for _, each in pairs):
            return None
        files = {self._place(node): text for node, text in found}
        inputs = {name: [self._named(node, text) for node, text in pairs] for name, pairs in given.items()}
        subject = {"model": step.model, "target": step.target, "outputs": sorted(step.outputs)}
        return Key({**step.identity, **subject, "inputs": inputs, "files": files})

    def digest(self, node: Any) -> str:
        """SHA-256 of a file, read once while it does not change."""
        path = Path(node.get_abspath())
        state = path.stat()
        stamp = (state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino)
        if self._digests.get(path, (None, ""))[0] != stamp:
            with path.open("rb") as file:
                self._digests[path] = stamp, hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests[path][1]

    def _named(self, node: Any, digest: str | None) -> str:
        """The names of what the build itself made follow from the step."""
        return f"{digest}" if node.has_builder() else f"{self._place(node)} {digest}"

    def _place(self, node: Any) -> str:
        """`data:a/1.png`"""
        path = Path(os.path.normpath(node.get_abspath()))
        return next(
            (f"{name}:{path.relative_to(base)}" for name, base in self._bases if path.is_relative_to(base)), path.name
        )


def read(node: Any) -> bytes | None:
    """The content of a file that is there."""
    path = Path(node.get_abspath())
    return path.read_bytes() if path.is_file() else None
