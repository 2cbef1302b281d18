"""Small float models around one operator each, quantized by nnrules, and how far their integer graph is from them."""

import numpy as np
import onnx

from nnrules.graph.ir import Graph
from nnrules.graph.lowering import lower
from nnrules.graph.runtime import session
from tests.graph.floats import FloatModel
from tests.graph.test_lowering import Noise, quantized


def model_of(op_type: str, shape: tuple[int, ...], *constants: np.ndarray, **attributes: object) -> onnx.ModelProto:
    """x -> one operator -> y; ``constants`` are its further inputs."""
    m = FloatModel(shape)
    inputs = ["x", *(m.constant(f"c{index}", np.asarray(value)) for index, value in enumerate(constants))]
    m.node(op_type, inputs, "y", **attributes)
    return m.build("y")


def steps_apart(model: onnx.ModelProto, shape: tuple[int, ...]) -> tuple[Graph, float]:
    """The integer graph of a float model, and its largest distance from the quantized model in output steps."""
    qdq = quantized(model, shape)
    graph = lower(qdq, "net")
    samples = np.stack([Noise(shape)[i][0] for i in range(8)])
    x = graph.tensors[graph.inputs[0]]
    values = graph.run(x.quantize(x.to_nhwc(samples)))
    original = session(qdq.SerializeToString())
    largest = 0.0
    for name in graph.outputs:
        tensor = graph.tensors[name]
        (real,) = original.run([name], {"x": samples[:1]}) if _fixed(qdq) else original.run([name], {"x": samples})
        got = tensor.from_nhwc(tensor.dequantize(values[name]))[: len(real)]
        assert got.shape == real.shape, (got.shape, real.shape)
        largest = max(largest, float((np.abs(got - real) / tensor.scale).max()))
    return graph, largest


def _fixed(model: onnx.ModelProto) -> bool:
    return model.graph.input[0].type.tensor_type.shape.dim[0].HasField("dim_value")


def operators(graph: Graph) -> list[str]:
    """The integer operators in order, without reshapes."""
    return [node.operator.op for node in graph.nodes if node.operator.op != "reshape"]
