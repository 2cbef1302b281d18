"""env.Search in a build: the steps after it take what was found, down to the firmware."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from nnrules.rules.search import _declared
from tests.needs import need_target
from tests.rules.project import Project

SOUGHT = """Import("env")

sought = env.Model("sought", network="network.py:Narrow", dataset="#models/tiny/dataset.py:Bars")
best = env.Search(
    sought,
    {"train.learning_rate": (0.003, 0.1, "log"), "network.width": [3, 6], "quantize.last_bits": [2, 3]},
    train={"epochs": 2, "batch_size": 16},
    quantize={"method": "lsq", "epochs": 1, "batch_size": 16, "activation_bits": 4},
    trials=2,
)
trained = best.Train(epochs=3)
taught = env.Model("taught", network="network.py:Narrow", dataset="#models/tiny/dataset.py:Bars", by_default=False)
taught.Train(epochs=1, batch_size=16, teacher=trained)
trained.Quantize().Firmware(sample={"count": 8}, verify={"host_samples": 8, "target_samples": 1})
"""
NETWORK = '''"""A network whose width may be chosen."""

from torch import nn
from torch.nn import functional as F


class Narrow(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, width, 3, stride=2, padding=1), nn.Conv2d(width, 2, 1)

    def forward(self, x):
        return self.head(F.relu(self.stem(x)))

    def loss(self, output, target):
        return F.binary_cross_entropy_with_logits(output, target)
'''


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with a model that is searched; not built."""
    project = Project.create(tmp_path_factory.mktemp("sought") / "project")
    declare(project, SOUGHT)
    (project.top / "models/sought/network.py").write_text(NETWORK)
    return project


def weights(folder: Path, layer: str) -> np.ndarray:
    """Of a layer of the integer program, output channels first."""
    nodes = json.loads((folder / "sought.graph.json").read_text())["nodes"]
    record = next(node for node in nodes if node["name"] == layer)["attributes"]["weights"]
    return np.frombuffer(base64.b64decode(record["data"]), np.int8).reshape(record["shape"])


def declare(project: Project, text: str) -> None:
    (project.top / "models/sought").mkdir(exist_ok=True)
    (project.top / "models/sought/SConscript").write_text(text)


def test_the_winners_options_become_firmware(project: Project) -> None:
    need_target("x86-64")
    done = project.build("model=sought")
    assert done.status == 0, done.stdout + done.stderr
    assert "taught train" in project.stages("ran"), "the teacher has the width that was chosen for it"
    folder = project.top / "build/sought"
    best = json.loads((folder / "sought.best.json").read_text())
    trials = json.loads((folder / "sought.search.json").read_text())["trials"]
    assert best == max(trials, key=lambda trial: (trial["metric"], -trial["number"]))["chosen"]
    assert [trial["epochs"] for trial in trials] == [3, 3]
    assert [weights(folder, layer).shape[0] for layer in ("stem", "head")] == [best["network.width"], 2]
    levels = 2 ** best["quantize.last_bits"]
    assert -levels // 2 <= weights(folder, "head").min() <= weights(folder, "head").max() < levels // 2
    assert weights(folder, "stem").max() > 3
    assert len(json.loads((folder / "sought.train.json").read_text())["loss"]) == 3
    verified = json.loads((folder / "x86-64/sought.verify.json").read_text())
    assert (verified["differing"], verified["engines"]) == (0, ["torch", "numpy", "onnxruntime", "c-host", "c-target"])
    assert (folder / "sought.search.txt").read_text().strip() in done.stdout
    assert project.rebuild("model=sought") == set()
    assert project.rebuild("model=sought", "sought.search.jobs=2") == set()
    done = project.build("model=sought", "sought.search.trials=3")
    assert done.status == 0, done.stdout + done.stderr
    assert "sought search" in project.stages("ran")
    assert "trial 2:" in done.stdout + done.stderr
    assert "trial 1:" not in done.stdout + done.stderr
    again = json.loads((folder / "sought.search.json").read_text())["trials"]
    assert again[:2] == trials
    ran = project.stages("ran")
    changed = json.loads((folder / "sought.best.json").read_text()) != best
    assert ("sought train" in ran) == changed


