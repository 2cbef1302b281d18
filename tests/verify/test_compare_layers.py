"""Each engine in turn gets a wrong multiplier or a wrong border: the comparison names that engine and that layer."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest

from nnrules.error import UserError
from nnrules.graph.emit import integer_model
from nnrules.graph.ir import Graph
from nnrules.verify.compare import Comparison, majority
from nnrules.verify.engines import c_program, numpy_reference, torch_simulation
from nnrules.verify.engines.onnx_runtime import OnnxRuntime
from tests.verify.graphs import small_graph, with_wrong_border, with_wrong_multiplier

Samples = dict[str, np.ndarray]
FAULTS = {"multiplier": with_wrong_multiplier, "border": with_wrong_border}


def onnxruntime(graph: Graph, batch: Samples, folder: Path) -> Samples:
    onnx.save(integer_model(graph), folder / "m.integer.onnx")
    return OnnxRuntime(graph, folder / "m.integer.onnx").run(batch)


ENGINES: dict[str, Callable[[Graph, Samples, Path], Samples]] = {
    "torch": lambda graph, batch, _: torch_simulation.run(graph, batch),
    "numpy": lambda graph, batch, _: numpy_reference.run(graph, batch),
    "onnxruntime": onnxruntime,
}


def test_engines_agree_on_every_value(graph: Graph, samples: Samples, tmp_path: Path) -> None:
    comparison = Comparison(graph)
    comparison.add(0, {name: engine(graph, samples, tmp_path) for name, engine in ENGINES.items()}, {})
    assert comparison.first is None
    assert comparison.values == [5 * graph.tensors[node.output].size for node in graph.nodes]
    assert all(counts == dict.fromkeys(ENGINES, 0) for counts in comparison.differing)


@pytest.mark.parametrize("plant", [*product(ENGINES, FAULTS, ["stem", "depthwise"])], ids="-".join)
def test_names_the_engine_and_the_layer(
    plant: tuple[str, str, str], graph: Graph, samples: Samples, tmp_path: Path
) -> None:
    engine, fault, layer = plant
    faulty = FAULTS[fault](graph, layer)
    comparison = Comparison(graph)
    results = {name: run(faulty if name == engine else graph, samples, tmp_path) for name, run in ENGINES.items()}
    agreed = comparison.add(10, results, {})
    first = comparison.first
    assert first is not None
    assert (first.engine, first.name) == (engine, layer)
    assert (first.expected, first.got) == (
        agreed[layer][first.sample - 10][first.index],
        results[engine][layer][first.sample - 10][first.index],
    )
    assert {name for counts in comparison.differing for name, count in counts.items() if count} == {engine}
    if fault == "border":
        height, width, _ = graph.tensors[layer].shape
        inside = results[engine][layer][:, 1:-1, 1:-1]
        assert layer != "stem" or np.array_equal(inside, agreed[layer][:, 1:-1, 1:-1])
        assert first.index[0] in (0, height - 1) or first.index[1] in (0, width - 1)


def test_wrong_head_multiplier_reads_as_one_line(graph: Graph, samples: Samples) -> None:
    results = {
        "torch": torch_simulation.run(graph, samples),
        "numpy": numpy_reference.run(with_wrong_multiplier(graph, "head"), samples),
        "c-host": torch_simulation.run(graph, samples),
    }
    comparison = Comparison(graph)
    comparison.add(0, results, {})
    right, wrong = results["torch"]["head"], results["numpy"]["head"]
    sample = int(np.argmax((right != wrong).any(1)))
    assert str(comparison.first) == (
        f"engine numpy differs first at layer 'head', sample {sample}, index [1]: "
        f"expected {right[sample, 1]}, got {wrong[sample, 1]}"
    )


def test_shipped_outputs_are_held_to_the_engines(graph: Graph, samples: Samples) -> None:
    results = {"torch": torch_simulation.run(graph, samples), "numpy": numpy_reference.run(graph, samples)}
    wrong = results["numpy"]["head"].copy()
    wrong[3, 2] ^= 1
    comparison = Comparison(graph)
    comparison.add(0, results, {"c-target-shipped": {"head": wrong}})
    assert comparison.first is not None
    assert (comparison.first.engine, comparison.first.sample, comparison.first.index) == ("c-target-shipped", 3, (2,))
    assert comparison.samples == {"torch": 5, "numpy": 5}


def test_majority_prefers_more_engines_then_the_earlier_one() -> None:
    one, two, three = (np.full(2, value, np.int8) for value in (1, 2, 3))
    assert majority([one, two, two]) is two
    assert majority([one, two, two, one]) is one
    assert majority([three, one, two]) is three


def trace_of(graph: Graph, results: Samples) -> bytes:
    """What a C program streams: per sample, per node, one record a row."""
    records = []
    for sample in range(len(results[graph.nodes[0].output])):
        for index, node in enumerate(graph.nodes):
            value = results[node.output][sample]
            rows = list(value) if value.ndim > 1 else [value]
            records += [c_program.RECORD.pack(index, row, data.size) + data.tobytes() for row, data in enumerate(rows)]
    return b"".join(records)


def test_trace_is_read_back(graph: Graph, samples: Samples) -> None:
    results = numpy_reference.run(graph, samples)
    read = c_program.read_trace(graph, trace_of(graph, results), 5, "c-host")
    assert read.keys() == results.keys()
    assert all(np.array_equal(read[name], results[name]) for name in results)


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda data: data[:-1], "trace.bin breaks off at byte {last}"),
        (lambda data: data[: len(data) - 17], "trace.bin has 20 bytes of 'head', not 25"),
        (lambda data: b"\x09" + data[1:], "trace.bin breaks off at byte 12"),
        (lambda data: data[:4] + b"\x08" + data[5:], "trace.bin: row 8 of 'stem' lies outside its tensor"),
    ],
)
def test_damaged_trace_is_refused(damage: Callable[[bytes], bytes], fault: str, graph: Graph, samples: Samples) -> None:
    data = trace_of(graph, numpy_reference.run(graph, samples))
    cure = "the program and this graph do not belong together, or it stopped early"
    with pytest.raises(UserError) as caught:
        c_program.read_trace(graph, damage(data), 5, "c-host")
    assert str(caught.value) == f"c-host: {fault.format(last=len(data) - 5)}; {cure}"


def test_torch_refuses_values_that_are_no_int8(graph: Graph, samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    stem = type(graph.nodes[0].operator)
    simulate = stem.simulate
    monkeypatch.setattr(stem, "simulate", lambda self, torch, *x: simulate(self, torch, *x) + 0.5)
    with pytest.raises(ValueError, match="torch: tensor 'stem' holds values that are no 8-bit integers"):
        torch_simulation.run(small_graph(), samples)
