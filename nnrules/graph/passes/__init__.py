"""Rewritings of an imported ONNX model, one a file: `run(body)` changes a Body in place and keeps what it computes.

Together they bring what the usual exporters and quantizers write into one form: opset 18 or later, no constant
computed, QuantizeLinear and DequantizeLinear right after the activation that is fused into a layer, biases inside their
layers, views after the integers that they rearrange.
"""

import importlib

from nnrules.graph.importers.body import Body

ORDER = (
    "require_domains",
    "require_windows",
    "raise_opset",
    "unpack_qoperators",
    "fold_constants",
    "require_scales",
    "drop_casts",
    "unclip_integers",
    "merge_duplicates",
    "join_layer_norm",
    "split_instance_norm",
    "split_log_softmax",
    "split_quotients",
    "pad_for_constants",
    "open_edges",
    "lift_integers",
    "read_quantized",
    "rows_to_convolutions",
    "sink_views",
    "fold_weight_views",
    "count_no_padding",
    "fold_factors",
    "fuse_bias",
    "fold_batch_norm",
    "join_channel_scales",
    "fuse_activations",
    "split_wide_weights",
    "refine_biases",
    "carry_quantization",
    "part_weights",
    "shorten_names",
)


def normalise(body: Body) -> None:
    """All passes in their order."""
    for name in ORDER:
        importlib.import_module(f"{__name__}.{name}").run(body)
        body.prune()
