"""Studies without training: what is drawn, what is kept, who wins."""

import errno
import json
import math
import os
import pickle
import sys
import threading
import time
from pathlib import Path

import pytest

from nnrules.catalog.space import Parameter
from nnrules.catalog.stages import SearchOptions, TrainOptions
from nnrules.error import UserError
from nnrules.stages import search as search_module
from nnrules.stages import trial as trial_module
from nnrules.stages.runner import Request, _searched
from nnrules.stages.trial import TrialRequest
from nnrules.training.search import storage as storage_module
from nnrules.training.search import study as study_module
from nnrules.training.search.draw import value_of
from nnrules.training.search.parts import Parts, require_mixed
from nnrules.training.search.storage import _bare, opened, resolved
from nnrules.training.search.study import Study, Trial, front, winner
from nnrules.verify import search_page


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here needs its journal after a power cut."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


RATE = Parameter(name="train.learning_rate", low=0.001, high=0.1, log=True)
WIDTH = Parameter(name="network.width", low=4, high=16, whole=True, step=4)
TASK = ("network", "dataset")
BITS = Parameter(name="quantize.last_bits", values=(4, 8))
WORDS = Parameter(name="train.optimizer", values=("adamw", "sgd"))


def play(
    folder: Path, count: int | None, space: tuple[Parameter, ...], url: str = "", **options: object
) -> list[Trial]:
    """Trials of which each is as good as its learning rate, or as it is wide."""
    chosen = SearchOptions(**{"space": space, "trials": count, **options})  # type: ignore[arg-type]
    with opened("search it", url, folder) as storage:
        study = Study(storage, "name", chosen, 2)
        study.resume()
        while begun := study.next():
            study.complete(begun, float(next(iter(begun.chosen.values()))), None, epochs=2, seconds=1.0, name="score")
        return study.trials()


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_study_that_was_cut_off_goes_on_as_it_would_have(tmp_path: Path, sampler: str) -> None:
    whole = play(tmp_path / "whole", 15, (RATE, WORDS), sampler=sampler)
    play(tmp_path / "cut", 4, (RATE, WORDS), sampler=sampler)
    with opened("search it", "", tmp_path / "cut") as storage:
        Study(storage, "name", SearchOptions(space=(RATE, WORDS), trials=15, sampler=sampler), 2).next()  # type: ignore[arg-type]
    cut = play(tmp_path / "cut", 15, (RATE, WORDS), sampler=sampler)
    assert [trial.chosen for trial in cut] == [trial.chosen for trial in whole]
    assert [trial.number for trial in cut] == [0, 1, 2, 3, *range(5, 16)]
    other = play(tmp_path / "other", 15, (RATE, WORDS), sampler=sampler, seed=2)
    assert all(one.chosen != two.chosen for one, two in zip(whole, other, strict=True))


def test_each_combination_comes_once_where_there_are_few(tmp_path: Path) -> None:
    trials = play(tmp_path, 20, (WIDTH, WORDS))
    found = {json.dumps(trial.chosen) for trial in trials}
    assert len(trials) == len(found) == 8
    assert {trial.chosen["network.width"] for trial in trials} == {4, 8, 12, 16}


@pytest.mark.parametrize("limits", [{"epochs": 99}, {"seconds": 99.0}, {"trials": 7}])
def test_no_combination_comes_twice(tmp_path: Path, limits: dict[str, float]) -> None:
    space = (Parameter(name="network.a", values=(1, 2)), Parameter(name="network.b", values=(1, 2, 3, 4)))
    trials = play(tmp_path, limits.get("trials"), space, **{**limits, "trials": limits.get("trials")})
    assert len(trials) == len({json.dumps(trial.chosen) for trial in trials}) == limits.get("trials", 8)


def test_a_range_with_few_values_comes_to_its_end(tmp_path: Path) -> None:
    space = (Parameter(name="network.a", low=1.0, high=math.nextafter(1.0, 2)),)
    assert [trial.chosen for trial in play(tmp_path, 9, space)] == [{"network.a": 1.0}]


