"""A store of a test's own, caches on it, and steps to keep in it."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from nnrules.cache import Cache, Settings


def key(number: int) -> str:
    """The key of the step with this number."""
    return hashlib.sha256(f"step {number}".encode()).hexdigest()


def sha256(data: bytes) -> str:
    """As the cache names contents."""
    return hashlib.sha256(data).hexdigest()


@dataclass
class Box:
    """`top`: a folder; the store is `top/store`. `warnings`: what all caches said."""

    top: Path
    warnings: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """The local store."""
        return self.top / "store"

    def cache(self, **more: Any) -> Cache:
        """A cache as a build opens it."""
        given = Settings(place="store", local=self.store)
        return Cache(msgspec.structs.replace(given, **{**self.more, **more}), self.warnings.append)

    def made(self, **contents: bytes) -> dict[str, Path]:
        """Outputs of a step that ran, by name."""
        folder = self.top / f"made{len(list(self.top.glob('made*')))}"
        folder.mkdir()
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        return {name: folder / name for name in contents}

    def wanted(self, *names: str) -> dict[str, Path]:
        """Where outputs belong, in a folder that is not there yet."""
        folder = self.top / f"build{len(list(self.top.glob('build*')))}" / "deep"
        return {name: folder / f"model.{name}" for name in names}

    def blob(self, content: bytes) -> Path:
        """Where the store has a content."""
        return self.store / "cas" / sha256(content)[:2] / sha256(content)

    def entry(self, number: int) -> Path:
        """Where the store has an entry."""
        return self.store / "ac" / key(number)[:2] / key(number)

    def keep(self, number: int, **contents: bytes) -> None:
        """Run a step, keep it, end the build."""
        cache = self.cache()
        cache.store(key(number), self.made(**contents), 2.5)
        cache.close()

    def hit(self, number: int, **contents: bytes) -> bool:
        """Restore a step; whether it was a hit. What is restored must be right, a miss must leave nothing."""
        cache, files = self.cache(), self.wanted(*contents)
        restored = cache.restore(key(number), files)
        cache.close()
        check(files, contents if restored else {})
        return restored is not None


def check(files: dict[str, Path], contents: dict[str, bytes]) -> None:
    """The files hold the contents; others, and whatever is temporary, are not there."""
    assert {name: path.read_bytes() for name, path in files.items() if path.exists()} == contents
    folder = next(iter(files.values())).parent
    assert not folder.exists() or {path.name for path in folder.iterdir()} <= {path.name for path in files.values()}


def temporaries(store: Path) -> list[Path]:
    """What a build left half-done in a store."""
    return [path for path in store.rglob("*") if path.name.startswith(".partial")]


def usage(store: Path) -> int:
    """Bytes of a store's entries and contents."""
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file() and len(path.name) == 64)


def noise(size: int) -> bytes:
    """Bytes that occur nowhere else."""
    return os.urandom(size)
