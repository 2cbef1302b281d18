"""A network that learns from another one."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from nnrules.catalog.stages import PruneOptions, QuantizeOptions, Recipe, TrainOptions
from nnrules.error import UserError
from nnrules.stages import fit, prune, train
from nnrules.training.distillation import distance
from nnrules.training.objective import objective
from nnrules.training.weights import load_weights, save_weights

from .task_files import Plain

SHORT = {"batch_size": 16, "learning_rate": 0.01, "workers": 0}


class Given(nn.Module):
    """Gives what it holds, times its input."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value * x


def test_logits_of_classes_are_compared_softened():
    """T^2 sum p log(p / q), p and q the softmax of the logits over T, a mean over the batch."""
    teacher = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])
    outputs = torch.tensor([[1.0, 1.0, 0.0], [0.5, 2.0, -1.0]])
    p, q = (np.exp(each.numpy() / 3) for each in (teacher, outputs))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    expected = 9 * (p * np.log(p / q)).sum(1).mean()
    found = distance(Given(teacher), torch.ones(2, 3), outputs, torch.tensor([0, 1]), 3.0)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_gradients_are_as_large_at_each_temperature():
    """(s - t) / classes where T is large and logits have no mean: equation 4 of the paper."""
    teacher, outputs = torch.tensor([[2.0, -1.0, -1.0]]), torch.tensor([[1.0, -1.0, 0.0]], requires_grad=True)
    distance(Given(teacher), torch.ones(1, 3), outputs, torch.tensor([0]), 1000.0).backward()
    torch.testing.assert_close(outputs.grad, (outputs.detach() - teacher) / 3, rtol=0.01, atol=0.001)


def test_other_outputs_are_compared_by_their_squares():
    teacher, outputs = torch.tensor([[2.0, 4.0]]), torch.tensor([[1.0, 1.0]])
    found = distance(Given(teacher), torch.ones(1, 2), outputs, torch.tensor([[1.0, 1.0]]), 4.0)
    assert found.item() == (1 + 9) / 2


@pytest.mark.parametrize(("outputs", "targets"), [
    (torch.tensor([[2.0], [1.0]]), torch.tensor([0, 1])),  # one logit, whose softmax is 1 whatever it is
    (torch.tensor([[2.0, 1.0], [1.0, 0.0]]), torch.tensor([[0, 1], [1, 1]])),  # a label for each output
    (torch.tensor([[2.0, 1.0], [1.0, 0.0]]), torch.tensor([True, False])),
    (torch.tensor([[2.0, 1.0], [1.0, 0.0]]), [torch.tensor([0, 1]), torch.tensor([0, 1])]),
])  # fmt: skip
def test_whole_numbers_that_are_no_classes(outputs, targets):
    """Outputs are compared by their squares, and label smoothing is refused."""
    assert distance(Given(outputs + 1), torch.ones(()), outputs, targets, 4.0).item() == 1
    network = nn.Linear(1, 1)
    network.loss = lambda outputs, targets: outputs.sum()
    with pytest.raises(UserError, match=r"^label_smoothing: is for logits of classes"):
        objective(network, Recipe(label_smoothing=0.1))(None, outputs, targets)


def test_the_share_of_the_teacher():
    class Network(nn.Module):
        def loss(self, outputs, targets):
            return outputs.sum() * 0 + 8.0

    recipe = Recipe(teacher="other", teacher_share=0.25)
    loss = objective(Network(), recipe, teacher=Given(torch.tensor([[3.0]])))
    assert loss(torch.ones(1, 1), torch.tensor([[1.0]]), torch.tensor([1.0])).item() == 0.75 * 8 + 0.25 * 4


def test_a_teacher_for_another_task():
    with pytest.raises(UserError) as error:
        distance(Given(torch.ones(2, 4)), torch.ones(2, 4), torch.ones(2, 3), torch.tensor([0, 1]), 4.0)
    assert str(error.value) == (
        "teacher: gives outputs of the shape (4), the network (3); name a network for the same task"
    )


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Those of a network that nobody trained."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    save_weights(Plain(), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_a_network_may_learn_from_nothing_but_a_teacher(weights, request_for, reference, tmp_path):
    """One of another architecture comes near the teacher's outputs."""
    task = {"network": reference("Residual"), "dataset": reference("Halves")}
    given = {"teacher": weights, "teacher_network": reference("Plain")}
    options = TrainOptions(epochs=6, teacher="other", teacher_share=1.0, **SHORT)
    train.run(request_for("train", options, {"weights": "o.safetensors", "log": "o.json"}, **task, **given))
    losses = json.loads((tmp_path / "o.json").read_text())["loss"]
    assert losses[-1] < losses[0] / 4


@pytest.mark.parametrize("stage", ["prune", "fit"])
def test_the_network_before_may_be_the_teacher(stage, weights, request_for, reference, tmp_path):
    """As it was: with a rate of next to nothing the outputs stay, and so the loss is next to nothing; it is none where
    the teacher changes along."""
    task = {"network": reference("Plain"), "dataset": reference("Halves"), "weights": weights}
    recipe = {**SHORT, "learning_rate": 1e-9, "teacher": "self", "teacher_share": 1.0}
    outputs = {"weights": "o.safetensors", "log": "o.json"}
    if stage == "prune":
        options = PruneOptions(method="magnitude", sparsity=0.01, retrain_epochs=1, **recipe)
        prune.run(request_for(stage, options, outputs, **task))
    else:
        options = QuantizeOptions(method="lsq", weight_bits=8, activation_bits=8, epochs=1, clip_decay=0, **recipe)
        outputs |= {"codes": "c.safetensors", "quantizers": "q.json"}
        fit.run(request_for(stage, options, outputs, **task))
    assert 0 < json.loads((tmp_path / "o.json").read_text())["loss"][0] < 0.05


def test_there_is_no_network_before_training(request_for, reference, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = {"network": reference("Plain"), "dataset": reference("Halves")}
    with pytest.raises(UserError) as error:
        train.run(request_for("train", TrainOptions(teacher="self"), {"weights": "o", "log": "l"}, **task))
    assert str(error.value) == (
        "train halves: teacher 'self': there is no trained network before this one; name a step of another model"
    )


def test_training_may_begin_with_weights(weights, request_for, reference, tmp_path):
    """At a rate of next to nothing they stay."""
    task = {"network": reference("Plain"), "dataset": reference("Halves"), "weights": weights}
    options = TrainOptions(epochs=1, **{**SHORT, "learning_rate": 1e-12})
    train.run(request_for("train", options, {"weights": "o.safetensors", "log": "o.json"}, **task))
    before, after = Plain(), Plain()
    load_weights(before, weights)
    load_weights(after, tmp_path / "o.safetensors")
    torch.testing.assert_close(after.head.weight, before.head.weight)
