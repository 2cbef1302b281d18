"""Searches with real trials: what ends them, what they keep over kills, machines that share a study."""

import json
import re
import shutil
import time
from pathlib import Path

import pytest

from nnrules.catalog.identity import python_files
from nnrules.catalog.sources import REMEMBERED, Sources
from nnrules.catalog.stages import SearchOptions
from nnrules.training.search.storage import opened
from tests.training.postgres import PASSWORD, postgres
from tests.training.search_worker import OUTPUTS, Worker, cases, search

FILE = "task_files.py"
RATE = {"name": "train.learning_rate", "low": 0.001, "high": 0.03, "log": True}
RATES = {"name": "train.learning_rate", "values": [0.008, 0.004, 0.006, 2e-09, 0.01, 1e-09]}
BITS = {"name": "quantize.weight_bits", "values": [2, 8]}
TRAIN = {"epochs": 2, "batch_size": 16, "workers": 0}
LSQ = {"method": "lsq", "epochs": 1, "batch_size": 16, "workers": 0, "activation_bits": 4}
CASES = {
    "jobs": {"space": [RATE], "train": TRAIN, "trials": 3, "jobs": 2, "seed": 2},
    "median": {"space": [RATES], "train": TRAIN, "trials": 6},
    "one epoch": {"space": [RATES], "train": {**TRAIN, "epochs": 1}, "trials": 6},
    "seconds": {"space": [RATE], "train": TRAIN, "seconds": 0.5, "seed": 3},
    "epochs": {"space": [RATE], "train": TRAIN, "epochs": 5},
    "database": {"space": [RATE], "train": TRAIN, "trials": 1, "storage": "sqlite:///study.db"},
    "more": {"space": [RATE], "train": TRAIN, "trials": 2, "storage": "sqlite:///study.db"},
    "pruned": {
        "space": [{"name": "prune.sparsity", "values": [0.0, 0.5]}],
        "train": TRAIN,
        "prune": {"method": "channel", "retrain_epochs": 1, "workers": 0, "round_to": 1},
        "trials": 2,
    },
    "pareto": {
        "space": [BITS],
        "train": {**TRAIN, "learning_rate": 0.02},
        "quantize": LSQ,
        "trials": 9,
        "minimize": "weight_bytes",
        "drop": 0.3,
    },
    "failing": {"space": [{"name": "network.width", "values": [4, 200]}], "train": TRAIN, "trials": 2},
    "hopeless": {"space": [{"name": "network.width", "values": [200, 300, 400]}], "train": TRAIN, "trials": 3},
    "killed": {"space": [{"name": "network.width", "values": [4, 8]}], "train": TRAIN, "trials": 2},
    "unknown": {"space": [{"name": "network.widht", "values": [4, 8]}], "train": TRAIN, "trials": 2},
    "small": {"space": [RATE], "train": TRAIN, "trials": 1, "validation": 0.001},
}
NETWORKS = {"jobs": "Sociable", "killed": "Mortal"}


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    """What a build before would have remembered of the Python files."""
    file = tmp_path_factory.mktemp("parsed") / "sources.json"
    memory = Sources(file)
    memory.fingerprint(python_files("search", SearchOptions(), {}))
    memory.save()
    return file


def remember(folder, parsed):
    """As a build before."""
    (folder / REMEMBERED).parent.mkdir()
    shutil.copy(parsed, folder / REMEMBERED)


@pytest.fixture(scope="module")
def searches(tmp_path_factory, parsed):
    """A folder with what each of CASES has left, by its name."""
    folder = tmp_path_factory.mktemp("searches")
    remember(folder, parsed)
    (folder / FILE).write_bytes(Path(__file__).with_name(FILE).read_bytes())
    given = {
        name: [options, {"network": f"{FILE}:{NETWORKS.get(name, 'Wide')}", "dataset": f"{FILE}:Halves"}]
        for name, options in CASES.items()
    }
    lines, status = Worker(cases, folder, given).ended()
    assert status == 0, lines
    return folder


def found(folder, name):
    """The trials of a search, with what they took left out."""
    trials = json.loads((folder / name / "study").read_text())["trials"]
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in trials]


def states(trials):
    return [trial["state"] for trial in trials]


def test_several_trials_run_at_a_time(searches):
    """None learns before there are two."""
    trials = found(searches, "jobs")
    assert states(trials) == ["complete"] * 3
    assert len({json.dumps(trial["chosen"]) for trial in trials}) == 3
    best = max(trials, key=lambda trial: trial["metric"])
    assert json.loads((searches / "jobs/best").read_text()) in [
        trial["chosen"] for trial in trials if trial["metric"] == best["metric"]
    ]


