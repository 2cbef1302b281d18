"""Model files of other people's: one file a format, found by the suffixes that it names.

Each has `SUFFIXES` and `read(path, name, beside)`, which gives an ONNX model, not yet normalised; `beside`: the other
files that it may read. What they read is not trusted: a damaged or hostile file is a UserError.
"""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import onnx

from nnrules.error import UserError
from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE, Body, infer_shapes
from nnrules.graph.ops import BY_ONNX_TYPE
from nnrules.graph.passes import normalise

MOST_NODES = 5000
LARGEST_FILE = 2**29


def formats() -> Mapping[str, ModuleType]:
    """The importers by suffix."""
    modules = [importlib.import_module(f"{__name__}.{each.name}") for each in pkgutil.iter_modules(__path__)]
    return {suffix: module for module in modules for suffix in getattr(module, "SUFFIXES", ())}


def import_model(path: Path, name: str, beside: Sequence[Path] = ()) -> onnx.ModelProto:
    """A model file as a normalised ONNX model, float, QDQ or partly so, of operators that can be lowered.

    `name`: how messages call the model. Raises UserError with the file's or the node's name.
    """
    known = formats()
    if path.suffix.lower() not in known:
        cure = f"give one that ends in {', '.join(sorted(known))}"
        raise UserError(str(path), f"is not a model file ({path.suffix or 'no suffix'})", cure)
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise UserError(str(path), f"has {size:,} bytes", f"at most {LARGEST_FILE:,} are supported")
    model = known[path.suffix.lower()].read(path, name, beside)
    if len(model.graph.node) > MOST_NODES:
        raise UserError(name, f"has {len(model.graph.node):,} nodes", f"at most {MOST_NODES:,} are supported")
    fixed = fixed_sizes(model, name)
    require_batch(model, fixed, name)
    body = Body(fixed, name)
    normalise(body)
    require_operators(body)
    shapes = body.shapes()
    for value in body.outputs:
        if value.name not in shapes:
            raise UserError(body.told(value.name), "makes an output of unknown shape", "export it with fixed sizes")
        dims, kind = shapes[value.name]
        value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kind, dims))
    return body.model()


def fixed_sizes(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """A copy with a batch of one and no sizes but the inputs'. Raises UserError that says which axis has no size."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    stored = {each.name for each in fixed.graph.initializer}
    for value in fixed.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name in stored:
            continue
        if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
            fault = "has no shape" if value.type.HasField("tensor_type") else "is not a tensor"
            raise UserError(f"{name}: input '{value.name}'", fault, "export the model with fixed sizes")
        if dims:
            dims[0].dim_value = 1
        for axis, dim in enumerate(dims):
            if dim.dim_value <= 0:
                label = f" ({dim.dim_param})" if dim.dim_param else ""
                fault = f"has no fixed size along axis {axis}{label}"
                raise UserError(f"{name}: input '{value.name}'", fault, "export the model with fixed sizes")
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    del fixed.graph.value_info[:]
    return fixed


def require_batch(model: onnx.ModelProto, fixed: onnx.ModelProto, name: str) -> None:
    """Raises UserError for a model whose fixed first axes are not 1, and no batch either that could be 1 as well.

    `fixed`: the model with a batch of one. Its shapes must fit, and its outputs' first axes become 1.
    """
    stored = {each.name for each in model.graph.initializer}
    shapes = {each.name: _dims(each) for each in model.graph.input if each.name not in stored}
    value, dims = next(((v, dims) for v, dims in shapes.items() if dims and dims[0] > 1), ("", (1,)))
    if not value:
        return
    batch, place, cure = dims[0], f"{name}: input '{value}'", "export it with a batch of 1 or a dynamic batch"
    if len(dims) == 1:
        raise UserError(place, f"its first axis is fixed to {batch}, and it has no other: there is no batch axis", cure)
    fault = f"its first axis is fixed to {batch}, and the model does not fit a batch of 1"
    if any(other and other[0] not in (batch, 0) for other in shapes.values()):
        raise UserError(place, fault, cure)
    try:
        given = infer_shapes(model, name).graph.output
    except UserError:
        return  # it fits no batch at all, which is told with the node
    try:
        found = infer_shapes(fixed, name).graph.output
    except UserError:
        raise UserError(place, fault, cure) from None
    for before, after in zip(map(_dims, given), map(_dims, found), strict=True):
        if before and after and min(*before, *after) > 0 and (before[0], *after) != (batch, 1, *before[1:]):
            raise UserError(place, fault, cure)


def _dims(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """The sizes of a value's axes, 0 where they are not fixed; none where nothing is known."""
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def require_operators(body: Body) -> None:
    """Raises UserError that names the first node that no operator lowers, before anybody waits for calibration."""
    for node in body.nodes:
        if node.op_type not in BY_ONNX_TYPE and node.op_type not in (QUANTIZE, DEQUANTIZE):
            fault = f"operator {node.op_type} is not supported"
            raise UserError(body.place(node), fault, "docs/import.md lists what is supported")
