"""The small graph and some inputs for it."""

import numpy as np
import pytest

from nnrules.graph.ir import Graph
from tests.verify.graphs import INPUT, small_graph


@pytest.fixture(scope="session")
def graph() -> Graph:
    return small_graph()


@pytest.fixture(scope="session")
def samples() -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(3).integers(-128, 128, (5, *INPUT)).astype(np.int8)}
