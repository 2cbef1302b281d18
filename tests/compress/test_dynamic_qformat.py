"""Dynamic Q-format: what the formats are, the program of each, which one is a sample's, and what is refused."""

import math
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

from nnrules.catalog.kernel import load_kernels
from nnrules.catalog.paths import KERNELS
from nnrules.catalog.stages import QuantizeOptions, ReportOptions
from nnrules.codegen.model import ModelCode
from nnrules.codegen.packing import pack
from nnrules.compress.arrays import store, weights
from nnrules.compress.quantizers.dynamic_qformat import records
from nnrules.error import UserError
from nnrules.graph.emit import integer_model
from nnrules.graph.format_tables import selector_for, tabled, untabled
from nnrules.graph.formats import (
    choose_formats,
    joined,
    lit_through,
    quantized_inputs,
    real_outputs,
)
from nnrules.graph.ir import Graph, dump, load
from nnrules.graph.lowering import lower
from nnrules.graph.operator import Geometry
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.requant import Requantization
from nnrules.graph.runtime import session
from nnrules.plan.planner import make_plan
from nnrules.stages.quantize import of_formats
from nnrules.stages.report import draw_scene
from nnrules.stages.runner import Request
from nnrules.verify import samples as held_out
from nnrules.verify.engines import numpy_reference, torch_simulation
from nnrules.verify.engines.onnx_runtime import OnnxRuntime
from tests.graph.floats import FloatModel

FORMATS = 5
OPTIONS = QuantizeOptions(method="dynamic_qformat", formats=FORMATS, brighter=1)
SHAPE = (2, 8, 8)
DATA = [(np.random.default_rng(seed).random((16, *SHAPE), np.float32),) for seed in range(3)]


def network() -> onnx.ModelProto:
    """Convolutions with small biases, one of them depthwise, a sum, a table, and vectors behind an average."""
    m = FloatModel(SHAPE)
    a = m.node("Relu", [m.conv("x", "a", (4, 2, 3, 3), pads=[1, 1, 1, 1])], "a/relu")
    b = m.conv(a, "b", (4, 1, 3, 3), group=4, pads=[1, 1, 1, 1])
    s = m.node("Relu", [m.node("Add", [a, b], "sum")], "sum/relu")
    p = m.node("MaxPool", [s], "pool", kernel_shape=[2, 2], strides=[2, 2])
    t = m.node("Tanh", [p], "tanh")
    mean = m.node("GlobalAveragePool", [m.conv(t, "c", (8, 4, 1, 1))], "mean")
    built = m.build(m.gemm(m.node("Flatten", [mean], "flat"), "y", 3, 8))
    for name in "abcy":
        store(built, f"{name}.bias", weights(built, f"{name}.bias") / 20)
    return built


@pytest.fixture(scope="module")
def qdq() -> onnx.ModelProto:
    """With tables."""
    return made(network())


