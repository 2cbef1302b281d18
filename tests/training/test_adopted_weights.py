"""Weights that somebody else trained, from a file."""

import json
import pickle
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from nnrules.catalog.stages import LoadOptions, TrainOptions
from nnrules.error import UserError
from nnrules.stages import load, train
from nnrules.training.adopted import adopt
from nnrules.training.checkpoint import save_checkpoint

from .task_files import Residual

EXAMPLES = (torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)),)
CURE = "name the network class that these weights are of"


@pytest.fixture
def trained():
    """A network whose weights are not those of another one."""
    torch.manual_seed(7)
    network = Residual()
    network(EXAMPLES[0])  # so that BatchNorm has seen something
    return network.eval()


def adopted(path, network=None):
    network = network or Residual()
    adopt(network, path, "model.pth", EXAMPLES)
    return network


def refused(path, network=None):
    with pytest.raises(UserError) as error:
        adopted(path, network)
    return str(error.value)


def saved(path, state):
    torch.save(state, path)
    return path


@pytest.mark.parametrize("wrapped", [
    lambda state: state,
    OrderedDict,
    lambda state: {"state_dict": state, "epoch": 3, "best": 0.5},
    lambda state: {"model": {f"module.{name}": each for name, each in state.items()}},
    lambda state: {"model_state_dict": {f"module._orig_mod.{name}": each for name, each in state.items()}},
    lambda state: {name: each for name, each in state.items() if not name.endswith("num_batches_tracked")},
    lambda state: {name: each.double() for name, each in state.items()},
])  # fmt: skip
def test_a_state_dict_however_it_was_saved(tmp_path, trained, wrapped):
    found = adopted(saved(tmp_path / "m.pth", wrapped(trained.state_dict())))
    assert torch.equal(found(*EXAMPLES), trained(*EXAMPLES))
    assert {each.dtype for each in found.parameters()} == {torch.float32}


def test_parameters_stay_frozen_and_shared(tmp_path, trained):
    network = Residual()
    network.stem[0].weight.requires_grad_(False)
    network.stem[1].weight = network.stem[1].bias
    shared = {**trained.state_dict(), "stem.1.bias": trained.stem[1].weight}
    adopted(saved(tmp_path / "m.pth", shared), network)
    assert [name for name, each in network.named_parameters() if not each.requires_grad] == ["stem.0.weight"]
    assert network.stem[1].weight is network.stem[1].bias


@pytest.mark.parametrize("averaged", [False, True])
def test_a_checkpoint_of_a_training(tmp_path, trained, averaged):
    other = Residual()
    optimizer = torch.optim.AdamW(other.parameters())
    sum(each.sum() for each in other.parameters()).backward()
    optimizer.step()
    networks = {"network": other, "average": AveragedModel(trained)} if averaged else {"network": trained}
    save_checkpoint(tmp_path, networks, optimizer, {"losses": [0.5]})
    found = adopted(tmp_path / "checkpoint.safetensors")
    assert torch.equal(found(*EXAMPLES), trained(*EXAMPLES))


def test_safetensors_whatever_the_file_is_called(tmp_path, trained):
    save_file(trained.state_dict(), tmp_path / "m.pth")
    assert torch.equal(adopted(tmp_path / "m.pth")(*EXAMPLES), trained(*EXAMPLES))


def test_a_network_that_was_pruned(tmp_path, trained):
    """Its number of channels is the file's."""
    trained.stem[0] = nn.Conv2d(1, 8, 3, 2, 1, bias=False)
    trained.stem[1] = nn.BatchNorm2d(8)
    trained.depthwise[0] = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
    trained.depthwise[1] = nn.BatchNorm2d(8)
    trained.pointwise[0], trained.pointwise[1] = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
    trained.head = nn.Linear(8 * 16, 1)
    found = adopted(saved(tmp_path / "m.pth", trained.eval().state_dict()))
    assert torch.equal(found(*EXAMPLES), trained(*EXAMPLES))


