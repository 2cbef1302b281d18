"""TFLite's operators that move, leave out, repeat or join values, in ONNX."""

from collections.abc import Callable, Mapping

import numpy as np

from nnrules.error import UserError
from nnrules.graph.importers.tflite_schema import TfliteOperator
from nnrules.graph.importers.tflite_writer import TO_NCHW, TO_NHWC, Writer


def reshape(writer: Writer, operator: TfliteOperator) -> None:
    """To the shape that the output tensor has."""
    writer.finish(operator, writer.shaped(writer.value(operator, 0), writer.output(operator)))


def transpose(writer: Writer, operator: TfliteOperator) -> None:
    """By a constant permutation."""
    writer.finish(
        operator, writer.real(operator, "Transpose", [writer.value(operator, 0)], perm=writer.integers(operator, 1))
    )


def pad(writer: Writer, operator: TfliteOperator) -> None:
    """With zeros."""
    _pad(writer, operator, "constant")


def mirror_pad(writer: Writer, operator: TfliteOperator) -> None:
    """REFLECT; SYMMETRIC repeats the border and is refused."""
    if writer.options(operator).Mode() != 0:
        raise UserError(writer.place(operator), "pads symmetrically", "use REFLECT")
    _pad(writer, operator, "reflect")


def _pad(writer: Writer, operator: TfliteOperator, mode: str) -> None:
    amounts = np.array(writer.integers(operator, 1), np.int64).reshape(-1, 2)
    images = len(amounts) == 4
    amounts = amounts[TO_NCHW] if images else amounts
    pads = writer.constant(f"{writer.output(operator).name}/pads", amounts.T.reshape(-1))
    inputs = [writer.images(operator) if images else writer.value(operator, 0), pads]
    if operator.kind == "PADV2":
        filler = writer.tensor(operator, 2)
        if filler.data is None or filler.data.size != 1:
            raise UserError(
                writer.place(operator), "is filled with what is no constant", "only constants are supported"
            )
        scale, point = (filler.scales[0], filler.points[0]) if len(filler.scales) else (1.0, 0)
        real = np.float32((float(filler.data.reshape(-1)[0]) - float(point)) * float(scale))
        inputs.append(writer.constant(f"{writer.output(operator).name}/filler", real))
    writer.finish(operator, writer.real(operator, "Pad", inputs, mode=mode), nchw=images)


def concatenation(writer: Writer, operator: TfliteOperator) -> None:
    """Along one axis."""
    options, count = writer.options(operator), len(operator.inputs)
    images = len(writer.output(operator).shape) == 4
    values = [writer.images(operator, i) if images else writer.value(operator, i) for i in range(count)]
    axis = TO_NHWC[options.Axis() % 4] if images else options.Axis()
    real = writer.real(operator, "Concat", values, axis=axis)
    writer.finish(operator, real, options.FusedActivationFunction(), nchw=images)


def split(writer: Writer, operator: TfliteOperator) -> None:
    """Inputs: axis, x; equal parts."""
    (axis,) = writer.integers(operator, 0)
    _split(writer, operator, writer.value(operator, 1), axis)


def split_v(writer: Writer, operator: TfliteOperator) -> None:
    """Inputs: x, lengths, axis."""
    (axis,) = writer.integers(operator, 2)
    _split(writer, operator, writer.value(operator, 0), axis)


def _split(writer: Writer, operator: TfliteOperator, value: str, axis: int) -> None:
    parts = [writer.source.tensors[i] for i in operator.outputs]
    if any(not -len(part.shape) <= axis < len(part.shape) for part in parts):
        raise UserError(writer.place(operator), f"splits along axis {axis}", "export the model again")
    lengths = writer.constant(f"{parts[0].name}/lengths", np.array([part.shape[axis] for part in parts], np.int64))
    names = [writer.fresh(f"{part.name}/real") for part in parts]
    writer.append("Split", [value, lengths], names, parts[0].name, axis=axis)
    for index, part, real in zip(operator.outputs, parts, names, strict=True):
        writer.values[index] = writer.pair(real, part, f"{part.name}/dequantized")


def slice_(writer: Writer, operator: TfliteOperator) -> None:
    """Inputs: x, begin, size."""
    begin, size, shape = writer.integers(operator, 1), writer.integers(operator, 2), writer.tensor(operator, 0).shape
    ends = [n if s < 0 else b + s for b, s, n in zip(begin, size, shape, strict=False)]
    _slice(writer, operator, begin, ends, [1] * len(begin))


