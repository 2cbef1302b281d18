"""The contract of pruners: every file of compress/pruners keeps it."""

import copy
import importlib
import itertools
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnrules.catalog.stages import PruneOptions, QuantizeOptions
from nnrules.compress import fitting, pruners, selection
from nnrules.compress.channels import find_channels
from nnrules.compress.masks import Pruning, lamp
from nnrules.error import UserError
from nnrules.training.loop import fit
from nnrules.training.optimizers import make_optimizer
from nnrules.training.repeatable import prepare
from nnrules.training.weights import take_state

MODULES: dict[str, Any] = {
    each.name: importlib.import_module(f"{pruners.__name__}.{each.name}")
    for each in pkgutil.iter_modules(pruners.__path__)
}
WAYS = [(name, {}) for name in MODULES] + [
    ("pointwise", {"importance": "skeleton"}),
    ("pointwise", {"n": 4}),
    ("channel", {"scope": "global", "round_to": 1}),
    ("magnitude", {"scope": "global"}),
]
EXAMPLE = torch.rand(2, 2, 8, 8, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """A residual addition, a depthwise convolution, and what flattens."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, 1, 1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 12, 3, 1, 1, bias=False)
        self.outer = nn.Conv2d(12, 8, 3, 1, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, 2, 1, groups=8)
        self.head = nn.Linear(8 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(x + self.outer(torch.relu(self.inner(x))))
        result: Tensor = self.head(self.depthwise(x).flatten(1))
        return result

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(output, target)


class Task:
    """Twenty-four items."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return np.random.default_rng(index).random((2, 8, 8), np.float32), index % 3


def network() -> Net:
    prepare(7, 1)
    return Net().eval()


def options(method: str, **more: Any) -> PruneOptions:
    return PruneOptions(method=method, workers=0, batch_size=8, **{"sparsity": 0.5, "retrain_epochs": 4, **more})


def pruned(method: str, folder: Path, chosen: PruneOptions) -> tuple[Net, dict[str, Any], Tensor]:
    """The network after its retraining, the report, and its outputs under masks."""
    net = network()
    pruning = Pruning(net, MODULES[method], (EXAMPLE,), chosen, "here")
    penalty = pruning.penalty if pruning.learned else None
    fit(
        net, Task(), chosen, chosen.retrain_epochs, folder, "here", None, penalty, pruning.before_epoch,
        settled=pruning.settled,
    )  # fmt: skip
    with torch.no_grad():
        masked = net.eval()(EXAMPLE)
    state, report = pruning.finish()
    take_state(net, state)
    return net, report, masked


@pytest.mark.parametrize(("method", "more"), WAYS)
def test_the_contract(method: str, more: dict[str, Any], tmp_path: Path) -> None:
    """The sparsity is reached; what is left computes what the masked network did; the report says what there is; the
    same again, to the byte."""
    chosen = options(method, **more)
    net, report, masked = pruned(method, tmp_path / "1", chosen)
    with torch.no_grad():
        torch.testing.assert_close(net(EXAMPLE), masked, rtol=1e-5, atol=1e-5)
    weights = {name: net.get_submodule(name).weight for name in report["weights"]}
    assert {name: each[1] for name, each in report["weights"].items()} == {
        name: int(each.count_nonzero()) for name, each in weights.items()
    }
    assert {name: each[1] for name, each in report["layers"].items()} == {
        name: len(each) for name, each in weights.items()
    }
    assert report["parameters"][1] == sum(each.numel() for each in net.parameters())
    assert reached(method, report, more)
    again = pruned(method, tmp_path / "2", chosen)[0].state_dict()
    assert all(torch.equal(each, again[name]) for name, each in net.state_dict().items())


def reached(method: str, report: dict[str, Any], more: dict[str, Any]) -> bool:
    """Half of what the method counts."""
    weights = report["weights"]
    if method == "spatial":
        return bool(0.4 < report["multiplications"][1] / report["multiplications"][0] <= 0.5)
    if method == "channel":
        left = [report["layers"][name][1] for name in ("stem", "inner")]
        return sum(left) == 10 if "scope" in more else left == [4, 8]
    names = ["stem", "inner", "outer", "head"] if method == "magnitude" or more.get("n") else ["stem", "inner", "outer"]
    before, after = (sum(weights[name][i] for name in names) for i in (0, 1))
    return bool(abs(after / before - 0.5) < 0.01)


@pytest.mark.parametrize("method", MODULES)
def test_zeros_stay_in_an_average_and_in_training_with_quantizers(method: str, tmp_path: Path) -> None:
    chosen = options(method, average=0.9, validation=0.3, patience=1)
    net, report, _ = pruned(method, tmp_path / "1", chosen)
    assert reached(method, report, {})
    zeros = {name: each == 0 for name, each in net.state_dict().items() if name.endswith("weight")}
    recipe = QuantizeOptions(
        method="lsq", weight_bits=4, skip=("head",), workers=0, batch_size=8, epochs=1, learning_rate=0.01
    )
    fitting.insert(net, (EXAMPLE,), recipe, "here")
    fit(net, Task(), recipe, 1, tmp_path / "2", "here")
    codes, _ = fitting.finish(net)
    assert "inner" in codes
    for name, where in zeros.items():
        assert (net.state_dict()[name][where] == 0).all()
    assert all((each[zeros[f"{name}.weight"]] == 0).all() for name, each in codes.items())


def test_a_sparsity_that_empties_a_layer() -> None:
    net = network()
    with torch.no_grad():
        net.outer.weight.mul_(1e-6)
    with pytest.raises(UserError) as caught:
        Pruning(net, MODULES["magnitude"], (EXAMPLE,), options("magnitude", sparsity=0.6, scope="global"), "here")
    assert str(caught.value) == "here: layer 'outer': would lose all its weights; lower sparsity or skip it"


def test_what_cannot_be_reached() -> None:
    with pytest.raises(UserError) as caught:
        Pruning(network(), MODULES["spatial"], (EXAMPLE,), options("spatial", sparsity=0.999), "here")
    assert str(caught.value) == "here: sparsity 0.999 is more than can be removed; choose 0.99 at most"


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("first", "choose from depthwise, head, inner, outer, stem"),
        ("iner", "did you mean 'inner'? The layers are stem, inner, outer, depthwise, head"),
    ],
)
def test_skip_names_no_layer(name: str, cure: str) -> None:
    with pytest.raises(UserError) as caught:
        Pruning(network(), MODULES["channel"], (EXAMPLE,), options("channel", skip=(name,)), "here")
    assert str(caught.value) == f"here: skip names {name!r}, which is no layer; {cure}"


