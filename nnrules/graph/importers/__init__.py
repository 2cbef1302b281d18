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
from nnrules.graph.importers.body import Body
from nnrules.graph.ops import BY_ONNX_TYPE
from nnrules.graph.passes import normalise
from nnrules.graph.qdq_reader import DEQUANTIZE, QUANTIZE

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
    body = Body(fixed_sizes(model, name), name)
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


def require_operators(body: Body) -> None:
    """Raises UserError that names the first node that no operator lowers, before anybody waits for calibration."""
    for node in body.nodes:
        if node.op_type not in BY_ONNX_TYPE and node.op_type not in (QUANTIZE, DEQUANTIZE):
            known = ", ".join(sorted(BY_ONNX_TYPE))
            fault = f"operator {node.op_type} is not supported"
            raise UserError(body.place(node), fault, f"supported are {known}")