@pytest.mark.parametrize(
    ("space", "drawn", "value"),
    [
        ({"low": 0.001, "high": 0.1, "log": True}, 0.0123456, 0.01235),
        ({"low": 99.9, "high": 100.0}, 99.9512345, 99.95123),
        ({"low": 99.99, "high": 100.0, "step": 0.001}, 99.991, 99.991),
        ({"low": 0.0, "high": 0.3, "step": 0.1}, 0.1 + 0.2, 0.3),
        ({"low": 1, "high": 9, "whole": True}, 3, 3),
    ],
)
def test_numbers_have_the_digits_that_tell_them_apart(space: dict[str, float], drawn: float, value: float) -> None:
    assert value_of(Parameter(name="network.a", **space), drawn) == value  # type: ignore[arg-type]


def test_the_first_trials_of_a_longer_study_decide(tmp_path: Path) -> None:
    long = play(tmp_path, 8, (RATE,))
    assert winner(long[:4], 0.0) != winner(long, 0.0)
    with opened("search it", "", tmp_path) as storage:
        study = Study(storage, "name", SearchOptions(space=(RATE,), trials=4), 2)
        assert study.next() is None
        assert study.is_over()
        assert study.trials() == long[:4]
        assert study.importances() == {RATE.name: 1.0}


def test_a_study_may_be_longer_or_in_a_database(tmp_path: Path) -> None:
    short = play(tmp_path / "journal", 3, (RATE,))
    assert play(tmp_path / "journal", 6, (RATE,))[:3] == short
    assert play(tmp_path / "journal", 6, (RATE,), f"sqlite:///{tmp_path}/study.db") == play(
        tmp_path / "journal", 6, (RATE,)
    )
    assert len(play(tmp_path / "spent", 99, (RATE,), epochs=7)) == 4
    assert len(play(tmp_path / "late", 99, (RATE,), seconds=2.5)) == 3


def test_half_a_line_at_the_end_of_a_journal_is_dropped(tmp_path: Path) -> None:
    before = play(tmp_path, 3, (RATE,))
    with (tmp_path / "journal").open("ab") as journal:
        journal.write(b'{"op_code": 4, "wor')
    (tmp_path / "journal.lock").symlink_to("nowhere")
    assert play(tmp_path, 4, (RATE,))[:3] == before


def test_a_journal_that_is_damaged_or_cannot_grow_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    cure = "mend that and build again: the trials that are over are kept"
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(UserError) as fault:
            play(tmp_path, 3, (RATE,))
    told = "search it: the study's database does not answer"
    assert str(fault.value) == f"{told} ([Errno 28] No space left on device); {cure}"
    play(tmp_path, 3, (RATE,))
    journal = tmp_path / "journal"
    journal.write_bytes(journal.read_bytes().replace(b"{", b"[", 1))
    with pytest.raises(UserError) as fault:
        play(tmp_path, 4, (RATE,))
    assert str(fault.value) == f"{told} ({journal} is damaged); {cure}"


def test_one_build_at_a_time_has_a_journal(tmp_path: Path) -> None:
    with opened("search it", "", tmp_path), pytest.raises(UserError) as fault, opened("search it", "", tmp_path):
        pass
    line = "search it: another build is at this study; wait for it, or share a database by storage="
    assert str(fault.value) == line


@pytest.mark.parametrize(("pruner", "ended"), [("median", [4, 5]), ("none", [])])
def test_the_pruner_ends_what_is_worse(tmp_path: Path, pruner: str, ended: list[int]) -> None:
    """The first four trials set the median."""
    chosen = SearchOptions(space=(RATE,), trials=6, pruner=pruner)  # type: ignore[arg-type]
    found = []
    with opened("search it", "", tmp_path) as storage:
        study = Study(storage, "name", chosen, 2)
        while begun := study.next():
            if study.report(begun, 1, 0.9 - begun.number / 100):
                study.pruned(begun, epochs=1)
                found.append(begun.number)
            else:
                study.complete(begun, 0.9, None, epochs=2)
    assert found == ended