def test_a_skeleton_needs_time() -> None:
    chosen = options("pointwise", importance="skeleton", retrain_epochs=1)
    with pytest.raises(UserError) as caught:
        Pruning(network(), MODULES["pointwise"], (EXAMPLE,), chosen, "here")
    assert str(caught.value) == "here: 1 retrain_epochs are too few to learn what is removed; set 2 at least"


def test_a_skeleton_is_neither_decayed_nor_on_what_is_skipped() -> None:
    """Its penalty is the one that there is."""
    net, chosen = network(), options("pointwise", importance="skeleton", skip=("inner",))
    Pruning(net, MODULES["pointwise"], (EXAMPLE,), chosen, "here")
    rows = {name: each for name, each in net.named_parameters() if name.endswith(".row")}
    assert {name.partition(".")[0] for name in rows} == {"stem", "outer"}
    decay = {id(each): g["weight_decay"] for g in make_optimizer(net, chosen).param_groups for each in g["params"]}
    assert {decay[id(each)] for each in rows.values()} == {0.0}
    assert decay[id(net.head.parametrizations.weight.original)] > 0


@pytest.mark.parametrize("method", ["channel", "spatial"])
@pytest.mark.parametrize("name", ["outer", "depthwise"])
def test_skipped_filters_stay(method: str, name: str) -> None:
    """And what is added to what they make."""
    pruning = Pruning(network(), MODULES[method], (EXAMPLE,), options(method, retrain_epochs=0, skip=(name,)), "h")
    report = pruning.finish()[1]
    assert report["layers"]["stem"] == report["layers"]["outer"] == [8, 8]
    assert report["multiplications"][1] < report["multiplications"][0]


def test_channels_go_together() -> None:
    """Those of the addition with the depthwise ones and the rows of the head; the outputs stay."""
    found = find_channels(network(), (EXAMPLE,))
    assert found.ties.bincount().tolist() == [8, 12]
    assert torch.equal(found.made["stem"], found.made["outer"])
    assert torch.equal(found.made["stem"], found.made["depthwise"])
    assert torch.equal(found.taken["head"], found.made["stem"].repeat_interleave(16))
    assert (found.made["head"] == -1).all()