def made(model: onnx.ModelProto, options: QuantizeOptions = OPTIONS) -> onnx.ModelProto:
    """The QDQ model."""

    class Data:
        """What calibrates."""

        def __len__(self) -> int:
            return 48

        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            return DATA[index // 16][0][index % 16], 0

    return of_formats(model, Data(), options, "net")[0]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def graph(qdq: onnx.ModelProto) -> Graph:
    return joined([lower(each, "net") for each in untabled(qdq)], "format")


def test_formats_are_powers_of_two_and_the_weights_are_theirs_all() -> None:
    found = records(network(), DATA, OPTIONS, "net")
    inputs = [record.activations["x"] for record in found]
    assert [(each.scale, each.zero_point) for each in inputs] == [(2.0**p / 256, -128) for p in (-3, -2, -1, 0, 1)]
    assert all(record.weights == found[0].weights for record in found)
    scales = [each.scale for record in found for each in record.activations.values()]
    scales += [scale for each in found[0].weights.values() for scale in each]
    assert {math.frexp(scale)[0] for scale in scales} == {0.5}
    shifts = {name: tuple(math.log2(r.activations[name].scale) for r in found) for name in found[0].activations}
    assert shifts["y"][0] > shifts["y"][-1] - FORMATS + 1, "biases keep an output from shifting along"


def test_where_inputs_may_be_negative_there_is_no_zero_point() -> None:
    found = records(network(), [(batch[0] - 0.5,) for batch in DATA], OPTIONS, "net")
    assert [(r.activations["x"].scale, r.activations["x"].zero_point) for r in found[-2:]] == [(2**-8, 0), (2**-7, 0)]


def test_every_format_is_nearer_to_the_float_network_than_the_static_one(graph: Graph) -> None:
    """Scenes much darker than those that scales were chosen on."""
    original = session(network().SerializeToString())

    def error(program: Graph, x: np.ndarray) -> float:
        arrays = quantized_inputs(program, [x])
        values = numpy_reference.run(program, arrays)
        chosen = {name: array for name, array in arrays.items() if name == program.selector}
        real = real_outputs(program, {"y": values["y"]} | chosen)["y"]
        return float(np.abs(real - original.run(None, {"x": x})[0]).mean())

    own = graph.at(3)
    assert error(graph, DATA[0][0]) == error(own, DATA[0][0])
    dark, bright = DATA[0][0] / 8, DATA[0][0] * 2
    assert error(graph, dark) < 0.5 * error(own, dark)
    assert error(graph, bright) < 0.5 * error(own, bright)


def test_the_result_is_that_of_the_formats_own_program(qdq: onnx.ModelProto, graph: Graph, tmp_path: Path) -> None:
    (tmp_path / "graph.json").write_bytes(dump(graph))
    stored = load(tmp_path / "graph.json")
    assert dump(stored) == dump(graph)
    onnx.save(integer_model(stored), tmp_path / "integer.onnx")
    x = np.random.default_rng(1).integers(-128, 128, (10, 8, 8, 2)).astype(np.int8)
    chosen = np.random.default_rng(2).permutation(np.arange(10) % FORMATS).astype(np.int8)[:, np.newaxis]
    given = {"x": x, "format": chosen}
    engines = [numpy_reference.run(stored, given), torch_simulation.run(stored, given)]
    engines.append(OnnxRuntime(stored, tmp_path / "integer.onnx").run(given))
    for number, model in enumerate(untabled(qdq)):
        mine = chosen[:, 0] == number
        expected = lower(model, "net").run(x[mine])
        for found in engines:
            for node in graph.nodes:
                np.testing.assert_array_equal(found[node.output][mine], expected[node.output], err_msg=node.name)
    ends = [graph.at(number).run(x)["y"] for number in (0, FORMATS - 1)]
    assert (ends[0] != ends[1]).any()


def test_the_model_for_other_tools_has_the_format_as_an_input(qdq: onnx.ModelProto) -> None:
    x, opened = DATA[0][0], session(qdq.SerializeToString())
    assert [(each.name, each.type, each.shape) for each in opened.get_inputs()][1:] == [("format", "tensor(int8)", [1])]
    for number, model in enumerate(untabled(qdq)):
        expected = session(model.SerializeToString()).run(None, {"x": x})[0]
        np.testing.assert_array_equal(opened.run(None, {"x": x, "format": np.array([number], np.int8)})[0], expected)


def test_one_convolution_for_all_formats_in_the_integer_model(graph: Graph) -> None:
    kinds = [node.op_type for node in integer_model(graph).graph.node]
    assert kinds.count("ConvInteger") == 4  # with the average
    assert kinds.count("MatMulInteger") == 1


def test_a_sample_has_the_first_format_that_reaches_it(graph: Graph) -> None:
    values = [0.0, 0.125, 0.126, 0.25, 0.9, 1.0, 1.001, 2.0, 2.1, 100.0]
    x = np.zeros((len(values), *SHAPE), np.float32)
    x[:, 1, 2, 3] = values
    x[:, 0, 0, 0] = -50  # no scene has it, and it does not count
    assert choose_formats(graph, x).reshape(-1).tolist() == [0, 0, 1, 1, 3, 3, 4, 4, 4, 4]


def test_held_out_samples_are_lit_through_all_formats(graph: Graph) -> None:
    x = np.full((7, *SHAPE), 0.9, np.float32)
    lit = lit_through(graph, x)
    assert choose_formats(graph, lit).reshape(-1).tolist() == [3, 4, 0, 1, 2, 3, 4]
    np.testing.assert_array_equal(lit[0], x[0])


MAIN = """
#include "net.h"
#include <stdio.h>
static unsigned char arena[NET_ARENA_BYTES] __attribute__((aligned(NET_ARENA_ALIGN)));
int main(void)
{
    static const int8_t image[NET_INPUT_0_BYTES], bits[NET_FORMATS] = NET_INPUT_0_FRACTION_BITS;
    static int8_t out[NET_OUTPUT_0_BYTES];
    for (int format = -2; format <= NET_FORMATS; format++) {
        printf("%d ", net_run(arena, format, image, out) + 10 * net_reset(arena, sizeof arena, format));
    }
    printf("%d\\n", net_selftest(arena));
    for (int fraction_bits = -3; fraction_bits <= 36; fraction_bits += 3) {
        for (uint32_t largest = 0; largest < 70; largest++) {
            printf("%d ", net_choose_format(largest, fraction_bits));
        }
    }
    printf("%d %d %d", net_choose_format(UINT32_MAX, 0), net_choose_format(UINT32_MAX, 35), bits[0]);
    return 0;
}
"""


def test_the_program_chooses_alike_and_refuses_formats_that_there_are_not(graph: Graph, tmp_path: Path) -> None:
    """Under sanitizers: no table is read outside."""
    code = ModelCode(graph, make_plan(graph, load_kernels(), "host", ("portable",)))
    sample = np.random.default_rng(7).integers(-128, 128, (8, 8, 2)).astype(np.int8)
    selftest = code.selftest(sample, np.array([FORMATS - 1], np.int8))
    for name, text in {"net.c": code.source(), "net.h": code.header(), "test.c": selftest, "main.c": MAIN}.items():
        (tmp_path / name).write_text(text)
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-O1", "-g"]
    command = ["gcc", *flags, "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{KERNELS / 'include'}"]
    subprocess.run([*command, "net.c", "test.c", "main.c", "-o", "main"], cwd=tmp_path, check=True)
    out = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert out[0] == "-22 -22 0 0 0 0 0 -22 0"
    found = [int(each) for each in out[1].split()]
    values = [largest / 2.0**bits for bits in range(-3, 37, 3) for largest in range(70)]
    x = np.zeros((len(values), *SHAPE))
    x[:, 0, 0, 0] = values
    assert found == [*choose_formats(graph, x).reshape(-1), FORMATS - 1, 0, 11]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"weight_bits": 4}, "net: dynamic_qformat has no weight_bits=4; say 8, or take another method"),
        ({"activation_bits": 2}, "net: dynamic_qformat has no activation_bits=2; say 8, or take another method"),
        (
            {"brighter": FORMATS},
            "net: brighter=5 of formats=5 leaves none for the images as they are; say brighter=4 or less",
        ),
    ],
)
def test_options_that_it_does_not_have(options: dict[str, int], line: str) -> None:
    with pytest.raises(UserError) as fault:
        records(network(), DATA, msgspec.structs.replace(OPTIONS, **options), "net")
    assert str(fault.value) == line


