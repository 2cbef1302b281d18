"""The integer graph: frozen records, JSON with a stable order.

Activations are int8 in NHWC order, shapes without the batch; nodes stand in an order in which they can run. A graph
may have several formats: programs that differ in scales and in constants, one of which a further input picks.
"""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from nnrules.graph.operator import Operator, Shape
from nnrules.graph.ops import OPERATORS

FORMAT = 2

Arrays = Mapping[str, np.ndarray]


class Packing(msgspec.Struct, frozen=True):
    """Values in codes of so many ``bits``, ``low`` subtracted; see nnrules.graph.packed."""

    bits: int
    low: int


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """An activation: real value = scale * (integer - zero_point); ``layout`` is that of the model's ONNX file, "other"
    where that has neither the axes of ``shape`` nor the last one first.

    ``dtype`` is int8, but int32 where the values are positions (ArgMax): those are outputs of the model, nothing else.
    ``scales``: by format where there are several; ``scale`` is the first of them.
    ``packing``: how a plan stores it, None for bytes; no graph in a file has any.
    """

    name: str
    shape: Shape
    scale: float
    zero_point: int
    layout: str = "nhwc"
    dtype: str = "int8"
    scales: tuple[float, ...] = ()
    packing: Packing | None = None

    @property
    def size(self) -> int:
        """Elements of one sample."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bytes(self) -> int:
        """Bytes of one sample."""
        if self.packing is not None:
            return int(np.prod(self.shape[:-1], dtype=np.int64)) * -(-self.shape[-1] * self.packing.bits // 8)
        return self.size * np.dtype(self.dtype).itemsize

    def quantize(self, real: np.ndarray) -> np.ndarray:
        """Real values -> int8 by this tensor's scale and zero point, rounded half to even, saturated (the model's
        edge).
        """
        return np.clip(np.rint(real.astype(np.float64) / self.scale) + self.zero_point, -128, 127).astype(np.int8)

    def dequantize(self, integers: np.ndarray) -> np.ndarray:
        """int8 -> float32 real values."""
        return ((integers.astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)

    def to_nhwc(self, array: np.ndarray) -> np.ndarray:
        """An array with batch in the ONNX file's layout -> NHWC."""
        return np.ascontiguousarray(np.moveaxis(array, 1, -1)) if self.layout == "nchw" else array

    def from_nhwc(self, array: np.ndarray) -> np.ndarray:
        """An NHWC array with batch -> the ONNX file's layout."""
        return np.ascontiguousarray(np.moveaxis(array, -1, 1)) if self.layout == "nchw" else array


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One step: ``output`` = ``operator``(``inputs``), all tensor names.

    ``formats``: the operator of each format, where they differ; ``operator`` is the first of them.
    """

    name: str
    inputs: tuple[str, ...]
    output: str
    operator: Operator
    formats: tuple[Operator, ...] = ()


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """A whole integer program. ``note``: what all that is made of it is to be labelled with.

    ``selector``: the name of the further input, one int8, that picks one of the formats 0 .. ``formats`` - 1; "" and 0
    where there is one only.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: dict[str, Tensor]
    nodes: tuple[Node, ...]
    note: str = ""
    selector: str = ""
    formats: int = 0

    @property
    def arguments(self) -> tuple[str, ...]:
        """All inputs, the selector at the end."""
        return (*self.inputs, self.selector) if self.selector else self.inputs

    def argument_shape(self, name: str) -> Shape:
        """Of an input, or of the selector."""
        return (1,) if name == self.selector else self.tensors[name].shape

    def at(self, number: int) -> "Graph":
        """The program of one format. Raises ValueError where there is none of that number."""
        if not 0 <= number < self.formats:
            raise ValueError(f"{self.name} has no format {number}")
        tensors = {
            name: msgspec.structs.replace(tensor, scale=tensor.scales[number], scales=())
            for name, tensor in self.tensors.items()
        }
        nodes = tuple(
            msgspec.structs.replace(node, operator=node.formats[number], formats=()) if node.formats else node
            for node in self.nodes
        )
        return msgspec.structs.replace(self, tensors=tensors, nodes=nodes, selector="", formats=0)

    def shapes(self, node: Node) -> list[Shape]:
        """The shapes of a node's inputs."""
        return [self.tensors[name].shape for name in node.inputs]

    def macs(self, node: Node) -> int:
        """Multiply-accumulates of one node for one inference."""
        return node.operator.macs(*self.shapes(node))

    def run(
        self, *inputs: np.ndarray, step: "Callable[[Node, list[np.ndarray]], np.ndarray] | None" = None
    ) -> dict[str, np.ndarray]:
        """All tensors by name, from int8 inputs with a batch axis, the selector (batch, 1) behind them; ``step``
        computes a node (default: reference).
        """
        values = dict(zip(self.arguments, inputs, strict=True))
        if self.selector:
            return by_format(self, values, lambda graph, part: graph.run(*part.values(), step=step))
        for node in self.nodes:
            operands = [values[name] for name in node.inputs]
            values[node.output] = step(node, operands) if step else node.operator.reference(*operands)
        return values


