"""What a user can get wrong in training, pruning and exporting, word for word."""

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from nnrules.catalog.stages import Recipe
from nnrules.error import UserError
from nnrules.stages.runner import blame
from nnrules.training.checkpoint import load_checkpoint, save_checkpoint
from nnrules.training.loop import fit
from nnrules.training.metric import measure
from nnrules.training.onnx_export import export
from nnrules.training.optimizers import make_optimizer
from nnrules.training.repeatable import prepare
from nnrules.training.task import make_dataset, make_network
from nnrules.training.weights import load_weights, save_weights

from .task_files import Branching, Damaged, Halves, Lossless, Poisoned, Residual


def raised(action, *arguments):
    with pytest.raises(UserError) as error:
        action(*arguments)
    return str(error.value)


def test_a_loss_that_is_no_number(tmp_path):
    prepare(seed=1, threads=1)
    recipe = Recipe(batch_size=16, learning_rate=0.5, workers=0)
    assert raised(fit, Residual(), Poisoned("train"), recipe, 1, tmp_path, "train halves") == (
        "train halves, epoch 1, batch 1: the loss is nan; "
        "lower learning_rate (now 0.5) or look for bad values in the dataset"
    )


class Spoilt(Residual):
    """The gradient of the fourth batch of the second epoch, its last, is no number, while its loss is."""

    batches = 0

    def loss(self, output, target):
        self.batches += self.training
        more = torch.sqrt((output * 0).sum()) if self.batches == 8 else 0
        return super().loss(output, target) + more


def test_weights_that_the_last_batch_spoilt(tmp_path):
    """They do not take the place of the good ones."""
    prepare(seed=1, threads=1)
    recipe = Recipe(batch_size=16, learning_rate=0.5, workers=0)
    assert raised(fit, Spoilt(), Halves("train"), recipe, 3, tmp_path, "train halves") == (
        "train halves, epoch 2: tensor 'stem.0.weight' holds NaN or infinity; lower learning_rate (now 0.5) or look "
        "for bad values in the dataset"
    )
    network = Residual()
    assert len(load_checkpoint(tmp_path, {"network": network}, None)["losses"]) == 1
    assert all(each.isfinite().all() for each in network.state_dict().values())


class Doubtful(Residual):
    def loss(self, output, target):
        return super().loss(output, target) * (1 if self.training else torch.inf)


def test_a_loss_on_the_items_apart_that_is_no_number(tmp_path):
    recipe = Recipe(batch_size=16, workers=0, validation=0.25, patience=1)
    assert raised(fit, Doubtful(), Halves("train"), recipe, 2, tmp_path, "train halves") == (
        "train halves, epoch 1: the loss on the items kept apart is inf; "
        "lower learning_rate (now 0.003) or look for bad values in the dataset"
    )


def test_items_apart_are_the_same_after_each_epoch(tmp_path):
    """Those of the first one, where items vary."""

    class Seen(Halves):
        def __getitem__(self, index):
            seen.setdefault(index, []).append(self.epoch)
            return super().__getitem__(index)

    seen = {}
    fit(Residual(), Seen("train"), Recipe(batch_size=16, workers=0, validation=0.25), 3, tmp_path, "train halves")
    assert sorted(map(tuple, seen.values())) == [(0, 0, 0)] * 16 + [(0, 1, 2)] * 48


@pytest.mark.parametrize(("share", "fault"), [
    (0.99, "validation=0.99 keeps all of 6 items apart; lower it"),
    (0.01, "validation=0.01 keeps none of 6 items apart; raise it"),
])  # fmt: skip
def test_nothing_to_train_on_or_to_keep_apart(share, fault, tmp_path):
    dataset, recipe = Halves("train", length=6), Recipe(workers=0, validation=share)
    assert raised(fit, Residual(), dataset, recipe, 1, tmp_path, "train halves") == f"train halves: {fault}"


@pytest.mark.parametrize(("loss", "line"), [
    (lambda found: None, "Giving: loss() gives NoneType; return the mean over the batch, a scalar tensor"),
    (lambda found: 1.0, "Giving: loss() gives float; return the mean over the batch, a scalar tensor"),
    (
        lambda found: found * torch.ones(16, 2),
        "Giving: loss() gives a tensor of shape (16, 2); return the mean over the batch, a scalar tensor",
    ),
    (
        lambda found: found.detach(),
        "train halves: the loss does not depend on the weights; "
        "compute it from the output, without detach() or item()",
    ),
    (
        lambda found: raise_(RuntimeError("wobble_cuda does not have a deterministic implementation, but you set")),
        "train halves: a layer has no gradient that is the same in each run on this device; "
        "put another one in its place: wobble_cuda",
    ),
    (
        lambda found: raise_(RuntimeError("Your training graph has changed in this iteration")),
        "train halves: parameters take part in the loss of some batches only; set devices and nodes to 1",
    ),
])  # fmt: skip
def test_a_loss_that_cannot_be_learnt_from(loss, line, tmp_path):
    class Giving(Residual):
        def loss(self, output, target):
            return loss(super().loss(output, target))

    recipe = Recipe(batch_size=16, workers=0)
    assert raised(fit, Giving(), Halves("train"), recipe, 1, tmp_path, "train halves") == line


def raise_(fault):
    raise fault


