"""A network of two inputs and two outputs through every stage from training to the C."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from nnrules.catalog.kernel import load_kernels
from nnrules.catalog.stages import EvaluateOptions, GenerateOptions, QuantizeOptions, SampleOptions
from nnrules.compress.qdq import quantized_model
from nnrules.graph.emit import integer_model
from nnrules.graph.ir import Graph, dump, load
from nnrules.graph.lowering import lower
from nnrules.plan.planner import make_plan
from nnrules.plan.record import dump_plan
from nnrules.stages import evaluate, generate, quantize, sample
from nnrules.stages.runner import Request
from nnrules.training.onnx_export import export
from nnrules.verify import samples as held_out
from nnrules.verify.engines import numpy_reference, torch_simulation
from nnrules.verify.engines.c_program import outputs
from nnrules.verify.engines.onnx_runtime import OnnxRuntime
from tests.codegen.networks_of_two_inputs import Blend, Scenes
from tests.codegen.test_random_graphs import built

DATASET = [f"{Path(__file__).with_name('networks_of_two_inputs.py')}:Scenes"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float model, the graph, its integer model, a plan and samples."""
    folder = tmp_path_factory.mktemp("blend")
    (folder / "blend.float.onnx").write_bytes(export(Blend().eval(), Scenes("test"), "network.py"))
    model = onnx.load(folder / "blend.float.onnx")
    record = quantize.calibrated(model, Scenes("train"), QuantizeOptions(method="minmax", samples=24), "blend")
    graph = lower(quantized_model(model, record), "blend")
    (folder / "blend.graph.json").write_bytes(dump(graph))
    onnx.save(integer_model(graph), folder / "blend.integer.onnx")
    (folder / "blend.plan.json").write_bytes(dump_plan(make_plan(graph, load_kernels(), "host", ("portable",))))
    inputs = {"graph": [str(folder / "blend.graph.json")], "dataset": DATASET}
    sample.run(Request("sample", "blend", "", SampleOptions(count=4), inputs, {"samples": str(folder / "samples.npz")}))
    return folder


def graph_of(folder: Path) -> Graph:
    return load(folder / "blend.graph.json")


def test_each_input_has_its_own_scale_and_array(folder: Path) -> None:
    graph = graph_of(folder)
    assert graph.inputs == ("x0", "x1")
    assert graph.outputs == ("y0", "y1")
    image, numbers = (graph.tensors[name] for name in graph.inputs)
    assert (image.shape, numbers.shape) == ((6, 5, 2), (3,))
    assert image.scale < numbers.scale
    with np.load(folder / "samples.npz") as arrays:
        assert {name: arrays[name].shape for name in arrays.files} == {"x0": (4, 6, 5, 2), "x1": (4, 3)}
        (_, real), _ = Scenes("test")[3]
        np.testing.assert_array_equal(arrays["x1"][3], numbers.quantize(real))


def test_the_engines_agree(folder: Path, tmp_path: Path) -> None:
    graph = graph_of(folder)
    samples = held_out.load(graph, folder / "samples.npz", 4)
    expected = numpy_reference.run(graph, samples)
    shipped = outputs(graph, built(graph, ("portable",), tmp_path), samples)
    for found in (torch_simulation.run(graph, samples), OnnxRuntime(graph, folder / "blend.integer.onnx").run(samples)):
        for node in graph.nodes:
            np.testing.assert_array_equal(found[node.output], expected[node.output], err_msg=node.name)
    for name in graph.outputs:
        np.testing.assert_array_equal(shipped[name], expected[name], err_msg=name)


def test_the_metric_is_near_the_float_models(folder: Path) -> None:
    names = {"graph": "blend.graph.json", "float": "blend.float.onnx", "integer": "blend.integer.onnx"}
    inputs = {role: [str(folder / name)] for role, name in names.items()} | {"dataset": DATASET}
    request = Request("evaluate", "blend", "", EvaluateOptions(), inputs, {"metric": str(folder / "metric.json")})
    evaluate.run(request)
    found = json.loads((folder / "metric.json").read_text())
    assert found["samples"] == 24
    assert found["float"] == pytest.approx(found["integer"], abs=0.05)


def test_the_self_test_holds_all_inputs(folder: Path) -> None:
    names = {"graph": "blend.graph.json", "plan": "blend.plan.json", "samples": "samples.npz"}
    files = {role: str(folder / f"blend.{role}.c") for role in ("source", "header", "selftest", "check", "port")}
    inputs = {role: [str(folder / name)] for role, name in names.items()}
    generate.run(Request("generate", "blend", "host", GenerateOptions(), inputs, files))
    selftest = Path(files["selftest"]).read_text()
    assert "blend_run(base, blend_selftest_input_0, blend_selftest_input_1, base + BLEND_OUTPUT_0_OFFSET," in selftest
    assert "extern const int8_t blend_selftest_input_1[3];" in Path(files["header"]).read_text()
