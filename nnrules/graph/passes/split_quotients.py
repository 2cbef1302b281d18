"""Of float models: a quotient of two activations -> a product with the reciprocal; ReduceL2 -> the root of a sum.

`torch.nn.functional.normalize` is both. What is in between is calibrated.
"""

from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE, Body


def run(body: Body) -> None:
    """A quantized model keeps its quotients, which are refused: its roundings are its own."""
    if any(node.op_type in (QUANTIZE, DEQUANTIZE) for node in body.nodes):
        return
    for node in list(body.nodes):
        result = node.output[0] if node.output else ""
        if node.op_type == "Div" and not any(value in body.constants for value in node.input):
            inverse = body.fresh(f"{result}/reciprocal")
            product = body.make("Mul", [node.input[0], inverse], result)
            product.name = node.name or result
            body.replace(node, [body.make("Reciprocal", [node.input[1]], inverse), product])
        elif node.op_type == "ReduceL2":
            squares, total = (body.fresh(f"{result}/{each}") for each in ("squares", "total"))
            summed = body.make("ReduceSum", [squares, *node.input[1:]], total)
            summed.attribute.extend(node.attribute)
            root = body.make("Sqrt", [total], result)
            root.name = node.name or result
            body.replace(node, [body.make("Mul", [node.input[0], node.input[0]], squares), summed, root])