REFUSED = [
    ("{}", 'the space of a search is empty; write it like {"train.learning_rate": (1e-4, 1e-2, "log")}'),
    (
        '{"learning_rate": [1]}',
        "'learning_rate' names no option that can be searched; "
        "write train.OPTION, prune.OPTION, quantize.OPTION, network.ARGUMENT",
    ),
    ('{"trian.epochs": [1]}', "'trian.epochs' names no option that can be searched; did you mean 'train'?"),
    ('{"train.learning_rat": [1]}', "train has no option 'learning_rat'; did you mean 'learning_rate'?"),
    (
        '{"train.learning_rate": 1}',
        "train.learning_rate: 1 is no part of a space; "
        'write a list of values, (low, high), (low, high, "log") or (low, high, step)',
    ),
    ('{"train.learning_rate": (0.1, 0.01)}', "train.learning_rate: (0.1, 0.01) is no range; choose low below high"),
    ('{"train.weight_decay": (0, 1, "log")}', "train.weight_decay: (0, 1, 'log') is no range; choose low above 0"),
    (
        '{"train.learning_rate": (0.01, 0.1, "lin")}',
        "train.learning_rate: 'lin' is no step; write \"log\" or a number that fits into the range",
    ),
    ('{"train.learning_rate": (-1, 0.1)}', "train option 'learning_rate': -1 is out of range; choose more than 0"),
    (
        '{"prune.sparsity": (0.0, 1.0)}',
        "prune option 'sparsity': 1.0 is out of range; choose 0 or more and less than 1",
    ),
    ('{"train.optimizer": ("a", "b")}', "train.optimizer: ('a', 'b') is no range of numbers; write a list of values"),
    ('{"train.optimizer": ["adamw", "adamv"]}', "train has no optimizer 'adamv'; did you mean 'adamw'?"),
    (
        '{"network.width": [None, print]}',
        "network.width: <built-in function print> is no plain value; write numbers or words",
    ),
    ('{"quantize.method": ["lsq", "lqs"]}', "quantize has no method 'lqs'; did you mean 'lsq'?"),
    (
        '{"quantize.method": ["lsq", "ptq"]}',
        "quantize.method: some of these are trained and some are not; search among those of one kind",
    ),
    (
        '{"quantize.method": ["lsq", "mixed_precision"]}',
        "mixed_precision has no trials, it measures for itself; search with the method of its base",
    ),
    ('{"quantize.weight_bits": [4, 7]}, quantize={"method": "lsq"}', "lsq has no 7-bit weights; choose 2, 3, 4, 8"),
    (
        '{"quantize.percentile": (99.0, 100.0)}, quantize={"method": "minmax"}',
        "minmax does not use percentile; it is for dorefa, lsq, pact, percentile, ptq, qil",
    ),
    ('{"prune.n": (0, 4)}', "channel does not use n; it is for pointwise"),
    ('{"train.epochs": [1]}, train=3', 'train=3 are no options; write them like train={"seed": 2}'),
    (
        '{"train.epochs": [1]}, train={"teacher": "self"}',
        "train: the trials of a search have no other network to learn from; leave teacher out",
    ),
    ('{"train.epochs": [1]}, trails=3', "search has no option 'trails'; did you mean 'trials'?"),
    ('{"train.epochs": [1]}, trials=0', "search option 'trials': 0 is out of range; choose 1 or more"),
    (
        '{"train.epochs": [1]}, budget="soon"',
        'budget=\'soon\' is none; write it like "90 s", "30 min", "2 h" or "400 epochs"',
    ),
    (
        '{"train.epochs": [1]}, pruner="medium"',
        "search option 'pruner': 'medium' is none of its values; did you mean 'median'?",
    ),
    (
        '{"train.epochs": [1]}, minimize="macs"',
        'minimize=\'macs\' is known of quantized networks; quantize in the trials, like quantize={"method": "lsq"}',
    ),
    (
        '{"quantize.samples": [64]}, minimize="instructions"',
        "minimize='instructions' needs a target; say whose, like target=\"cortex-m7\"",
    ),
    ('{"train.epochs": [1]}, target="cortex-m7"', "target='cortex-m7' is of no use here; leave it out"),
    (
        '{"train.epochs": (1, 5, 1.5)}',
        'train.epochs: 1.5 is no step; write "log" or a whole number that fits into the range',
    ),
    ('{"train.learning_rate": [1, 1.0]}', "train.learning_rate: 1.0 is in its list twice; leave one of them out"),
    ('{"network.width": (0, float("inf"))}', "network.width: inf is not a finite number; write numbers or words"),
    (
        '{"train.seed.x": [1]}, train={"seed": 1}',
        "train option 'seed' is no table; write train.seed",
    ),
    (
        '{"quantize.layers.stem": [(4, 8), (5, 8)]}, quantize={"method": "lsq"}',
        "layer 'stem': lsq has no 5-bit weights; choose 2, 3, 4, 8",
    ),
    (
        '{"quantize.layers": [{}, {"stem": [4, 8]}], "quantize.layers.head": [[4, 8]]}, quantize={"method": "lsq"}',
        "quantize.layers.head and quantize.layers are both searched; leave one of them out",
    ),
    (
        '{"quantize.skip": ["stem"]}',
        "quantize option 'skip': 'stem' is no list of names; write it like [\"one\", \"two\"]",
    ),
    ('{"train.k_i": (0.0, 10.0)}', "adamw does not use k_i; it is for pid"),
    ('{"train.optimizer": ["adamw", "sgd"]}, train={"k_d": 3}', "adamw does not use k_d; it is for pid"),
    ('{"train.patience": [2, 4]}', "patience has no effect; say validation=0.2 or the like too"),
    (
        '{"quantize.rounding": ["nearest", "adaptive"]}, quantize={"method": "ptq"}',
        "rounding has no effect; say weight_bits, fewer than 8, too",
    ),
    (
        '{"prune.retrain_epochs": [1, 2]}',
        'prune: the trials of a search have no sparsity; say prune={"sparsity": 0.5} or the like, or search it',
    ),
    (
        '{"train.epochs": [1]}, train={"nodes": 2, "launcher": "torchrun"}',
        "train: nodes=2, but each trial has one machine; leave nodes out, and let machines share the study by storage=",
    ),
    ('{"train.epochs": [1]}, budget="90 s", seconds=5', "budget= and seconds= are both given; say one of them"),
    (
        '{"train.epochs": [1]}, storage="postgresql://me:s3cret@host/db"',
        "a password does not belong into a SConscript; "
        'put the URL into an environment variable and say storage="$NAME"',
    ),
    (
        '{"train.epochs": [1]}, storage="$"',
        "storage='$' names no variable; write it like storage=\"$NNRULES_STUDY\"",
    ),
    (
        '{"train.epochs": [1]}, resources=3',
        "search option 'resources': 3 is no table; write it like resources={\"gpu\": 1}",
    ),
]
ACCEPTED = [
    'env.Search(m, {"train.optimizer": ["sgd", "pid"], "train.k_i": (0.0, 10.0)}).Train().Quantize()',
    'env.Search(m, {"train.patience": [2, 4], "train.validation": [0.0, 0.2]}).Train().Quantize()',
    'env.Search(m, {"quantize.range": ["mse", "percentile"], "quantize.percentile": (99.0, 100.0)}, '
    'quantize={"method": "ptq"}).Train().Quantize()',
    'env.Search(m, {"quantize.rounding": ["nearest", "adaptive"], "quantize.weight_bits": [8, 4]}, '
    'quantize={"method": "ptq"}).Train().Quantize()',
    'env.Search(m, {"prune.sparsity": (0.1, 0.5), "network.width": [3, 6]}).Train().Variant("a").Prune().Quantize()',
    'env.Search(env.Search(m, {"network.width": [3, 6]}, train={"epochs": 1}).Train().Variant("a"), '
    '{"quantize.last_bits": [2, 4]}, quantize={"method": "lsq"}).Quantize()',
]
LATER = [
    (
        "env.Search(m, SPACE).Train(learning_rate=0.1)",
        "train option 'learning_rate' is given, but the search chooses it; leave it out here or out of its space",
    ),
    (
        'env.Search(m, SPACE).Train(script="train.py")',
        "script='train.py' takes no options of train, but the search chooses train.learning_rate; "
        "leave it out here or out of its space",
    ),
    (
        "env.Search(env.Search(m, SPACE), SPACE)",
        'MODEL has a search already; give this one a variant: MODEL.Variant("name")',
    ),
    (
        'env.Search(m, {"prune.sparsity": [0.5]}).Train().Quantize()',
        "the search chooses prune.sparsity, but no Prune() comes before; add it, or leave that out of the space",
    ),
    (
        'env.Search(env.Search(m, {"quantize.last_bits": [4, 8]}, quantize={"method": "lsq"}).Train().Variant("a"), '
        '{"quantize.first_bits": [4, 8]}, quantize={"method": "lsq"})',
        "the search before this one chooses quantize.last_bits, which no step has yet; "
        "let the step come first, or search for both in one space",
    ),
    (
        "env.Search(m.Train(), SPACE)",
        "train is searched or given, but the search begins with trained weights; search MODEL before its Train()",
    ),
    (
        "env.Search(m.Train().Quantize(), SPACE)",
        "there is nothing here to search for; give it a model, or one after Train() or Prune()",
    ),
]


