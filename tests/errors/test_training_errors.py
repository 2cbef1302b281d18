"""Mistakes that training meets on its way, on the command line of a build: each one line, and nothing is lost."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.rules.project import Finished, Project

TRAIN = "Train(epochs=2, batch_size=16, workers=0)"
DARK = """
    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __getitem__(self, index):
        return np.full(8, np.nan if self.epoch == 1 else 0.5, np.float32), np.int64(1)
"""
METRIC = """
    metric_name = "right"

    def metric(self, outputs):
        raise ZeroDivisionError("nothing to count")
"""
GREEDY = """
    def forward(self, x):
        import torch

        return torch.empty(1 << 60) + self.head(F.relu(self.hidden(x)))
"""
MORTAL = """
    def forward(self, x):
        import os

        if self.training and os.environ.get("LOCAL_RANK") == "1":
            os.kill(os.getpid(), 9)
        return self.head(F.relu(self.hidden(x)))
"""
MODELS = {  # the steps, what is added to data set and network, the line
    "dark": (
        TRAIN, DARK, "",
        "train dark, epoch 2, batch 1: the loss is nan; lower learning_rate (now 0.003) or look for bad values in the "
        "dataset; the weights after epoch 1 are in .nnrules/checkpoints/ID/checkpoint.safetensors, which "
        "Model(weights=...) takes",
    ),
    "counted": (
        TRAIN, METRIC, "",
        "models/counted/dataset.py:25: ZeroDivisionError: nothing to count; fix the exception and build again; the "
        "weights after epoch 2 are in .nnrules/checkpoints/ID/checkpoint.safetensors, which Model(weights=...) takes",
    ),
    "greedy": (TRAIN, "", GREEDY, "train greedy: there is not enough memory; lower batch_size (now 16)"),
    "mortal": (
        TRAIN.replace("16", "16, devices=2"), "", MORTAL,
        "train mortal: process 1 of 2 ended with signal SIGKILL; build again: it goes on after the last whole epoch",
    ),
    "empty": (
        TRAIN + '.Prune("magnitude", sparsity=0.99)', "", "",
        "empty: layer 'hidden': would lose all its weights; lower sparsity or skip it",
    ),
    "nothing": (
        TRAIN + '.Prune("pointwise", sparsity=0.5)', "", "",
        "nothing: has no layer that pointwise could take anything of; choose another method",
    ),
    "skipping": (
        TRAIN + '.Prune("magnitude", sparsity=0.5, skip=["hiden"])', "", "",
        "skipping: skip names 'hiden', which is no layer; did you mean 'hidden'? The layers are hidden, head",
    ),
    "fitted": (
        TRAIN + '.Quantize("lsq", weight_bits=4, skip=["tail"])', "", "",
        "fitted: skip names 'tail', which is no layer; choose from head, hidden",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """With these models alone."""
    project = Project.create(tmp_path_factory.mktemp("training") / "project")
    dense = project.top / "models/dense"
    for name, (steps, dataset, network, _) in MODELS.items():
        folder = project.top / "models" / name
        shutil.copytree(dense, folder)
        add(folder / "dataset.py", dataset)
        add(folder / "network.py", network)
        model = f'env.Model("{name}", network="network.py:Dense", dataset="dataset.py:Slopes")'
        (folder / "SConscript").write_text(f'Import("env")\n\n{model}.{steps}\n')
    shutil.rmtree(dense)
    shutil.rmtree(project.top / "models/tiny")
    return project


def add(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


@pytest.fixture(scope="module")
def done(project: Project) -> Finished:
    """A build that keeps going."""
    return project.build("model=all", "-k")


@pytest.mark.parametrize("name", MODELS)
def test_one_line(done: Finished, name: str) -> None:
    assert done.status == 2
    assert "Traceback" not in done.stderr
    lines = re.sub(r"checkpoints/[0-9a-f]{32}", "checkpoints/ID", done.stderr).splitlines()
    assert lines.count(MODELS[name][3]) == 1, "\n".join(lines)


def test_nothing_else_is_told(done: Finished) -> None:
    progress = re.compile(r"(train|prune) \w+ epoch \d/\d loss .* s left")
    lines = [line for line in done.stderr.splitlines() if not progress.fullmatch(line)]
    assert len(lines) == len(MODELS), "\n".join(lines)


def test_training_goes_on_from_where_the_line_says(done: Finished, project: Project) -> None:
    places = re.findall(r"after epoch \d are in (\S+), which Model\(weights=...\) takes$", done.stderr, re.MULTILINE)
    assert len(places) == 2
    loaded = [f"build/kept{number}/kept{number}.loaded.safetensors" for number in range(2)]
    for number, place in enumerate(places):
        folder = project.top / f"models/kept{number}"
        shutil.copytree(project.top / "models/empty", folder)
        given = f'"kept{number}", network="network.py:Dense", dataset="dataset.py:Slopes", weights="#{place}"'
        (folder / "SConscript").write_text(f'Import("env")\n\nenv.Model({given})\n')
    assert project.rebuild(*loaded) == {"kept0 load", "kept1 load"}
    for place, file in zip(places, loaded, strict=True):
        tensors, taken = load_file(project.top / place), load_file(project.top / file)
        assert taken.keys() == {name.partition(".")[2] for name in tensors if name.startswith("network.")}
        for name, each in taken.items():
            assert np.isfinite(each).all()
            assert np.array_equal(tensors[f"network.{name}"], each)
