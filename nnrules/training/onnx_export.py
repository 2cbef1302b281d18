"""A torch network as a float ONNX model of plain operators: BatchNorm folded, layers named as in the network."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nnrules.catalog.names import NOTE
from nnrules.error import UserError
from nnrules.graph.runtime import session
from nnrules.training.task import Dataset, stacked

if TYPE_CHECKING:
    import onnx
    from torch import Tensor, nn

OPSET = 18
TOLERANCE = 1e-4  # of the largest output, between ONNX Runtime and torch


def export(
    network: nn.Module,
    dataset: Dataset,
    place: str,
    note: str = "",
    change: Callable[[onnx.ModelProto], None] = lambda model: None,
) -> bytes:
    """The model's bytes, the same for the same weights; input `x`, output `y` (or x0, x1, ..., y0, y1, ...), batch "N".

    `note`: kept in the model's metadata; `change`: what is done to the model yet, which stays the same function.

    Raises UserError at `place` where torch cannot export the network.
    """
    import torch

    count = min(4, len(dataset))
    example = tuple(torch.from_numpy(each) for each in stacked(dataset, (i % count for i in range(4))))
    model = _export(network, example, place)
    tidy(model)
    change(model)
    if note:
        model.metadata_props.add(key=NOTE, value=note)
    data: bytes = model.SerializeToString(deterministic=True)
    _compare(data, network, example)
    return data


def _export(network: nn.Module, example: tuple[Tensor, ...], place: str) -> onnx.ModelProto:
    import torch

    with torch.no_grad():
        outputs = network(*example)
    many = isinstance(outputs, tuple | list)
    names = [f"y{index}" for index in range(len(outputs))] if many else ["y"]
    batch = torch.export.Dim("N")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(
                network,
                example,
                input_names=_input_names(example),
                output_names=names,
                opset_version=OPSET,
                dynamic_shapes=tuple({0: batch} for _ in example),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UserError(
            place, f"torch cannot export it: {reason}", "keep forward() free of Python branches on values"
        ) from None
    model: onnx.ModelProto = program.model_proto
    return model


def _input_names(example: tuple[Tensor, ...]) -> list[str]:
    return ["x"] if len(example) == 1 else [f"x{index}" for index in range(len(example))]


def tidy(model: onnx.ModelProto) -> None:
    """Name nodes after the network's modules and drop, in place, whatever is not part of the computation."""
    _name_transposed(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    outputs = {value.name for value in model.graph.output}
    taken: set[str] = set()
    renamed: dict[str, str] = {}
    for node in model.graph.node:
        node.name = _unused(_node_name(node, weights), taken)
        if len(node.output) == 1 and node.output[0] not in outputs:
            renamed[node.output[0]] = node.name
    for node in model.graph.node:
        _replace(node.input, renamed)
        _replace(node.output, renamed)
    del model.graph.value_info[:]
    _strip(model)
    model.producer_name, model.producer_version = "nnrules", ""


def _name_transposed(model: onnx.ModelProto) -> None:
    """Call the weights of fully connected layers over several rows as in the network, which torch stores transposed
    under names of its own: of a layer that runs several times once each."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "MatMul" or _note(node, "class_hierarchy")[-1:] != ["aten.linear.default"]:
            continue
        name, wanted = node.input[1], f"{_scope(node)}.weight"
        if name not in held or name.endswith(".weight") or not _scope(node):
            continue
        own = held.setdefault(wanted, held[name])
        if own is held[name] and own.name == name:
            own.name = wanted
        elif (own.dims, own.raw_data) == (held[name].dims, held[name].raw_data):
            if own is not held[name] and held[name] in model.graph.initializer:
                model.graph.initializer.remove(held[name])
        else:
            continue
        node.input[1] = own.name


def _scope(node: onnx.NodeProto) -> str:
    """Dotted name of the innermost module the node comes from."""
    return (_note(node, "name_scopes") or [""])[-2:][0]


def _note(node: onnx.NodeProto, name: str) -> list[str]:
    """What torch says of where a node comes from, from the network down to the operator."""
    import ast

    key = f"pkg.torch.onnx.{name}"
    return next((list(ast.literal_eval(each.value)) for each in node.metadata_props if each.key == key), [])


def _node_name(node: onnx.NodeProto, weights: set[str]) -> str:
    """`stem.conv` for the layer that owns `stem.conv.weight`; else the module and the operator: `stem.relu`."""
    for name in node.input[1:2]:
        if name in weights and name.endswith(".weight"):
            return name.removesuffix(".weight")
    return ".".join(part for part in (_scope(node), node.op_type.lower()) if part)


def _unused(name: str, taken: set[str]) -> str:
    free = name
    count = 1
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    taken.add(free)
    return free


def _replace(names: Any, renamed: dict[str, str]) -> None:
    for index, name in enumerate(names):
        names[index] = renamed.get(name, name)


def _strip(message: Any) -> None:
    """Clear `metadata_props` and `doc_string` throughout a protobuf message."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                _strip(part)


def _compare(data: bytes, network: nn.Module, example: tuple[Tensor, ...]) -> None:
    """Raises ArithmeticError where ONNX Runtime and torch do not agree."""
    import torch

    feed = dict(zip(_input_names(example), (each.numpy() for each in example), strict=True))
    found = session(data).run(None, feed)
    with torch.no_grad():
        outputs = network(*example)
    wanted = outputs if isinstance(outputs, tuple | list) else [outputs]
    for index, (one, other) in enumerate(zip(found, wanted, strict=True)):
        error = float(np.abs(one - other.numpy()).max())
        if not error <= TOLERANCE * max(1.0, float(other.abs().max())):
            raise ArithmeticError(f"output {index} of the exported model differs from torch by {error:g}")
