"""A process that uses a shared store at random: python -m tests.cache.worker FOLDER SEED SECONDS, one of many builds.

It prints how many hits were right and how many misses there were. A hit that is wrong ends it with status 1.
"""

import hashlib
import random
import sys
import time
from pathlib import Path

from nnrules.cache import Cache, Settings

STEPS = 40
CAP = 2_000_000  # bytes: a third of what all steps have


def content(number: int, name: str) -> bytes:
    """What a step makes, always the same; some contents are shared by steps."""
    if name == "log":
        return b"log of %d" % (number % 7)
    return random.Random(number).randbytes(30_000 + 6_000 * number)


def settings(top: Path) -> Settings:
    """Small enough that eviction never rests."""
    return Settings(place="store", local=top / "store", size=CAP)


def restore(cache: Cache, number: int, folder: Path) -> bool:
    """Whether a step is a hit. Raises AssertionError where its outputs are wrong, or a miss left some."""
    files = {name: folder / f"{number}.{name}" for name in ("weights", "log")}
    hit = cache.restore(key(number), files)
    for name, path in files.items():
        assert path.exists() == (hit is not None), f"step {number}: {path} should not be as it is"
        assert hit is None or path.read_bytes() == content(number, name), f"step {number}: wrong {name}"
        path.unlink(missing_ok=True)
    return hit is not None


def store(cache: Cache, number: int, folder: Path) -> None:
    """Run a step and keep it."""
    files = {name: folder / f"{number}.{name}" for name in ("weights", "log")}
    for name, path in files.items():
        path.write_bytes(content(number, name))
    cache.store(key(number), files, 1.0)
    for path in files.values():
        path.unlink()


def key(number: int) -> str:
    """Of a step."""
    return hashlib.sha256(b"step %d" % number).hexdigest()


def main(top: Path, seed: int, seconds: float) -> None:
    """Builds of a few steps each, until the time is over."""
    chance, end = random.Random(seed), time.monotonic() + seconds
    folder = top / f"build{seed}"
    folder.mkdir(exist_ok=True)
    hits, misses, warnings = 0, 0, list[str]()
    while time.monotonic() < end:
        cache = Cache(settings(top), warnings.append)
        for _ in range(chance.randrange(1, 12)):
            number = chance.randrange(STEPS)
            if restore(cache, number, folder):
                hits += 1
            else:
                misses += 1
                store(cache, number, folder)
        cache.close()
    print(hits, misses, len(warnings), flush=True)
    print(*warnings[:3], sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
