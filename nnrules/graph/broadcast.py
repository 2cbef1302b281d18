"""Element-wise operators on two tensors, of which one may be repeated along some axes."""

import math

import numpy as np

from nnrules.graph.operator import Parameter, Shape


def broadcast_parameters(first: Shape, second: Shape) -> dict[str, Parameter]:
    """The loops over two shapes of one rank, as few as possible, and each input's step in them (0: repeated).

    >>> broadcast_parameters((4, 5, 8), (1, 1, 8))["lengths"]
    [20, 8]
    """
    shape = np.broadcast_shapes(first, second)
    lengths, steps = [1], [(0, 0)]
    for axis, length in enumerate(shape):
        step = _step(first, axis), _step(second, axis)
        if length == 1:
            continue
        if lengths[-1] == 1:
            lengths[-1], steps[-1] = length, step
        elif steps[-1] == (length * step[0], length * step[1]):
            lengths[-1], steps[-1] = lengths[-1] * length, step
        else:
            lengths.append(length)
            steps.append(step)
    return {
        "size": math.prod(shape),
        "broadcast": int(first != second),
        "x1_size": math.prod(first),
        "lengths": lengths,
        "strides1": [step[0] for step in steps],
        "strides2": [step[1] for step in steps],
    }


def _step(shape: Shape, axis: int) -> int:
    return 0 if shape[axis] == 1 else math.prod(shape[axis + 1 :])
