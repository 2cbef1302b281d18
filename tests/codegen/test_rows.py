"""Rows pushed into generated C: right and wrong use, of programs that stream and of those that do not."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from nnrules.catalog.kernel import load_kernels
from nnrules.catalog.paths import KERNELS
from nnrules.codegen.ctext import array
from nnrules.codegen.model import ModelCode
from nnrules.graph.ir import Graph, Node, Tensor, dump, load
from nnrules.graph.operator import Geometry, Operator
from nnrules.graph.ops.fully_connected import FullyConnected
from nnrules.graph.ops.max_pool2d import MaxPool2d
from nnrules.graph.ops.reshape import Reshape
from nnrules.graph.requant import Requantization
from nnrules.plan.planner import Ram, make_plan
from tests.codegen.cppcheck import require_clean
from tests.codegen.plans import plans_of_parts, streamed_plan, whole_plan
from tests.codegen.test_strict_code import COMPILERS, STRICT, needed
from tests.kernels.test_rows import depthwise
from tests.needs import need_command
from tests.verify.graphs import small_graph

SANITIZED = ["-std=c11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wall", "-Wextra"]
PORTABLE, DSP = ("portable",), ("armv7em", "portable")
HERE = Path(__file__).parent


def code(streamed: bool, isa: tuple[str, ...] = PORTABLE) -> ModelCode:
    graph = small_graph()
    plan = (streamed_plan if streamed else whole_plan)(graph, isa)
    assert bool(plan.flow) == streamed
    return ModelCode(graph, plan)


def written(made: ModelCode, folder: Path) -> None:
    """The source, the header, an image and what comes of it."""
    shape = made.graph.tensors[made.graph.inputs[0]].shape
    image = np.random.default_rng(4).integers(-128, 128, shape).astype(np.int8)
    (folder / "small.c").write_text(made.source())
    (folder / "small.h").write_text(made.header())
    expected = made.graph.run(image[np.newaxis])[made.graph.outputs[0]]
    values = array("image", image, "const") + array("expected", expected, "const")
    (folder / "image.c").write_text(f'#include "small.h"\nextern const int8_t image[], expected[];\n{values}')


def told(folder: Path, use: str = "wrong_use.c") -> str:
    """What the program of uses prints."""
    sources = ["small.c", "image.c", str(HERE / use)]
    command = ["gcc", *SANITIZED, "-I.", f"-I{KERNELS / 'include'}", *sources, "-o", "use"]
    subprocess.run(command, cwd=folder, check=True)
    return subprocess.run([folder / "use"], capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("isa", [PORTABLE, DSP])
def test_use_and_misuse_where_rows_stream_behind_a_whole_input(isa: tuple[str, ...], tmp_path: Path) -> None:
    later = [plan for plan in plans_of_parts(small_graph(), isa) if plan.flow is None]
    assert len({(flow.first, flow.last) for plan in later for flow in plan.flows}) > 2
    for plan in later[:: len(later) // 3]:
        written(ModelCode(small_graph(), plan), tmp_path)
        assert told(tmp_path) == ""


@pytest.mark.parametrize("isa", [PORTABLE, DSP])
@pytest.mark.parametrize("streamed", [False, True])
def test_use_and_misuse(streamed: bool, isa: tuple[str, ...], tmp_path: Path) -> None:
    written(code(streamed, isa), tmp_path)
    assert told(tmp_path) == ""


def chain(*steps: tuple[tuple[int, ...], Operator]) -> Graph:
    """Each operator with the shape that it begins with, one after the other."""
    shapes = [shape for shape, _ in steps]
    shapes.append(steps[-1][1].infer(shapes[-1]))
    tensors = {f"t{i}": Tensor(name=f"t{i}", shape=shape, scale=1.0, zero_point=0) for i, shape in enumerate(shapes)}
    nodes = [
        Node(name=f"n{i}", inputs=(f"t{i}",), output=f"t{i + 1}", operator=step[1]) for i, step in enumerate(steps)
    ]
    return Graph(name="small", inputs=("t0",), outputs=(f"t{len(steps)}",), tensors=tensors, nodes=tuple(nodes))


def fully_connected(features: int) -> FullyConnected:
    weights = np.random.default_rng(features).integers(-127, 128, (5, features)).astype(np.int8)
    rule = Requantization(np.full(5, 2**24, np.int32), np.zeros(5, np.uint8), 0, -128, 127)
    return FullyConnected(weights=weights, bias=np.zeros(5, np.int32), x_zero_point=3, requantization=rule)


@pytest.mark.parametrize("least", [False, True])
@pytest.mark.parametrize("name", ["vector", "layer", "two layers", "flattened", "unflattened"])
def test_networks_of_few_layers(name: str, least: bool, tmp_path: Path) -> None:
    """A vector is one row; rows may go to a reshape first; a layer may be all there is."""
    image, layer = (6, 5, 8), depthwise((6, 5, 8), 1).operator
    graph = {
        "vector": lambda: chain(((8,), fully_connected(8))),
        "layer": lambda: chain((image, layer)),
        "two layers": lambda: chain((image, layer), (image, layer)),
        "flattened": lambda: chain((image, Reshape(shape=(240,))), ((240,), fully_connected(240))),
        "unflattened": lambda: chain(((240,), Reshape(shape=image)), (image, layer), (image, layer)),
    }[name]()
    ram = Ram(stream=True, least=True) if least else Ram()
    made = ModelCode(graph, make_plan(graph, load_kernels(), "host", DSP, ram=ram))
    assert f"SMALL_ROWS {6 if graph.tensors['t0'].shape == image else 1}\n" in made.header()
    written(made, tmp_path)
    assert told(tmp_path, "short_use.c") == ""


def test_more_rows_than_two_bytes_count(tmp_path: Path) -> None:
    pool = MaxPool2d(geometry=Geometry(kernel=(8, 1), stride=(8, 1)))
    graph = chain(((70_000, 1, 1), pool))
    made = ModelCode(graph, make_plan(graph, load_kernels(), "host", PORTABLE, ram=Ram(stream=True, least=True)))
    assert made.plan.flow is not None
    written(made, tmp_path)
    assert told(tmp_path, "short_use.c") == ""


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ("bytes < SMALL_ARENA_BYTES", "bytes + 1 < SMALL_ARENA_BYTES", "reset refuses an arena one byte short"),
        ("bytes != SMALL_ROW_BYTES", "bytes < SMALL_ROW_BYTES", "push_row refuses a long row"),
        ("data == NULL ||", "", "push_row refuses NULL"),
        ("at < start + SMALL_ARENA_BYTES", "at + 1 < start + SMALL_ARENA_BYTES", "an output that begins in the arena"),
        ("start < at + bytes", "start + 1 < at + bytes", "an output that ends in the arena"),
        ("at != start + offset &&", "", "run is right inside"),
        ("|| state->line >= SMALL_ROWS", "", "counters beyond all rows"),
        ("state->mark = 0;", "state->line = 0;", "a row too many"),
        ("state->line = 0;", ";", "right after a reset in between"),
        ("state->made[tensor] = 0;", ";", "right after a reset in between"),
    ],
)
def test_a_mistake_in_the_program_is_found(right: str, wrong: str, sentence: str, tmp_path: Path) -> None:
    written(code(True), tmp_path)
    source = tmp_path / "small.c"
    assert right in source.read_text()
    source.write_text(source.read_text().replace(right, wrong))
    sources = ["small.c", "image.c", str(HERE / "wrong_use.c")]
    command = ["gcc", *SANITIZED, "-I.", f"-I{KERNELS / 'include'}", *sources, "-o", "use"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "use"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert sentence in done.stdout or "Sanitizer" in done.stderr or "runtime error" in done.stderr


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_warnings(compiler: str, tmp_path: Path) -> None:
    words, isa = COMPILERS[compiler]
    next(needed(words))
    written(code(True, isa), tmp_path)
    command = [*words, *STRICT, f"-I{KERNELS / 'include'}", "-c", "small.c", "-o", "small.o"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_cppcheck_finds_nothing(tmp_path: Path) -> None:
    written(code(True), tmp_path)
    require_clean(tmp_path, "small.c")


def test_programs_of_other_models_leave_other_marks(tmp_path: Path) -> None:
    """A row for one model is refused in an arena that another one has reset."""
    marks = set()
    for bias in (0, 1):
        graph = small_graph()
        head = graph.nodes[-1]
        changed = replace(head, operator=replace(head.operator, bias=head.operator.bias + bias))
        graph = replace(graph, nodes=(*graph.nodes[:-1], changed))
        source = ModelCode(graph, whole_plan(graph, PORTABLE)).source()
        marks |= set(re.findall(r"#define MARK (0x[0-9a-f]{8})u", source))
    assert len(marks) == 2
    assert 0 not in {int(mark, 16) for mark in marks}


@pytest.mark.parametrize("streamed", [False, True])
def test_the_header_is_c_plus_plus(streamed: bool, tmp_path: Path) -> None:
    need_command("g++", "g++")
    written(code(streamed), tmp_path)
    (tmp_path / "use.cpp").write_text(
        '#include "small.h"\nint use(void *a) { return small_run(a, nullptr, nullptr); }\n'
    )
    command = ["g++", "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Wold-style-cast", "-Werror", "-c", "use.cpp"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["rows", "Fire", "rows_of"])
def test_names_of_tensors_and_layers_are_none_of_the_header(name: str, tmp_path: Path) -> None:
    text = dump(replace(small_graph(), name=name)).decode()
    text = text.replace('"stem"', '"layers"').replace('"depthwise"', '"of_done"')
    (tmp_path / "graph.json").write_text(text)
    graph = load(tmp_path / "graph.json")
    made = ModelCode(graph, streamed_plan(graph, PORTABLE))
    (tmp_path / f"{name}.c").write_text(made.source())
    (tmp_path / f"{name}.h").write_text(made.header())
    command = ["gcc", *SANITIZED, f"-I{KERNELS / 'include'}", "-c", f"{name}.c"]
    subprocess.run(command, cwd=tmp_path, check=True)


def test_the_image_has_no_place_in_the_arena_of_a_program_that_streams() -> None:
    assert "SMALL_INPUT_0_OFFSET" in code(False).header()
    assert "SMALL_INPUT_0_OFFSET" not in code(True).header()


def test_the_schedule_tells_of_its_rows_and_layers() -> None:
    source = code(True).source()
    table = source.partition("schedule[] = {\n")[2].partition("};")[0]
    assert table.startswith("    /* row 0")
    assert {"FIRE_STEM", "FIRE_DEPTHWISE", "FIRE_ADD", "FIRE_POOL", "FIRE_HEAD"} <= set(re.findall(r"FIRE_\w+", table))
    assert re.search(r"/\* image: pushed, \d+ kept \*/", source)