def test_networks_that_it_cannot_take(qdq: onnx.ModelProto) -> None:
    two = network()
    two.graph.input.append(onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["N", 3]))
    for model, line in (
        (two, "net: has 2 inputs, dynamic_qformat chooses the format by one; take another method of quantization"),
        (untabled(qdq)[0], "net: is quantized already; dynamic_qformat needs a float model"),
    ):
        with pytest.raises(UserError) as fault:
            made(model)
        assert str(fault.value) == line


def test_formats_of_other_layers_are_refused(graph: Graph) -> None:
    short = msgspec.structs.replace(graph.at(1), nodes=graph.at(1).nodes[:-1])
    with pytest.raises(UserError) as fault:
        joined([graph.at(0), short], "format")
    line = "net: its layers are not the same in every format; take another method of quantization"
    assert str(fault.value) == line
    with pytest.raises(ValueError, match="net has no format 5"):
        graph.at(FORMATS)


def test_samples_of_formats_that_there_are_not(graph: Graph, tmp_path: Path) -> None:
    np.savez(tmp_path / "samples.npz", x=np.zeros((2, 8, 8, 2), np.int8), format=np.array([[0], [5]], np.int8))
    with pytest.raises(UserError) as fault:
        held_out.load(graph, tmp_path / "samples.npz", 2)
    assert str(fault.value) == "samples.npz: 'format' holds others than the formats 0 to 4; build the samples again"


