"""Take out what changes no value: Identity, Dropout, casts between kinds of real numbers; all reals become float32."""

import numpy as np
import onnx

from nnrules.graph.importers.body import Body

REALS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16}
FLOAT = onnx.TensorProto.FLOAT


def run(body: Body) -> None:
    """Half and double precision become single: the result is 8 bits."""
    kinds = {name: kind for name, (_, kind) in body.shapes().items()}
    for name, value in body.constants.items():
        if value.dtype.kind == "f" or value.dtype.name == "bfloat16":
            body.constants[name] = value.astype(np.float32)
    for value in (*body.inputs, *body.outputs):
        if value.type.tensor_type.elem_type in REALS:
            value.type.tensor_type.elem_type = FLOAT
    for node in list(body.nodes):
        real = kinds.get(node.input[0], FLOAT) in REALS if node.input else False
        if node.op_type == "Cast" and body.attribute(node, "to") in REALS:
            if real:
                body.bypass(node)
            else:
                del node.attribute[:]
                node.attribute.append(onnx.helper.make_attribute("to", FLOAT))
        elif node.op_type in ("Identity", "Dropout") or (node.op_type == "CastLike" and real):
            body.bypass(node)
