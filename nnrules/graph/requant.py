"""Requantization: a Q0.32 multiplier, one rounding, half up.

    y = clamp(zero_point + floor(((acc << shift) * multiplier + 2^31) / 2^32), lo, hi)

with an even multiplier below 2^31, so that one ``SMMLAR`` (Armv7E-M), one ``VQRDMULH`` (Neon, MVE with multiplier /
2) or one 32 x 32 -> 64 multiplication does it.  This module chooses multipliers and proves that no accumulator leaves
32 bits; the numpy definition is here, the torch and ONNX twins are written apart from it.
"""

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from nnrules.error import UserError

INT32_LIMIT = 2**31
SMALLEST_MULTIPLIER = 2**16
LARGEST_ERROR = 0.25  # of an output step, over the whole range of the accumulator


class Requantization(msgspec.Struct, frozen=True, tag="multiplier"):
    """Multiplier (int32, n) and left shift (uint8, n), per output channel or a single one; see the module's formula."""

    multiplier: np.ndarray
    shift: np.ndarray
    zero_point: int
    lo: int
    hi: int

    @property
    def has_shift(self) -> bool:
        """Whether any channel's accumulator is shifted left first (a scale of one half or more)."""
        return bool(self.shift.any())

    def apply(self, acc: NDArray[np.int64]) -> NDArray[np.int8]:
        """The numpy definition: ``acc`` with the channel last -> int8 of the same shape."""
        return requantize(acc, self.multiplier, self.shift, self.zero_point, self.lo, self.hi)

    def simulate(self, torch: Any, acc: Any) -> Any:
        """The torch twin: ``acc`` an integer-valued float64 tensor, channel last -> float64 of the same shape."""
        multiplier = torch.as_tensor(self.multiplier.astype(np.int64))
        factor = torch.as_tensor(np.exp2(self.shift.astype(np.float64)))
        wide = (acc * factor).to(torch.int64)
        rounded = torch.div(wide * multiplier + (1 << 31), 1 << 32, rounding_mode="floor")
        return torch.clamp(rounded + self.zero_point, self.lo, self.hi).to(torch.float64)

    def parameters(self) -> dict[str, int]:
        """The kernel parameters of everything that requantizes an accumulator."""
        largest = int(self.shift.max(initial=0))
        bounds = {"y_zero_point": self.zero_point, "lo": self.lo, "hi": self.hi}
        return {**bounds, "has_shift": int(self.has_shift), "max_shift": largest}

    def real_scale(self) -> NDArray[np.float64]:
        """The factor that each channel's accumulator is multiplied with, as a float64 (exact)."""
        return np.ldexp(self.multiplier.astype(np.float64), self.shift.astype(np.int32) - 32)


def requantize(
    acc: NDArray[np.int64],
    multiplier: np.ndarray,
    shift: np.ndarray,
    zero_point: int,
    lo: int,
    hi: int,
) -> NDArray[np.int8]:
    """The defining arithmetic, on int64; broadcasts ``multiplier`` and ``shift`` against the last axes of ``acc``."""
    wide = (acc.astype(np.int64) << shift.astype(np.int64)) * multiplier.astype(np.int64)
    return np.clip(((wide + (1 << 31)) >> 32) + zero_point, lo, hi).astype(np.int8)


def choose_multiplier(scale: float, max_acc: int, where: str) -> tuple[int, int]:
    """Multiplier and left shift for one positive real ``scale``; ``max_acc`` bounds the accumulator's magnitude.

    >>> choose_multiplier(0.25, 1000, "conv1")
    (1073741824, 0)
    >>> choose_multiplier(1.0, 1000, "conv1")
    (1073741824, 2)

    Raises UserError where no multiplier keeps the error below a quarter of an output step, or the shift would overflow.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise UserError(where, f"the scale {scale} is not a positive number", "check the model for NaN or dead layers")
    shift = max(0, math.frexp(scale)[1] + 1)
    multiplier = 2 * round(scale / 2**shift * 2**31)
    if multiplier == 2**31:  # rounded up from just below one half
        shift += 1
        multiplier = 2 * round(scale / 2**shift * 2**31)
    if multiplier < SMALLEST_MULTIPLIER and max_acc * abs(multiplier / 2**32 - scale) > LARGEST_ERROR:
        raise UserError(
            where, f"the scale {scale:.3g} is too small for a 32-bit multiplier", "widen the output's range or drop it"
        )
    if max_acc << shift >= INT32_LIMIT:
        raise UserError(
            where,
            f"the accumulator ({max_acc}) shifted left by {shift} leaves 32 bits",
            "narrow the weights' or the input's range",
        )
    return multiplier, shift


def quantized_bounds(scale: float, zero_point: int, low: float = -math.inf, high: float = math.inf) -> tuple[int, int]:
    """The int8 clamp that is a fused Relu (low=0), Relu6 (0, 6) or Clip in the output's own quantization.

    >>> quantized_bounds(0.05, -128, 0.0, 6.0)
    (-128, -8)
    """

    def level(value: float, unbounded: int) -> int:
        if not math.isfinite(value):
            return unbounded
        return int(min(127, max(-128, zero_point + math.floor(value / scale + 0.5))))

    return level(low, -128), level(high, 127)


def channel_requantization(
    scales: NDArray[np.float64],
    max_acc: NDArray[np.int64],
    zero_point: int,
    bounds: tuple[int, int],
    where: str,
) -> Requantization:
    """One multiplier and shift per channel; ``scales`` and ``max_acc`` have one entry per output channel."""
    pairs = [choose_multiplier(float(s), int(a), where) for s, a in zip(scales, max_acc, strict=True)]
    return Requantization(
        np.array([p[0] for p in pairs], np.int32),
        np.array([p[1] for p in pairs], np.uint8),
        zero_point,
        *bounds,
    )


def accumulator_bound(weights: np.ndarray, bias: NDArray[np.int64], x_zero_point: int) -> NDArray[np.int64]:
    """The static certificate: the largest magnitude each channel's accumulator can reach, in either order of summation.

    ``weights`` int8 with the output channel first.  Covers both programs in use: the zero point subtracted from each
    input (plain bias) and the zero point folded into the bias, at every partial sum.
    """
    flat = weights.reshape(len(weights), -1).astype(np.int64)
    magnitude = np.abs(flat).sum(1)
    folded = bias - x_zero_point * flat.sum(1)
    widest = max(abs(-128 - x_zero_point), abs(127 - x_zero_point))
    return np.maximum(magnitude * 128 + np.abs(folded), magnitude * widest + np.abs(bias))


def certified_bias(
    weights: np.ndarray, bias: NDArray[np.int64], x_zero_point: int, saturates: Any, where: str
) -> NDArray[np.int32]:
    """The bias as int32, each channel proved to stay within 32 bits.

    A bias beyond the certificate is clamped where the output is saturated anyway: ``saturates(channel, acc_low,
    acc_high)`` says whether every accumulator in that interval is beyond the bound on its side.  Otherwise a UserError
    names ``where``.
    """
    result = bias.copy()
    for channel in np.flatnonzero(accumulator_bound(weights, bias, x_zero_point) >= INT32_LIMIT):
        spread = int(np.abs(weights[channel].astype(np.int64)).sum()) * 256
        limit = INT32_LIMIT - 1 - spread
        clamped = int(np.clip(bias[channel], -limit, limit)) if limit > 0 else 0
        if limit <= 0 or not saturates(channel, clamped - spread, clamped + spread):
            raise UserError(
                where, f"channel {channel} can overflow a 32-bit accumulator", "narrow the range of its bias or weights"
            )
        result[channel] = clamped
    return result.astype(np.int32)
