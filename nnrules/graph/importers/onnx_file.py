"""`.onnx`: protobuf, weights inside it or in files beside it."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import onnx
from onnx import checker, inliner

from nnrules.error import UserError
from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE, require_size
from nnrules.graph.importers.order import in_order

SUFFIXES = (".onnx",)
EXTERNAL = onnx.TensorProto.EXTERNAL


def read(path: Path, name: str, beside: Sequence[Path]) -> onnx.ModelProto:
    """The model with its weights inside and its local functions inlined."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except Exception:  # protobuf has no base class of its own for what it raises
        raise UserError(str(path), "is not an ONNX model", "its protobuf is damaged") from None
    if not model.graph.node:
        raise UserError(str(path), "is not an ONNX model", "it has no nodes")
    if not all(isinstance(each, str) for each in _texts(model)):  # protobuf gives bytes where a name is not UTF-8
        raise UserError(str(path), "is not an ONNX model", "a name in it is not text")
    _refuse_inner(model, name)
    given = {each.name for each in (*model.graph.initializer, *model.graph.input)}
    nodes = in_order(list(model.graph.node), given, name)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for tensor in model.graph.initializer:
        require_size(tensor, name)
        _fetch(tensor, path, name, beside)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _fetch(attribute.t, path, name, beside)
    try:
        checker.check_model(_checkable(model))
        return inliner.inline_local_functions(model) if model.functions else model
    except Exception as error:  # the checker's own class, and what C++ throws beside it
        raise UserError(str(path), "is not a valid ONNX model", _told(error)) from None


def _told(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"onnx says: {lines[0] if lines else type(error).__name__}"


def _texts(model: onnx.ModelProto) -> Iterator[object]:
    """Everything that the passes take for text."""
    yield from (each.name for each in (*model.graph.input, *model.graph.output, *model.graph.initializer))
    for node in model.graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (each.name for each in node.attribute)
    yield from (each.domain for each in model.opset_import)
    dims = (dim for value in model.graph.input for dim in value.type.tensor_type.shape.dim)
    yield from (dim.dim_param for dim in dims)


def _checkable(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy as the checker wants it: it knows no other domains, which need no opset to be read here, no axis of
    (de)quantization before opset 13, which onnxruntime.quantization writes all the same, and no output without shape.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {each.domain for each in model.opset_import}
    extra = sorted({node.domain for node in model.graph.node} - known - {""})
    copy.opset_import.extend(onnx.helper.make_opsetid(domain, 1) for domain in extra)
    for value in copy.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()
    if min((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=13) < 13:
        for node in copy.graph.node:
            if node.op_type in (QUANTIZE, DEQUANTIZE):
                del node.attribute[:]
    return copy


def _refuse_inner(model: onnx.ModelProto, name: str) -> None:
    """Raises UserError for a node with a graph of its own, and for sparse constants."""
    for node in model.graph.node:
        if any(each.HasField("g") or each.graphs for each in node.attribute):
            label = node.name or next(iter(node.output), "")
            fault = "has a graph of its own"
            raise UserError(f"{name}: node '{label}' ({node.op_type})", fault, "export the model without control flow")
    if model.graph.sparse_initializer:
        raise UserError(name, "has sparse constants", "store them dense")


def _fetch(tensor: onnx.TensorProto, path: Path, name: str, beside: Sequence[Path]) -> None:
    """Read a constant that lies in another file. Raises UserError unless that is a file of the model's own folder."""
    if tensor.data_location != EXTERNAL:
        return
    entries = {each.key: each.value for each in tensor.external_data}
    place, location = f"{name}: constant '{tensor.name}'", entries.get("location", "")
    pure = PurePosixPath(location)
    if not location or pure.is_absolute() or ".." in pure.parts or "\\" in location or "\0" in location:
        raise UserError(place, f"lies in '{location}', outside the model's folder", "store it beside the model")
    file = path.parent / pure
    if file.is_symlink() or not file.is_file():
        raise UserError(place, f"lies in '{location}', which is no file beside the model", "copy it there")
    if file.resolve() not in [each.resolve() for each in beside]:
        cure = f"call it {path.name}.data or {path.stem}.data, or name it in files="
        raise UserError(place, f"lies in '{location}', which no build sees", cure)
    size = file.stat().st_size
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", size))
    except ValueError:
        offset, length = -1, -1
    if offset < 0 or length < 0 or offset + length > size:
        raise UserError(place, f"lies beyond the end of '{location}' ({size:,} bytes)", "export the model again")
    with file.open("rb") as stream:
        stream.seek(offset)
        tensor.raw_data = stream.read(length)
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]
