"""How far the QDQ model, which is for other tools, is from the integer program: layer by layer, given equal inputs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nnrules.graph.format_tables import untabled
from nnrules.graph.ir import Graph, Tensor
from nnrules.graph.operator import Shape
from nnrules.verify.engines.onnx_runtime import Intermediates

if TYPE_CHECKING:
    import onnx

COMPUTED = "/computed"
VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity")


class QdqDistance:
    """Counts values that differ from the integer program's, and the largest difference in steps (LSB).

    The model is cut at every QuantizeLinear of an activation: each layer is fed the integers that were agreed on, so
    that its rounding (half to even, after two float roundings) shows and no earlier layer's does.
    """

    def __init__(self, graph: Graph, model: "Path | onnx.ModelProto") -> None:
        import onnx

        proto = onnx.shape_inference.infer_shapes(onnx.load(model) if isinstance(model, Path) else model)
        self._graph = graph
        self._edges = cut(proto, graph)
        names = {edge.quantized + COMPUTED: tensor for tensor, edge in self._edges.items()}
        self._model = Intermediates(proto, names)
        self._names = {name: names[name] for name in self._model.names}
        self._found = {tensor: {"differing": 0, "largest": 0} for tensor in self._names.values()}

    def add(self, samples: Mapping[str, npt.NDArray[np.int8]], integers: Mapping[str, npt.NDArray[np.int8]]) -> None:
        """Take in one batch: the graph's inputs, and the agreed integers of every node."""
        agreed = {**integers, **samples}
        feed = {edge.quantized: edge.stored(agreed[name]) for name, edge in self._edges.items()}
        for name in set(samples) - set(self._edges):
            tensor = self._graph.tensors[name]
            feed[name] = tensor.from_nhwc(tensor.dequantize(samples[name]))
        for name, array in self._model.run(feed).items() if self._names else ():
            tensor_name = self._names[name]
            wanted = self._edges[tensor_name].stored(agreed[tensor_name]).astype(np.int32)
            distance = np.abs(array.astype(np.int32) - wanted)
            found = self._found[tensor_name]
            found["differing"] += int(np.count_nonzero(distance))
            found["largest"] = max(found["largest"], int(distance.max()))

    def layers(self) -> list[dict[str, int] | None]:
        """For every node {"differing", "largest"}; None where the QDQ model does not quantize that tensor."""
        return [self._found.get(node.output) for node in self._graph.nodes]


class QdqDistances:
    """The same for a graph of several formats, or of one."""

    def __init__(self, graph: Graph, model: Path) -> None:
        import onnx

        self._graph = graph
        proto = onnx.load(model)
        models = untabled(proto) if graph.selector else [proto]
        graphs = [graph.at(number) for number in range(graph.formats)] if graph.selector else [graph]
        self._formats = [QdqDistance(own, each) for own, each in zip(graphs, models, strict=True)]

    def add(self, samples: Mapping[str, npt.NDArray[np.int8]], integers: Mapping[str, npt.NDArray[np.int8]]) -> None:
        """Take in one batch: the graph's inputs, and the agreed integers of every node."""
        count = len(next(iter(samples.values())))
        chosen = samples.get(self._graph.selector, np.zeros(count, np.int8)).reshape(-1)
        for number in np.unique(chosen).tolist():
            mine = chosen == number
            inputs = {name: array[mine] for name, array in samples.items() if name != self._graph.selector}
            self._formats[number].add(inputs, {name: array[mine] for name, array in integers.items()})

    def layers(self) -> list[dict[str, int] | None]:
        """For every node {"differing", "largest"}; None where the QDQ model does not quantize that tensor."""
        each = zip(*(distance.layers() for distance in self._formats), strict=True)
        return [_together([found for found in layer if found is not None]) for layer in each]


def _together(found: Sequence[dict[str, int]]) -> dict[str, int] | None:
    if not found:
        return None
    return {"differing": sum(f["differing"] for f in found), "largest": max(f["largest"] for f in found)}