def test_a_last_batch_of_one_item(tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 1))
    network.loss = lambda output, target: output.mean()
    recipe = Recipe(batch_size=16, workers=0)
    assert raised(fit, network, Halves("train", length=17), recipe, 1, tmp_path, "train halves") == (
        "train halves: BatchNorm has a single item to learn from; choose another batch_size (now 16), of whose last "
        "batch each process gets two items"
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_items_of_several_shapes(tmp_path, workers):
    class Ragged(Halves):
        def __getitem__(self, index):
            picture, target = super().__getitem__(index)
            return picture[:, : 8 - (index == 1)], target

    recipe = Recipe(batch_size=2, workers=workers)
    text = raised(fit, Residual(), Ragged("train", length=2), recipe, 1, tmp_path, "train halves")
    assert text.startswith("train halves: its items cannot be stacked: stack expects each tensor to be equal size, ")
    assert text.endswith("; give all of them one shape and type")


@pytest.mark.parametrize("found", [None, float("nan"), [1, 2]])
def test_a_metric_that_is_no_number(found):
    class Measured(Halves):
        def metric(self, outputs):
            return found

    text = f"metric 'accuracy': gives {found!r}, which is no finite number; correct metric(outputs)"
    assert raised(measure, Measured("test"), lambda batch: [batch[0]]) == text


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    """The checkpoint before stays, and nothing is left beside it."""

    def save_file(tensors, path, metadata):
        path.write_bytes(b"some")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path / "kept", {"network": Residual()}, None, {"losses": [1.0]})
    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", save_file)
        with pytest.raises(SafetensorError) as error:
            save_checkpoint(tmp_path / "kept", {"network": Residual()}, None, {"losses": [1.0, 0.5]})
    assert str(blame(error.value, {})) == f"{tmp_path}: there is no space left on its disk; make room and build again"
    assert [each.name for each in (tmp_path / "kept").iterdir()] == ["checkpoint.safetensors"]
    assert load_checkpoint(tmp_path / "kept", {"network": Residual()}, None) == {"losses": [1.0]}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_dataset_that_raises_does_so_in_this_process(tmp_path, workers):
    recipe = Recipe(batch_size=16, learning_rate=0.5, workers=workers)
    with pytest.raises(ValueError, match=r"^item 7 is damaged$") as error:
        fit(Residual(), Damaged("train"), recipe, 1, tmp_path, "train halves")
    assert error.traceback[-1].path == Path(__file__).with_name("task_files.py")


def test_weights_that_are_no_numbers(tmp_path):
    network = Residual()
    with torch.no_grad():
        network.head.bias.fill_(float("nan"))
    assert raised(save_weights, network, tmp_path / "halves.trained.safetensors") == (
        "halves.trained.safetensors: tensor 'head.bias' holds NaN or infinity; lower the learning rate and train again"
    )


def test_nan_in_a_weights_file(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_file({**Residual().state_dict(), "head.bias": torch.tensor([float("inf")])}, path)
    assert raised(load_weights, Residual(), path) == (
        f"{path}: tensor 'head.bias' holds NaN or infinity; lower the learning rate and train again"
    )


def test_weights_of_another_network(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(nn.Sequential(nn.Linear(2, 2)), path)
    assert raised(load_weights, Residual(), path) == (
        f"{path}: has an unknown tensor '0.bias'; train it again: the network has changed since"
    )


def test_weights_whose_shapes_cannot_be_right(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(nn.Sequential(nn.PReLU(2)), path)
    text = raised(load_weights, nn.Sequential(nn.PReLU(3)), path)
    assert text.startswith(f"{path}: size mismatch for 0.weight: ")
    assert text.endswith("; train it again: the network has changed since")


def test_an_unknown_optimizer():
    text = "optimizer 'adam': is not known; did you mean 'adamw'?"
    assert raised(make_optimizer, Residual(), Recipe(optimizer="adam")) == text


def test_a_network_without_a_loss():
    assert raised(make_network, Lossless) == "Lossless: has no loss; define loss(output, target)"


def test_a_network_that_is_no_module():
    cure = "derive it from torch.nn.Module and define loss(output, target)"
    assert raised(make_network, dict) == f"dict: is not a network; {cure}"


def test_a_dataset_without_items():
    cure = "define __len__ and __getitem__(index) -> (input, target)"
    assert raised(make_dataset, lambda split: object(), "train", None).endswith(f"is not a dataset; {cure}")


def test_an_empty_split():
    def empty(split):
        return Halves(split, length=0)

    text = "empty: has no samples in its 'test' split; check the dataset and data=PATH"
    assert raised(make_dataset, empty, "test", None) == text


def test_a_network_torch_cannot_export():
    text = raised(export, Branching().eval(), Halves("test"), "models/halves/network.py:Branching")
    assert text.startswith("models/halves/network.py:Branching: torch cannot export it: ")
    assert text.endswith("; keep forward() free of Python branches on values")
    assert "\n" not in text


def test_a_network_that_raises(stage):
    outputs = {"weights": "w.safetensors", "log": "w.json"}
    task = {"network": "task_files.py:Raising", "dataset": "task_files.py:Halves"}
    process = stage("train", outputs, {"workers": 0, "threads": 1}, **task)
    console = process.communicate()[1]
    lines = Path(__file__).with_name("task_files.py").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if "no such thing" in text)
    assert process.returncode == 2
    assert console.splitlines()[-1] == (
        f"task_files.py:{line}: ValueError: no such thing; fix the exception and build again"
    )
    assert "Traceback" not in console


def test_data_for_a_dataset_that_takes_none(tmp_path):
    class Fixed(Halves):
        def __init__(self, split):
            super().__init__(split)

    assert raised(make_dataset, Fixed, "train", tmp_path) == (
        "Fixed: takes no data; leave data= out or give its constructor an argument of that name"
    )
