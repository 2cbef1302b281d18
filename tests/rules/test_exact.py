"""Ways to a result that is not what its sources say: none of them may be called current, or enter the cache."""

import os
import shutil
import signal
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from tests.rules.project import Project
from tests.rules.test_failures import wait_for

WEIGHTS = "build/dense/dense.trained.safetensors"
OLD = (1_500_000_000, 1_500_000_000)


def weights(project: Project) -> str:
    return sha256((project.top / WEIGHTS).read_bytes()).hexdigest()


def trains(project: Project, *words: str) -> bool:
    """Whether a build of the weights runs or fetches the training; it must succeed."""
    done = project.build("model=dense", WEIGHTS, *words)
    assert done.status == 0, done.stdout + done.stderr
    return "dense train" in project.stages("ran") | project.stages("cached")


def with_files(project: Project, name: str) -> Path:
    """The data set names a folder of files; built."""
    folder = project.top / name
    for kind in ("cat", "dog"):
        (folder / kind).mkdir(parents=True)
        (folder / kind / "1.txt").write_text(kind)
        os.utime(folder / kind / "1.txt", OLD)
    place = name if name.startswith("/") else f"../../{name}"
    project.edit("models/dense/SConscript", r'"dataset.py:Slopes"', f'"dataset.py:Slopes", files=["{place}"]')
    assert trains(project)
    assert not trains(project)
    return folder


def test_an_edit_while_a_stage_runs(project: Project, tmp_path: Path) -> None:
    cache = f"cache={tmp_path / 'store'}"
    edited = project.top / "models/dense/network.py"
    before = edited.read_text()
    project.edit(
        "nnrules/stages/train.py", r"    request, options = [^\n]*\n", r"\g<0>    import time\n    time.sleep(3)\n"
    )
    build = project.start("model=dense", WEIGHTS, cache)
    wait_for((project.top / "build/.unsaved").exists, 30)
    edited.write_text(before.replace("nn.Linear(6, 3)", "nn.Linear(6, 3, bias=False)"))
    _, stderr = build.communicate()
    assert build.returncode == 2
    assert stderr.splitlines()[-1] == "[dense] train: sources changed while it ran; build again"
    assert not (project.top / WEIGHTS).exists()
    edited.write_text(before)
    project.build("model=dense", WEIGHTS, cache)
    assert project.stages("ran") == {"dense train"}


def test_a_stage_that_dies_after_its_outputs_are_in_place(project: Project) -> None:
    before = weights(project)
    project.edit(
        "nnrules/stages/runner.py",
        r"        request.require_seen\(\)\n",
        r"\g<0>        import atexit, signal\n"
        r"        os.environ.get('DIE') and atexit.register(os.kill, os.getpid(), signal.SIGKILL)\n",
    )
    assert trains(project)
    os.environ["DIE"] = "1"
    try:
        assert project.build("model=dense", WEIGHTS, "dense.train.seed=9").status == 2
    finally:
        del os.environ["DIE"]
    assert not (project.top / WEIGHTS).exists()
    assert trains(project)
    assert weights(project) == before


def test_a_database_that_could_not_be_written(project: Project) -> None:
    before = weights(project)
    (project.top / "build/.sconsign.tmp/x").mkdir(parents=True)
    project.build("model=dense", WEIGHTS, "dense.train.seed=9")
    shutil.rmtree(project.top / "build/.sconsign.tmp")
    project.build("model=dense", WEIGHTS)
    assert weights(project) == before


def test_what_depends_on_the_outputs_of_a_killed_build(project: Project) -> None:
    text = (project.top / "SConstruct").read_text()
    more = (
        f'Command("image", "{WEIGHTS}", Copy("$TARGET", "$SOURCE"))\nCommand("late", "image", "sleep 20; touch late")\n'
    )
    (project.top / "SConstruct").write_text(text + more)
    project.build("model=dense", "image")
    before = weights(project)
    build = project.start("model=dense", "late", "dense.train.seed=9")
    image = project.top / "image"
    wait_for(lambda: image.exists() and sha256(image.read_bytes()).hexdigest() != before, 60)
    build.send_signal(signal.SIGKILL)
    build.wait()  # not for what it started
    done = project.build("-n", "model=dense", "image")
    assert "[dense] train: run" in done.stdout
    project.build("model=dense", "image")
    assert sha256(image.read_bytes()).hexdigest() == before == weights(project)


@pytest.mark.parametrize(("place", "count"), [("set", 4), ("{}/set", 1)])
def test_names_of_data_files(project: Project, tmp_path: Path, place: str, count: int) -> None:
    cache = f"cache={tmp_path / 'store'}"
    folder = with_files(project, place.format(tmp_path))
    changes: list[Callable[[], object]] = [
        lambda: (folder / "cat").rename(folder / "cow"),
        lambda: (folder / "cow/1.txt").rename(folder / "cow/2.txt"),
        lambda: (folder / "cow/1.txt").write_text("one"),
        (folder / "dog/1.txt").unlink,
    ]
    for change in changes[:count]:
        change()
        assert trains(project, cache)
        assert project.stages("ran") == {"dense train"}
    shutil.rmtree(project.top / "build/dense")
    assert trains(project, cache)
    assert project.stages("cached") == {"dense train"}