def strided_slice(writer: Writer, operator: TfliteOperator) -> None:
    """Inputs: x, begin, end, strides; masks for open ends and dropped axes."""
    options, shape = writer.options(operator), writer.tensor(operator, 0).shape
    begin, end, steps = (writer.integers(operator, i) for i in (1, 2, 3))
    if (
        options.EllipsisMask()
        or options.NewAxisMask()
        or not len(begin) == len(end) == len(steps) <= len(shape)
        or 0 in steps
    ):
        raise UserError(writer.place(operator), "has an ellipsis, a new axis or no steps", "use plain slices")
    for i, step in enumerate(steps):
        if options.ShrinkAxisMask() >> i & 1:
            end[i] = begin[i] + 1 if begin[i] != -1 else 2**31 - 1
            continue
        begin[i] = (0 if step > 0 else 2**31 - 1) if options.BeginMask() >> i & 1 else begin[i]
        end[i] = (2**31 - 1 if step > 0 else -(2**31)) if options.EndMask() >> i & 1 else end[i]
    _slice(writer, operator, begin, end, steps)


def _slice(writer: Writer, operator: TfliteOperator, begin: list[int], end: list[int], steps: list[int]) -> None:
    y = writer.output(operator)
    images = len(writer.tensor(operator, 0).shape) == 4
    axes = [TO_NHWC[i] if images else i for i in range(len(begin))]
    columns = {"begin": begin, "end": end, "axes": axes, "steps": steps}
    inputs = [writer.constant(f"{y.name}/{name}", np.array(column, np.int64)) for name, column in columns.items()]
    value = writer.images(operator) if images else writer.value(operator, 0)
    writer.finish(operator, writer.real(operator, "Slice", [value, *inputs]), nchw=images)
    index = operator.outputs[0]
    if len(y.shape) != len(writer.tensor(operator, 0).shape):
        writer.values[index] = writer.shaped(writer.values[index], y)


def depth_to_space(writer: Writer, operator: TfliteOperator) -> None:
    """As ONNX's DCR."""
    size = writer.options(operator).BlockSize()
    real = writer.real(operator, "DepthToSpace", [writer.images(operator)], blocksize=size, mode="DCR")
    writer.finish(operator, real, nchw=True)


def space_to_depth(writer: Writer, operator: TfliteOperator) -> None:
    """Blocks to channels."""
    size = writer.options(operator).BlockSize()
    writer.finish(operator, writer.real(operator, "SpaceToDepth", [writer.images(operator)], blocksize=size), nchw=True)


def resize_bilinear(writer: Writer, operator: TfliteOperator) -> None:
    """To the size of the output tensor."""
    _resize(writer, operator, "linear")


def resize_nearest_neighbor(writer: Writer, operator: TfliteOperator) -> None:
    """To the size of the output tensor."""
    _resize(writer, operator, "nearest")


def _resize(writer: Writer, operator: TfliteOperator, mode: str) -> None:
    options, y = writer.options(operator), writer.output(operator)
    centres = "half_pixel" if options.HalfPixelCenters() else "asymmetric"
    if options.AlignCorners():
        centres = "align_corners"
    if len(y.shape) != 4:
        raise UserError(writer.place(operator), f"its output has shape {y.shape}", "only 4 axes are supported")
    sizes = np.array([y.shape[0], y.shape[3], y.shape[1], y.shape[2]], np.int64)
    extra = {"nearest_mode": "round_prefer_ceil" if options.AlignCorners() else "floor"} if mode == "nearest" else {}
    inputs = [writer.images(operator), "", "", writer.constant(f"{y.name}/sizes", sizes)]
    attributes = {"mode": mode, "coordinate_transformation_mode": centres, **extra}
    writer.finish(operator, writer.real(operator, "Resize", inputs, **attributes), nchw=True)


MOVES: Mapping[str, Callable[[Writer, TfliteOperator], None]] = {
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), reshape),
    "TRANSPOSE": transpose,
    **dict.fromkeys(("PAD", "PADV2"), pad),
    "MIRROR_PAD": mirror_pad,
    "CONCATENATION": concatenation,
    "SPLIT": split,
    "SPLIT_V": split_v,
    "SLICE": slice_,
    "STRIDED_SLICE": strided_slice,
    "DEPTH_TO_SPACE": depth_to_space,
    "SPACE_TO_DEPTH": space_to_depth,
    "RESIZE_BILINEAR": resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": resize_nearest_neighbor,
}
