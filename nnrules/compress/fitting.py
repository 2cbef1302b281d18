"""A network whose layers are quantized while it trains, and what is left of that when it is done."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.fake import InputQuantizer, WeightQuantizer
from nnrules.compress.widths import WIDEST, Fitted, Widths, widths
from nnrules.compress.zeros import Mask, of_zeros
from nnrules.error import UserError

_INPUT = "input_quantizer"
Key = tuple[int, int]  # of a tensor: its id, and how often it was written


def layers(network: nn.Module) -> dict[str, nn.Module]:
    """Those that can be quantized, as they are defined."""
    kinds = nn.Conv1d | nn.Conv2d | nn.Linear
    return {name: each for name, each in network.named_modules() if isinstance(each, kinds)}


def insert(network: nn.Module, examples: tuple[Tensor, ...], options: QuantizeOptions, place: str) -> dict[str, Widths]:
    """Give layers their quantizers, in place; their widths.

    ``examples``: inputs with batch, whose values the quantizers start from. What a layer of 8-bit inputs sees of the
    network's own inputs has no quantizer: the data set says how these are quantized, or calibration.
    """
    method: Any = importlib.import_module(f"nnrules.compress.quantizers.{options.method}")
    seen = _inputs(network, examples)
    if not seen:
        raise UserError(place, "has no convolution and no fully connected layer", "there is nothing to quantize")
    wanted = widths(list(seen), options, place, layers(network).keys() - seen.keys())
    own = {(id(each), each._version) for each in examples}
    shared = dict[tuple[Key, int], nn.Module]()
    for name, (key, sample) in seen.items():
        layer: Any = network.get_submodule(name)
        bits, zeros = wanted[name], of_zeros(layer.weight.detach())
        if not bits.skipped:
            quantizer = method.Weights(layer.weight.detach(), bits.weights, options)
            quantizer.bits = bits.weights
            parametrize.register_parametrization(layer, "weight", quantizer)
        if zeros is not None:
            parametrize.register_parametrization(layer, "weight", Mask(zeros))
        if bits.skipped:
            continue
        if bits.inputs == WIDEST and key in own:
            continue
        if (key, bits.inputs) not in shared:
            shared[key, bits.inputs] = method.Inputs(sample, bits.inputs, options)
            shared[key, bits.inputs].bits = bits.inputs  # type: ignore[assignment]
        layer.add_module(_INPUT, shared[key, bits.inputs])
        layer.register_forward_pre_hook(_quantize_input)
    return wanted


def _quantize_input(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (layer.get_submodule(_INPUT)(inputs[0]), *inputs[1:])


def _inputs(network: nn.Module, examples: tuple[Tensor, ...]) -> dict[str, tuple[Key, Tensor]]:
    """By layer that runs, in the order in which they do, what stands for the tensor that is its input, the same for
    the same tensor, and its values; of a layer that runs several times, those of all of them, one behind the other."""
    calls: dict[str, list[tuple[Tensor, Key, Tensor]]] = {}
    handles = []
    for name, layer in layers(network).items():

        def keep(_: nn.Module, inputs: tuple[Any, ...], name: str = name) -> None:
            x = inputs[0]  # kept, that no other tensor gets its id, and copied, as what follows may work in place
            calls.setdefault(name, []).append((x, (id(x), x._version), x.clone()))

        handles.append(layer.register_forward_pre_hook(keep))
    was = network.training
    network.eval()
    with torch.no_grad():
        network(*examples)
    network.train(was)
    for each in handles:
        each.remove()
    found = {}
    for name, seen in calls.items():
        count = len(examples[0])
        values = seen[0][2] if len(seen) == 1 else torch.cat([each.reshape(count, -1) for _, _, each in seen], 1)
        found[name] = (seen[0][1] if len(seen) == 1 else (id(seen), -1)), values
    return found


def quantizers(network: nn.Module) -> Iterator[nn.Module]:
    """All of them, each once."""
    return (each for each in network.modules() if isinstance(each, WeightQuantizer | InputQuantizer))


def set_bits(network: nn.Module, bits: int) -> None:
    """Give quantizers ``bits``, or the width that is wanted where that is more."""
    for each in quantizers(network):
        each.set_bits(max(bits, each.bits))  # type: ignore[operator, type-var]


def penalty(network: nn.Module) -> Tensor | float:
    """What the quantizers add to the loss."""
    found: list[Any] = [each for each in quantizers(network) if hasattr(each, "penalty")]
    return sum((each.penalty() for each in found), start=0.0)


def finish(network: nn.Module) -> tuple[dict[str, Tensor], dict[str, Fitted]]:
    """Leave in place a network of plain layers whose weights are codes times steps.

    Gives the codes of each layer whose weights were trained, int8, and what is known of each layer that was fitted.
    """
    codes, found = {}, {}
    for name, layer in layers(network).items():
        inputs: Any = dict(layer.named_children()).get(_INPUT)
        parts: Any = layer.parametrizations if parametrize.is_parametrized(layer, "weight") else None
        trained = parts is not None and isinstance(parts["weight"][0], WeightQuantizer)
        if trained:
            with torch.no_grad():
                exact = parts["weight"][0].codes(parts["weight"].original)
                codes[name] = (exact * (layer.weight != 0)).to(torch.int8)
        if parts is not None:
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
        if inputs is not None:
            slope, offset = (float(torch.as_tensor(each).detach()) for each in inputs.line())
            found[name] = Fitted(trained, inputs.lo, inputs.hi, float(inputs.scale().detach()), slope, offset)
            delattr(layer, _INPUT)
            for number in [number for number, hook in layer._forward_pre_hooks.items() if hook is _quantize_input]:
                del layer._forward_pre_hooks[number]
        elif trained:
            found[name] = Fitted(trained)
    return codes, found


def clip_inputs(network: nn.Module, fitted: dict[str, Fitted]) -> None:
    """Have the layers of a plain network see their inputs as their quantizers do, but for the rounding."""
    for name, each in fitted.items():
        if each.inputs:
            layer = network.get_submodule(name)
            layer.add_module(_INPUT, _Clip(each))
            layer.register_forward_pre_hook(_quantize_input)


class _Clip(nn.Module):
    def __init__(self, fitted: Fitted) -> None:
        super().__init__()
        self.fitted = fitted

    def forward(self, x: Tensor) -> Tensor:
        if self.fitted.slope != 1.0:
            x = x * self.fitted.slope
        if self.fitted.offset != 0.0:
            x = x + self.fitted.offset
        return torch.clamp(x, self.fitted.lo * self.fitted.scale, self.fitted.hi * self.fitted.scale)
