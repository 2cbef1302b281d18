"""What a user can get wrong in training, pruning and exporting, word for word."""

from pathlib import Path

import pytest
import torch
from torch import nn

from nnrules.catalog.stages import Recipe
from nnrules.error import UserError
from nnrules.training.loop import fit, prepare
from nnrules.training.onnx_export import export
from nnrules.training.optimizers import make_optimizer
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