class Touching:
    """What runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_code_is_refused_and_not_run(tmp_path):
    path = saved(tmp_path / "m.pth", {"state_dict": Touching(tmp_path / "ran")})
    assert refused(path) == (
        "model.pth: holds code (io.open), which is not run; "
        "save network.state_dict() with torch.save or safetensors, nothing else"
    )
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Touching(tmp_path / "ran")))
    assert refused(tmp_path / "old.pth").startswith("model.pth: ")
    assert not (tmp_path / "ran").exists()


def test_a_whole_network_is_code(tmp_path, trained):
    path = saved(tmp_path / "m.pth", trained)
    assert f"model.pth: holds code ({Residual.__module__}.Residual), which is not run; " in refused(path)


@pytest.mark.parametrize("data", [b"", b"PK\3\4 no more", b"12345678{not a header}", b"hello, world"])
def test_what_is_no_file_of_weights(tmp_path, data):
    (tmp_path / "m.pth").write_bytes(data)
    cure = "save network.state_dict() with torch.save or safetensors"
    assert refused(tmp_path / "m.pth") == f"model.pth: is no file of weights; {cure}"


def test_something_else_than_tensors(tmp_path):
    cure = "save network.state_dict() with torch.save or safetensors"
    assert refused(saved(tmp_path / "a", [1, 2])) == f"model.pth: holds no state_dict; {cure}"
    assert refused(saved(tmp_path / "b", {"x": 1})) == f"model.pth: 'x' is no tensor; {cure}"


def test_names_that_are_not_the_networks(tmp_path, trained):
    state = trained.state_dict()
    more = {**state, "extra": torch.ones(1)}
    assert refused(saved(tmp_path / "a", more)) == f"model.pth: has extra, which the network has not; {CURE}"
    other = {f"encoder.{name}" if "stem" in name else name: each for name, each in state.items()}
    assert refused(saved(tmp_path / "b", other)) == (
        "model.pth: has no stem.0.weight, stem.1.weight, stem.1.bias and 2 more "
        "but has encoder.stem.0.weight, encoder.stem.1.weight, encoder.stem.1.bias and 3 more; " + CURE
    )
    del state["head.bias"]
    assert refused(saved(tmp_path / "c", state)) == f"model.pth: has no head.bias; {CURE}"


def test_shapes_that_are_not_the_networks(tmp_path, trained):
    """One layer alone, whose neighbours do not fit it; and one with other outputs."""
    path = saved(tmp_path / "a", {**trained.state_dict(), "pointwise.0.weight": torch.ones(9, 12, 1, 1)})
    assert refused(path) == f"model.pth: pointwise.0.weight is (9, 12, 1, 1), the network's (12, 12, 1, 1); {CURE}"
    wider = {"head.weight": torch.ones(2, 192), "head.bias": torch.ones(2)}
    path = saved(tmp_path / "b", {**trained.state_dict(), **wider})
    assert refused(path) == f"model.pth: head.weight is (2, 192), the network's (1, 192) (2 tensors differ); {CURE}"


def test_codes_are_no_weights(tmp_path, trained):
    path = saved(tmp_path / "a", {**trained.state_dict(), "head.bias": torch.ones(1, dtype=torch.int8)})
    assert refused(path) == (
        "model.pth: head.bias is int8, the network's is of real numbers; save it before it is quantized"
    )


def test_a_value_that_is_not_finite(tmp_path, trained):
    path = saved(tmp_path / "a", {**trained.state_dict(), "head.bias": torch.tensor([float("nan")])})
    assert refused(path) == "model.pth: tensor 'head.bias' holds NaN or infinity; train it again"


def test_the_stage(tmp_path, trained, monkeypatch, reference, request_for):
    """Measures what it loads."""
    monkeypatch.chdir(tmp_path)
    task = {"network": reference("Residual"), "dataset": reference("Halves")}
    file = saved(tmp_path / "m.pth", trained.state_dict())
    outputs = {"weights": "w.safetensors", "log": "log.json"}
    load.run(request_for("load", LoadOptions(), outputs, file=file, **task))
    assert json.loads((tmp_path / "log.json").read_text())["metric"]["samples"] == 64
    assert torch.equal(adopted(tmp_path / "w.safetensors")(*EXAMPLES), trained(*EXAMPLES))


def test_training_goes_on_from_pruned_weights(tmp_path, trained, monkeypatch, reference, request_for):
    """Their zeros stay, in an average too; a layer that is all zero was not pruned."""
    monkeypatch.chdir(tmp_path)
    state = trained.state_dict()
    state["stem.0.weight"][:, :, 0] = 0
    state["depthwise.0.weight"][3, 0, 1, 1] = 0
    state["head.weight"].zero_()
    save_file(state, tmp_path / "first")
    task = {"network": reference("Residual"), "dataset": reference("Halves")}
    recipe = TrainOptions(epochs=2, average=0.5, optimizer="pid", learning_rate=0.001, workers=0)
    train.run(request_for("train", recipe, {"weights": "w", "log": "log"}, weights=tmp_path / "first", **task))
    found = load_file(tmp_path / "w")
    assert sorted(found) == sorted(state)
    for name in ("stem.0.weight", "depthwise.0.weight", "pointwise.0.weight"):
        assert torch.equal(found[name] == 0, state[name] == 0)
    assert found["head.weight"].all()