@dataclass(frozen=True)
class Edge:
    """Where the model quantizes a tensor of the graph: the integers' name, type and shape.

    `moved`: the shape in memory where the first axis is the last there.
    """

    quantized: str
    dtype: Any
    shape: Shape
    moved: Shape | None

    def stored(self, integers: npt.NDArray[np.int8]) -> npt.NDArray[Any]:
        """The IR's integers as the ONNX file has them: uint8 128 higher."""
        if self.moved is not None:
            integers = np.moveaxis(integers.reshape(-1, *self.moved), -1, 1)
        array = np.ascontiguousarray(integers).reshape(-1, *self.shape)
        return array if self.dtype == np.int8 else (array.astype(np.int16) + 128).astype(self.dtype)


def cut(proto: Any, graph: Graph) -> dict[str, Edge]:
    """Make every quantized activation an input of the model and what the model computes for it an output.

    Gives the new inputs by the graph's tensor; an activation that the graph has in no layout of the model is left.
    """
    from onnx import helper

    body = proto.graph
    batch = body.input[0].type.tensor_type.shape.dim[0].dim_value or "N"
    shapes = {v.name: _dims(v) for v in (*body.value_info, *body.input, *body.output)}
    kinds = {v.name: v.type.tensor_type.elem_type for v in body.value_info}
    restored = {node.input[0]: node.output[0] for node in body.node if node.op_type == "DequantizeLinear"}
    seen = {node.input[0]: node.output[0] for node in body.node if node.op_type in VIEWS}
    found: dict[str, Edge] = {}
    inputs = []
    for node in [node for node in body.node if node.op_type == "QuantizeLinear"]:
        real, quantized = node.input[0], node.output[0]
        same = real if real in graph.tensors else restored.get(quantized, real)
        name = _behind_views(same, seen, graph)
        tensor = graph.tensors.get(name)
        first = None if tensor is None else _channels_first(tensor, shapes.get(real), name == same)
        if first is None or name in found:
            continue
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kinds[quantized]))
        known = (*shapes[real][1:], *shapes[real][:1])
        moved = known if name == same else graph.tensors[name].shape
        found[name] = Edge(quantized, dtype, shapes[real], moved if first else None)
        inputs.append(helper.make_tensor_value_info(quantized, kinds[quantized], [batch, *shapes[real]]))
        if name in graph.inputs:
            body.node.remove(node)
        else:
            node.output[0] = quantized + COMPUTED
    kept = [value for value in body.input if value.name not in found]
    for field, values in ((body.input, [*kept, *inputs]), (body.output, []), (body.value_info, [])):
        del field[:]
        field.extend(values)
    return found


def _behind_views(value: str, seen: Mapping[str, str], graph: Graph) -> str:
    """The first of a value and the views of it that the graph has by name; `seen`: views by what they see."""
    while value not in graph.tensors and value in seen:
        value = seen[value]
    return value


def _channels_first(tensor: Tensor, shape: Shape | None, is_known: bool) -> bool | None:
    """Whether the model has a tensor's channels first; None where its shape fits neither that nor the graph's own.

    `is_known`: the tensor's layout is that of this shape. Elsewhere a shape that fits both ways is None too. Axes of
    length one do not count: a signal (C, L) is an image (1, L, C) of the graph.
    """
    if shape is None:
        return None
    if is_known:
        fitting = math.prod(shape) == tensor.size and tensor.layout in ("nchw", "nhwc")
        return tensor.layout == "nchw" if fitting else None
    fits = {
        "nchw": _bare((tensor.shape[-1], *tensor.shape[:-1])) == _bare(shape),
        "nhwc": _bare(tensor.shape) == _bare(shape),
    }
    if all(fits.values()) and len(_bare(shape)) > 1:
        return None
    return fits["nchw"] if any(fits.values()) else None


def _bare(shape: Shape) -> Shape:
    return tuple(length for length in shape if length != 1)


def _dims(value: Any) -> Shape:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim[1:])
