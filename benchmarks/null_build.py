"""How long a build takes that has nothing to do.

    python benchmarks/null_build.py                     beside bare SCons and ninja on the same graph
    python benchmarks/null_build.py --here [ARGUMENT...]  of the project in this folder, beside an empty SConstruct

The graphs are those of many models on one target, made with the real rules by steps that only pretend (see
pretended.py). Bare SCons has a Command for each step, with the same files and the same edges. Figures are seconds of
the fastest of several runs: elapsed, and (in brackets: nnrules to this one) of the processor, which other processes
disturb less. The ratio is to stay below 1.2, one model on one target below 0.6 s.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pretended

TOP = Path(__file__).resolve().parents[1]
TARGET = "cortex-m7"
SCONS = [sys.executable, "-m", "SCons", "-Q"]

SCONSCRIPT = """Import("env", "Budget")

model = env.Model("{name}", network="network.py:Net", dataset="dataset.py:Data")
trained = model.Train(epochs=20, learning_rate=0.01).Prune("channel", sparsity=0.25)
trained.Quantize("minmax").Firmware(budget=Budget(ram="48 KB"))
"""
CLASSES = {"network.py": "Net", "dataset.py": "Data"}

BARE = """import json

DefaultEnvironment(tools=[])
env = Environment(tools=[])
SConsignFile("bare/{action}.sconsign")


def touch(target, source, env):
    for node in target:
        open(str(node), "w").close()


made = []
for step in json.load(open("bare/{action}.json")):
    made += env.Command(step["makes"], step["needs"], {action})
Default(Alias("all", made))
"""
ACTIONS = {"commands": '"touch $TARGETS"', "functions": "touch"}


@dataclass(frozen=True)
class Contest:
    """A build to be timed. `idle`: what it prints where it has nothing to do."""

    name: str
    command: list[str]
    idle: str


def project(folder: Path, models: int) -> None:
    """A project of many models, built by pretending."""
    for number in range(models):
        name = f"model{number}"
        place = folder / "models" / name
        place.mkdir(parents=True)
        (place / "SConscript").write_text(SCONSCRIPT.format(name=name))
        for file, kind in CLASSES.items():
            (place / file).write_text(f"class {kind}:\n    number = {number}\n")
    shutil.copy(TOP / "SConstruct", folder)
    (folder / "pretended.SConstruct").write_text(pretended.SCONSTRUCT)
    run(folder, [*SCONS, "-f", "pretended.SConstruct", f"target={TARGET}", "cache=none"])


def rivals(folder: Path, graph: list[dict[str, list[str]]]) -> list[Contest]:
    """The same graph for bare SCons, with two kinds of actions, and for ninja; all built."""
    found = list[Contest]()
    for action, text in ACTIONS.items():
        place = folder / "bare" / action
        place.mkdir(parents=True)
        moved = [{key: [_moved(path, f"bare/{action}") for path in row[key]] for key in row} for row in graph]
        (folder / f"bare/{action}.json").write_text(json.dumps(moved))
        (folder / f"bare/{action}.SConstruct").write_text(
            BARE.replace("{action})\n", f"{text})\n").format(action=action)
        )
        command = [*SCONS, "-f", f"bare/{action}.SConstruct"]
        run(folder, command)
        found.append(Contest(f"SCons, {action}", command, "is up to date"))
    if shutil.which("ninja"):
        lines = ["rule touch", "  command = touch $out"]
        lines += [f"build {_ninja(row['makes'])}: touch {_ninja(row['needs'])}" for row in graph]
        (folder / "build.ninja").write_text("\n".join(lines) + "\n")
        run(folder, ["ninja"])
        found.append(Contest("ninja", ["ninja"], "no work to do"))
    return found


def _moved(path: str, folder: str) -> str:
    return path.replace("build/", f"{folder}/", 1) if path.startswith("build/") else path


def _ninja(paths: Sequence[str]) -> str:
    return " ".join(
        _moved(path, "bare/ninja").replace("$", "$$").replace(" ", "$ ").replace(":", "$:") for path in paths
    )


def run(folder: Path, command: Sequence[str]) -> str:
    """The output of a process that must succeed."""
    environment = {**os.environ, "PYTHONPATH": f"{TOP}{os.pathsep}{TOP / 'benchmarks'}"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # SCons has its bytecode since it was installed
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@dataclass(frozen=True)
class Seconds:
    """Of the fastest run."""

    elapsed: float = float("inf")
    processor: float = float("inf")


def fastest(contests: Sequence[Contest], folder: Path, runs: int) -> list[Seconds]:
    """The fastest run of each; they take turns. Raises RuntimeError where one has something to do."""
    found = [Seconds()] * len(contests)
    for _ in range(runs):
        for number, contest in enumerate(contests):
            start, used = time.perf_counter(), _processor()
            output = run(folder, contest.command)
            elapsed, processor = time.perf_counter() - start, _processor() - used
            best = found[number]
            found[number] = Seconds(min(best.elapsed, elapsed), min(best.processor, processor))
            if contest.idle not in output:
                raise RuntimeError(f"{contest.name}: not a null build:\n{output}")
    return found


def _processor() -> float:
    """Seconds that the processes which are over have used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare(models: int, runs: int) -> str:
    """A line of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project(folder, models)
        graph = json.loads((folder / "graph.json").read_text())
        ours = Contest("nnrules", [*SCONS, f"target={TARGET}"], "is up to date")
        contests = [ours, *rivals(folder, graph)]
        seconds = fastest(contests, folder, runs)
    edges, files = sum(len(row["needs"]) for row in graph), {path for row in graph for key in row for path in row[key]}
    ours_used = seconds[0].processor
    shown = [f"{each.elapsed:.3f}" for each in seconds]
    shown[1:3] = [f"{each.elapsed:.3f} ({ours_used / each.processor:.2f})" for each in seconds[1:3]]
    return " | ".join([f"| {models}", f"{len(graph):,}", f"{len(files):,}", f"{edges:,}", *shown]) + " |"


def here(arguments: Sequence[str], runs: int) -> str:
    """The project in this folder."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "SConstruct").touch()
        (empty,) = fastest([Contest("empty", SCONS, "is up to date")], Path(folder), runs)
    (ours,) = fastest([Contest("here", [*SCONS, *arguments], "is up to date")], Path.cwd(), runs)
    more = ours.elapsed - empty.elapsed
    return f"empty SConstruct {empty.elapsed:.3f} s, nothing to do {ours.elapsed:.3f} s, difference {more:.3f} s"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--here", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="arguments of scons")
    parser.add_argument("--models", default="1,3,30,150", help="how many models, for each line of the table")
    parser.add_argument("--runs", type=int, default=5)
    chosen: Any = parser.parse_args()
    if chosen.here is not None:
        print(here(chosen.here, chosen.runs))
        return
    print("| models | steps | files | edges | nnrules | SCons, commands | SCons, functions | ninja |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for models in chosen.models.split(","):
        print(compare(int(models), chosen.runs), flush=True)


if __name__ == "__main__":
    main()
