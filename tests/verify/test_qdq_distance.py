"""The QDQ model is compared at equal inputs: it differs by rounding alone, and a real difference is counted."""

from pathlib import Path

import numpy as np
import onnx

from nnrules.graph.ir import Graph
from nnrules.verify.qdq import QdqDistance
from tests.verify.graphs import qdq_model


def test_counts_what_differs_and_how_far(graph: Graph, samples: dict[str, np.ndarray], tmp_path: Path) -> None:
    onnx.save(qdq_model(graph, "stem"), tmp_path / "m.onnx")
    integers = graph.run(samples["image"])
    exact = QdqDistance(graph, tmp_path / "m.onnx")
    exact.add(samples, integers)
    stem, *others = exact.layers()
    assert stem is not None
    assert stem["largest"] <= 1
    assert stem["differing"] < integers["stem"].size // 100
    assert others == [None] * 5

    altered = integers["stem"].copy()
    inner = np.abs(altered.astype(int)) < 100
    altered[inner] += 9
    moved = QdqDistance(graph, tmp_path / "m.onnx")
    moved.add(samples, integers | {"stem": altered})
    assert moved.layers()[0] is not None
    assert 9 <= moved.layers()[0]["largest"] <= 10
    assert moved.layers()[0]["differing"] >= np.count_nonzero(inner)