def test_the_scene_of_the_report_is_drawn_in_its_format(graph: Graph, tmp_path: Path) -> None:
    (tmp_path / "graph.json").write_bytes(dump(graph))
    x = np.random.default_rng(1).integers(-128, 128, (1, 8, 8, 2)).astype(np.int8)
    np.savez(tmp_path / "samples.npz", x=x, format=np.array([[4]], np.int8))
    seen = []

    class Pictured:
        """A data set that draws."""

        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            return DATA[0][0][index], 0

        def picture(self, index: int, outputs: Any, steps: Any, console: str, path: Path) -> None:
            seen.append((outputs[0].tolist(), steps))

    inputs = {"graph": [str(tmp_path / "graph.json")], "samples": [str(tmp_path / "samples.npz")]}
    request = Request("report", "net", "", ReportOptions(), inputs)
    assert draw_scene(request, Pictured(), "", tmp_path / "picture.png")
    assert seen == [(graph.at(4).run(x)["y"][0].tolist(), [(graph.tensors["y"].scales[4], 0)])]


def test_the_selector_has_a_name_of_its_own() -> None:
    m = FloatModel(SHAPE)
    model = m.build(m.conv(m.conv("x", "format", (2, 2, 1, 1)), "y", (2, 2, 1, 1)))
    assert selector_for(model) == "format_"
    with pytest.raises(ArithmeticError, match="do not have the same nodes"):
        tabled([model, network()], "format_")


def test_kernels_say_whether_their_weights_are_apart() -> None:
    """Else each format would have weights of its own in flash."""
    random, checked = np.random.default_rng(3), set()
    for groups in (1, 16):
        taps = random.integers(-7, 8, (16, 3, 3, 16 // groups)).astype(np.int8)
        taps[:, 1, 1] = 0
        rule = Requantization(np.full(16, 2**24, np.int32), np.zeros(16, np.uint8), 0, -128, 127)
        geometry, biases = Geometry(kernel=(3, 3), padding=(1, 1, 1, 1)), random.integers(-99, 99, (2, 16))
        one, other = (
            Conv2d(geometry=geometry, groups=groups, weights=taps, x_zero_point=0, bias=each, requantization=rule)
            for each in biases.astype(np.int32)
        )
        for kernel in [kernel for kernel in load_kernels() if kernel.op == "conv2d"]:
            for variant in kernel.variants():
                parameters = {**one.parameters((8, 9, 16)), **variant}
                if kernel.refusal(parameters, (kernel.isa,)) is None:
                    first, second = (pack(kernel.packing, each, kernel.known(parameters)) for each in (one, other))
                    largest = max(first, key=lambda role: first[role].nbytes)
                    assert kernel.stream != np.array_equal(first[largest], second[largest]), kernel.name
                    checked.add(kernel.name)
    assert len(checked) >= 12
