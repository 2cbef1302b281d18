"""What cannot be imported is refused in one line, with the node or the file, before anything long is done."""

import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nnrules.error import UserError
from nnrules.graph.importers import import_model
from nnrules.graph.importers.guard import guarded
from nnrules.graph.importers.samples import read_samples
from nnrules.graph.ops import BY_ONNX_TYPE
from tests.graph.floats import FloatModel
from tests.importers.pipeline import FILES
from tests.importers.test_tools import relu_between

Edit = Callable[[onnx.ModelProto], None]


def model() -> onnx.ModelProto:
    """A quantized convolution and Relu."""
    return relu_between((0.2, -5))


def refused(path: Path, beside: tuple[Path, ...] = ()) -> str:
    with pytest.raises(UserError) as caught:
        import_model(path, "net", beside)
    return str(caught.value).replace(f"{path.parent}/", "")


def node(m: onnx.ModelProto, op_type: str) -> onnx.NodeProto:
    return next(each for each in m.graph.node if each.op_type == op_type)


def constant(m: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(each for each in m.graph.initializer if each.name == name)


def cycle(m: onnx.ModelProto) -> None:
    node(m, "Conv").input[0] = "r"


def own_output(m: onnx.ModelProto) -> None:
    node(m, "Relu").input[0] = "r"


def dynamic(m: onnx.ModelProto) -> None:
    m.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"


def unsupported(m: onnx.ModelProto) -> None:
    node(m, "Relu").op_type = "Erf"


def foreign(m: onnx.ModelProto) -> None:
    m.opset_import.append(helper.make_opsetid("acme", 1))
    node(m, "Relu").domain = "acme"


def old(m: onnx.ModelProto) -> None:
    m.opset_import[0].version = 10


def huge(m: onnx.ModelProto) -> None:
    for dim in m.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_value = 2**20


def claims(m: onnx.ModelProto) -> None:
    constant(m, "w/q").dims[0] = 2**40


def short(m: onnx.ModelProto) -> None:
    constant(m, "w/q").dims[0] = 5


def loop(m: onnx.ModelProto) -> None:
    body = helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "body", [], [])
    node(m, "Relu").attribute.append(helper.make_attribute("then_branch", body))


def outside(m: onnx.ModelProto) -> None:
    external(m, "../../etc/passwd")


def external(m: onnx.ModelProto, location: str, **more: str) -> None:
    tensor = constant(m, "w/q")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)


def scale(value: float) -> Edit:
    def edit(m: onnx.ModelProto) -> None:
        constant(m, "x/s").CopyFrom(numpy_helper.from_array(np.float32(value), "x/s"))

    return edit


REFUSALS: list[tuple[Edit, str]] = [
    (cycle, "net: node 'c' (Conv): is part of a cycle, or follows one; export the model again"),
    (own_output, "net: node 'r' (Relu): reads its own output; export the model again"),
    (dynamic, "net: input 'x': has no fixed size along axis 2 (height); export the model with fixed sizes"),
    (foreign, "net: node 'r' (Relu): belongs to the domain 'acme', which is not supported; "
              "export the model with standard operators"),
    (old, "net: is of opset 10; export it with opset 11 or later"),
    (huge, "net: input 'x': 'x' would hold 4,398,046,511,104 values; at most 16,777,216 are supported"),
    (claims, "net: constant 'w/q': claims the shape (1099511627776, 4, 1, 1); "
             "at most 16,777,216 values are supported"),
    (loop, "net: node 'r' (Relu): has a graph of its own; export the model without control flow"),
    (outside, "net: constant 'w/q': lies in '../../etc/passwd', outside the model's folder; "
              "store it beside the model"),
    (lambda m: external(m, "weights.dat"), "net: constant 'w/q': lies in 'weights.dat', which no build sees; "
                                           "call it m.onnx.data or m.data, or name it in files="),
    (lambda m: external(m, "none.dat"), "net: constant 'w/q': lies in 'none.dat', which is no file beside the model; "
                                        "copy it there"),
    (lambda m: external(m, "m.data", offset="9"), "net: constant 'w/q': lies beyond the end of 'm.data' (4 bytes); "
                                                  "export the model again"),
    (scale(0.0), "net: node 'x/q' (QuantizeLinear): its scale is 0.0; check the model for NaN"),
    (scale(np.nan), "net: node 'x/q' (QuantizeLinear): its scale is nan; check the model for NaN"),
    (scale(np.inf), "net: node 'x/q' (QuantizeLinear): its scale is inf; check the model for NaN"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "message"), REFUSALS)