class Seen(nn.Module):
    """Gives away its first layer's channels beside its result."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.first(x)
        return x, self.second(x)


def test_channels_that_are_seen_stay() -> None:
    assert len(find_channels(Seen(), (EXAMPLE,)).ties) == 0


class Mixed(nn.Module):
    """What a first layer makes goes to a second one by way of what its code does with it."""

    def __init__(self, way: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(2, 8, 1), nn.Conv2d(8, 8, 1), nn.Linear(8, 3)
        self.way = copy.deepcopy(way)
        self.only_in_training = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(torch.relu(self.second(self.way(torch.relu(self.first(x))))).mean((2, 3)))
        return result


def shuffled(x: Tensor) -> Tensor:
    count, channels, height, width = x.shape
    return x.reshape(count, 2, channels // 2, height, width).transpose(1, 2).reshape(x.shape)


@pytest.mark.parametrize(
    ("way", "left"),
    [
        (torch.relu, 4),
        (nn.BatchNorm2d(8, affine=False), 4),
        (shuffled, 8),
        (lambda x: torch.cat(x.chunk(2, 1)[::-1], 1), 8),
        (lambda x: torch.cat(x.split(4, 1)[::-1], 1), 8),
        (lambda x: torch.softmax(x, 1), 8),
        (lambda x: x * x.mean(1, keepdim=True), 8),
        (lambda x: x.reshape(-1, 8, 8, 8), 8),
        (lambda x: nn.functional.pad(x[:, 2:], (0, 0, 0, 0, 1, 1)), 8),
    ],
)
@pytest.mark.parametrize("example", [EXAMPLE[:1], torch.zeros(1, 2, 8, 8)])
def test_channels_that_the_code_mixes_stay(way: Callable[[Tensor], Tensor], left: int, example: Tensor) -> None:
    """Whatever the example is, what is left computes what it did under masks."""
    net = prepare(7, 1) or Mixed(way).eval()
    pruning = Pruning(
        net, MODULES["channel"], (example,), options("channel", retrain_epochs=0, round_to=1, sparsity=0.5), "here"
    )
    with torch.no_grad():
        masked = net(EXAMPLE)
        state, report = pruning.finish()
        take_state(net, state)
        torch.testing.assert_close(net(EXAMPLE), masked, rtol=1e-5, atol=1e-5)
    assert report["layers"] == {"first": [8, left], "second": [8, 4], "head": [3, 3]}


@pytest.mark.parametrize("method", MODULES)
def test_layers_that_never_run_stay(method: str) -> None:
    """Nor do they count in a choice among all weights."""
    more = (
        {"norm": 2}
        if method in ("channel", "spatial")
        else {"scope": "global", **({"n": 2} if method[0] == "p" else {})}
    )
    net = prepare(7, 1) or Mixed(torch.relu).eval()
    with torch.no_grad():
        net.only_in_training.weight.mul_(1e-6)
    report = Pruning(net, MODULES[method], (EXAMPLE,), options(method, retrain_epochs=0, **more), "here").finish()[1]
    assert net.only_in_training.weight.count_nonzero() == 24
    assert "only_in_training" not in report["weights"]
    assert report["multiplications"][1] < report["multiplications"][0]


@pytest.mark.parametrize(("method", "more"), WAYS)
def test_what_was_pruned_stays_so(method: str, more: dict[str, Any], tmp_path: Path) -> None:
    """By another method before, through the rise of the sparsity and the training."""
    net = network()
    first = Pruning(net, MODULES["magnitude"], (EXAMPLE,), options("magnitude", sparsity=0.3, retrain_epochs=0), "here")
    first.finish()
    before = {name: each.weight.detach().clone() for name, each in first.layers.modules.items()}
    chosen = options(method, **{"sparsity": 0.6, "momentum": 0.9, "average": 0.5, "optimizer": "pid", **more})
    pruning = Pruning(net, MODULES[method], (EXAMPLE,), chosen, "here")
    masks = []

    def at_first(epoch: int) -> None:
        pruning.before_epoch(epoch)
        masks.append({name: each.weight.detach() for name, each in first.layers.modules.items()})

    fit(net, Task(), chosen, 4, tmp_path, "here", None, pruning.penalty, at_first, settled=pruning.settled)
    after = {name: each.weight.detach() for name, each in first.layers.modules.items()}
    for seen in (*masks, after):
        assert all((each[before[name] == 0] == 0).all() for name, each in seen.items())
    assert sum(int(each.count_nonzero()) for each in after.values()) < sum(
        int(each.count_nonzero()) for each in before.values()
    )


@pytest.mark.parametrize(
    ("method", "more", "line"),
    [
        ("magnitude", {"sparsity": 0.0001}, "sparsity 0.0001 removes nothing; raise it"),
        ("pointwise", {"sparsity": 0.0001}, "sparsity 0.0001 removes nothing; raise it"),
        ("channel", {"sparsity": 0.2}, "sparsity 0.2 removes nothing; raise it, or lower round_to (now 4)"),
        ("channel", {"sparsity": 0.1, "round_to": 1, "scope": "global", "skip": ("stem", "inner", "outer")},
         "has no layer that channel could take anything of; choose another method, or skip less"),
    ],
)  # fmt: skip
def test_a_sparsity_that_removes_nothing(method: str, more: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        Pruning(network(), MODULES[method], (EXAMPLE,), options(method, **more), "here")
    assert str(caught.value) == f"here: {line}"


def test_a_sparsity_that_was_reached_before() -> None:
    net = network()
    Pruning(net, MODULES["magnitude"], (EXAMPLE,), options("magnitude", retrain_epochs=0), "here").finish()
    with pytest.raises(UserError) as caught:
        Pruning(net, MODULES["magnitude"], (EXAMPLE,), options("magnitude"), "here")
    assert str(caught.value) == "here: sparsity 0.5 removes nothing that is not zero; raise it"


def test_a_learned_sparsity_that_removes_nothing() -> None:
    chosen = options("pointwise", importance="skeleton", sparsity=0.0001)
    pruning = Pruning(network(), MODULES["pointwise"], (EXAMPLE,), chosen, "here")
    with pytest.raises(UserError) as caught:
        pruning.before_epoch(pruning.rising)
    assert str(caught.value) == "here: sparsity 0.0001 removes nothing; raise it"


def test_lamp_by_hand() -> None:
    """The square over the sum of the squares that are not lower; a layer's highest is 1, a layer of zeros has none."""
    shares = lamp(torch.tensor([[2.0, 1.0], [0.0, 3.0]]))
    assert torch.allclose(shares, torch.tensor([[4 / 13, 1 / 14], [0.0, 1.0]], dtype=torch.float64), rtol=1e-12)
    assert (lamp(torch.zeros(3)) == 0).all()


