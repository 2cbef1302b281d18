"""Weights drawn by lot: a network whose speed and size can be measured without its data set.

numpy draws them, not torch, so that they are the same on every machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nnrules.error import UserError

if TYPE_CHECKING:
    from torch import nn

NOTE = "seeded weights"
COUNT = 64  # inputs: some for calibration and for verification
RANGE = (-1.0, 1.0)


def draw_weights(network: nn.Module, seed: int) -> None:
    """Fill parameters and buffers in place, dense: weights uniform within +-sqrt(6 / fan in) (He et al., ICCV 2015),
    biases and BatchNorm's shifts within +-0.1, its scales and variances within 0.8..1.2."""
    import torch

    generator = np.random.default_rng(seed)
    for tensor_name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            drawn = _draw(generator, tensor_name, tuple(tensor.shape))
            tensor.copy_(torch.from_numpy(drawn.astype(np.float32)))


def draw_inputs(network: Any, seed: int) -> np.ndarray:
    """float32 (COUNT, ...): uniform within the network's `input_range` (default -1..1), of its `input_shape`.

    Raises UserError where the network does not say its shape.
    """
    shape = getattr(network, "input_shape", None)
    if shape is None:
        place = type(network).__name__
        raise UserError(place, "has no input_shape", "write input_shape = (channels, height, width) into the class")
    low, high = getattr(network, "input_range", RANGE)
    return np.random.default_rng([seed, 1]).uniform(low, high, (COUNT, *shape)).astype(np.float32)


def _draw(generator: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) > 1:
        limit = np.sqrt(6 / np.prod(shape[1:]))
        return generator.uniform(-limit, limit, shape)
    if name.endswith(("running_var", "weight")):
        return generator.uniform(0.8, 1.2, shape)
    return generator.uniform(-0.1, 0.1, shape)