def test_a_bad_trial_ends_early(searches):
    """The last two learn nothing."""
    trials = found(searches, "median")
    assert states(trials) == ["complete"] * 4 + ["pruned"] * 2
    assert [trial["chosen"]["train.learning_rate"] for trial in trials[4:]] == [1e-9, 2e-9]
    for trial in trials[4:]:
        assert [step for step, _ in trial["curve"]] == [1]
        assert f"trial {trial['number']}: ended early after 1 epoch" in said(searches, "median")
    assert [trial["curve"][-1][0] for trial in trials[:4]] == [2] * 4


def test_a_trial_that_is_whole_is_not_ended_early(searches):
    assert states(found(searches, "one epoch")) == ["complete"] * 6


def said(folder, name):
    return (folder / name / "said").read_text()


def test_a_budget_ends_the_study(searches):
    assert states(found(searches, "epochs")) == ["complete"] * 3
    spent = [trial["seconds"] for trial in json.loads((searches / "seconds/study").read_text())["trials"]]
    assert sum(spent[:-1]) < 0.5 <= sum(spent)


def test_a_study_in_a_database_is_the_same_and_can_be_longer(searches):
    short, long = found(searches, "database"), found(searches, "more")
    assert long[:1] == short
    assert long == found(searches, "epochs")[:2]
    assert re.findall(r"trial (\d):", said(searches, "more")) == ["1"]
    assert (searches / "study.db").is_file()


def test_trials_prune_and_quantize(searches):
    assert states(found(searches, "pruned")) == ["complete"] * 2
    trials = found(searches, "pareto")
    assert states(trials) == ["complete"] * 2
    costs = {trial["chosen"]["quantize.weight_bits"]: trial["cost"] for trial in trials}
    assert costs[2] < costs[8]


def test_the_winner_of_two_objectives_is_the_cheapest_that_is_good_enough(searches):
    study = json.loads((searches / "pareto/study").read_text())
    trials = {trial["number"]: trial for trial in study["trials"]}
    best = max(trial["metric"] for trial in trials.values())
    good = [trial for trial in trials.values() if trial["metric"] >= best - 0.3]
    assert trials[study["best"]]["cost"] == min(trial["cost"] for trial in good)
    front = [trials[number] for number in study["front"]]
    assert front == sorted(front, key=lambda trial: (trial["cost"], trial["metric"]))
    for trial in trials.values():
        beaten = [f for f in front if f["cost"] <= trial["cost"] and f["metric"] >= trial["metric"]]
        assert beaten


def test_the_page_shows_everything(searches):
    page = (searches / "pareto/report").read_text()
    assert re.findall(r"<h2>(.*)</h2>", page) == ["Winner", "History", "Pareto front", "Importances", "Trials"]
    assert page.count('src="data:image/png;base64,') == 2
    assert "Too few trials came to their end to say which parameter matters." in page
    assert page.count('<td class="good">winner') == 1
    assert "accuracy is at most 0.3 below the best" in page
    page = (searches / "one epoch/report").read_text()
    assert re.findall(r"<h2>(.*)</h2>", page) == ["Winner", "History", "Importances", "Trials"]
    assert page.count('src="data:image/png;base64,') == 2
    assert "Too few trials" not in page
    assert (
        (searches / "pareto/table").read_text().startswith("search halves: 2 trials\ntrial  accuracy  bytes of weights")
    )


def test_a_trial_whose_process_was_killed_goes_on(searches):
    trials = found(searches, "killed")
    assert states(trials) == ["complete"] * 2
    assert sorted(trial["chosen"]["network.width"] for trial in trials) == [4, 8]
    assert "trial 0: its process was killed by SIGKILL; it is tried once more\n" in said(searches, "killed")


def test_what_cannot_be_trained_fails_alone(searches):
    failed, complete = sorted(found(searches, "failing"), key=lambda trial: trial["state"] == "complete")
    assert (failed["state"], complete["state"]) == ("failed", "complete")
    assert re.fullmatch(rf"{FILE}:\d+: ValueError: too wide; fix the exception and build again", failed["fault"])
    assert failed["fault"] in (searches / "failing/report").read_text()
    assert json.loads((searches / "failing/best").read_text()) == {"network.width": 4}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "hopeless",
            rf"search halves: the first 3 trials failed \({FILE}:\d+: ValueError: too wide; "
            r"fix the exception and build again\); mend that",
        ),
        ("unknown", rf"{FILE}:Wide: has no argument 'widht' to search; did you mean 'width'\?"),
        (
            "small",
            r"Halves: validation=0.001 leaves nothing of 64 items to train on or to measure on; "
            r"choose another share or give the dataset more items",
        ),
    ],
)
def test_what_no_trial_can_be_trained_with_is_one_line(searches, name, line):
    assert re.fullmatch(line, said(searches, name).splitlines()[-1])
    assert not (searches / name / "best").exists()
    assert not list(searches.glob(".nnrules/studies/*/trial*"))


