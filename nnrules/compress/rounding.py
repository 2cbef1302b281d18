"""Rounding each weight up or down so that a layer's output changes least: AdaRound (Nagel et al., Up or Down? Adaptive
Rounding for Post-Training Quantization, ICML 2020, arXiv:2004.10568).

min ||f(W x) - f(W~ x~)||^2 + lambda sum (1 - |2 h(V) - 1|^beta) with W~ = s clip(floor(W / s) + h(V)), h a sigmoid
stretched to -0.1 .. 1.1 and clipped, beta falling from 20 to 2; x~ is what the layer sees behind the layers that are
rounded already, x what it sees in the exact model, f the Relu behind it, if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.arrays import store, weights
from nnrules.compress.calibration import session
from nnrules.compress.parameters import channel_axis
from nnrules.compress.prepared import Prepared

STEPS, BATCH, RATE = 1000, 32, 0.03
WEIGHT, WARMUP = 0.01, 0.2  # lambda, and the share of the steps without it
STRETCH = 1.2, -0.1

Layer = Callable[[Tensor, Tensor], Tensor]


def adapt(
    found: Prepared,
    exact: onnx.ModelProto,
    options: QuantizeOptions,
    batches: Callable[[], Iterable[Sequence[np.ndarray]]],
) -> None:
    """Choose the codes of weights anew, layer by layer, each by its input in the model as it is by then; in place.

    ``exact``: the model before anything was rounded.
    """
    torch.manual_seed(options.seed)
    model, codes = found.model, found.codes
    real = {node.output[0]: node for node in exact.graph.node}
    for node in [node for node in model.graph.node if len(node.input) > 1 and node.input[1] in codes]:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        name, axis = node.input[1], channel_axis(node)
        scales = _scales(np.moveaxis(weights(model, name), axis, 0), np.moveaxis(codes[name].astype(float), axis, 0))
        weight = weights(exact, name)
        step = scales.reshape([-1 if each == axis else 1 for each in range(weight.ndim)])
        x, wanted = (_seen(*each, batches) for each in ((model, node.input[0]), (exact, real[node.output[0]].input[0])))
        bias = torch.from_numpy(weights(exact, node.input[2])).float() if len(node.input) > 2 else torch.zeros(1)
        layer = _forward(node, bias, _before_relu(exact, node.output[0]))
        with torch.no_grad():
            target = layer(wanted, torch.from_numpy(weight).float())
        chosen = _adapted(layer, weight, weight.shape[axis], step, x, target, found.tops[name])
        codes[name] = chosen.astype(np.int8)
        store(model, name, codes[name] * step)


def _seen(model: onnx.ModelProto, value: str, batches: Callable[[], Iterable[Sequence[np.ndarray]]]) -> Tensor:
    """A tensor on all calibration data."""
    run, sources = session(model, [value])
    parts = [run.run([value], dict(zip(sources, each, strict=True)))[0] for each in batches()]
    return torch.from_numpy(np.concatenate(parts))


def _before_relu(model: onnx.ModelProto, value: str) -> bool:
    users = [node for node in model.graph.node if value in node.input]
    return len(users) == 1 and users[0].op_type == "Relu"


def _adapted(
    layer: Layer, real: np.ndarray, channels: int, step: np.ndarray, x: Tensor, target: Tensor, top: int
) -> np.ndarray:
    """The codes of a layer's weights; ``channels``: of its outputs, whose errors are added up; ``target``: those for
    all of ``x``, the first axis the sample."""
    below = torch.from_numpy(np.floor(real / step)).float()
    share = (torch.from_numpy(real / step).float() - below - STRETCH[1]) / STRETCH[0]
    v = torch.logit(share.clamp(1e-3, 1 - 1e-3)).requires_grad_()
    scale, there = torch.from_numpy(step).float(), torch.from_numpy(real != 0)  # what was pruned stays zero
    optimizer = torch.optim.Adam([v], lr=RATE)
    for number in range(STEPS):
        part = torch.randint(len(x), (min(BATCH, len(x)),))
        h = (torch.sigmoid(v) * STRETCH[0] + STRETCH[1]).clamp(0, 1)
        soft = (below + h).clamp(-top, top) * scale * there
        loss = channels * (layer(x[part], soft) - target[part]).pow(2).mean()
        progress = (number / STEPS - WARMUP) / (1 - WARMUP)
        if progress > 0:
            loss = loss + WEIGHT * undecided(h, 2 + 18 * 0.5 * (1 + np.cos(np.pi * progress))).sum()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    with torch.no_grad():
        h = torch.sigmoid(v) * STRETCH[0] + STRETCH[1]
        chosen: np.ndarray = ((below + (h >= 0.5)).clamp(-top, top) * there).numpy()
        return chosen


def undecided(h: Tensor, beta: float) -> Tensor:
    """1 - |2 h - 1|^beta: 0 where a weight goes up or down, 1 where it lies between."""
    result: Tensor = 1 - (2 * h - 1).abs().pow(beta)
    return result


def _forward(node: onnx.NodeProto, bias: Tensor, rectified: bool) -> Layer:
    """A layer as a function of its input and its weights."""
    linear = _linear(node)

    def layer(x: Tensor, weight: Tensor) -> Tensor:
        result = linear(x, weight)
        result = result + (bias.reshape(-1, *[1] * (result.ndim - 2)) if node.op_type == "Conv" else bias)
        return torch.relu(result) if rectified else result

    return layer


def _linear(node: onnx.NodeProto) -> Layer:
    given: dict[str, Any] = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    if node.op_type != "Conv":
        transposed = bool(given.get("transB", 0))
        return lambda x, weight: x @ (weight.T if transposed else weight)

    def convolution(x: Tensor, weight: Tensor) -> Tensor:
        rank = weight.ndim - 2
        pads = given.get("pads", [0] * 2 * rank)
        sides = [side for axis in reversed(range(rank)) for side in (pads[axis], pads[axis + rank])]
        function: Any = torch.nn.functional.conv1d if rank == 1 else torch.nn.functional.conv2d
        result: Tensor = function(
            torch.nn.functional.pad(x, sides),
            weight,
            stride=tuple(given.get("strides", [1] * rank)),
            dilation=tuple(given.get("dilations", [1] * rank)),
            groups=int(given.get("group", 1)),
        )
        return result

    return convolution


def _scales(weights: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Of each channel (first axis), what a code of 1 stands for."""
    flat, own = codes.reshape(len(codes), -1), weights.reshape(len(codes), -1)
    squares = (flat**2).sum(1)
    return np.where(squares > 0, (own * flat).sum(1) / np.maximum(squares, 1), 1.0)