def test_folders_that_are_links_and_files_whose_time_was_kept(project: Project, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.mkdir()
    (big / "x.csv").write_text("1")
    folder = with_files(project, "set")
    (folder / "linked").symlink_to(big)
    (big / "round").symlink_to(folder)
    assert trains(project)
    (big / "x.csv").write_text("2")
    assert trains(project)
    (folder / "dog/1.txt").write_text("wolf")
    os.utime(folder / "dog/1.txt", OLD)
    assert trains(project)
    (folder / "cat/__pycache__").mkdir()
    (folder / "cat/__pycache__/x.pyc").write_text("bytecode")
    assert not trains(project)


def test_a_python_file_whose_time_was_kept(project: Project) -> None:
    file = project.top / "models/dense/network.py"
    os.utime(file, OLD)
    assert not trains(project)
    file.write_text(file.read_text().replace("6, 3", "6, 4").replace("8, 6", "8, 6"))
    os.utime(file, OLD)
    assert project.build("-n", "model=dense", WEIGHTS).stdout.startswith("[dense] train: run")


def test_the_users_decider_is_the_users(project: Project) -> None:
    text = (project.top / "SConstruct").read_text()
    (project.top / "SConstruct").write_text(f'Decider("timestamp-newer")\n{text}')
    folder = with_files(project, "set")
    (folder / "cat/1.txt").write_text("lion")
    os.utime(folder / "cat/1.txt", (1_400_000_000, 1_400_000_000))
    assert trains(project)


def test_the_module_that_runs_is_the_one_that_counts(project: Project) -> None:
    (project.top / "sizes.py").write_text("raise SystemError('the wrong one')\n")
    (project.top / "models/dense/sizes.py").write_text("SIZE = 6\n")
    project.edit("models/dense/network.py", r"\nclass", "\nfrom sizes import SIZE\n\n\nclass")
    assert trains(project)
    (project.top / "sizes.py").write_text("raise SystemError('another wrong one')\n")
    assert not trains(project)


def test_modules_that_change_places(project: Project) -> None:
    for name, size in (("a", 4), ("b", 6)):
        (project.top / f"models/dense/{name}").mkdir()
        (project.top / f"models/dense/{name}/conf.py").write_text(f"SIZE = {size}\n")
    project.edit("models/dense/network.py", r"\nclass", "\nimport a.conf\nimport b.conf\n\n\nclass")
    assert trains(project)
    a, b = (project.top / f"models/dense/{name}/conf.py" for name in "ab")
    first, second = a.read_text(), b.read_text()
    a.write_text(second)
    b.write_text(first)
    assert trains(project)


def test_an_import_that_cannot_be_seen(project: Project) -> None:
    (project.top / "models/dense/hidden.py").write_text("SIZE = 6\n")
    project.edit("models/dense/network.py", r"\nclass", "\n__import__('hidden')\n\n\nclass")
    done = project.build("model=dense", WEIGHTS)
    line = "models/dense/hidden.py: is imported in a way that no build sees; name it in files= of env.Model\n"
    assert (done.status, done.stderr) == (2, line)
    project.edit("models/dense/SConscript", r'"dataset.py:Slopes"', '"dataset.py:Slopes", files=["hidden.py"]')
    assert trains(project)
    (project.top / "models/dense/hidden.py").write_text("SIZE = 7\n")
    assert trains(project)


def test_two_files_of_one_name(project: Project) -> None:
    for folder, file in (("n", "network.py"), ("d", "dataset.py")):
        (project.top / f"models/dense/{folder}").mkdir()
        (project.top / f"models/dense/{file}").rename(project.top / f"models/dense/{folder}/part.py")
    project.edit("models/dense/SConscript", "network.py:Dense", "n/part.py:Dense")
    project.edit("models/dense/SConscript", "dataset.py:Slopes", "d/part.py:Slopes")
    assert trains(project)


@pytest.mark.parametrize("option", ["dense.train.workers=0", "dense.verify.timeout=99", "dense.measure.timeout=98"])
def test_options_that_no_output_depends_on(project: Project, option: str) -> None:
    assert project.rebuild("model=all", option) == set()


@pytest.mark.parametrize("word", ["--cache-log=nowhere/log.json", "--graph=nowhere/graph.svg"])
def test_what_cannot_be_written_is_refused_before_the_build(project: Project, word: str) -> None:
    done = project.build("model=dense", word, "dense.train.seed=9")
    line = f"{word}: there is no folder nowhere; choose another file\n"
    assert (done.status, done.stdout, done.stderr) == (2, "", line)


def test_a_dry_run_writes_the_log_and_the_commands(project: Project) -> None:
    done = project.build("-n", "model=dense", "--cache-log=log.json", "--stage-commands", "dense.train.seed=9")
    assert "-m nnrules.stages.train --model dense" in done.stdout
    assert '"label": "[dense] train"' in (project.top / "log.json").read_text()


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": 1, "facts": {"/usr/bin/gcc": [[1, 2, 3, 4], []]}}', '{"x": [1]}']
)
def test_what_was_remembered_may_be_anything(project: Project, text: str) -> None:
    for name in ("sources.json", "tools.json", "fingerprints.json"):
        (project.top / ".nnrules" / name).write_text(text)
    assert not trains(project, "--explain")
    (project.top / WEIGHTS).unlink()
    assert trains(project, "--explain")
