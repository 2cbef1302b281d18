"""Refuse operators of domains that no other pass and no operator knows."""

from nnrules.error import UserError
from nnrules.graph.importers.body import DOMAINS, Body

NEED_LIVE_RANGES = {
    "DynamicQuantizeLinear": "quantizes at run time",
    "If": "chooses at run time",
    "Loop": "repeats as often as the data say",
    "Scan": "repeats as often as the data say",
}


def run(body: Body) -> None:
    """Raises UserError that names the first such node, or one whose work is known at run time only."""
    for node in body.nodes:
        if node.domain not in DOMAINS:
            fault = f"belongs to the domain '{node.domain}', which is not supported"
            raise UserError(body.place(node), fault, "export the model with standard operators")
        if node.op_type in NEED_LIVE_RANGES:
            fault = NEED_LIVE_RANGES[node.op_type]
            cure = "quantize the model statically, with calibration data" if "quantizes" in fault else "unroll it"
            raise UserError(body.place(node), fault, cure)