def by_format(graph: Graph, samples: Arrays, run: Callable[[Graph, Arrays], Arrays]) -> dict[str, np.ndarray]:
    """What ``run`` gives for the samples of each format by that format's program, put together in the samples' order.

    Raises ValueError for a format that there is not.
    """
    chosen = samples[graph.selector].reshape(-1)
    found: dict[str, np.ndarray] = {}
    for number in np.unique(chosen).tolist():
        mine = chosen == number
        part = {name: array[mine] for name, array in samples.items() if name != graph.selector}
        for name, values in run(graph.at(number), part).items():
            found.setdefault(name, np.empty((len(chosen), *values.shape[1:]), values.dtype))[mine] = values
    return found


def dump(graph: Graph) -> bytes:
    """The graph as JSON: one node or tensor per line, equal graphs give equal bytes."""
    head = {"format": FORMAT, "name": graph.name, "inputs": graph.inputs, "outputs": graph.outputs}
    if graph.note:
        head["note"] = graph.note
    if graph.selector:
        head |= {"selector": graph.selector, "formats": graph.formats}
    encode = msgspec.json.Encoder(enc_hook=_encode_array).encode
    tensors = b",\n".join(encode(_stored(tensor)) for tensor in graph.tensors.values())
    nodes = b",\n".join(
        encode(
            {"name": n.name, "op": n.operator.op, "inputs": n.inputs, "output": n.output, "attributes": n.operator}
            | ({"formats": differences(n)} if n.formats else {})
        )
        for n in graph.nodes
    )
    return encode(head)[:-1] + b',\n"tensors":[\n' + tensors + b'\n],\n"nodes":[\n' + nodes + b"\n]}\n"


def load(path: Path | str) -> Graph:
    """Read ``dump``'s JSON; raises msgspec.ValidationError where it is not a graph of this format."""
    raw = msgspec.json.decode(Path(path).read_bytes())
    if raw.get("format") != FORMAT:
        raise msgspec.ValidationError(f"{path}: graph format {raw.get('format')} is not {FORMAT}")
    tensors = msgspec.convert(raw["tensors"], list[Tensor])
    return Graph(
        name=raw["name"],
        inputs=tuple(raw["inputs"]),
        outputs=tuple(raw["outputs"]),
        tensors={tensor.name: tensor for tensor in tensors},
        nodes=tuple(_node(node) for node in raw["nodes"]),
        note=raw.get("note", ""),
        selector=raw.get("selector", ""),
        formats=raw.get("formats", 0),
    )


def _stored(tensor: Tensor) -> dict[str, Any]:
    """The record; the usual type is left out."""
    raw = msgspec.structs.asdict(tensor)
    usual = {"dtype": "int8", "scales": (), "packing": None}
    return {name: value for name, value in raw.items() if name not in usual or value != usual[name]}


def differences(node: Node) -> list[dict[str, Any]]:
    """For each format, what its operator has otherwise than the first, stored."""
    raw: list[dict[str, Any]] = [msgspec.to_builtins(each, enc_hook=_encode_array) for each in node.formats]
    return [{name: value for name, value in each.items() if value != raw[0].get(name)} for each in raw]


def _node(raw: dict[str, Any]) -> Node:
    def operator(attributes: dict[str, Any]) -> Operator:
        return msgspec.convert(attributes, OPERATORS[raw["op"]], dec_hook=_decode_array)

    return Node(
        name=raw["name"],
        inputs=tuple(raw["inputs"]),
        output=raw["output"],
        operator=operator(raw["attributes"]),
        formats=tuple(operator({**raw["attributes"], **each}) for each in raw.get("formats", ())),
    )


def _encode_array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        little = value.astype(value.dtype.newbyteorder("<"))
        data = base64.b64encode(little.tobytes()).decode()
        return {"dtype": value.dtype.name, "shape": value.shape, "data": data}
    raise NotImplementedError(f"cannot store a {type(value).__name__} in a graph")


def _decode_array(expected: type, value: Any) -> Any:
    if expected is np.ndarray:
        dtype = np.dtype(value["dtype"]).newbyteorder("<")
        array = np.frombuffer(base64.b64decode(value["data"]), dtype).reshape(value["shape"])
        return array.astype(dtype.newbyteorder("="))
    raise NotImplementedError(f"cannot read a {expected} from a graph")
