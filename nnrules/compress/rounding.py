"""Rounding each weight up or down so that a layer's output changes least: AdaRound (Nagel et al., Up or Down? Adaptive
Rounding for Post-Training Quantization, ICML 2020, arXiv:2004.10568).

min ||W x - W~ x||^2 + lambda sum (1 - |2 h(V) - 1|^beta) with W~ = s (floor(W / s) + h(V)), h a sigmoid stretched to
-0.1 .. 1.1 and clipped, beta falling from 20 to 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.arrays import store, weights
from nnrules.compress.calibration import session
from nnrules.compress.parameters import channel_axis

STEPS, BATCH, RATE = 1000, 32, 0.01
WEIGHT, WARMUP = 0.01, 0.2  # lambda, and the share of the steps without it
STRETCH = 1.2, -0.1


def adapt(
    model: onnx.ModelProto,
    codes: dict[str, np.ndarray],
    before: Mapping[str, np.ndarray],
    options: QuantizeOptions,
    batches: Callable[[], Iterable[Sequence[np.ndarray]]],
) -> None:
    """Choose the codes of weights anew, layer by layer, each by its input in the model as it is by then; in place."""
    torch.manual_seed(options.seed)
    for node in [node for node in model.graph.node if len(node.input) > 1 and node.input[1] in codes]:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        name, axis = node.input[1], channel_axis(node)
        real, rounded = before[name], codes[name].astype(np.float64)
        scales = _scales(np.moveaxis(weights(model, name), axis, 0), np.moveaxis(rounded, axis, 0))
        step = scales.reshape([-1 if each == axis else 1 for each in range(real.ndim)])
        top = int(2 ** np.ceil(np.log2(np.abs(codes[name]).max() + 1)) - 1) or 1
        run, sources = session(model, [node.input[0]])
        x = np.concatenate([run.run([node.input[0]], dict(zip(sources, each, strict=True)))[0] for each in batches()])
        found = _adapted(node, torch.from_numpy(real).float(), torch.from_numpy(step).float(), torch.from_numpy(x), top)
        codes[name] = found.numpy().astype(np.int8)
        store(model, name, codes[name] * step)


def _adapted(node: onnx.NodeProto, real: Tensor, step: Tensor, x: Tensor, top: int) -> Tensor:
    forward = _forward(node)
    below = torch.floor(real / step)
    share = ((real / step - below - STRETCH[1]) / STRETCH[0]).clamp(1e-3, 1 - 1e-3)
    v = torch.log(share / (1 - share)).requires_grad_()
    optimizer = torch.optim.Adam([v], lr=RATE)
    for number in range(STEPS):
        part = x[torch.randint(len(x), (min(BATCH, len(x)),))]
        h = (torch.sigmoid(v) * STRETCH[0] + STRETCH[1]).clamp(0, 1)
        soft = (below + h).clamp(-top, top) * step
        loss = (forward(part, soft) - forward(part, real)).pow(2).mean()
        progress = (number / STEPS - WARMUP) / (1 - WARMUP)
        if progress > 0:
            beta = 2 + 18 * 0.5 * (1 + np.cos(np.pi * progress))
            loss = loss + WEIGHT * (1 - (2 * h - 1).abs().pow(beta)).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    with torch.no_grad():
        h = torch.sigmoid(v) * STRETCH[0] + STRETCH[1]
        return (below + (h >= 0.5)).clamp(-top, top)


def _forward(node: onnx.NodeProto) -> Callable[[Tensor, Tensor], Tensor]:
    """The layer without its bias."""
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
