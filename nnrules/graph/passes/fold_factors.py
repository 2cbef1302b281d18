"""Alpha and beta of a Gemm -> its weights and bias, float or quantized; stored integers are kept."""

import numpy as np

from nnrules.graph.importers.body import Body
from nnrules.graph.passes.fold_batch_norm import channel_axis, real_constant, scaled_weights


def run(body: Body) -> None:
    """Only where weights and bias are constants, and alpha is neither zero nor infinite."""
    for gemm in [each for each in body.nodes if each.op_type == "Gemm"]:
        alpha, beta = (float(body.attribute(gemm, name, 1.0)) for name in ("alpha", "beta"))
        weights, axis = real_constant(body, gemm.input[1]), channel_axis(body, gemm)
        bias = real_constant(body, gemm.input[2]) if body.input(gemm, 2) else None
        if alpha == beta == 1 or alpha == 0 or not np.isfinite([alpha, beta]).all():
            continue
        if weights is None or weights.ndim != 2 or (body.input(gemm, 2) and bias is None):
            continue
        if bias is not None and beta != 1:
            gemm.input[2] = body.add_constant(f"{gemm.input[2]}/times_beta", (bias * beta).astype(np.float32))
        if alpha != 1:
            gemm.input[1] = scaled_weights(body, gemm, axis, np.full(weights.shape[axis], alpha))
        kept = [each for each in gemm.attribute if each.name not in ("alpha", "beta")]
        del gemm.attribute[:]
        gemm.attribute.extend(kept)
        body.index()
