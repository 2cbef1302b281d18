"""Views: which value of a tensor stands where, and the loops that copy values into another order."""

import math
from functools import reduce

import msgspec
import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


class View(msgspec.Struct, frozen=True):
    """An ONNX value: ``index`` has its shape, without batch, and holds flat positions in tensor ``name``.

    ``batch`` is where the batch axis stands: in front, but for a value between two nodes that move it there and back.
    """

    name: str
    index: Index
    batch: int = 0


def positions(shape: tuple[int, ...]) -> Index:
    """The view of a tensor of this shape as it lies in memory."""
    return np.arange(math.prod(shape)).reshape(shape)


def lies(index: Index) -> bool:
    """Whether a view names every position of memory once, in order."""
    return bool(np.array_equal(index.reshape(-1), np.arange(index.size)))


def covers(index: Index, size: int) -> bool:
    """Whether a view names every position of a tensor of so many values."""
    seen = np.zeros(size, bool)
    seen[index] = True
    return bool(seen.all())


def memory_order(index: Index) -> tuple[int, ...]:
    """The order of a view's axes in which its values lie in memory; channels last where no order does.

    >>> memory_order(positions((4, 5, 3)).transpose(2, 0, 1))
    (1, 2, 0)
    """
    same = tuple(range(index.ndim))
    channels_last = (*same[1:], *same[:1])
    orders = [channels_last, same] if index.ndim == 3 else [same, channels_last]
    return next((order for order in orders if lies(index.transpose(order))), orders[0])


def onnx_layout(index: Index) -> str:
    """How a tensor's ONNX value sees it: as it lies ("nhwc"), its last axis in front ("nchw"), or "other".

    >>> onnx_layout(positions((4, 5, 3)).transpose(2, 0, 1))
    'nchw'
    """
    if lies(index):
        return "nhwc"
    return "nchw" if lies(np.moveaxis(index, 0, -1)) else "other"


def loops(index: Index) -> tuple[int, list[Index]]:
    """A start and one array of offsets for each loop, from the outermost to the innermost, that visit a view in order.

    The position visited is the start plus one offset of each loop.  Loops of even steps come as few as possible; what
    has no such form (a reflection, say) is one loop with offsets of any kind.

    >>> loops(np.arange(6).reshape(2, 3).T)
    (0, [array([0, 1, 2]), array([0, 3])])
    >>> loops(np.array([4, 4, 5, 5]))
    (4, [array([0, 1]), array([0, 0])])
    """
    start = int(index.flat[0])
    axes = [np.moveaxis(index, axis, -1).reshape(-1, index.shape[axis])[0] - start for axis in range(index.ndim)]
    if not np.array_equal(reduce(np.add.outer, axes, np.array(start)), index):
        axes = [index.reshape(-1) - start]
    found: list[Index] = []
    for offsets in [part for axis in axes for part in _even_parts(axis) if len(part) > 1]:
        if found and is_even(joined := np.add.outer(found[-1], offsets).reshape(-1)):
            found[-1] = joined
        else:
            found.append(offsets)
    return start, found


def is_even(offsets: Index) -> bool:
    """Whether all steps between neighbours are alike."""
    return bool((np.diff(offsets, n=2) == 0).all())


def _even_parts(offsets: Index) -> list[Index]:
    """One loop as an outer and an inner one, where the inner one is even and that gives the same offsets."""
    if is_even(offsets):
        return [offsets]
    length = int(np.flatnonzero(np.diff(offsets, n=2))[0]) + 2
    outer, inner = offsets[::length], offsets[:length]
    if len(offsets) % length or not np.array_equal(np.add.outer(outer, inner).reshape(-1), offsets):
        return [offsets]
    return [*_even_parts(outer), inner]
