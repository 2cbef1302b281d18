"""How long a build takes that has nothing to do, beside an empty SConstruct.

    python benchmarks/null_build.py [arguments of scons ...]

Run it where the build is up to date. Prints the fastest of several runs; the difference is to stay below 0.5 s.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 7


def fastest(arguments: list[str], folder: Path) -> float:
    """Seconds of the fastest of RUNS builds. Raises RuntimeError where one does something or fails."""
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "SCons", "-Q", *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        seconds.append(time.perf_counter() - start)
        if done.returncode != 0 or "is up to date" not in done.stdout:
            raise RuntimeError(f"not a null build:\n{done.stdout}{done.stderr}")
    return min(seconds)


def main() -> None:
    """Measure both, and print them."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "SConstruct").touch()
        empty = fastest([], Path(folder))
    ours = fastest(sys.argv[1:], Path.cwd())
    print(f"empty SConstruct {empty:.3f} s, nothing to do {ours:.3f} s, difference {ours - empty:.3f} s")


if __name__ == "__main__":
    main()
