"""How long small stages take in the children of a server, and how long as processes of their own, in one run.

    python benchmarks/workers.py [--stages 20] [--jobs 1]

Each stage trains a network of a few weights for one epoch. The time of the server's start is counted.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nnrules.rules.processes import Processes
from nnrules.rules.terminal import Terminal
from nnrules.rules.workers import SWITCH, Workers

MODEL = Path(__file__).resolve().parents[1] / "tests/rules/sample_project/models/tiny"
OPTIONS = {"epochs": 1, "batch_size": 16, "workers": 0}


class Silent(Terminal):
    """Says nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

    def error(self, text: str) -> None:
        """Nothing."""


def command(folder: Path, number: int) -> list[str]:
    """A training into a folder of its own."""
    words = [sys.executable, "-m", "nnrules.stages.train", "--model", "tiny", "--options", json.dumps(OPTIONS)]
    words += ["--in", f"network={MODEL}/network.py:Tiny", "--in", f"dataset={MODEL}/dataset.py:Bars"]
    return [*words, *(f"--out={name}={folder}/{number}/{name}" for name in ("weights", "log"))]


def measure(folder: Path, stages: int, jobs: int, switch: str) -> float:
    """Seconds of all stages. Raises RuntimeError where one fails or their weights differ."""
    workers = Workers(Silent(), Processes(), {**os.environ, SWITCH: switch})
    start = time.perf_counter()
    with ThreadPoolExecutor(jobs) as pool:
        done = pool.map(lambda number: workers.run("train", f"{number}", command(folder, number)), range(stages))
        failed = any(done)
    seconds = time.perf_counter() - start
    workers.close()
    if failed or len({(folder / f"{number}/weights").read_bytes() for number in range(stages)}) != 1:
        raise RuntimeError("the stages did not do what they should")
    return seconds


def main() -> None:
    """Measure both, and print them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--stages", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pool = measure(Path(folder) / "pool", given.stages, given.jobs, "1")
        alone = measure(Path(folder) / "alone", given.stages, given.jobs, "0")
    print(f"{given.stages} stages, -j{given.jobs}: {pool:.1f} s in a server's children, {alone:.1f} s as processes")
    print(f"ratio {alone / pool:.1f}")


if __name__ == "__main__":
    main()