def test_hyperband_ends_most_of_what_is_worse(tmp_path: Path) -> None:
    with opened("search it", "", tmp_path) as storage:
        study = Study(storage, "name", SearchOptions(space=(RATE,), trials=9, pruner="hyperband"), 9)
        while begun := study.next():
            steps = next((step for step in range(1, 9) if study.report(begun, step, 0.9 - begun.number / 100)), None)
            study.pruned(begun, epochs=steps) if steps else study.complete(begun, 0.9, None, epochs=9)
        states = [trial.state for trial in study.trials()]
    assert states[0] == "complete"
    assert states.count("pruned") > 4


def test_what_a_search_before_chose_for_the_network_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tmp_path / "before.json"
    before.write_text('{"network.width": 6, "train.learning_rate": 0.5}')
    play(tmp_path, 2, (BITS,))
    monkeypatch.setattr(search_page, "render", lambda _: "")
    outputs = {name: str(tmp_path / name) for name in ("best", "study", "report", "table")}
    options = SearchOptions(space=(BITS,), trials=2)
    request = Request("search", "it", "", options, {"best": [str(before)]}, outputs)
    with opened("search it", "", tmp_path) as storage:
        search_module._write(request, Study(storage, "name", options, 2))
    assert json.loads((tmp_path / "best").read_text()) == {"network.width": 6, "quantize.last_bits": 8}
    given = {"best": [str(before)]}
    trial = TrialRequest("train", "it", "", None, given, chosen={"network.depth": 2, "train.epochs": 1})
    assert trial.arguments("network") == {"width": 6, "depth": 2}
    assert trial.arguments("dataset") == {}


def test_a_trial_can_be_sent_to_another_process(tmp_path: Path) -> None:
    """By a launcher whose processes have not imported the user's files."""
    (tmp_path / "user_data.py").write_text("class Some:\n    splits = ('train', 'validation')\n")
    request = Request("search", "it", "", SearchOptions(), {name: [f"{tmp_path}/user_data.py:Some"] for name in TASK})
    trial = trial_module.Trial(request, {}, tmp_path)
    assert "user_data" in sys.modules
    sent = pickle.dumps(trial._request_for("train", TrainOptions(), {}, 0))
    del sys.modules["user_data"]
    sys.path.remove(str(tmp_path))
    received = pickle.loads(sent)
    assert "user_data" not in sys.modules
    assert isinstance(received.reference("dataset"), Parts)


def test_a_trial_that_was_cut_off_goes_on_once(tmp_path: Path) -> None:
    with opened("search it", "", tmp_path) as storage:
        study = Study(storage, "name", SearchOptions(space=(RATE,), trials=2), 2)
        cut = study.next()
        assert cut
        assert not study.report(cut, 1, 0.5)
        assert study.again(cut)
        more = study.next()
        assert more
        assert (more.chosen, more.first) == (cut.chosen, cut.number)
        assert not study.again(more)
        study.failed(more, "its process was killed by SIGKILL")
        assert [(trial.state, trial.curve) for trial in study.trials()] == [("failed", [(1, 0.5)])]


def test_a_full_disk_is_no_fault_of_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(trial_module.Trial, "__init__", lambda *_: None)
    monkeypatch.setattr(trial_module.Trial, "run", full)
    found = trial_module._found(Request("search", "it", "", None), {}, tmp_path)
    assert (found.is_full, found.fault) == (
        True,
        f"{Path.cwd()}: there is no space left on its disk; make room and build again",
    )


