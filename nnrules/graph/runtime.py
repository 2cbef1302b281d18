"""ONNX Runtime as the reference that means what a model says, on every CPU.

Its fused kernels for 8 bits add products of unsigned inputs and signed weights in pairs of 16 bits, which overflow on
x86-64 without VNNI (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def session(model: bytes | str | os.PathLike[str]) -> InferenceSession:
    """On one thread of the CPU. Between QuantizeLinear and DequantizeLinear real numbers are computed with, and what a
    file has as integer operators (QLinearConv, ...) is computed with unsigned weights where the CPU asks for it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
