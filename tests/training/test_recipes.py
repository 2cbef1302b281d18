"""What a recipe may ask for: optimizers and schedules by name, averages, smoothing, an early end."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from nnrules.catalog.stages import Recipe
from nnrules.error import UserError
from nnrules.training import loop
from nnrules.training.loop import fit
from nnrules.training.objective import objective
from nnrules.training.optimizers import make_optimizer
from nnrules.training.optimizers.pid import Pid
from nnrules.training.repeatable import prepare
from nnrules.training.schedules import learning_rate_at

from .task_files import Halves, Residual

RECIPE = {"batch_size": 16, "learning_rate": 0.01, "workers": 0}


def trained(folder, epochs=3, **options):
    prepare(seed=3, threads=1)
    network = Residual()
    losses = fit(network, Halves("train"), Recipe(**RECIPE, **options), epochs, folder, "test")
    return network, losses


def weights_of(network):
    return torch.cat([each.detach().flatten() for each in network.parameters()]).numpy()


def test_pid_follows_the_paper():
    """I <- mu I + (1 - tau) g; D <- mu D + (1 - mu) (g - g before), 0 at first; theta -= eta (g + k_I I + k_D D)."""
    theta = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = Pid([{"params": [theta]}], lr=0.1, momentum=0.9, dampening=0.2, k_i=3.0, k_d=5.0)
    expected, integral, derivative, before = np.array([1.0, -2.0]), 0.0, 0.0, None
    for gradient in ([0.5, 1.0], [0.25, -1.0], [-0.5, 0.0]):
        theta.grad = torch.tensor(gradient)
        optimizer.step()
        g = np.array(gradient)
        integral = 0.9 * integral + 0.8 * g
        derivative = derivative if before is None else 0.9 * derivative + 0.1 * (g - before)
        before = g
        expected = expected - 0.1 * (g + 3.0 * integral + 5.0 * derivative)
    np.testing.assert_allclose(theta.detach().numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("decay", "thetas"),
    [
        # I = 0.75, 2.625, 0.5625; D = 0, 1, -1.5; g + 2 I + 4 D = 2.5, 12.25, -5.875
        (0.0, (0.75, -0.475, 0.1125)),
        # g = 1.1, 3.0725; I = 0.825, 2.716875; D = 0, 0.98625; g + 2 I + 4 D = 2.75, 12.45125
        (0.1, (0.725, -0.520125)),
    ],
)
def test_pid_by_hand(decay, thetas):
    """Gradients 1, 3, -1 at theta = 1, with eta 0.1, mu 0.5, tau 0.25, k_I 2, k_D 4."""
    theta = nn.Parameter(torch.ones((), dtype=torch.float64))
    groups = [{"params": [theta], "weight_decay": decay}]
    optimizer = Pid(groups, lr=0.1, momentum=0.5, dampening=0.25, k_i=2.0, k_d=4.0)
    for gradient, expected in zip((1.0, 3.0, -1.0), thetas, strict=False):
        theta.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        assert theta.item() == pytest.approx(expected, rel=1e-12)


def test_pid_without_integral_and_derivative_is_descent():
    steps = []
    for name, more in (("pid", {"k_i": 0.0, "k_d": 0.0}), ("sgd", {"momentum": 0.0})):
        prepare(seed=1, threads=1)
        network = Residual()
        optimizer = make_optimizer(network, Recipe(optimizer=name, weight_decay=0.1, **more))
        network.loss(network(torch.ones(2, 1, 8, 8)), torch.tensor([0.0, 1.0])).backward()
        optimizer.step()
        steps.append(weights_of(network))
    np.testing.assert_allclose(*steps, rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "pid"])
def test_stopping_after_any_epoch_changes_nothing(tmp_path, optimizer):
    """With an average and items kept apart."""
    more = {"optimizer": optimizer, "average": 0.9, "validation": 0.25, "k_i": 1.0, "k_d": 1.0}
    whole, _ = trained(tmp_path / "whole", **more)
    prepare(seed=3, threads=1)
    network, recipe = Residual(), Recipe(**RECIPE, **more)
    with pytest.raises(KeyboardInterrupt):
        fit(network, Stopped("train"), recipe, 3, tmp_path / "pieces", "test")
    again, _ = trained(tmp_path / "pieces", **more)
    assert np.array_equal(weights_of(whole), weights_of(again))


class Stopped(Halves):
    """Stops the run in its second epoch."""

    def __getitem__(self, index):
        if self.epoch == 1 and index == 20:
            raise KeyboardInterrupt
        return super().__getitem__(index)


def test_the_average_is_the_result(tmp_path, monkeypatch):
    """It begins as the weights after the first step; each further step moves it a quarter of the way to theirs."""
    seen = []
    step = loop._Run._step

    def recorded(run, *arguments):
        value = step(run, *arguments)
        seen.append(weights_of(run.network))
        return value

    monkeypatch.setattr(loop._Run, "_step", recorded)
    network, _ = trained(tmp_path, epochs=1, average=0.75)
    expected = seen[0]
    for weights in seen[1:]:
        expected = 0.75 * expected + 0.25 * weights
    np.testing.assert_allclose(weights_of(network), expected, rtol=1e-5, atol=1e-7)
    assert len(seen) == 4


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradients_are_clipped_to_a_norm(tmp_path, monkeypatch, precision):
    """A step of plain descent is the rate times that; without the option it is longer."""

    def longest(clip):
        seen = []
        folder = tmp_path / f"{precision}-{clip}"
        plain = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "schedule": "constant"}
        step = loop._Run._step

        def recorded(run, *arguments):
            before = weights_of(run.network)
            value = step(run, *arguments)
            seen.append(float(np.linalg.norm(weights_of(run.network) - before)))
            return value

        with monkeypatch.context() as patch:
            patch.setattr(loop._Run, "_step", recorded)
            trained(folder, epochs=1, gradient_clip=clip, precision=precision, **plain)
        return max(seen)

    free = longest(0.0) / RECIPE["learning_rate"]
    assert free > 0.1
    assert longest(free / 10) == pytest.approx(free / 10 * RECIPE["learning_rate"], rel=1e-3)


def test_it_ends_where_the_loss_apart_does_not_fall(tmp_path, capsys):
    """Far too high a rate; the weights are those of the best epoch. The last line says why it ended."""
    chosen = {"validation": 0.5, "optimizer": "sgd", "schedule": "constant", "gradient_clip": 0.0}
    network, losses = trained(tmp_path / "long", epochs=40, patience=2, **chosen)
    assert len(losses) < 40
    why = f"ends after epoch {len(losses)}, as the loss on the items apart has not fallen for 2"
    assert capsys.readouterr().err.splitlines()[-1].endswith(why)
    apart = json.loads(state(tmp_path / "long")["state"])["progress"]["apart"]
    assert len(apart) == len(losses)
    assert min(apart[-2:]) > min(apart[:-2])
    best, _ = trained(tmp_path / "best", epochs=1 + apart.index(min(apart)), **chosen)
    assert np.array_equal(weights_of(network), weights_of(best))


def test_a_loss_that_stays_has_not_fallen(tmp_path, monkeypatch):
    monkeypatch.setattr(loop._Run, "_loss_apart", lambda run, epoch: 0.5)
    _, losses = trained(tmp_path, epochs=9, validation=0.5, patience=2)
    assert len(losses) == 3


def state(folder):
    from safetensors import safe_open

    with safe_open(folder / "checkpoint.safetensors", "pt") as file:
        return file.metadata()


def test_label_smoothing():
    """Cross entropy to a target that is the class, but for the share that all classes have alike."""

    class Classes(nn.Module):
        def loss(self, output, target):
            return nn.functional.cross_entropy(output, target)

    outputs, targets = torch.randn(5, 4), torch.tensor([0, 3, 1, 1, 2])
    found = objective(Classes(), Recipe(label_smoothing=0.2))(None, outputs, targets)
    torch.testing.assert_close(found, nn.functional.cross_entropy(outputs, targets, label_smoothing=0.2))
    with pytest.raises(UserError, match="label_smoothing: is for logits of classes"):
        objective(Residual(), Recipe(label_smoothing=0.2))(None, torch.randn(5, 1), torch.rand(5))


@pytest.mark.parametrize(("schedule", "shares"), [
    ("constant", [1, 1, 1]), ("linear", [1, 0.505, 0.01]), ("steps", [1, 0.1, 0.01]), ("cosine", [1, 0.505, 0.01]),
])  # fmt: skip
def test_schedules(schedule, shares):
    found = [learning_rate_at(step, 100, 0, 2.0, schedule) for step in (0, 50, 100)]
    assert found == pytest.approx([2.0 * share for share in shares])


def test_an_unknown_schedule():
    with pytest.raises(UserError, match="schedule 'cosin': is not known; did you mean 'cosine'\\?"):
        learning_rate_at(1, 2, 0, 1.0, "cosin")
