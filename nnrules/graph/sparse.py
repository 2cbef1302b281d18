"""Weights that are zero by whole vectors: N neighbouring input channels at one position of a filter ("1x1xN").

With N all input channels such a vector is a stripe (Meng et al., Pruning Filter in Filter, NeurIPS 2020). Kernels that
skip them walk along lists made when the program is generated; what is skipped follows from the zeros alone.
"""

import numpy as np

from nnrules.graph.operator import Parameter

UNITS = (4, 8, 16)  # N beside all input channels
FEW, FEW_SHORT = 0.05, 0.25  # shares of the vectors, of short ones, that are not worth a list
START_BYTES = 2  # where a vector begins


def sparse_parameters(weights: np.ndarray) -> dict[str, Parameter]:
    """How many vectors of a convolution (out channels, kernel height, kernel width, in channels) are not zero: ``kept``
    stripes, ``kept_4``, ``kept_8``, ``kept_16`` shorter ones where these divide the channels; none where few are zero.
    """
    in_c = weights.shape[3]
    found = {"kept": int(kept(weights, in_c).sum())}
    found |= {f"kept_{n}": int(kept(weights, n).sum()) for n in UNITS if in_c % n == 0 and n < in_c}
    dense = {"kept": weights[..., 0].size, **{f"kept_{n}": weights.size // n for n in UNITS}}
    few = FEW if in_c >= min(UNITS) else FEW_SHORT
    return dict(found) if any(count < dense[name] * (1 - few) for name, count in found.items()) else {}


def remaining(weights: np.ndarray) -> tuple[int, int]:
    """How many weights of a convolution are left, and in how many vectors, where kernels skip those that are zero: of
    vectors as long as take the fewest bytes; all and none where few are zero."""
    found = sparse_parameters(weights)
    lengths = {"kept": weights.shape[3], **{f"kept_{n}": n for n in UNITS}}
    left = [(int(count) * lengths[name], int(count)) for name, count in found.items()]  # type: ignore[arg-type]
    return min(left, key=lambda each: (each[0] + START_BYTES * each[1], each), default=(weights.size, 0))


def kept(weights: np.ndarray, n: int) -> np.ndarray:
    """bool (out channels, kernel height * kernel width * in channels / n): which vectors are not zero."""
    return (weights.reshape(len(weights), -1, n) != 0).any(2)