@pytest.mark.parametrize("method", ["magnitude", "pointwise"])
def test_lamp_does_not_depend_on_how_a_layer_is_scaled(method: str) -> None:
    """Nor does it empty one: global magnitude would take all of it."""
    found = []
    for factor in (1.0, 1e-6):
        net = network()
        with torch.no_grad():
            net.outer.weight.mul_(factor)
        chosen = options(method, sparsity=0.6, scope="lamp", retrain_epochs=0)
        found.append(Pruning(net, MODULES[method], (EXAMPLE,), chosen, "here").finish()[1]["weights"])
    assert found[0] == found[1]
    assert all(left for _, left in found[0].values())


def test_lamp_of_channels() -> None:
    """Each tie by itself: one whose weights are tiny, makers and takers, keeps as many as if they were not."""
    found = []
    for factor in (1.0, 1e-3):
        net = Mixed(torch.relu).eval()
        with torch.no_grad():
            for each in (net.first, net.second, net.head):
                each.weight.mul_(factor)
        chosen = options("channel", sparsity=0.5, scope="lamp", round_to=1, retrain_epochs=0, skip=("second",))
        found.append(Pruning(net, MODULES["channel"], (EXAMPLE,), chosen, "here").finish()[1]["layers"])
    assert found[0] == found[1]
    assert found[0]["first"] == [8, 4]


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_nearly_all_channels(scope: str) -> None:
    """One of each layer stays; of equal ones the share that was asked for goes."""
    net = Mixed(torch.relu).eval()
    chosen = options("channel", retrain_epochs=0, round_to=1, scope=scope, sparsity=0.97 if scope == "layer" else 0.5)
    if scope == "global":
        with torch.no_grad():
            for each in (net.first, net.second, net.head):
                each.weight.fill_(1.0)
        chosen = msgspec.structs.replace(chosen, skip=("second",))
    report = Pruning(net, MODULES["channel"], (EXAMPLE,), chosen, "here").finish()[1]
    assert [report["layers"][name][1] for name in ("first", "second")] == ([1, 1] if scope == "layer" else [4, 8])