def test_refusals(edit: Edit, message: str, tmp_path: Path) -> None:
    made = model()
    edit(made)
    for name in ("weights.dat", "m.data"):
        (tmp_path / name).write_bytes(b"four")
    onnx.save(made, tmp_path / "m.onnx") if "lies" not in message else (tmp_path / "m.onnx").write_bytes(
        made.SerializeToString()
    )
    assert refused(tmp_path / "m.onnx", (tmp_path / "m.data",)) == message


def test_an_unknown_operator_is_named_with_its_node(tmp_path: Path) -> None:
    made = model()
    node(made, "Relu").op_type = "Hardmax"
    onnx.save(made, tmp_path / "m.onnx")
    message = "net: node 'r' (Hardmax): operator Hardmax is not supported; docs/import.md lists what is supported"
    assert refused(tmp_path / "m.onnx") == message


def test_every_operator_is_in_the_list() -> None:
    top = Path(__file__).parents[2]
    text = (top / "docs/import.md").read_text().split("## Operators\n")[1].split("\n## ")[0]
    listed = set(re.findall(r"`([A-Z]\w+)`", text))
    assert listed >= set(BY_ONNX_TYPE)
    passes = "".join(path.read_text() for path in (top / "nnrules/graph/passes").glob("*.py"))
    assert [each for each in listed - set(BY_ONNX_TYPE) if f'"{each}"' not in passes] == []  # they make others of it


