"""Stages in forked children and as processes of their own: the same bytes, statuses and texts, nothing left over."""

import json
import os
import py_compile
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from nnrules.rules.processes import INTERRUPTED, Processes
from nnrules.rules.terminal import Terminal
from nnrules.rules.workers import SWITCH, Workers
from tests.rules.marked import read, wait_for
from tests.rules.project import TOP

MODEL = "tests/rules/sample_project/models/tiny"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="there are no servers here")


class Lines(Terminal):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self.fractions: list[float] = []

    def say(self, line: str) -> None:
        self.stdout.append(line)

    def error(self, text: str) -> None:
        self.stderr.append(text)

    def progress(self, label: str, fraction: float, text: str, line: str = "") -> None:
        self.fractions.append(fraction)
        super().progress(label, fraction, text, line)


class Build:
    """What one build has, and stages whose dataset's file begins with any code."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, self.lines, self.processes = folder, Lines(), Processes()
        self.workers = Workers(self.lines, self.processes, {**os.environ, **environment})

    def command(self, verb: str, name: str, code: str, output: str, **options: object) -> list[str]:
        """A stage that writes into the folder `name`."""
        dataset = self.folder / f"{name}_data.py"
        dataset.write_text(
            f"import os, signal, subprocess, sys, time\n{code}\n" + (TOP / MODEL / "dataset.py").read_text()
        )
        words = [sys.executable, "-m", f"nnrules.stages.{verb}", "--model", "tiny"]
        words += ["--in", f"network={MODEL}/network.py:Tiny", "--in", f"dataset={dataset}:Bars"]
        words += ["--out", f"{output}={self.folder}/{name}/{output}", "--out", f"log={self.folder}/{name}/log.json"]
        return [*words, "--options", json.dumps(options)]

    def train(self, name: str, code: str = "", fresh: bool = False, **options: object) -> int:
        """The status of a training."""
        recipe = {"epochs": 2, "batch_size": 16, "workers": 0, **options}
        command = self.command("train", name, code, "weights", **recipe)
        return self.workers.run("train", f"[tiny] {name}", command, fresh)

    def probe(self, name: str, code: str, fresh: bool = False) -> int:
        """The status of a stage that runs the code before it imports anything slow, and may end with it."""
        return self.workers.run("export", f"[tiny] {name}", self.command("export", name, code, "model"), fresh)

    def weights(self, name: str) -> bytes:
        return (self.folder / name / "weights").read_bytes()

    def told(self, word: str) -> int:
        """The number after a word that the stage printed."""
        (number,) = (int(line.split()[1]) for line in self.lines.stdout if line.startswith(f"{word} "))
        return number


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    build = Build(tmp_path_factory.mktemp("shared"))
    yield build
    build.workers.close()


@pytest.fixture
def build(shared: Build, tmp_path: Path) -> Build:
    """With servers, for tests that leave it as it was."""
    shared.folder = tmp_path
    for told in (shared.lines.stdout, shared.lines.stderr, shared.lines.fractions):
        told.clear()
    return shared


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Build]:
    """With servers of its own."""
    build = Build(tmp_path)
    yield build
    build.workers.close()


@pytest.fixture
def alone(tmp_path: Path) -> Build:
    """Without servers."""
    return Build(tmp_path, **{SWITCH: "0"})


@pytest.mark.parametrize("options", [{"threads": 1, "workers": 1}, {"threads": 2}])
def test_the_same_bytes_from_a_server(build: Build, alone: Build, options: Mapping[str, object]) -> None:
    assert build.train("forked", **options) == alone.train("alone", **options) == 0
    assert build.weights("forked") == alone.weights("alone")
    losses = [[line.partition(",")[0] for line in each.lines.stderr] for each in (build, alone)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("kind", ["build", "alone"])
def test_texts_and_progress(kind: str, request: pytest.FixtureRequest) -> None:
    build: Build = request.getfixturevalue(kind)
    code = "import atexit; atexit.register(lambda: print('no end', end='', file=sys.stderr))"
    code += "; print('\\x1e{}\\r'); print('\\x41\\u00e9\\r\\u65e5', end='')"
    assert build.train("texts", code) == 0
    assert build.lines.stdout == ["\x1e{}", "\u65e5"]
    assert build.lines.stderr[-1] == "no end"
    lines = [line for line in build.lines.stderr if line.startswith("train tiny epoch 2/2 loss 0.")]
    assert [line.endswith(", 0 s left") for line in lines] == [True]
    assert build.lines.fractions[-1] == 1.0


@pytest.mark.parametrize("kind", ["build", "alone"])
@pytest.mark.parametrize(
    ("code", "status", "text"),
    [
        ("raise ArithmeticError('no')", 2, "{data}:2: ArithmeticError: no; fix the exception and build again"),
        ("raise KeyboardInterrupt", INTERRUPTED, None),
        ("os._exit(7)", 7, None),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, None),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", -signal.SIGTERM, None),
    ],
)
def test_statuses(kind: str, code: str, status: int, text: str | None, request: pytest.FixtureRequest) -> None:
    build: Build = request.getfixturevalue(kind)
    assert build.probe("failing", code) == status
    assert build.lines.stderr == ([text.format(data=build.folder / "failing_data.py")] if text else [])
    assert not (build.folder / "failing/model").exists()


@LINUX
def test_a_stage_that_is_killed_fails_alone(build: Build) -> None:
    results: dict[str, int] = {}
    code = "import threading; threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()"
    threads = [
        threading.Thread(target=lambda: results.update(killed=build.train("killed", code, epochs=10000))),
        threading.Thread(target=lambda: results.update(other=build.train("other", epochs=50))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {"killed": -signal.SIGKILL, "other": 0}
    assert not list((build.folder / "killed").iterdir())


@pytest.mark.parametrize("kind", ["build", "alone"])
@pytest.mark.parametrize("end", ["sys.exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_what_a_stage_started_ends_with_it(kind: str, end: str, request: pytest.FixtureRequest) -> None:
    build: Build = request.getfixturevalue(kind)
    build.probe("parent", f"print('child', subprocess.Popen(['sleep', '1000']).pid, flush=True)\n{end}")
    wait_for(lambda: read(build.told("child")) is None, 1)


@LINUX
def test_the_stages_of_a_killed_server_are_killed_and_the_next_has_a_new_one(own: Build, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"open('{pids}', 'w').write(f'{{os.getpid()}} {{subprocess.Popen([\"sleep\", \"1000\"]).pid}}')\n"
    assert own.probe("first", code + "os.kill(os.getppid(), signal.SIGKILL); time.sleep(1000)") == -signal.SIGKILL
    wait_for(lambda: not any(read(int(pid)) for pid in pids.read_text().split()), 1)
    assert own.probe("second", "sys.exit(0)") == 0


@LINUX
def test_a_stage_ends_with_its_server_when_nobody_else_can_end_it(tmp_path: Path) -> None:
    """As after a SIGKILL of the build and its server at once."""
    build = Build(tmp_path)
    code = "print('child', subprocess.Popen(['sleep', '1000']).pid, os.getpid(), flush=True); time.sleep(1000)"
    request = {
        "id": 1, "verb": "export", "preload": [], "arguments": build.command("export", "lonely", code, "model")[3:]
    }  # fmt: skip
    server = subprocess.Popen(
        [sys.executable, "-m", "nnrules.stages.server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    print(json.dumps(request), file=server.stdin, flush=True)
    started, said = (json.loads(server.stdout.readline()) for _ in range(2))
    assert said.keys() == {"id", "stdout"}, said
    stage, child = started["process"], int(said["stdout"].split()[1])
    assert list((tmp_path / "lonely").iterdir()) == [tmp_path / "lonely/.model.partial"]
    server.kill()
    wait_for(lambda: read(stage) is read(child) is None, 1)
    server.communicate()
    assert not list((tmp_path / "lonely").iterdir())


@LINUX
def test_a_server_has_one_thread_and_no_device(tmp_path: Path) -> None:
    from nnrules.rules.workers import _PRELOAD

    server = subprocess.Popen(
        [sys.executable, "-m", "nnrules.stages.server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    requests = [
        {"id": id, "verb": verb, "preload": names, "arguments": []} for id, (verb, names) in enumerate(_PRELOAD.items())
    ]
    assert server.stdin is not None
    assert server.stdout is not None
    for request in requests:
        print(json.dumps(request), file=server.stdin, flush=True)
    statuses = {}
    while len(statuses) < len(requests):
        message = json.loads(server.stdout.readline())
        if "status" in message:
            statuses[message["id"]] = message["status"]
    assert set(statuses.values()) == {2}  # for want of --model
    assert "\nThreads:\t1\n" in Path(f"/proc/{server.pid}/status").read_text()
    maps = Path(f"/proc/{server.pid}/maps").read_text()
    assert "libtorch_cpu" in maps
    opened = [str(link.readlink()) for link in Path(f"/proc/{server.pid}/fd").iterdir()]
    assert not [file for file in opened if file.startswith("/dev/nv")]
    assert server.communicate() == ("", "")
    assert server.returncode == 0


def test_every_stage_of_torch_is_preloaded_with_what_is_there() -> None:
    """A misspelt module would be imported by every stage anew."""
    import importlib.util

    from nnrules.catalog.stages import STAGES
    from nnrules.rules.workers import _PRELOAD

    assert set(_PRELOAD) <= set(STAGES)
    names = {name for modules in _PRELOAD.values() for name in modules}
    assert not [name for name in sorted(names) if importlib.util.find_spec(name) is None]


@LINUX
def test_where_a_server_breaks_down_the_stage_says_why(tmp_path: Path) -> None:
    (tmp_path / "jinja2.py").write_text("import os, sys\nprint('broken', file=sys.stderr, flush=True)\nos._exit(5)")
    build = Build(tmp_path, PYTHONPATH=str(tmp_path))
    assert build.workers.run("generate", "[tiny] generate", [sys.executable, "-m", "nnrules.stages.generate"]) == 5
    assert build.lines.stderr == ["broken", "broken"]


@LINUX
def test_fresh_stages_are_processes_of_their_own(build: Build, alone: Build) -> None:
    code = "print('parent', os.getppid()); sys.exit(0)"
    assert build.probe("fresh", code, fresh=True) == alone.probe("alone", code) == 0
    assert build.told("parent") == alone.told("parent") == os.getpid()
    assert alone.processes._running == set()


@LINUX
def test_modules_of_the_user_are_imported_by_each_stage(build: Build) -> None:
    for text in ("one", "two"):
        assert build.probe("edited", f"print('{text}', os.getppid()); sys.exit(0)") == 0
    assert build.told("one") == build.told("two")


def test_bytecode_beside_the_users_modules_is_not_believed(build: Build) -> None:
    """It looks right where a file was edited within a second and kept its length."""
    code = "import edited_helper; print('{0}', edited_helper.text); sys.exit(0)"
    for text in ("one", "two"):
        command = build.command("export", "edited", code.format(text), "model")
        helper, dataset = build.folder / "edited_helper.py", build.folder / "edited_data.py"
        helper.write_text(f"text = '{text}'\n")
        for file in (helper, dataset):
            os.utime(file, (1e9, 1e9))
            if text == "one":
                py_compile.compile(str(file), doraise=True)
        assert build.workers.run("export", "[tiny] edited", command, False) == 0
    assert build.lines.stdout == ["one one", "two two"]


@LINUX
def test_a_stage_without_torch_does_not_wait_for_it(own: Build) -> None:
    gate = ("gate", "[tiny] gate", [sys.executable, "-m", "nnrules.stages.gate"])
    assert own.workers.run(*gate) == 2  # for want of --model
    (server,) = own.processes._running
    assert "libtorch" not in Path(f"/proc/{server.pid}/maps").read_text()
    assert own.probe("warm", "sys.exit(0)") == 0
    server.kill()
    server.wait()
    assert own.workers.run(*gate) == 2
    wait_for(lambda: len(own.processes._running) == 1, 1)


@pytest.mark.parametrize("kind", ["own", "alone"])
def test_an_interruption_ends_stages_that_will_not(kind: str, request: pytest.FixtureRequest) -> None:
    build: Build = request.getfixturevalue(kind)
    code = "signal.signal(signal.SIGINT, signal.SIG_IGN); print('child', os.getpid(), flush=True); time.sleep(1000)"
    threading.Thread(target=_interrupt, args=(lambda: build.lines.stdout, build.processes)).start()
    assert build.probe("deaf", code) == INTERRUPTED
    wait_for(lambda: read(build.told("child")) is None, 3)
    assert build.probe("after", "") == INTERRUPTED
    assert build.processes.run(["true"]).status == INTERRUPTED
    assert build.lines.stderr == []


def _interrupt(condition: Callable[[], object], processes: Processes) -> None:
    try:
        wait_for(condition, 60)
    finally:
        processes.interrupt()


def test_an_interrupted_stage_leaves_nothing_half_written(own: Build) -> None:
    threading.Thread(target=_interrupt, args=(lambda: own.lines.fractions, own.processes)).start()
    assert own.train("long", epochs=100000, workers=1) == INTERRUPTED
    assert not list((own.folder / "long").iterdir())
    assert not [line for line in own.lines.stderr if "epoch" not in line]


def test_the_output_of_a_process() -> None:
    code = "import sys; print('x' * 100000); print('\\u65e5', file=sys.stderr); sys.exit(3)"
    done = Processes().run([sys.executable, "-c", code], env={**os.environ, "PYTHONUTF8": "1"})
    assert (done.status, done.stdout, done.stderr) == (3, "x" * 100000 + "\n", "\u65e5\n")
    with pytest.raises(FileNotFoundError):
        Processes().run(["no such command"])


WATCH = """\
import os, signal, time
from nnrules.rules.processes import Processes
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, lambda *_: None)
processes = Processes()
processes.watch_signals()
os.kill(os.getpid(), signal.SIGUSR1)
assert os.read(reader, 1)[0] == signal.SIGUSR1 and not processes.interrupted
os.kill(os.getpid(), signal.{name})
print(processes.run(["sleep", "1000"]).status, os.read(reader, 1)[0] == signal.{name})
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_are_watched_beside_those_who_watched_before(name: str) -> None:
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", WATCH.format(name=name)], capture_output=True, text=True, cwd=TOP, check=False
    )
    assert (done.stdout, done.stderr) == ("130 True\n", "")
    assert time.monotonic() - start < 10
