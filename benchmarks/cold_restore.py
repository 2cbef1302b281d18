"""How long a fresh clone takes whose remote cache has everything.

    python benchmarks/cold_restore.py [--runs 5] [ARGUMENT of scons ...]     default: target=cortex-m7 model=facedet

One clone of this checkout builds and fills nginx (WebDAV, on loopback); each run is another clone, in another folder,
with no local cache. Prints the seconds of the fastest run, beside those of an empty SConstruct; how many steps ran; and
whether every file of the build has the bytes of the first clone's.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.cache.servers import nginx

TOP = Path(__file__).resolve().parents[1]
SCONS = [sys.executable, "-m", "SCons", "-Q"]
OURS = (".sconsign.dblite", "last_build.json", ".lock")  # files of the build that say when, where and how it went


def clone(folder: Path) -> Path:
    """What git has of this checkout, with what is changed in it."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, capture_output=True, check=True).stdout.decode()
    for name in filter(None, files.split("\0")):
        if (TOP / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / name, folder / name)
    return folder


def build(folder: Path, cache: str, arguments: list[str]) -> float:
    """Seconds of a build that must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "NNRULES_CACHE": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [*SCONS, *arguments]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise RuntimeError(f"the build failed:\n{done.stdout}{done.stderr}")
    return seconds


def results(folder: Path) -> Counter[str]:
    """How many steps ran, were cached, ..."""
    rows: list[dict[str, Any]] = json.loads((folder / "build/last_build.json").read_text())["stages"]
    return Counter(row["result"] for row in rows)


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of the build."""
    files = [path for path in (folder / "build").rglob("*") if path.is_file() and path.name not in OURS]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main() -> None:
    """Fill, restore, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    chosen, arguments = parser.parse_known_args()
    arguments = arguments or ["target=cortex-m7", "model=facedet"]
    with tempfile.TemporaryDirectory() as name, nginx(Path(name) / "server") as url:
        first = clone(Path(name) / "first")
        print(f"built in {build(first, url, arguments):.1f} s: {dict(results(first))}", flush=True)
        made, seconds, empty = contents(first), list[float](), list[float]()
        (Path(name) / "empty").mkdir()
        (Path(name) / "empty/SConstruct").touch()
        for number in range(chosen.runs):
            other = clone(Path(name) / f"deeper/another clone {number}")
            seconds.append(build(other, url, arguments))
            empty.append(build(Path(name) / "empty", "none", []))
            found = contents(other)
            same = "the same" if found == made else f"DIFFERENT: {sorted(set(found.items()) ^ set(made.items()))}"
            print(f"restored in {seconds[-1]:.2f} s: {dict(results(other))}, {len(found)} files, bytes {same}")
        size = sum((first / path).stat().st_size for path in made)
        print(f"fastest {min(seconds):.2f} s, empty SConstruct {min(empty):.2f} s, {size:,} bytes")


if __name__ == "__main__":
    main()
