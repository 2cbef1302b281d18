"""The same values in another order, some left out, some repeated: Slice, Split, DepthToSpace, Gather and their like.

They cost nothing until somebody needs the values in memory.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from nnrules.graph.operator import Operator, Parameter, Shape
from nnrules.graph.views import Index, is_even, loops

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering


class Rearrange(Operator, frozen=True, kw_only=True):
    """y[i, j, ...] = x[start + offsets[0][i] + offsets[1][j] + ...], x flat, y then seen as ``shape`` (NHWC order).

    One int32 array of offsets for each loop, the outermost first; every sum is a position of x.
    """

    op: ClassVar[str] = "rearrange"
    onnx_types: ClassVar[tuple[str, ...]] = (
        "Slice",
        "Split",
        "DepthToSpace",
        "SpaceToDepth",
        "Gather",
        "Expand",
        "Tile",
    )

    shape: Shape
    start: int
    offsets: tuple[np.ndarray, ...]

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        lowering.rearrange(node)

    @classmethod
    def of(cls, index: Index) -> Self:
        """From the flat position in x of every value of y."""
        start, offsets = loops(index)
        return cls(shape=index.shape, start=start, offsets=tuple(each.astype(np.int32) for each in offsets))

    def infer(self, *shapes: Shape) -> Shape:
        return self.shape

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        index = np.array(self.start)
        for offsets in self.offsets:
            index = index[..., np.newaxis] + offsets
        flat = inputs[0].reshape(len(inputs[0]), -1)
        return flat[:, index.reshape(-1)].reshape(-1, *self.shape)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        index = torch.tensor([self.start])
        for offsets in self.offsets:
            index = (index.unsqueeze(1) + torch.as_tensor(offsets.astype(np.int64)).unsqueeze(0)).flatten()
        return inputs[0].flatten(1).index_select(1, index).reshape(-1, *self.shape)

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        index = self.start + sum(np.ix_(*(each.astype(np.int64) for each in self.offsets)), np.int64(0))
        source = emitter.node("Flatten", [emitter.channels_last(inputs[0])], axis=1)
        taken = emitter.node("Gather", [source, emitter.constant(output, "index", index.reshape(-1))], axis=1)
        shape = emitter.constant(output, "shape", np.array([0, *self.shape], np.int64))
        emitter.channels_first(emitter.node("Reshape", [taken, shape]), output)

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        """``strides`` of the loops; a loop of uneven steps has a ``tables`` entry: where its offsets begin, else -1."""
        even = [is_even(each) for each in self.offsets]
        lengths = [len(each) for each in self.offsets]
        tables, begin = [], 0
        for length, steady in zip(lengths, even, strict=True):
            tables.append(-1 if steady else begin)
            begin += 0 if steady else length
        return {
            "size": int(np.prod(self.shape, dtype=np.int64)),
            "start": self.start,
            "lengths": lengths,
            "strides": [int(o[1] - o[0]) if e else 0 for o, e in zip(self.offsets, even, strict=True)],
            "tables": tables,
            "table_size": begin,
        }
