"""Bits of weights by layer, chosen so that the loss grows least within a size of all weights, or so many instructions.

What a layer costs is measured: the growth of the loss on calibration data, by real forward passes with the weights of
that layer alone rounded to a width. The growths of layers are taken to add up (Dong et al., HAWQ-V2, NeurIPS 2020,
arXiv:1911.03852, do so with curvatures), and the choice is then a multiple-choice knapsack, solved exactly. Bytes are
the same for all targets; instructions are those that the kernels of one target were measured to take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx

from nnrules.catalog import quantizers
from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.after_training import linear_layers, narrow_weights
from nnrules.compress.arrays import weights
from nnrules.compress.prepared import Prepared
from nnrules.compress.widths import WIDEST, Widths, widths
from nnrules.error import UserError
from nnrules.plan.knapsack import Choice, cheapest

WEIGHT_BITS = (2, 3, 4, 8)
ACTIVATION_BITS = (2, 3, 4, 8)
OPTIONS = ("base", "size", "instructions", "target", "activation_bits", "skip", "layers", "per_channel", "symmetric")

Loss = Callable[[onnx.ModelProto], float]


class Spent(msgspec.Struct, frozen=True):
    """Instructions of an inference: `layers`: of those with weights, by width; `rest`: of all others."""

    layers: dict[str, dict[int, int]]
    rest: int = 0


class Allotted(msgspec.Struct, frozen=True):
    """What a layer got: bits of its weights and its input, bytes of its weights; by width the growth of the loss, empty
    where there was no choice, and the instructions, empty where these are not limited. `skipped`: what the base does
    not know of, and leaves to calibration."""

    weights: int
    inputs: int
    bytes: int
    growth: dict[str, float]
    instructions: dict[str, int] = {}
    skipped: bool = False


def allot(
    model: onnx.ModelProto,
    options: QuantizeOptions,
    loss: Loss,
    place: str,
    spend: Callable[[Mapping[str, Sequence[int]]], Spent] | None = None,
) -> dict[str, Allotted]:
    """By layer, in the network's order. ``loss``: of a float model, on calibration data; ``spend``: what the widths of
    each layer take, where instructions are limited.

    Raises UserError where the limits are less than what the layers take.
    """
    layers = own_layers(model)
    given = widths(list(layers), msgspec.structs.replace(options, method=options.base), place)
    given |= {name: Widths(WIDEST, WIDEST, True) for name, node in layers.items() if is_skipped(node, options)}
    known = [bits for bits in quantizers.method(options.base).weight_bits if bits in WEIGHT_BITS]
    counts = {name: weights(model, node.input[1]).size for name, node in layers.items()}
    exact = loss(model)
    growths: dict[str, dict[int, float]] = {}
    for name in layers:
        if name in options.layers or name in options.skip or is_skipped(layers[name], options):
            growths[name] = {given[name].weights: 0.0}
            continue
        if layers[name].op_type == "ConvTranspose":
            growths[name] = {WIDEST: 0.0}
            continue
        growths[name] = {}
        for bits in known:
            found = Prepared(onnx.ModelProto())
            found.model.CopyFrom(model)
            node = next(each for each in linear_layers(found.model) if each.name == name)
            narrow_weights(found, node, bits, options.per_channel is not False)
            growths[name][bits] = max(0.0, loss(found.model) - exact)
    spent = spend({name: list(found) for name, found in growths.items()}) if spend else None
    chosen = choose(growths, counts, options, f"{place}.quantize", spent)
    return {
        name: Allotted(
            bits, given[name].inputs, size_of(counts[name], bits),
            {str(each): growth for each, growth in growths[name].items()} if len(growths[name]) > 1 else {},
            {str(each): count for each, count in spent.layers[name].items()} if spent else {}, given[name].skipped,
        )
        for name, bits in chosen.items()
    }  # fmt: skip


def own_layers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """By name those that have weights of their own: one that runs several times counts once."""
    found: dict[str, onnx.NodeProto] = {}
    for node in linear_layers(model):
        found.setdefault(node.input[1], node)
    return {node.name: node for node in found.values()}


def is_skipped(node: onnx.NodeProto, options: QuantizeOptions) -> bool:
    """Whether a base that trains does not know a layer: transposed convolutions, and what is no layer in torch."""
    known = node.op_type != "ConvTranspose" and node.input[1] == f"{node.name}.weight"
    return quantizers.method(options.base).trains and not known


def size_of(count: int, bits: int) -> int:
    """Bytes of so many weights, without a gap between them."""
    return -(-count * bits // 8)


def choose(
    growths: Mapping[str, Mapping[int, float]],
    counts: Mapping[str, int],
    options: QuantizeOptions,
    place: str,
    spent: Spent | None = None,
) -> dict[str, int]:
    """The width of each layer: the least sum of growths, of equal ones the fewest bytes, then instructions.

    ``counts``: of weights; of the options `size` and `instructions` bound the choice.
    """
    names: Sequence[str] = list(growths)
    most = None if options.instructions is None or spent is None else options.instructions - spent.rest

    def counted(name: str, bits: int) -> int:
        return spent.layers[name][bits] if spent else 0

    choices = [
        [Choice(growth, size_of(counts[name], bits), counted(name, bits)) for bits, growth in growths[name].items()]
        for name in names
    ]
    taken = cheapest(choices, weights=options.size, flash=most)
    if taken is None:
        raise _too_little(choices, options, place, spent)
    return {name: list(growths[name])[number] for name, number in zip(names, taken, strict=True)}


def _too_little(
    choices: Sequence[Sequence[Choice]], options: QuantizeOptions, place: str, spent: Spent | None
) -> UserError:
    """What the limits would have to be."""
    least = sum(min(choice.weights for choice in layer) for layer in choices)
    if options.size is not None and options.size < least:
        fault = f"the weights take {least:,} bytes at their fewest bits"
        return UserError(f"{place}.size={options.size}", fault, f"say {least} or more")
    assert spent is not None
    fastest = [[Choice(choice.flash, choice.weights) for choice in layer] for layer in choices]
    taken = cheapest(fastest, weights=options.size)
    assert taken is not None
    least = spent.rest + sum(round(layer[number].instructions) for layer, number in zip(fastest, taken, strict=True))
    within = "" if options.size is None else f" within {options.size:,} bytes"
    fault = f"all layers take {least:,} instructions at the least on {options.target}{within}"
    return UserError(f"{place}.instructions={options.instructions}", fault, f"say {least} or more")


def draw(found: Mapping[str, Allotted], path: Path) -> None:
    """A PNG: the bits of each layer, and below by how much the loss grows at each width."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
    places = np.arange(len(found))
    above.bar(places, [each.weights for each in found.values()])
    above.set_ylabel("bits of weights")
    for bits in WEIGHT_BITS:
        growth = [each.growth.get(str(bits), np.nan) for each in found.values()]
        below.plot(places, growth, "o-", label=f"{bits} bits")
    below.set_yscale("symlog", linthresh=1e-4)
    below.set_ylabel("growth of the loss")
    below.legend()
    below.set_xticks(places, list(found), rotation=60, ha="right")
    figure.savefig(path, metadata={"Software": None})
    pyplot.close(figure)
