"""The whole stage on real programs: all engines agree, and a fault planted in one program is laid at its door."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from nnrules.catalog.paths import TOOLCHAINS
from nnrules.catalog.stages import VerifyOptions
from nnrules.error import UserError
from nnrules.graph.emit import integer_model
from nnrules.graph.ir import Graph, dump
from nnrules.stages import verify
from nnrules.stages.runner import Request
from tests.verify.graphs import float_model, qdq_model, small_graph, with_wrong_border, with_wrong_multiplier
from tests.verify.programs import SANITIZED, TRACE, checker, compile_object, generate

Inputs = dict[str, list[str]]
TARGET = "cortex-m7"
FAULTS = {"multiplier": with_wrong_multiplier, "border": with_wrong_border}
PROGRAMS = {
    "c-host": ("host_trace", "x86-64", (TRACE, *SANITIZED)),
    "c-target": ("target_trace", TARGET, (TRACE,)),
    "c-target-shipped": ("target_check", TARGET, ()),
}


@pytest.fixture(scope="module")
def inputs(samples: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """The stage's input files for the small graph, by input name."""
    return built(samples, tmp_path_factory.mktemp("good"), streamed=False)


@pytest.fixture(scope="module")
def streamed(samples: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """The same of a program through which rows stream."""
    return built(samples, tmp_path_factory.mktemp("streamed"), streamed=True)


def built(samples: dict[str, np.ndarray], folder: Path, streamed: bool) -> Inputs:
    """Those of a program through which rows stream, or of one that has all tensors in one piece."""
    graph = small_graph()
    (folder / "small.graph.json").write_bytes(dump(graph))
    onnx.save(integer_model(graph), folder / "small.integer.onnx")
    onnx.save(float_model(graph, "stem"), folder / "small.float.onnx")
    onnx.save(qdq_model(graph, "stem"), folder / "small.onnx")
    np.savez(folder / "small.samples.npz", x=samples["image"])
    generate(graph, TARGET, samples["image"][0], folder, streamed)
    files = {
        "graph": folder / "small.graph.json",
        "integer": folder / "small.integer.onnx",
        "float": folder / "small.float.onnx",
        "model": folder / "small.onnx",
        "samples": folder / "small.samples.npz",
        "objects": compile_object(TARGET, folder, "small.c"),
        "toolchain": TOOLCHAINS / f"{TARGET}.toml",
    }
    files |= {name: checker(target, folder, name, *flags) for name, target, flags in PROGRAMS.values()}
    return {name: [str(path)] for name, path in files.items()}


def run(inputs: Inputs, folder: Path, host_samples: int = 5, target_samples: int = 2) -> Path:
    """Run the stage; gives verify.json."""
    result = folder / "small.verify.json"
    options = VerifyOptions(host_samples=host_samples, target_samples=target_samples)
    verify.run(Request("verify", "small", TARGET, options, inputs, {"verify": str(result)}))
    return result


def test_all_engines_agree(inputs: Inputs, graph: Graph, tmp_path: Path) -> None:
    result = run(inputs, tmp_path)
    record = json.loads(result.read_text())
    assert record["engines"] == ["torch", "numpy", "onnxruntime", "c-host", "c-target"]
    assert (record["samples"], record["target_samples"], record["differing"]) == (5, 2, 0)
    assert record["values"] == 5 * sum(graph.tensors[node.output].size for node in graph.nodes)
    assert [layer["name"] for layer in record["layers"]] == [node.name for node in graph.nodes]
    assert set(record["layers"][-1]["differing"]) == {*record["engines"], "c-target-shipped"}
    assert record["layers"][0]["sqnr_db"] > 25
    assert [layer["sqnr_db"] for layer in record["layers"][1:]] == [None] * (len(graph.nodes) - 1)
    assert record["layers"][0]["qdq"]["largest"] <= 1
    assert list(record["objects"]) == ["small.o"]
    first = result.read_bytes()
    assert run(inputs, tmp_path).read_bytes() == first


def test_a_program_through_which_rows_stream_is_verified_likewise(
    inputs: Inputs, streamed: Inputs, tmp_path: Path
) -> None:
    record, other = (json.loads(run(each, tmp_path).read_text()) for each in (streamed, inputs))
    assert record.pop("objects") != other.pop("objects")
    assert record == other


def test_target_without_a_runner_is_compared_on_the_host(inputs: Inputs, tmp_path: Path) -> None:
    given = {name: paths for name, paths in inputs.items() if not name.startswith("target_")}
    record = json.loads(
        run(given | {"toolchain": [str(TOOLCHAINS / "cortex-m7-stm32h743.toml")]}, tmp_path).read_text()
    )
    assert record["engines"] == ["torch", "numpy", "onnxruntime", "c-host"]
    assert record["target_samples"] == 0


def test_no_samples_for_the_target_leave_its_engines_out(inputs: Inputs, tmp_path: Path) -> None:
    missing = inputs | {name: ["/missing"] for name in ("target_trace", "target_check")}
    record = json.loads(run(missing, tmp_path, target_samples=0).read_text())
    assert record["engines"] == ["torch", "numpy", "onnxruntime", "c-host"]
    assert (record["samples"], record["target_samples"]) == (5, 0)
    assert set(record["layers"][-1]["differing"]) == set(record["engines"])


@pytest.mark.parametrize(("target_samples", "seen"), [(1, 1), (5, 5), (9, 5)])
def test_the_target_sees_the_first_samples(target_samples: int, seen: int, inputs: Inputs, tmp_path: Path) -> None:
    record = json.loads(run(inputs, tmp_path, target_samples=target_samples).read_text())
    assert (record["samples"], record["target_samples"]) == (5, seen)


@pytest.mark.parametrize(("kept", "wanted"), [(5, 6), (0, 5)], ids=["more are wanted than there are", "there are none"])
def test_too_few_samples(
    kept: int, wanted: int, inputs: Inputs, samples: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "small.samples.npz", x=samples["image"][:kept])
    with pytest.raises(UserError) as caught:
        run(inputs | {"samples": [str(tmp_path / "small.samples.npz")]}, tmp_path, host_samples=wanted)
    assert str(caught.value) == (
        f"small.samples.npz: 'image' has {kept} samples, not the {wanted} that are wanted; "
        "keep more (option 'count' of sample) or compare fewer (option 'host_samples' of verify)"
    )


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("rows", [False, True], ids=["whole", "rows"])
@pytest.mark.parametrize("engine", PROGRAMS)
def test_fault_in_one_program(
    engine: str, rows: bool, fault: str, request: pytest.FixtureRequest, samples: dict[str, np.ndarray], tmp_path: Path
) -> None:
    layer = "depthwise"
    inputs: Inputs = request.getfixturevalue("streamed" if rows else "inputs")
    generate(FAULTS[fault](small_graph(), layer), TARGET, samples["image"][0], tmp_path, rows)
    name, target, flags = PROGRAMS[engine]
    faulty = checker(target, tmp_path, name, *flags)
    with pytest.raises(UserError) as caught:
        run(inputs | {name: [str(faulty)]}, tmp_path)
    named = "head" if engine == "c-target-shipped" else layer
    assert str(caught.value).startswith(
        f"verify small on cortex-m7: engine {engine} differs first at layer '{named}', sample 0, index ["
    )
    assert not (tmp_path / "small.verify.json").exists()


@pytest.mark.parametrize("engine", PROGRAMS)
def test_a_wrong_row_in_one_program(
    engine: str, streamed: Inputs, samples: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """The stem's row 5 is looked for where row 4 is in its ring: by row 5 of the depthwise layer, which sees 4 to 6,
    when row 6 is fresh; row 4 finds row 5 still fresh."""
    generate(small_graph(), TARGET, samples["image"][0], tmp_path, streamed=True)
    source = tmp_path / "small.c"
    right = "x = base + from->ring + row % from->ring_rows * bytes;"
    assert source.read_text().count(right) == 1
    wrong = right.replace("row", "(row - (band->from == ROWS_STEM && row == 5))", 1)
    source.write_text(source.read_text().replace(right, wrong))
    name, target, flags = PROGRAMS[engine]
    faulty = checker(target, tmp_path, name, *flags)
    with pytest.raises(UserError) as caught:
        run(streamed | {name: [str(faulty)]}, tmp_path)
    place = "'head', sample 0, index [" if engine == "c-target-shipped" else "'depthwise', sample 0, index [5, "
    assert str(caught.value).startswith(f"verify small on cortex-m7: engine {engine} differs first at layer {place}")


def test_a_row_that_is_never_computed(streamed: Inputs, samples: dict[str, np.ndarray], tmp_path: Path) -> None:
    generate(small_graph(), TARGET, samples["image"][0], tmp_path, streamed=True)
    source = tmp_path / "small.c"
    table, _, rest = source.read_text().partition("static const uint8_t lines[]")
    last = table.rindex("FIRE_POOL,")
    source.write_text(f"{table[:last]}{table[last + len('FIRE_POOL,') :]}static const uint8_t lines[]{rest}")
    faulty = checker("x86-64", tmp_path, "host_trace", TRACE, *SANITIZED)
    with pytest.raises(UserError) as caught:
        run(streamed | {"host_trace": [str(faulty)]}, tmp_path)
    assert str(caught.value) == (
        "c-host: trace.bin has 72 bytes of 'pool', not 96; "
        "the program and this graph do not belong together, or it stopped early"
    )


def test_difference_is_shown_layer_by_layer(
    inputs: Inputs, samples: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty = with_wrong_multiplier(small_graph(), "head")
    onnx.save(integer_model(faulty), tmp_path / "small.integer.onnx")
    right = small_graph().run(samples["image"])["head"]
    wrong = faulty.run(samples["image"])["head"]
    count = int(np.count_nonzero(right != wrong))
    sample = int(np.argmax((right != wrong).any(1)))
    with pytest.raises(UserError) as caught:
        run(inputs | {"integer": [str(tmp_path / "small.integer.onnx")]}, tmp_path)
    assert str(caught.value) == (
        f"verify small on cortex-m7: engine onnxruntime differs first at layer 'head', sample {sample}, index [1]: "
        f"expected {right[sample, 1]}, got {wrong[sample, 1]}; "
        "that engine is wrong there; the table above counts the differing values of every layer"
    )
    table = capsys.readouterr().out
    assert f"{count} differing values" in table
    assert all(name in table for name in ("stem", "depthwise", "add", "pool", "flat", "head"))


def test_program_of_another_graph_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    broken = tmp_path / "host_trace"
    shutil.copy("/bin/true", broken)
    with pytest.raises(UserError) as caught:
        run(inputs | {"host_trace": [str(broken)]}, tmp_path)
    assert str(caught.value) == (
        "c-host: host_trace ended without writing trace.bin: no output; the lines above tell more"
    )


def test_overflow_in_the_c_is_reported_by_the_sanitizer(
    inputs: Inputs, samples: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate(small_graph(), TARGET, samples["image"][0], tmp_path)
    check = tmp_path / "small_check.c"
    check.write_text(check.read_text().replace("arena[SMALL_ARENA_BYTES]", "arena[SMALL_ARENA_BYTES - 8]"))
    faulty = checker("x86-64", tmp_path, "host_trace", TRACE, *SANITIZED)
    with pytest.raises(UserError) as caught:
        run(inputs | {"host_trace": [str(faulty)]}, tmp_path)
    assert str(caught.value).startswith("c-host: host_trace ended with status 1: ")
    assert "ERROR: AddressSanitizer: global-buffer-overflow" in str(caught.value)
    assert "small.c" in capsys.readouterr().err
