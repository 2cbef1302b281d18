"""evaluate feeds the integer model, whose images are NCHW, from datasets of either layout."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from nnrules.graph.emit import integer_model
from nnrules.graph.lowering import lower
from nnrules.stages.evaluate import integer_runner
from tests.graph.floats import FloatModel
from tests.graph.test_lowering import Noise, quantized

IMAGES = {"nchw": (3, 6, 5), "nhwc": (6, 5, 3)}


def model(layout: str) -> onnx.ModelProto:
    """One convolution, its input and output in this layout."""
    m = FloatModel(IMAGES[layout])
    if layout == "nchw":
        return m.build(m.conv("x", "conv", (4, 3, 3, 3)))
    first = m.node("Transpose", ["x"], "first", perm=[0, 3, 1, 2])
    return m.build(m.node("Transpose", [m.conv(first, "conv", (4, 3, 3, 3))], "last", perm=[0, 2, 3, 1]))


@pytest.mark.parametrize("layout", IMAGES)
def test_the_integer_model_is_run_in_the_datasets_layout(layout: str, tmp_path: Path) -> None:
    graph = lower(quantized(model(layout), IMAGES[layout]), "net")
    onnx.save(integer_model(graph), tmp_path / "net.integer.onnx")
    batch = np.stack([Noise(IMAGES[layout])[index][0] for index in range(4)])
    (found,) = integer_runner(tmp_path / "net.integer.onnx", graph)((batch,))
    x, y = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    expected = y.dequantize(y.from_nhwc(graph.run(x.to_nhwc(x.quantize(batch)))[y.name]))
    np.testing.assert_array_equal(found, expected)
