"""What is decided about a float ONNX model before the quantizer sees it."""

from __future__ import annotations

import numpy as np
import onnx

from nnrules.compress.parameters import Activation


class Prepared:
    """`model`: changed in place; `stated`: activations of few levels; of weights of few bits, by initializer, `codes`
    and `tops`, the largest code there may be."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.stated: dict[str, Activation] = {}
        self.codes: dict[str, np.ndarray] = {}
        self.tops: dict[str, int] = {}