def problem(seed: int) -> selection.Problem:
    """Four layers, a residual addition among them."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64) ** 2

    first, inner, fixed = torch.tensor([0, 1, 2]), torch.tensor([3, 4]), torch.tensor([5])
    layers = [
        selection.Layer(drawn(3, 2, 1), first, fixed, 4),
        selection.Layer(drawn(2, 3, 3), inner, first, 4),
        selection.Layer(drawn(3, 2, 2), first, inner, 4),
        selection.Layer(drawn(2, 2, 3), fixed.repeat(2), first, 1),
    ]
    nothing = torch.zeros(5, dtype=torch.float64)
    return selection.Problem(layers, torch.tensor([0, 0, 0, 1, 1]), nothing, nothing, nothing.bool())


def best(given: selection.Problem, budget: float) -> float:
    """The objective of the best choice, by trying all: a layer's stripes are independent once the channels are set."""
    found = 0.0
    for alive in itertools.product([False, True], repeat=5):
        choice = selection.Choice(given)
        choice.alive = torch.tensor([*alive, True])
        table = {0.0: 0.0}
        for n, layer in enumerate(given.layers):
            worths, cost = choice.stripe_worths(n), choice.stripe_cost(n)
            for row, there in zip(worths, choice.alive[layer.made].tolist(), strict=True):
                ways = [way for way in itertools.product([0, 1], repeat=len(row)) if any(way) == there]
                new: dict[float, float] = {}
                for (spent, worth), way in itertools.product(table.items(), ways):
                    total = spent + cost * sum(way)
                    if total <= budget:
                        new[total] = max(new.get(total, 0.0), worth + float(row @ torch.tensor(way).double()))
                table = new
        found = max(found, max(table.values(), default=0.0))
    return found


def test_the_selection_against_all_there_are() -> None:
    """Under the budget; on average within a hundredth of the best, never worse than a twentieth."""
    shares = []
    for seed, share in itertools.product(range(6), (0.7, 0.5, 0.3)):
        given = problem(seed)
        budget = selection.Choice(given).cost() * share
        found = selection.choose(given, budget)
        assert found.cost() <= budget
        for layer, stripes in zip(given.layers, found.stripes, strict=True):
            assert torch.equal(stripes.any(1), found.alive[layer.made])
        shares.append(found.worth() / best(given, budget))
    assert max(shares) < 1 + 1e-9
    assert min(shares) > 0.95
    assert np.mean(shares) > 0.99


@pytest.mark.parametrize("seed", [6, 7, 8, 9])
@pytest.mark.parametrize("share", [0.25, 0.15])
def test_the_selection_under_a_small_budget(seed: int, share: float) -> None:
    """What stays has a stripe at least, down to what costs least."""
    given = problem(seed)
    budget = selection.Choice(given).cost() * share
    found = selection.choose(given, budget)
    assert found.cost() <= budget
    least = selection.choose(given, 0.0)
    assert least.cost() == 14
    for choice in (found, least):
        assert choice.alive[:3].any()
        assert choice.alive[3:5].any()
        for layer, stripes in zip(given.layers, choice.stripes, strict=True):
            assert torch.equal(stripes.any(1), choice.alive[layer.made])


@pytest.mark.parametrize(
    ("skip", "cure"),
    [((), "choose another method"), (("stem", "inner", "outer"), "choose another method, or skip less")],
)
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_there_is_nothing_to_take(skip: tuple[str, ...], cure: str, scope: str) -> None:
    """Whole vectors of all channels are filters in fully connected layers."""
    net = network() if skip else nn.Sequential(nn.Flatten(), nn.Linear(EXAMPLE[0].numel(), 3))
    with pytest.raises(UserError) as caught:
        Pruning(net, MODULES["pointwise"], (EXAMPLE,), options("pointwise", skip=skip, scope=scope), "here")
    assert str(caught.value) == f"here: has no layer that pointwise could take anything of; {cure}"
