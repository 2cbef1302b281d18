"""Many builds, one store: every hit is right; so it is after builds were killed at any point."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nnrules.cache import Cache
from nnrules.cache.eviction import evict
from tests.cache import worker
from tests.cache.box import Box, check, key, temporaries, usage

TOP = Path(__file__).resolve().parents[2]


def start(top: Path, seed: int, seconds: float) -> subprocess.Popen[str]:
    """A process that builds."""
    command = [sys.executable, "-m", "tests.cache.worker", str(top), str(seed), str(seconds)]
    return subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, int, int]:
    """Its hits, misses and warnings."""
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    hits, misses, warnings = map(int, stdout.split())
    assert not warnings, stderr
    return hits, misses, warnings


def sound(top: Path) -> int:
    """How many steps are hits; all of them must be right, and the store must take what is missing."""
    warnings: list[str] = []
    cache, folder = Cache(worker.settings(top), warnings.append), top / "sound"
    folder.mkdir(exist_ok=True)
    hits = sum(worker.restore(cache, number, folder) for number in range(worker.STEPS))
    assert not warnings
    assert not list(folder.iterdir())
    return hits


def test_processes_that_store_restore_and_evict(tmp_path: Path) -> None:
    processes = [start(tmp_path, seed, 3) for seed in range(4)]
    counts = [ended(process) for process in processes]
    assert sum(hits for hits, _, _ in counts) > 20
    assert sum(misses for _, misses, _ in counts) > 20
    assert sound(tmp_path) > 3
    evict(tmp_path / "store", worker.CAP)
    assert usage(tmp_path / "store") <= worker.CAP
    assert not temporaries(tmp_path / "store")


def test_two_builds_that_write_one_entry(box: Box) -> None:
    """Whichever comes last, what is there belongs together, although their outputs differ."""
    contents = [{"weights": bytes([number]) * 100_000, "log": bytes([number])} for number in range(8)]
    made = [box.made(**each) for each in contents]
    caches = [box.cache() for _ in made]
    gate = threading.Barrier(len(made))

    def build(number: int) -> None:
        gate.wait()
        for _ in range(5):
            caches[number].store(key(1), made[number], 1.0)

    threads = [threading.Thread(target=build, args=(number,)) for number in range(len(made))]
    for thread in threads:
        thread.start()
    for turn in range(20):
        files = {name: box.top / f"turn{turn}" / name for name in ("weights", "log")}
        if box.cache().restore(key(1), files):
            check(files, contents[files["log"].read_bytes()[0]])
    for thread in threads:
        thread.join()
    assert not box.warnings
    assert not temporaries(box.store)


def test_threads_of_one_build(box: Box) -> None:
    """SCons calls from -jN threads."""
    cache, faults = box.cache(size=3_000_000), list[BaseException]()
    (box.top / "work").mkdir()

    def work(seed: int) -> None:
        chance, folder = random.Random(seed), box.top / f"work/{seed}"
        folder.mkdir()
        try:
            for _ in range(30):
                number = chance.randrange(worker.STEPS)
                if not worker.restore(cache, number, folder):
                    worker.store(cache, number, folder)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache.close()
    assert not faults
    assert not box.warnings
    found = cache.summary
    assert found.hits_local + found.misses == 120
    assert found.damaged == 0


def killed(tmp_path: Path, times: int, chance: random.Random) -> None:
    """Kill builds while others go on; at the end the store is sound, and what was left behind can be cleared."""
    steady = start(tmp_path, 1000, 0.5 * times)
    for seed in range(times):
        victim = start(tmp_path, seed, 60)
        time.sleep(0.3 + chance.random() * 0.3)
        victim.kill()
        victim.communicate()
        assert victim.returncode == -9
    ended(steady)
    sound(tmp_path)
    hour = time.time() - 7200
    for path in temporaries(tmp_path / "store"):
        os.utime(path, (hour, hour))
    evict(tmp_path / "store", worker.CAP)
    assert not temporaries(tmp_path / "store")
    assert usage(tmp_path / "store") <= worker.CAP
    assert sound(tmp_path) > 3


def test_builds_that_are_killed(tmp_path: Path) -> None:
    killed(tmp_path, 5, random.Random(1))


@pytest.mark.soak
def test_builds_that_are_killed_for_long(tmp_path: Path) -> None:
    killed(tmp_path, 200, random.Random(2))


@pytest.mark.soak
def test_processes_that_store_restore_and_evict_for_long(tmp_path: Path) -> None:
    processes = [start(tmp_path, seed, 300) for seed in range(8)]
    for process in processes:
        stdout, stderr = process.communicate(timeout=600)
        assert process.returncode == 0, stderr
        assert int(stdout.split()[0]) > 100
    assert sound(tmp_path) > 3