def test_a_study_without_hope_is_begun_anew(tmp_path: Path) -> None:
    """Whatever runs at that time ends with it; a trial that is complete is kept."""
    for number, ends in enumerate((Study.failed, Study.complete)):
        with opened("search it", "", tmp_path / str(number)) as storage:
            study = Study(storage, "name", SearchOptions(space=(RATE,), trials=4), 2)
            first, running = study.next(), study.next()
            assert first
            assert running
            ends(study, first, "too wide") if ends is Study.failed else ends(study, first, 0.5, None)
            study.forget()
            assert len(storage.get_all_studies()) == number


def test_what_is_chosen_of_a_table_leaves_the_rest_of_it(tmp_path: Path) -> None:
    best = tmp_path / "best.json"
    best.write_text('{"quantize.layers.conv": [4, 8], "quantize.weight_bits": 2}')
    given = {"layers": {"conv": [2, 8], "head": [8, 8]}, "weight_bits": 8}
    found = _searched("fit", ["layers"], {"best": [str(best)]}, given)
    assert found == {"layers": {"conv": [4, 8], "head": [8, 8]}}


def trial(number: int, metric: float | None, cost: float | None = None, state: str = "complete") -> Trial:
    return Trial(number=number, state=state, chosen={}, metric=metric, cost=cost)


def test_the_winner() -> None:
    some = [trial(0, 0.5), trial(1, 0.9, state="pruned"), trial(2, 0.8), trial(3, 0.8), trial(4, None, state="failed")]
    assert winner(some, 0.0) == some[2]
    assert winner([some[1], some[4]], 0.0) is None
    two = [trial(0, 0.9, 100), trial(1, 0.895, 50), trial(2, 0.5, 10), trial(3, 0.895, 60), trial(4, 0.89, 50)]
    assert winner(two, 0.01) == two[1]
    assert winner(two, 0.0) == two[0]
    assert winner(two, 1.0) == two[2]
    assert front(two) == [two[2], two[1], two[0]]


@pytest.mark.parametrize(
    ("url", "text", "told"),
    [
        (
            "postgresql://me:s3cret@host/db",
            "no s3cret at postgresql://me:s3cret@host/db",
            "no *** at postgresql://me:***@host/db",
        ),
        ("postgresql://me:a%40b@host/db", "FATAL a@b\nmore", "FATAL ***"),
        ("postgresql://me:a@b@host/db", "no host b@host", "no host b@host"),
        ("postgresql://host/db?user=me&password=s3cret", "no s3cret", "no ***"),
        ("sqlite:///a.db", "", "no message"),
    ],
)
def test_passwords_are_not_told(url: str, text: str, told: str) -> None:
    assert _bare(text, url) == told


def test_where_a_study_is() -> None:
    assert resolved("here", "", {}) == ""
    assert resolved("here", "$STUDY", {"STUDY": "postgresql://me:s3cret@host/db"}).endswith("host/db")
    assert resolved("here", "sqlite:///study.db", {}) == "sqlite:///study.db"
    with pytest.raises(UserError) as fault:
        resolved("here", "$STUDY", {})
    told = "here: the environment variable STUDY is not set; set it to the URL of the database"
    assert str(fault.value) == told
    for url in ("postgresql://me:s3cret@host/db", "postgresql://host/db?user=me&password=s3cret", "mssql://h/d?PWD=s"):
        with pytest.raises(UserError) as fault:
            resolved("here", url, {})
        told = "here: a password does not belong into a SConscript"
        assert str(fault.value) == f'{told}; put the URL into an environment variable and say storage="$NAME"'


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (
            "nonsense",
            r"storage is no URL of a database \(.*\); write it like postgresql\+psycopg://host/name or sqlite:///file.db",
        ),
        ("odd://host/db", r"storage is no URL of a database \(.*\); write it like .*"),
        ("oracle://host/db", r"the database's driver cannot be imported \(No module named '.*'\); install it"),
        (
            "sqlite:////nowhere/at/all.db",
            r"the study's database does not answer \(unable to open database file\); .* are kept",
        ),
        (
            "postgresql+psycopg://me:s3cret@127.0.0.1:9/db",
            r"the study's database does not answer \((?!.*s3cret).*\); .* are kept",
        ),
    ],
)
def test_databases_that_are_none(tmp_path: Path, url: str, line: str) -> None:
    with pytest.raises(UserError, match=f"^search it: {line}$"), opened("search it", url, tmp_path):
        pass


