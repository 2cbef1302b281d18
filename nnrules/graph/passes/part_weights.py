"""Float weights that two layers read along different axes -> a constant for each axis.

A tied autoencoder's, say: a matrix, and behind it its transpose. Weights have one scale for each output channel, and
the channels are not the same ones; layers that read along the same axis share the constant.
"""

from nnrules.graph.importers.body import Body
from nnrules.graph.passes.fold_batch_norm import LAYERS, channel_axis


def run(body: Body) -> None:
    """Only constants that layers read; the first reader keeps the name."""
    known: dict[str, dict[int, str]] = {}
    for node in body.nodes:
        if node.op_type in (*LAYERS, "MatMul") and (value := node.input[1]) in body.constants:
            axes = known.setdefault(value, {})
            axis = channel_axis(body, node) if node.op_type in LAYERS else 1
            if axis not in axes:
                axes[axis] = body.add_constant(f"{value}/axis{axis}", body.constants[value]) if axes else value
            node.input[1] = axes[axis]
    body.index()