class Machine:
    """A folder with the task, and searches that run in it."""

    def __init__(self, folder, parsed, storage="", **variables):
        self.folder, self.variables = folder, variables
        self.options = {"space": [RATE], "train": TRAIN, "trials": 4, "pruner": "none", "storage": storage}
        folder.mkdir()
        remember(folder, parsed)
        (folder / FILE).write_bytes(Path(__file__).with_name(FILE).read_bytes())

    def start(self, **options):
        """The process of a search."""
        words = ["--model", "halves", "--options", json.dumps({**self.options, **options})]
        words += ["--in", f"network={FILE}:Wide", "--in", f"dataset={FILE}:SlowHalves"]
        words += [word for name in OUTPUTS for word in ("--out", f"{name}={name}")]
        return Worker(search, self.folder, words, **self.variables)

    def trials(self):
        """What a search has left."""
        return json.loads((self.folder / "study").read_text())["trials"]


def numbers(lines):
    """Of the trials that have ended, as a search says."""
    return [int(number[1]) for line in lines if (number := re.match(r"search halves trial (\d+):", line))]


def until_trials(process, count):
    """What a search says until so many of its trials have ended."""
    lines = []
    while len(numbers(lines)) < count:
        line = process.said.readline()
        assert line, lines
        lines.append(line)
    return lines


def test_a_killed_search_goes_on(tmp_path, parsed):
    machine = Machine(tmp_path / "one", parsed)
    process = machine.start()
    first = until_trials(process, 1)
    time.sleep(0.3)
    process.kill()
    (study,) = (machine.folder / ".nnrules/studies").iterdir()
    time.sleep(0.5)
    with (study / "journal").open("ab") as journal:
        journal.write(b'{"op_code": 4, "half')
    lines, status = machine.start().ended()
    assert status == 0, lines
    trials = machine.trials()
    assert states(trials) == ["complete"] * 4
    assert lines[0] == "search halves: goes on; 1 trial that was cut off goes on after the last whole epoch"
    assert sorted(numbers([*first, *lines])) == sorted(trial["number"] for trial in trials)
    assert [path.name for path in study.iterdir() if path.name.startswith("trial")] == []


@pytest.fixture(scope="module")
def server():
    with postgres() as running:
        yield running


def test_two_machines_share_a_study_and_one_dies(tmp_path, parsed, server):
    one, two = (Machine(tmp_path / name, parsed, "$STUDY", STUDY=server.url) for name in ("one", "two"))
    first, second = one.start(trials=6), two.start(trials=6)
    until_trials(first, 1)
    begun = until_trials(second, 1)
    time.sleep(0.3)
    first.kill()
    lines, status = second.ended()
    assert status == 0, lines
    trials = two.trials()
    assert states(trials) == ["complete"] * 6
    assert len({json.dumps(trial["chosen"]) for trial in trials}) == 6
    assert 0 < len(numbers([*begun, *lines])) < 6
    assert {len(trial["curve"]) for trial in trials} == {2}
    with opened("search halves", server.url, tmp_path) as storage:
        (study,) = storage.get_all_studies()
        kept = storage.get_all_trials(study._study_id)
    assert [trial.number for trial in kept if trial.state.name == "COMPLETE"] == [trial["number"] for trial in trials]
    assert {trial.state.name for trial in kept} == {"COMPLETE", "FAIL"}


def test_a_database_that_is_gone_is_one_line_and_nothing_is_lost(tmp_path, parsed, server):
    machine = Machine(tmp_path / "one", parsed, "$STUDY", STUDY=server.url)
    machine.options["seed"] = 5
    process = machine.start(trials=2)
    first = until_trials(process, 1)
    server.stop()
    lines, status = process.ended()
    gone = [line for line in lines if not numbers([line])]
    assert status == 2, lines
    assert len(gone) == 1
    line = r"search halves: the study's database does not answer \(.+\); "
    line += "mend that and build again: the trials that are over are kept"
    assert re.fullmatch(line, gone[0])
    server.start()
    more, status = machine.start(trials=2).ended()
    assert status == 0, more
    assert states(machine.trials()) == ["complete"] * 2
    kept = re.search(r"accuracy ([\d.]+)", first[-1])[1]
    assert f"{machine.trials()[0]['metric']:.4f}" == kept
    told = "".join([*first, *lines, *more])
    assert PASSWORD not in told
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or (PASSWORD.encode() not in path.read_bytes() and b"sesame" not in path.read_bytes()), (
            path
        )