class Items:
    """Ten items; `classes` of them."""

    metric_name = "score"
    classes = [0, 1] * 5

    def __init__(self, split: str) -> None:
        self.split = split

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[str, int]:
        return f"{self.split} {index}", self.classes[index]

    def metric(self, outputs: list[list[int]]) -> float:
        return float(len(outputs[0]))


class Apart(Items):
    splits = ("train", "validation", "test")


class Unmeasured(Items):
    metric = None


class Sorted(Items):
    classes = [0] * 5 + [1] * 5


def names(dataset: object) -> list[str]:
    return [dataset[index][0] for index in range(len(dataset))]  # type: ignore[arg-type,index]


def test_the_test_split_is_not_read() -> None:
    parts = Parts(Items, 0.2)
    assert names(parts("test")) == ["train 0", "train 1"]
    assert names(parts("train")) == [f"train {index}" for index in range(2, 10)]
    assert parts("test").metric([[1, 2]]) == 2.0  # type: ignore[attr-defined]
    parts = Parts(Apart, 0.2)
    assert names(parts("test"))[0] == "validation 0"
    assert names(parts("train")) == [f"train {index}" for index in range(10)]


def test_data_that_cannot_be_divided() -> None:
    with pytest.raises(
        UserError, match=r"^Items: validation=0.01 leaves nothing of 10 items to train on or to measure"
    ):
        Parts(Items, 0.01)("test")
    require_mixed(Items("train"), 0.4, "dataset.py:Items")  # type: ignore[arg-type]
    with pytest.raises(UserError) as fault:
        require_mixed(Sorted("train"), 0.4, "dataset.py:Sorted")  # type: ignore[arg-type]
    assert str(fault.value) == (
        "dataset.py:Sorted: the first 4 of 10 training items, to be measured on, have none of class 1; "
        'shuffle them, or have a split "validation" and name it in an attribute splits'
    )


def test_what_another_machine_is_drawing_is_not_drawn_here(tmp_path: Path) -> None:
    with opened("search it", f"sqlite:///{tmp_path}/study.db", tmp_path) as storage:
        study = Study(storage, "name", SearchOptions(space=(BITS,), trials=2), 2)
        other = study._study.ask()  # which says what it is only later
        later = threading.Timer(0.5, other._suggest, (BITS.name, study._distributions[BITS.name]))
        later.start()
        mine = study.next()
        later.join()
        assert mine
        assert [*other.params.values(), *mine.trial.params.values()] in (["4", "8"], ["8", "4"])
        assert study.next() is None


def test_a_machine_that_dies_before_it_says_anything_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_module, "HEARTBEAT", 0)
    monkeypatch.setattr(storage_module, "GRACE", 1)
    url = f"sqlite:///{tmp_path}/study.db"
    chosen = SearchOptions(space=(RATE,), trials=2)
    with opened("search it", url, tmp_path) as storage:
        study = Study(storage, "name", chosen, 2)
        monkeypatch.setattr(study, "_beat", lambda begun: None)
        dead = study.next()
        other = Study(storage, "name", chosen, 2)
        mine = other.next()
        assert dead
        assert mine
        end = time.monotonic() + 20
        while (again := other.next()) is None and time.monotonic() < end:
            other.beat()
            time.sleep(0.1)
        assert again
        assert (again.chosen, again.first) == (dead.chosen, dead.number)
        assert study.report(dead, 1, 0.9)
        study.complete(dead, 0.9, None, epochs=2)  # it was asleep
        assert [trial.metric for trial in other.trials()] == [None, None]
        assert other.next() is None
