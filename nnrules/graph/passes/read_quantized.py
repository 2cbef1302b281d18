"""Whoever reads a value that is quantized too reads what was quantized."""

from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE, Body


def run(body: Body) -> None:
    """The other readers of a QuantizeLinear's input move behind its DequantizeLinear: the integers are all there is.

    An output of the model that is quantized for other readers is made from the integers likewise.
    """
    for node in [each for each in body.nodes if each.op_type == QUANTIZE]:
        real = node.input[0]
        restored = next((each for each in body.users(node.output[0]) if each.op_type == DEQUANTIZE), None)
        others = [each for each in body.users(real) if each is not node]
        plain = any(each.op_type != QUANTIZE for each in others) or real in body.ends
        if restored is None or not plain or (real not in body.producer and real in body.ends):
            continue
        behind = _followers(body, restored.output[0])
        movable = [each for each in others if each.op_type != QUANTIZE and not any(each is one for one in behind)]
        for other in movable:
            for i, value in enumerate(other.input):
                if value == real:
                    other.input[i] = restored.output[0]
        if real in body.ends and restored.output[0] not in body.ends:
            body.index()
            body.rename(real, body.fresh(f"{real}/real"))
            body.rename(restored.output[0], real)
        body.index()
    body.sort()


def _followers(body: Body, value: str) -> list[object]:
    found: list[object] = []
    waiting = [value]
    while waiting:
        for node in body.users(waiting.pop()):
            if not any(node is each for each in found):
                found.append(node)
                waiting.extend(node.output)
    return found
