"""Transpositions, cuts with steps, mirrors, repetitions and reflections, and views without any order."""

import numpy as np
from hypothesis import strategies as st

from nnrules.graph.ops.rearrange import Rearrange
from tests.cases.case import Case, Draw, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """One to four axes, up to three changes."""
    shape = tuple(draw(st.integers(1, 5)) for _ in range(draw(st.integers(1, 4))))
    index = np.arange(np.prod(shape)).reshape(shape)
    for _ in range(draw(st.integers(1, 3))):
        index = changed(draw, index)
    return Case(Rearrange.of(index), (draw(int8_arrays((1, *shape))),))


def changed(draw: Draw, index: np.ndarray) -> np.ndarray:
    """The view after one more operator."""
    axis = draw(st.integers(0, index.ndim - 1))
    length = index.shape[axis]
    steps = slice(draw(st.integers(0, length - 1)), None, draw(st.integers(1, 3)))
    kept = np.arange(length)[steps][:: draw(st.sampled_from([1, -1]))]
    changes = {
        "transpose": lambda: index.transpose(draw(st.permutations(range(index.ndim)))),
        "flatten": lambda: index.reshape(*index.shape[:axis], -1),
        "slice": lambda: index.take(kept, axis),
        "repeat": lambda: index.repeat(draw(st.integers(1, 3)), axis),
        "tile": lambda: np.concatenate([index] * draw(st.integers(1, 2)), axis),
        "reflect": lambda: np.pad(index, [(draw(st.integers(0, n - 1)), 0) for n in index.shape], mode="reflect"),
        "shuffle": lambda: index.reshape(-1)[draw(st.permutations(range(index.size)))].reshape(index.shape),
    }
    return changes[draw(st.sampled_from(sorted(changes)))]()