@pytest.mark.parametrize(
    ("budget", "options"),
    [
        (90, {"seconds": 90.0}),
        ("1.5 s", {"seconds": 1.5}),
        ("30 min", {"seconds": 1800.0}),
        ("2h", {"seconds": 7200.0}),
        ("400 epochs", {"epochs": 400}),
        (None, {"trials": 20}),
    ],
)
def test_budgets(budget: object, options: dict[str, float]) -> None:
    assert _declared("here", {}, budget) == options
    assert _declared("here", {"trials": 3}, budget) == {"trials": 3, **(options if budget else {})}


CASES = [(f"env.Search(m, {words})", line) for words, line in REFUSED] + LATER
CASES += [(text, "accepted") for text in ACCEPTED]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a folder for a model."""
    project = Project.create(tmp_path_factory.mktemp("refused") / "project")
    (project.top / "models/bad").mkdir()
    return project


@pytest.fixture(scope="module")
def refusals(refused: Project) -> list[str]:
    """What a build says about each of CASES."""
    (refused.top / "models/bad/train.py").touch()
    return refused.refusals([text for text, _ in CASES])


@pytest.mark.parametrize("number", range(len(CASES)), ids=[text for text, _ in CASES])
def test_what_cannot_be_searched_is_refused(refusals: list[str], number: int) -> None:
    line = CASES[number][1].replace("MODEL", f"bad{number}")
    assert refusals[number] == (line if line == "accepted" else f"models/bad/SConscript:4: {line}")


def test_what_no_step_takes_is_refused(refused: Project) -> None:
    (refused.top / "models/bad/SConscript").write_text(
        'Import("env")\n'
        'm = env.Model("bad", network="#models/tiny/network.py:Tiny", dataset="#models/tiny/dataset.py:Bars")\n'
        'env.Search(m, {"train.epochs": [1, 2]})\n'
        "m.Train().Quantize()\n"
    )
    done = refused.build("-n", "model=bad")
    assert (done.status, done.stderr.splitlines()[-1]) == (
        2,
        "models/bad/SConscript:3: the search chooses train.epochs, but there is no Train() to have it; "
        "call Train() of what Search() returned, or leave it out of the space",
    )
