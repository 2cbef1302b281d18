"""An ONNX model while passes rewrite it: a list of nodes in running order, and constants as numpy arrays by name."""

import math
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from nnrules.error import UserError
from nnrules.graph.importers.order import in_order, place
from nnrules.graph.operator import Shape

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
MOST_VALUES = 2**24  # of one tensor: more than any target holds, and little for this machine
MICROSOFT = "com.microsoft"
DOMAINS = ("", "ai.onnx", MICROSOFT)


class Body:
    """`name`: how messages call the model. Nodes are in an order in which they can run; every pass keeps it so.

    `constants` holds initializers; Constant nodes become some when the model is opened. Raises UserError for a graph
    with a cycle, with a value made twice, or one that is read and never made.
    """

    def __init__(self, given: onnx.ModelProto, name: str) -> None:
        model = onnx.ModelProto()
        model.CopyFrom(given)
        graph = model.graph
        self.name = name
        self.opset = max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=1)
        self.constants: dict[str, np.ndarray] = {each.name: self._array(each) for each in graph.initializer}
        self.inputs = [each for each in graph.input if each.name not in self.constants]
        self.outputs = list(graph.output)
        self.nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
                self.constants[node.output[0]] = self._constant(node)
            else:
                self.nodes.append(node)
        self.sort()
        self.index()

    def sort(self) -> None:
        """Put the nodes into an order in which they can run."""
        self.nodes = in_order(self.nodes, {*self.constants, *(each.name for each in self.inputs)}, self.name)

    def index(self) -> None:
        """Find producers and readers again, after nodes were changed otherwise than by the methods here."""
        self.producer = {value: node for node in self.nodes for value in node.output if value}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(node.input):
                self.readers.setdefault(value, []).append(node)
        self.ends = {each.name for each in self.outputs}

    def place(self, node: onnx.NodeProto) -> str:
        """How messages name a node."""
        return place(self.name, node)

    def told(self, value: str) -> str:
        """How messages name a value: by its node, or as an input."""
        maker = self.producer.get(value)
        return self.place(maker) if maker else f"{self.name}: input '{value}'"

    def users(self, value: str) -> list[onnx.NodeProto]:
        """The nodes that read a value."""
        return self.readers.get(value, [])

    def only_user(self, value: str) -> onnx.NodeProto | None:
        """The one node that reads a value which nothing else needs; None where there are several or it is an output."""
        users = self.users(value)
        return users[0] if len(users) == 1 and value not in self.ends else None

    def attribute(self, node: onnx.NodeProto, name: str, default: Any = None) -> Any:
        """The value of an attribute."""
        return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)

    def constant(self, value: str) -> np.ndarray | None:
        """The array behind a value, if it is a constant."""
        return self.constants.get(value)

    def input(self, node: onnx.NodeProto, position: int) -> str:
        """The name of an input; "" where it is left out."""
        return node.input[position] if position < len(node.input) else ""

    def fresh(self, name: str) -> str:
        """A name that no value has yet, as near to `name` as can be."""
        taken = {*self.constants, *self.producer, *(each.name for each in self.inputs)}
        return name if name not in taken else next(each for i in count(1) if (each := f"{name}.{i}") not in taken)

    def add_constant(self, name: str, value: Any) -> str:
        """Enter an array under a new name; the name."""
        name = self.fresh(name)
        self.constants[name] = np.asarray(value)
        return name

    def make(self, op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
        """A node that is named after its output."""
        return helper.make_node(op_type, list(inputs), [output], name=output, **attributes)

    def replace(self, node: onnx.NodeProto, by: Iterable[onnx.NodeProto]) -> None:
        """Put nodes in the place of one."""
        i = next(i for i, each in enumerate(self.nodes) if each is node)
        self.nodes[i : i + 1] = by
        self.index()

    def insert_after(self, node: onnx.NodeProto | None, *nodes: onnx.NodeProto) -> None:
        """Put nodes right after one; before all others where it is None."""
        i = 0 if node is None else next(i for i, each in enumerate(self.nodes) if each is node) + 1
        self.nodes[i:i] = nodes
        self.index()

    def redirect(self, old: str, new: str, *but: onnx.NodeProto) -> None:
        """Let every reader of a value, `but` these, read another."""
        for node in self.users(old):
            if all(node is not each for each in but):
                for i, value in enumerate(node.input):
                    if value == old:
                        node.input[i] = new
        self.index()

    def bypass(self, node: onnx.NodeProto) -> None:
        """Take a node out that gives its first input as its first output. An output of the model keeps its name."""
        source, result = node.input[0], node.output[0]
        self.nodes = [each for each in self.nodes if each is not node]
        self.index()
        if result not in self.ends:
            self.redirect(result, source)
        elif source in self.producer and source not in self.ends:
            self.redirect(result, source)
            self.rename(source, result)
        else:
            self.nodes.append(helper.make_node("Identity", [source], [result], name=node.name))
            self.index()

    def rename(self, old: str, new: str) -> None:
        """Give a value that a node makes another name."""
        node = self.producer[old]
        node.output[list(node.output).index(old)] = new
        self.redirect(old, new)

    def prune(self) -> None:
        """Drop nodes that nothing reads, and their constants."""
        needed = set(self.ends)
        kept = []
        for node in reversed(self.nodes):
            if any(value in needed for value in node.output):
                kept.append(node)
                needed.update(node.input)
        self.nodes = kept[::-1]
        self.constants = {name: value for name, value in self.constants.items() if name in needed}
        self.index()

    def shapes(self) -> dict[str, tuple[Shape, int]]:
        """Full shape and ONNX element type of every value, the constants' too.

        Raises UserError where shapes do not fit, are unknown, or hold more than MOST_VALUES.
        """
        found: dict[str, tuple[Shape, int]] = {
            name: (value.shape, helper.np_dtype_to_tensor_dtype(value.dtype)) for name, value in self.constants.items()
        }
        inferred = infer_shapes(self.model(), self.name).graph
        for value in (*inferred.input, *inferred.value_info, *inferred.output):
            kind = value.type.tensor_type
            dims = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
            if kind.HasField("shape") and min(dims, default=0) >= 0:
                found[value.name] = dims, kind.elem_type
                if math.prod(dims) == 0 and kind.elem_type != onnx.TensorProto.INT64:  # those are lists of sizes
                    raise UserError(self.told(value.name), f"'{value.name}' holds no values", "export the model again")
                if math.prod(dims) > MOST_VALUES:
                    fault = f"'{value.name}' would hold {math.prod(dims):,} values"
                    raise UserError(self.told(value.name), fault, f"at most {MOST_VALUES:,} are supported")
        return found

    def model(self) -> onnx.ModelProto:
        """The whole as an ONNX model."""
        constants = [
            numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
            for name, value in self.constants.items()
        ]
        body = helper.make_graph(self.nodes, "model", self.inputs, self.outputs, constants)
        domains = [helper.make_opsetid("", self.opset)]
        if any(node.domain == MICROSOFT for node in self.nodes):
            domains.append(helper.make_opsetid(MICROSOFT, 1))
        return helper.make_model(
            body,
            opset_imports=domains,
            ir_version=max(8, min(helper.find_min_ir_version_for(domains, ignore_unknown=True), 13)),
        )

    def _constant(self, node: onnx.NodeProto) -> np.ndarray:
        value = helper.get_attribute_value(node.attribute[0]) if node.attribute else None
        if isinstance(value, onnx.TensorProto):
            return self._array(value)
        if value is None or isinstance(value, onnx.SparseTensorProto):
            raise UserError(self.place(node), "holds no dense array", "export the model again")
        array = np.asarray(value)
        return array.astype(np.float32) if array.dtype.kind == "f" else array

    def _array(self, tensor: onnx.TensorProto) -> np.ndarray:
        """A stored tensor, after a look whether what is stored has the size that it claims."""
        require_size(tensor, self.name)
        try:
            array = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            fault = f"cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
            raise UserError(f"{self.name}: constant '{tensor.name}'", fault, "export the model again") from None
        return array


def require_size(tensor: onnx.TensorProto, name: str) -> None:
    """Raises UserError for a stored tensor that claims more values than any may have."""
    if min(tensor.dims, default=0) < 0 or math.prod(tensor.dims) > MOST_VALUES:
        fault = f"claims the shape {tuple(tensor.dims)}"
        cure = f"at most {MOST_VALUES:,} values are supported"
        raise UserError(f"{name}: constant '{tensor.name}'", fault, cure)


def infer_shapes(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The model with the shapes of all values. Raises UserError with onnx's words where they do not fit."""
    try:
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        text = str(error).replace("[ShapeInferenceError]", "").replace("Inference error(s): ", "").strip()
        raise UserError(name, "its shapes do not fit", f"onnx says: {(text.splitlines() or ['nothing'])[0]}") from None
