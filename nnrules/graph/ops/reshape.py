"""The same values under another shape: Flatten, Reshape, Squeeze and Transpose where no value moves in memory."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.graph.operator import Operator, Shape

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering


class Reshape(Operator, frozen=True, kw_only=True):
    """y is x, seen as ``shape`` (NHWC order, without batch)."""

    op: ClassVar[str] = "reshape"
    onnx_types: ClassVar[tuple[str, ...]] = (
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Identity",
        "Dropout",
    )

    shape: Shape

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        lowering.relabel(node)

    def infer(self, *shapes: Shape) -> Shape:
        return self.shape

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        return inputs[0].reshape(len(inputs[0]), *self.shape)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        return inputs[0].reshape(len(inputs[0]), *self.shape)

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        target = emitter.constant(output, "shape", np.array([0, *self.shape], np.int64))
        emitter.channels_first(emitter.node("Reshape", [emitter.channels_last(inputs[0]), target]), output)

    def span(self, shapes: Sequence[Shape], spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
        return spans[0]

    @property
    def is_alias(self) -> bool:
        return True
