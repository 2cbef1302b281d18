"""Small float ONNX models for the tests, with random weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class FloatModel:
    """Builds a float ONNX model node by node; every method returns its output's name."""

    def __init__(self, shape: Sequence[int], seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def weights(self, name: str, *shape: int) -> str:
        fan_in = max(1, int(np.prod(shape[1:])))
        return self.constant(name, self.random.normal(0, fan_in**-0.5, shape).astype(np.float32))

    def conv(self, x: str, output: str, shape: Sequence[int], **attributes: Any) -> str:
        inputs = [x, self.weights(f"{output}.weight", *shape), self.weights(f"{output}.bias", shape[0])]
        return self.node("Conv", inputs, output, kernel_shape=list(shape[2:]), **attributes)

    def gemm(self, x: str, output: str, features: int, inputs: int) -> str:
        names = [x, self.weights(f"{output}.weight", features, inputs), self.weights(f"{output}.bias", features)]
        return self.node("Gemm", names, output, transB=1)

    def build(self, *outputs: str) -> onnx.ModelProto:
        values = [onnx.ValueInfoProto(name=name) for name in outputs]
        graph = helper.make_graph(self.nodes, "test", [self.input], [], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=8)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        known = {v.name: v for v in inferred.graph.value_info}
        model.graph.output.extend(known[value.name] for value in values)
        return model
