"""Weights that are zero by whole vectors: what is found, and what counts as work and as bytes then."""

import numpy as np
import pytest

from nnrules.graph.operator import Geometry
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.requant import Requantization
from nnrules.graph.sparse import remaining, sparse_parameters


def weights(shape: tuple[int, ...], n: int, every: int) -> np.ndarray:
    """Ones, but each `every`-th vector of n of them is zero."""
    found = np.ones(shape, np.int8)
    found.reshape(-1, n)[::every] = 0
    return found


def convolution(values: np.ndarray, groups: int = 1) -> Conv2d:
    """With these weights, padding that keeps the image's size."""
    channels = len(values)
    rule = Requantization(np.full(channels, 2**20, np.int32), np.zeros(channels, np.uint8), 0, -128, 127)
    return Conv2d(
        geometry=Geometry(kernel=(3, 3), padding=(1, 1, 1, 1)), groups=groups, weights=values,
        bias=np.zeros(channels, np.int32), x_zero_point=0, requantization=rule,
    )  # fmt: skip


def test_vectors_that_are_left() -> None:
    """As counted by hand; shorter vectors where they are fewer bytes altogether."""
    stripes, short = weights((8, 3, 3, 16), 16, 2), weights((8, 3, 3, 16), 4, 4)
    assert sparse_parameters(stripes) == {"kept": 36, "kept_4": 144, "kept_8": 72}
    assert remaining(stripes) == (576, 36)
    assert sparse_parameters(short) == {"kept": 72, "kept_4": 216, "kept_8": 144}
    assert remaining(short) == (864, 216)


@pytest.mark.parametrize(("in_c", "removed", "sparse"), [(8, 3, False), (8, 4, True), (1, 17, False), (1, 19, True)])
def test_a_few_zeros_are_no_list(in_c: int, removed: int, sparse: bool) -> None:
    """Of 72 vectors: one in twenty has to be zero, of vectors shorter than four one in four."""
    found = np.ones((8, 3, 3, in_c), np.int8)
    found.reshape(72, in_c)[:removed] = 0
    assert bool(sparse_parameters(found)) == sparse
    assert remaining(found) == ((72 - removed if sparse else 72) * in_c, 72 - removed if sparse else 0)


def test_only_what_is_left_is_work_and_stored() -> None:
    """Two bytes say where a vector begins, two how many a filter has; weights of two bits take a quarter."""
    dense, pruned = convolution(np.ones((8, 3, 3, 16), np.int8)), convolution(weights((8, 3, 3, 16), 16, 2))
    assert (dense.macs((5, 6, 16)), pruned.macs((5, 6, 16))) == (30 * 1152, 30 * 576)
    wide = convolution(pruned.weights * np.arange(1, 129, 8, dtype=np.int8))
    assert wide.weight_bytes() == 576 + 2 * 36 + 2 * 8
    assert (pruned.weight_bits, pruned.weight_bytes()) == (1, 576 // 8 + 2 * 36 + 2 * 8)


def test_groups_are_dense() -> None:
    """No kernel for them skips anything."""
    assert convolution(weights((8, 3, 3, 1), 1, 2), groups=8).macs((4, 4, 8)) == 16 * 72
