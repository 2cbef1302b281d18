"""allot: the bits of each layer's weights under a size or so many instructions, from what each costs in loss.

Inputs: model (float ONNX), network, its weights, dataset, optional data; where instructions are limited, of the target
`toolchain` (TOML), `kernels` (TOMLs) and where it has been tuned `costs` (JSON). Outputs: widths (JSON: Allotted by
layer), picture (PNG).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import torch

from nnrules.catalog.kernel import Kernel, load_kernel
from nnrules.catalog.stages import QuantizeOptions
from nnrules.catalog.toolchain import load_toolchain
from nnrules.compress.after_training import linear_layers, prepare
from nnrules.compress.calibration import histograms, session
from nnrules.compress.parameters import UNIT_RANGE, Activation, QuantizationRecord, carriers, weight_scales
from nnrules.compress.qdq import quantized_model
from nnrules.compress.quantizers import minmax
from nnrules.compress.quantizers.mixed_precision import Spent, allot, draw, is_skipped, own_layers
from nnrules.compress.widths import widths
from nnrules.graph.ir import Graph
from nnrules.graph.lowering import lower
from nnrules.plan.costs import Costs, load_costs
from nnrules.plan.select import Offers
from nnrules.stages.runner import Request, main
from nnrules.training.repeatable import prepare as prepare_torch
from nnrules.training.task import Dataset, Floats, make_dataset, make_network, stacked
from nnrules.training.weights import load_weights

BATCH = 32  # also how many inputs show the ranges of a model whose instructions are counted


def run(request: Request[QuantizeOptions]) -> None:
    """Measure and choose."""
    dataset = make_dataset(request.reference("dataset"), "train", request.optional("data"))
    prepare_torch(request.options.seed, request.options.threads)
    network = make_network(request.reference("network"))
    load_weights(network, request.input("weights"))
    network.eval()
    count = min(request.options.samples, len(dataset))

    def loss(model: onnx.ModelProto) -> float:
        return mean_loss(model, network, dataset, count)

    model = onnx.load(request.input("model"))

    def spend(tried: Mapping[str, Sequence[int]]) -> Spent:
        kernels = [load_kernel(Path(text).resolve()) for text in request.inputs["kernels"]]
        tuned = request.optional("costs")
        isa, costs = load_toolchain(request.input("toolchain")).isa, load_costs(tuned) if tuned else Costs()
        return spent(model, dataset, request.options, tried, kernels, isa, costs)

    counted = None if request.options.instructions is None else spend
    found = allot(model, request.options, loss, request.model, counted)
    request.output("widths").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    draw(found, request.output("picture"))


def spent(
    model: onnx.ModelProto,
    dataset: Dataset,
    options: QuantizeOptions,
    tried: Mapping[str, Sequence[int]],
    kernels: Iterable[Kernel],
    isa: tuple[str, ...],
    costs: Costs,
) -> Spent:
    """What each layer takes at the widths that are tried, all layers having the same one where they may, by the kernels
    that the plan takes where nothing but its weights' size is bounded; of what has no weights, the most that it takes
    then."""
    layers: dict[str, dict[int, int]] = {name: {} for name in tried}
    rest, kernels = 0, tuple(kernels)
    own = {node.input[1]: name for name, node in own_layers(model).items()}
    owners = {node.name: own[node.input[1]] for node in linear_layers(model) if own[node.input[1]] in tried}
    for bits in sorted({each for those in tried.values() for each in those}):
        taken = {name: bits if bits in those else those[-1] for name, those in tried.items()}
        graph = of_width(model, dataset, options, taken)
        offers, found = Offers(graph, kernels, isa, costs), Counter[str]()
        for node, (candidate, _) in zip(graph.nodes, offers.select()[0], strict=True):
            if candidate is not None:
                found[owners.get(node.name, "")] += round(candidate.instructions)
        rest = max(rest, found[""])
        for name in tried:
            layers[name][taken[name]] = found[name]
    return Spent({name: {bits: layers[name][bits] for bits in those} for name, those in tried.items()}, rest)


def of_width(model: onnx.ModelProto, dataset: Dataset, options: QuantizeOptions, bits: Mapping[str, int]) -> Graph:
    """The integer graph with weights of these bits, rounded as they are: its scales are of no account here."""
    given = widths(list(bits), msgspec.structs.replace(options, method=options.base), "allot")
    skipped = {name for name, node in own_layers(model).items() if is_skipped(node, options)} | set(options.skip)
    layers = {name: (each, given[name].inputs) for name, each in bits.items() if name not in skipped}
    plain = msgspec.structs.replace(
        options, method=options.base, weight_bits=8, first_bits=8, last_bits=8, layers=layers, rounding="nearest",
        correct_bias=False, equalize=False, samples=BATCH,
    )  # fmt: skip
    changed = onnx.ModelProto()
    changed.CopyFrom(model)

    def batches() -> list[tuple[Floats, ...]]:
        return [stacked(dataset, range(min(BATCH, len(dataset))))]

    prepared = prepare(changed, plain, batches, minmax.choose_range, "allot")
    stated = prepared.stated
    kinds = {node.output[0]: node.op_type for node in changed.graph.node}
    own = [name for name, carried in carriers(changed, stated).items() if name == carried and name not in stated]
    seen = histograms(changed, own, batches, "allot")
    activations = {name: Activation.covering(each.low, each.high, options.symmetric) for name, each in seen.items()}
    activations |= {name: Activation(1 / 256, -128) for name in own if kinds.get(name) in UNIT_RANGE}
    activations |= stated
    scales = weight_scales(changed, activations, "allot", stated, prepared.codes, options.per_channel is not False)
    record = QuantizationRecord(plain.method, activations, scales, tuple(stated))
    return lower(quantized_model(changed, record), "allot")


def mean_loss(model: onnx.ModelProto, network: Any, dataset: Dataset, count: int) -> float:
    """The network's loss of the model's outputs for the first items."""
    names = [each.name for each in model.graph.output]
    found, sources = session(model, names)
    total = 0.0
    for start in range(0, count, BATCH):
        part = [dataset[index] for index in range(start, min(start + BATCH, count))]
        feed = dict(zip(sources, stacked(part, range(len(part))), strict=True))
        outputs = [torch.from_numpy(np.asarray(each)) for each in found.run(names, feed)]
        targets = torch.utils.data.default_collate([target for _, target in part])
        with torch.no_grad():
            value = network.loss(outputs[0] if len(outputs) == 1 else outputs, targets)
        total += float(value) * len(part)
    return total / count


if __name__ == "__main__":
    main(run, QuantizeOptions)
