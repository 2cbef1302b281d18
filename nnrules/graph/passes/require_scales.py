"""Refuse scales that are no positive numbers."""

import numpy as np

from nnrules.error import UserError
from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE, Body


def run(body: Body) -> None:
    """Raises UserError that names the node of the first scale that is zero, negative, NaN or infinite."""
    for node in body.nodes:
        scale = body.constant(node.input[1]) if node.op_type in (QUANTIZE, DEQUANTIZE) else None
        if scale is not None and not (np.isfinite(scale).all() and (scale > 0).all()):
            wrong = next(float(each) for each in scale.reshape(-1) if not (np.isfinite(each) and each > 0))
            raise UserError(body.place(node), f"its scale is {wrong}", "check the model for NaN")