def test_a_link_beside_the_model_is_not_followed(tmp_path: Path) -> None:
    made = model()
    external(made, "m.data")
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    (tmp_path / "m.data").symlink_to("/etc/passwd")
    message = "net: constant 'w/q': lies in 'm.data', which is no file beside the model; copy it there"
    assert refused(tmp_path / "m.onnx", (tmp_path / "m.data",)) == message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.onnx", b"", "m.onnx: is not an ONNX model; it has no nodes"),
        (
            "m.onnx",
            b"\xff\xff",
            "m.onnx: is not an ONNX model; its protobuf is damaged",
        ),
        ("m.tflite", b"nothing", "m.tflite: is not a TFLite model; its bytes 4 to 7 are not TFL3"),
        ("m.tflite", b"\x08\0\0\0TFL3", "m.tflite: is damaged; reading it failed: error"),
        ("m.h5", b"", "m.h5: is not a model file (.h5); give one that ends in .onnx, .pt2, .tflite"),
    ],
)
def test_other_files(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert refused(tmp_path / name) == message


SAMPLES = [
    ({"z": np.zeros((2, 4, 3, 3))}, "has no array 'x'; it has 'z'"),
    ({}, "has no array 'x'; it has none"),
    ({letter: np.zeros(1) for letter in "abcdef"}, "has no array 'x'; it has 'a', 'b', 'c', 'd', 'e', ..."),
    ({"x": np.zeros((2, 4, 3, 4))}, "'x' has shape (2, 4, 3, 4); the model's input 'x' is (N, 4, 3, 3)"),
    ({"x": np.zeros((0, 4, 3, 3))}, "'x' holds no samples; give some"),
    ({"x": np.zeros((2, 4, 3, 3), np.uint8)}, "'x' is uint8; the model's input 'x' is int8 or float32"),
    ({"x": np.full((2, 4, 3, 3), np.nan)}, "'x' holds NaN or infinite values; leave those samples out"),
    (
        {"x": np.zeros((2, 4, 3, 3)), "y": np.zeros(2)},
        "'y' is float64 (2,); labels are integers, one for each of the 2 samples",
    ),
    (
        {"x": np.zeros((2, 4, 3, 3)), "y": np.array([35, 36])},
        "'y' holds 36; labels are 0 to 35, as the model's output 'r/d'",
    ),
    (
        {"x": np.zeros((2, 4, 3, 3)), "y": np.array([0, -1])},
        "'y' holds -1; labels are 0 to 35, as the model's output 'r/d'",
    ),
    (
        {"x": np.zeros((1, 4, 3, 3)), "y": np.array([2**64 - 1], np.uint64)},
        "'y' holds 18446744073709551615; labels are 0 to 35, as the model's output 'r/d'",
    ),
]


@pytest.mark.parametrize(("arrays", "message"), SAMPLES)
def test_samples_that_do_not_fit(arrays: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    onnx.save(model(), tmp_path / "m.onnx")
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(UserError) as caught:
        read_samples(tmp_path / "s.npz", import_model(tmp_path / "m.onnx", "net"))
    assert str(caught.value) == f"{tmp_path}/s.npz: {message}"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"picture": np.zeros((2, 8))}, "has no array 'image' or 'x'; it has 'picture'"),
        ({"image": np.zeros((2, 7))}, "'image' has shape (2, 7); the model's input 'image' is (N, 8)"),
        ({"x": np.zeros((2, 7))}, "'x' has shape (2, 7); the model's input 'image' is (N, 8)"),
        ({"image": np.zeros((2, 7)), "x": np.zeros((2, 8))},
         "'image' has shape (2, 7); the model's input 'image' is (N, 8)"),
    ],
)  # fmt: skip
def test_samples_are_named_as_they_are(arrays: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    made = FloatModel((8,))
    made.input.name = "image"
    onnx.save(made.build(made.gemm("image", "y", 3, 8)), tmp_path / "m.onnx")
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(UserError) as caught:
        read_samples(tmp_path / "s.npz", import_model(tmp_path / "m.onnx", "net"))
    assert str(caught.value) == f"{tmp_path}/s.npz: {message}"


def test_several_inputs_have_an_array_each(tmp_path: Path) -> None:
    made = FloatModel((8,))
    model = made.build(made.node("Add", ["x", "other"], "y"))
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, ["n", 8]))
    onnx.save(model, tmp_path / "m.onnx")
    np.savez(tmp_path / "s.npz", x=np.zeros((2, 8)))
    with pytest.raises(UserError) as caught:
        read_samples(tmp_path / "s.npz", import_model(tmp_path / "m.onnx", "net"))
    assert str(caught.value) == f"{tmp_path}/s.npz: has no array 'other'; it has 'x'"


def test_integers_are_what_the_input_stores(tmp_path: Path) -> None:
    onnx.save(model(), tmp_path / "m.onnx")
    x = np.arange(72, dtype=np.int8).reshape(2, 4, 3, 3)
    np.savez(tmp_path / "s.npz", x=x)
    real = read_samples(tmp_path / "s.npz", import_model(tmp_path / "m.onnx", "net"))["x0"]
    np.testing.assert_allclose(real, (x.astype(float) - 3) * 0.05, rtol=1e-6)


@pytest.mark.parametrize(("label", "fits"), [(7, True), (-1, False)])
def test_the_label_of_one_number_is_that_number(label: int, fits: bool, tmp_path: Path) -> None:
    m = FloatModel((5,))
    onnx.save(m.build(m.node("ArgMax", ["x"], "y", axis=1)), tmp_path / "m.onnx")
    np.savez(tmp_path / "s.npz", x=np.zeros((1, 5)), y=np.array([label]))
    read = partial(read_samples, tmp_path / "s.npz", import_model(tmp_path / "m.onnx", "net"))
    if fits:
        assert read()["y"] == [label]
        return
    with pytest.raises(UserError) as caught:
        read()
    assert str(caught.value) == f"{tmp_path}/s.npz: 'y' holds -1; labels start at 0"


