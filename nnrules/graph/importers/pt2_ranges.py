"""The ranges of torch's quantized_decomposed operators, which may be part of what their type holds.

ONNX's QuantizeLinear saturates at the ends of its type only, and torch's exporter says nothing of it. A clamp of the
real numbers before it does the same. Observers with `reduce_range` write 0 to 127 as uint8, for one.
"""

from typing import Any

from nnrules.error import UserError

QUANTIZE = "quantized_decomposed.quantize_per_tensor"


def clamp_ranges(program: Any, name: str) -> None:
    """Put a clamp before each quantize_per_tensor of an ExportedProgram that uses part of its type, in place.

    An input of the program is quantized to the whole type first, as every input has to be. Raises UserError where the
    scale is no number.
    """
    import torch

    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.op != "call_function" or not str(node.target).startswith(QUANTIZE):
            continue
        value, scale, point, low, high, dtype = _arguments(node)
        whole = torch.iinfo(dtype)
        if (low, high) == (whole.min, whole.max):
            continue
        if not isinstance(scale, float | int) or not isinstance(point, int):
            fault = f"quantizes to {low}..{high} of {dtype} with a scale that is a tensor"
            raise UserError(f"{name}: node '{node.name}'", fault, "quantize to the whole type (reduce_range=False)")
        with graph.inserting_before(node):
            real = value
            if value.op == "placeholder":
                edge = (scale, point, whole.min, whole.max, dtype)
                stored = _made(graph, node.target, (value, *edge), node)
                restore = torch.ops.quantized_decomposed.dequantize_per_tensor.default
                real = _made(graph, restore, (stored, *edge), value)
            ends = ((low - point) * scale, (high - point) * scale)
            clamped = _made(graph, torch.ops.aten.clamp.default, (real, *ends), value)
        node.replace_input_with(value, clamped)
    graph.lint()
    program.graph_module.recompile()


def _arguments(node: Any) -> list[Any]:
    """Positional and named ones, in the order of the operator's schema."""
    names = [each.name for each in node.target._schema.arguments]
    return [*node.args, *(node.kwargs[each] for each in names[len(node.args) :] if each in node.kwargs)]


def _made(graph: Any, target: Any, arguments: tuple[Any, ...], alike: Any) -> Any:
    """A new node whose value has the shape and type of another's."""
    made = graph.call_function(target, arguments)
    made.meta = dict(alike.meta)
    return made
