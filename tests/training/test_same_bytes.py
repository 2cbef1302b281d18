"""Training that was interrupted anywhere ends in the bytes of a run that was not: precisions, pruning, quantizers."""

import importlib
import os
import random
from contextlib import suppress

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision

from nnrules.catalog.stages import PruneOptions, QuantizeOptions, Recipe, TrainOptions
from nnrules.training.loop import fit
from nnrules.training.ranks import make_fabric
from nnrules.training.repeatable import prepare
from nnrules.training.weights import save_weights

from .task_files import Residual, Stopping

RECIPE = {"batch_size": 16, "workers": 0, "learning_rate": 0.01}
MORE = {"optimizer": "pid", "average": 0.9, "validation": 0.2, "patience": 2}
OPTIONS = {"train": TrainOptions, "prune": PruneOptions, "fit": QuantizeOptions}
OUTPUTS = {
    "train": {"weights": "weights", "log": "log"},
    "prune": {"weights": "weights", "log": "log"},
    "fit": {"weights": "weights", "codes": "codes", "quantizers": "quantizers", "log": "log"},
}


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("train", {"epochs": 5, **MORE}),
        ("train", {"epochs": 3, "precision": "bf16"}),
        ("prune", {"method": "pointwise", "sparsity": 0.5, "retrain_epochs": 5, "ramp": 0.8, **MORE}),
        (
            "prune",
            {"method": "pointwise", "sparsity": 0.5, "retrain_epochs": 5, "importance": "skeleton", "average": 0.9},
        ),
        ("prune", {"method": "channel", "sparsity": 0.4, "retrain_epochs": 4, "ramp": 0.8}),
        ("fit", {"method": "lsq", "weight_bits": 3, "activation_bits": 4, "epochs": 5, **MORE}),
        (
            "fit",
            {"method": "qil", "weight_bits": 3, "activation_bits": 3, "epochs": 5, "progressive_epochs": 1},
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "-".join(str(value) for value in each.values())[:30],
)
def test_stages(verb, options, tmp_path, monkeypatch, reference, request_for, capsys):
    """The checkpoints of the stage, as often as it is stopped."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HALVES_STOP", raising=False)
    prepare(seed=1, threads=1)
    save_weights(Residual(), tmp_path / "first")
    inputs = {"network": reference("Residual"), "dataset": reference("Stopping")}
    inputs |= {} if verb == "train" else {"weights": "first"}
    chosen = OPTIONS[verb](**RECIPE, **options)

    def run(folder, stops):
        outputs = {name: f"{folder}/{file}" for name, file in OUTPUTS[verb].items()}
        (tmp_path / folder).mkdir()
        stage = importlib.import_module(f"nnrules.stages.{verb}")
        for stop in stops:
            monkeypatch.setenv("HALVES_STOP", str(stop))
            with suppress(KeyboardInterrupt):
                stage.run(request_for(verb, chosen, outputs, **inputs))
        return [(tmp_path / path).read_bytes() for path in outputs.values()]

    pieces = run("pieces", [75, 75, 75, -1])
    assert capsys.readouterr().err.count("resumed after epoch") >= 3
    assert run("whole", [-1]) == pieces


def test_a_gpu_is_to_be_repeatable_too(monkeypatch):
    """cuBLAS refuses to be without."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    prepare(seed=1, threads=1)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_networks_that_draw_from_other_generators(tmp_path):
    """Python's and numpy's, which follow from the seed too."""

    class Lazy(Residual):
        def forward(self, x):
            return super().forward(x) * random.random() + float(np.random.rand())

    def trained(name):
        prepare(seed=3, threads=1)
        network = Lazy()
        with torch.no_grad():
            network.head.weight.mul_(float(np.random.rand()) + random.random())
        losses = fit(network, Stopping("train"), Recipe(**RECIPE), 1, tmp_path / name, "test")
        return losses, network.head.weight.tolist()

    assert trained("one") == trained("other")


@pytest.mark.parametrize("growth", [1, 2000])
def test_fp16_with_a_scaled_loss(growth, tmp_path, monkeypatch, capsys):
    """How the loss is scaled goes on too. ``growth``: steps after which it is scaled twice as much, until something
    overflows and a step is left out."""

    def trained(name, stops):
        folder = tmp_path / name
        folder.mkdir()
        for stop in stops:
            monkeypatch.setenv("HALVES_STOP", str(stop))
            prepare(seed=3, threads=1)
            scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=growth)
            fabric = Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu", scaler))
            network, recipe = Residual(), Recipe(**RECIPE, seed=3)
            with suppress(KeyboardInterrupt):
                losses = fit(network, Stopping("train"), recipe, 5, folder, "test", fabric)
        assert losses[-1] < losses[0]
        assert scaler.get_scale() != 2.0**12 or growth > 1
        return scaler.get_scale(), {name: each.numpy().tobytes() for name, each in network.state_dict().items()}

    pieces = trained("pieces", [75, 75, -1])
    assert capsys.readouterr().err.count("resumed after epoch") == 2
    assert trained("whole", [-1]) == pieces


def test_bf16_is_another_arithmetic(tmp_path):
    """With weights of float32."""

    def trained(precision):
        prepare(seed=3, threads=1)
        network, recipe = Residual(), Recipe(**RECIPE, precision=precision)
        fit(network, Stopping("train"), recipe, 2, tmp_path / precision, "test", make_fabric(recipe))
        return network.head.weight.detach()

    exact, short = trained("fp32"), trained("bf16")
    assert short.dtype == torch.float32
    assert not torch.equal(exact, short)
    torch.testing.assert_close(exact, short, rtol=0, atol=0.03)
