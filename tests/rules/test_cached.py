"""Builds that share a cache: other checkouts, other build folders, and what must never come from it."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from tests.rules.project import Finished, Project, after


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, built: Project) -> Path:
    """A cache that has all of the sample project, filled by a checkout that is gone."""
    top = tmp_path_factory.mktemp("first")
    first = Project.create(top / "checkout")
    assert first.build("model=all", f"cache={top / 'store'}").status == 0
    first.top.rename(top / "elsewhere")
    return top / "store"


@pytest.fixture
def cache(store: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(store, tmp_path / "store"))


def outputs(folder: Path) -> dict[str, str]:
    """SHA-256 of all that was built, by path."""
    left_out = ("last_build.json", ".lock", ".sconsign.dblite")
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in left_out]
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def results(project: Project) -> dict[str, str]:
    return {f"{row['model']} {row['stage']}": row["result"] for row in project.last_build()}


def build(project: Project, cache: Path, *words: str) -> Finished:
    done = project.build("model=all", f"cache={cache}", *words)
    assert done.status == 0, done.stderr
    return done


def test_another_checkout_runs_nothing_and_has_the_same_bytes(built: Project, store: Path, tmp_path: Path) -> None:
    second = Project.create(tmp_path / "deep/er/checkout")
    done = build(second, store)
    assert set(results(second).values()) == {"cached"}
    assert outputs(second.top / "build") == outputs(built.top / "build")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("cache: ")]
    assert f"cache: {len(results(second))} hits, 0 misses, " in line
    assert build(second, store).stdout.splitlines()[0] == "scons: `all-models' is up to date."


def test_silence_leaves_out_the_steps_that_went_well(cache: Path, tmp_path: Path) -> None:
    project = Project.create(tmp_path / "checkout")
    for option, result in (("gate.ram=16000", "cached"), ("quantize.percentile=90", "ran")):
        lines = build(project, cache, "-s", f"tiny.{option}").stdout.splitlines()
        assert result in results(project).values()
        assert [line for line in lines if line.startswith("[")] == []
        assert any(line.split()[:2] == ["model", "target"] for line in lines)


def test_debug_information_has_no_folder_of_this_machine(built: Project) -> None:
    objects = list((built.top / "build/tiny/x86-64/objects/host").rglob("*.o"))
    assert objects
    for file in objects:
        assert str(built.top).encode() not in file.read_bytes(), file


def test_another_build_folder(store: Path, tmp_path: Path) -> None:
    second = Project.create(tmp_path / "checkout")
    build(second, store, "build_dir=out/of/here")
    rows = json.loads((second.top / "out/of/here/last_build.json").read_text())["stages"]
    assert {row["result"] for row in rows} == {"cached"}


def test_going_back_runs_nothing(project: Project, cache: Path) -> None:
    build(project, cache, "tiny.quantize.percentile=90")
    assert project.stages("ran") >= {"tiny quantize", "tiny lower"}
    build(project, cache)
    assert not project.stages("ran")
    assert project.stages("cached") >= {"tiny quantize", "tiny lower"}


def test_a_spoilt_content_runs_its_stage_and_is_repaired(cache: Path, tmp_path: Path) -> None:
    for path in (cache / "cas").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1] + b"?")
    second = Project.create(tmp_path / "checkout")
    build(second, cache)
    assert second.stages("ran") == after("tiny", "train") | after("dense", "train")
    third = Project.create(tmp_path / "again")
    build(third, cache)
    assert set(results(third).values()) == {"cached"}
    assert outputs(third.top / "build") == outputs(second.top / "build")


def test_a_failed_stage_never_enters(project: Project, cache: Path) -> None:
    word = "tiny.gate.ram=1"
    for _ in range(2):
        done = project.build("model=tiny", f"cache={cache}", word)
        assert done.status == 2
        assert results(project)["tiny gate"] == "failed"


def test_read_only_takes_and_does_not_give(cache: Path, tmp_path: Path) -> None:
    before = outputs(cache)
    second = Project.create(tmp_path / "checkout")
    (second.top / "SConstruct").write_text(
        (second.top / "SConstruct")
        .read_text()
        .replace("for script", f"project.env.NNCache({str(cache)!r}, read_only=True)\nfor script")
    )
    done = second.build("model=all", "tiny.quantize.percentile=90", cache=None)
    assert done.status == 0, done.stderr
    assert {"tiny train", "dense report"} <= second.stages("cached")
    assert "tiny quantize" in second.stages("ran")
    assert outputs(cache) == before


def test_a_cache_that_cannot_be_used_is_one_warning(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = project.build("model=tiny", f"cache={tmp_path / 'file'}", "tiny.quantize.percentile=90")
    assert done.status == 0
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "file") in done.stderr


def test_the_log_has_every_key_and_what_it_is_made_of(cache: Path, tmp_path: Path) -> None:
    second = Project.create(tmp_path / "checkout")
    build(second, cache, "--cache-log=log.json")
    steps = {step["label"]: step for step in json.loads((second.top / "log.json").read_text())["steps"]}
    train = steps["[tiny] train"]
    assert train["result"] == "cached"
    assert train["components"]["options"]["batch_size"] == 16
    assert train["components"]["libraries"]["torch"]
    weights = sha256((second.top / "build/tiny/tiny.trained.safetensors").read_bytes()).hexdigest()
    assert train["outputs"]["weights"] == weights
    assert steps["[tiny] export"]["components"]["inputs"]["weights"] == [weights]
    build(second, cache, "--cache-log=log.json")
    again = {step["label"]: step for step in json.loads((second.top / "log.json").read_text())["steps"]}
    assert {label: step["key"] for label, step in again.items()} == {
        label: step["key"] for label, step in steps.items()
    }
    assert {step["result"] for step in again.values()} == {"current"}


def test_the_default_is_in_the_project(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "checkout")
    assert project.build("model=dense", cache=None).status == 0
    assert (project.top / ".nnrules/cache/ac").is_dir()
    shutil.rmtree(project.top / "build")
    assert project.build("model=dense", cache=None).status == 0
    assert project.stages("ran") == set()


def overlap(project: Project) -> bool:
    """Whether two trainings ran at one time."""
    moments = list(map(float, (project.top / "times").read_text().split()))
    (_, end), (begin, _) = sorted(zip(moments[::2], moments[1::2], strict=True))
    return end > begin


@pytest.mark.parametrize("interference", ["complete", "half"])
def test_what_a_killed_build_made_is_not_trusted(project: Project, interference: str) -> None:
    file = project.top / "build/tiny/tiny.qparams.json"
    before = file.read_bytes()
    file.write_bytes(before[:10] if interference == "half" else before.replace(b"0.", b"1."))
    mine = project.top / "README.md"
    mine.write_text("words")
    made = [
        "build/tiny/tiny.qparams.json",
        "build/tiny/never.made",
        "build/../README.md",
        str(mine),
        "build/tiny",
        "\0",
    ]
    (project.top / "build/.unsaved").write_text("\n".join(made))
    done = project.build("model=all")
    assert done.status == 0, done.stderr
    assert "the last build was killed: 1 files that it made are made again" in done.stdout
    assert file.read_bytes() == before
    assert project.stages("ran") == {"tiny quantize"}
    assert (project.top / "build/.unsaved").read_text() == "build/tiny/never.made\n"  # which no step of these makes
    assert mine.exists()


def test_files_that_the_dataset_reads_count_by_their_content(project: Project) -> None:
    folder = project.top / "models/dense/noise"
    folder.mkdir()
    (folder / "a.txt").write_text("1")
    project.edit("models/dense/SConscript", r'"dataset.py:Slopes"', '"dataset.py:Slopes", files=["noise"]')
    assert project.rebuild("model=all") >= {"dense train", "dense sample", "dense evaluate", "dense report"}
    (folder / "a.txt").write_text("2")
    assert project.rebuild("model=all") >= {"dense train"}
    assert project.rebuild("model=all") == set()
    project.edit("models/dense/SConscript", r'"noise"', '"nose"')
    assert project.build("model=dense").stderr == (
        "models/dense/SConscript:3: there is no file models/dense/nose; create it or correct the name\n"
    )


def test_heavy_stages_run_one_after_the_other_and_light_ones_go_on(project: Project) -> None:
    train = "nnrules/stages/train.py"
    project.edit(train, r"    request, options = [^\n]*\n", r"\g<0>    import time\n    begin = time.time()\n")
    project.edit(train, r"\n\nif __name__", '    open("times", "a").write(f"{begin} {time.time()} ")\n\n\nif __name__')
    trained = [f"build/{model}/{model}.trained.safetensors" for model in ("tiny", "dense")]
    assert project.build("model=all", "-j2", *trained).status == 0
    assert overlap(project)
    (project.top / "times").unlink()
    for model in ("tiny", "dense"):
        project.edit(f"models/{model}/SConscript", r"Train\(", 'Train(resources={"gpu": 1}, ')
    assert project.build("model=all", "-j2", "tiny.train.seed=5", "dense.train.seed=5", *trained).status == 0
    assert not overlap(project)
    project.edit("models/tiny/SConscript", '"gpu": 1', '"gpu": 2')
    assert project.build("model=tiny").stderr == (
        "models/tiny/SConscript:4: needs 2 of 'gpu', the build has 1; "
        "lower it, or say in Project(resources={...}) what there is\n"
    )
