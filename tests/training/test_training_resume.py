"""A training run that is killed goes on where it was and ends in the same bytes."""

import json
import signal
import time

import numpy as np
import pytest
import torch

from nnrules.catalog.stages import Recipe, TrainOptions
from nnrules.stages import train
from nnrules.training.checkpoint import load_checkpoint, save_checkpoint
from nnrules.training.loop import fit
from nnrules.training.optimizers import make_optimizer
from nnrules.training.repeatable import prepare

from .task_files import Halves, Residual

OPTIONS = {"epochs": 5, "batch_size": 16, "workers": 0, "threads": 1}


def test_a_killed_run_ends_in_the_same_weights(stage, request_for, tmp_path, monkeypatch):
    def start():
        outputs = {"weights": "resumed.safetensors", "log": "resumed.json"}
        task = {"network": "task_files.py:Residual", "dataset": "task_files.py:SlowHalves"}
        return stage("train", outputs, OPTIONS, **task)

    killed = start()
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".nnrules/checkpoints/*/checkpoint.safetensors")):
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "resumed.safetensors").exists()

    resumed = start()
    console = resumed.communicate()[1]
    assert resumed.returncode == 0, console
    assert "resumed after epoch" in console
    assert "epoch 1/5" not in console
    assert "epoch 5/5" in console
    assert not list(tmp_path.glob(".nnrules/checkpoints/*"))

    monkeypatch.chdir(tmp_path)
    task = {"network": "task_files.py:Residual", "dataset": "task_files.py:Halves"}
    outputs = {"weights": "whole.safetensors", "log": "whole.json"}
    train.run(request_for("train", TrainOptions(**OPTIONS), outputs, **task))
    assert (tmp_path / "resumed.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert json.loads((tmp_path / "resumed.json").read_text()) == json.loads((tmp_path / "whole.json").read_text())


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_stopping_after_any_epoch_changes_nothing(tmp_path, optimizer):
    def trained(folder, stops):
        folder.mkdir()
        for stop in stops:
            prepare(seed=3, threads=1)
            network, recipe = (
                Residual(),
                Recipe(batch_size=16, learning_rate=0.01, optimizer=optimizer, seed=3, workers=0),
            )
            try:
                fit(network, Interrupted(stop), recipe, 6, folder, "test")
            except KeyboardInterrupt:
                continue
        return torch.cat([tensor.flatten().float() for tensor in network.state_dict().values()]).numpy()

    assert np.array_equal(trained(tmp_path / "whole", [99]), trained(tmp_path / "pieces", [1, 3, 4, 99]))


def test_workers_do_not_change_the_weights(tmp_path):
    def trained(workers):
        folder = tmp_path / str(workers)
        folder.mkdir()
        prepare(seed=3, threads=1)
        network = Residual()
        recipe = Recipe(batch_size=16, learning_rate=0.01, workers=workers)
        fit(network, Halves("train"), recipe, 2, folder, "test")
        return network.head.weight.detach().numpy()

    assert np.array_equal(trained(0), trained(2))


class Interrupted(Halves):
    """Stops the run in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__("train", length=40)
        self.stop = epoch

    def __getitem__(self, index):
        if self.epoch == self.stop and index == 20:
            raise KeyboardInterrupt
        return super().__getitem__(index)


def test_a_damaged_checkpoint_counts_as_none(tmp_path):
    network = Residual()
    optimizer = make_optimizer(network, Recipe())
    assert load_checkpoint(tmp_path, {"network": network}, optimizer) is None
    save_checkpoint(tmp_path, {"network": network}, optimizer, {"losses": [1.0]})
    assert load_checkpoint(tmp_path, {"network": network}, optimizer) == {"losses": [1.0]}
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    assert load_checkpoint(tmp_path, {"network": network}, optimizer) is None