def batched(*shape: int) -> FloatModel:
    """A model whose input has fixed axes, the first too."""
    m = FloatModel(shape)
    m.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    return m


def flattened(target: list[int], features: int = 144) -> onnx.ModelProto:
    """A convolution of a batch of four, Reshape, and a dense layer."""
    m = batched(4, 3, 8, 8)
    flat = m.node("Reshape", [m.conv("x", "conv", (4, 3, 3, 3)), m.constant("shape", np.array(target))], "flat")
    return m.build(m.gemm(flat, "y", 3, features))


def added() -> onnx.ModelProto:
    """A constant with a row for each sample."""
    m = batched(4, 8)
    return m.build(m.node("Add", [m.gemm("x", "gemm", 4, 8), m.weights("rows", 4, 4)], "y"))


def without_batch() -> onnx.ModelProto:
    """What torch exports for an image without a batch axis."""
    m = batched(3, 8, 8)
    axes = m.constant("axes", np.array([0]))
    image = m.conv(m.node("Unsqueeze", ["x", axes], "image"), "conv", (4, 3, 3, 3))
    return m.build(m.node("Squeeze", [image, axes], "y"))


def vector() -> onnx.ModelProto:
    m = batched(10)
    return m.build(m.node("Relu", ["x"], "y"))


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (flattened([4, -1]), "its first axis is fixed to 4, and the model does not fit a batch of 1"),
        (flattened([4, 144]), "its first axis is fixed to 4, and the model does not fit a batch of 1"),
        (added(), "its first axis is fixed to 4, and the model does not fit a batch of 1"),
        (without_batch(), "its first axis is fixed to 3, and the model does not fit a batch of 1"),
        (vector(), "its first axis is fixed to 10, and it has no other: there is no batch axis"),
    ],
)
def test_a_first_axis_that_is_not_one(made: onnx.ModelProto, fault: str, tmp_path: Path) -> None:
    onnx.save(made, tmp_path / "m.onnx")
    cure = "export it with a batch of 1 or a dynamic batch"
    assert refused(tmp_path / "m.onnx") == f"net: input 'x': {fault}; {cure}"


def test_a_fixed_batch_that_may_be_one_is_one(tmp_path: Path) -> None:
    onnx.save(flattened([-1, 144]), tmp_path / "m.onnx")
    model = import_model(tmp_path / "m.onnx", "net")
    values = (*model.graph.input, *model.graph.output)
    dims = [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values]
    assert dims == [[1, 3, 8, 8], [1, 3]]


def work_forever() -> None:
    while True:
        pass


def work_too_much() -> None:
    np.ones(2**34)


def die() -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (work_forever, "m.onnx: is not read within 0.5 seconds; give a smaller model"),
        (work_too_much, "m.onnx: cannot be read: its reader died of it; check the file, or export the model again"),
        (die, "m.onnx: cannot be read: its reader died of it; check the file, or export the model again"),
    ],
)
def test_a_reader_that_dies_is_a_fault_of_the_file(work: Callable[[], None], message: str) -> None:
    with pytest.raises(UserError) as caught:
        guarded("m.onnx", work, 0.5 if work is work_forever else 20)
    assert str(caught.value) == message


def test_weights_beside_the_model_are_read(tmp_path: Path) -> None:
    shutil.copy(FILES / "nncf.onnx", tmp_path / "whole.onnx")
    made = onnx.load(tmp_path / "whole.onnx")
    onnx.save(made, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    apart = import_model(tmp_path / "m.onnx", "net", (tmp_path / "m.onnx.data",))
    assert apart.SerializeToString() == import_model(tmp_path / "whole.onnx", "net").SerializeToString()
