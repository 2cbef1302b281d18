"""The drawings of a build graph: all there, readable, and safe whatever a file is called."""

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnrules.error import UserError
from nnrules.rules.drawing import Node, draw
from nnrules.rules.drawing.layout import layered
from nnrules.rules.drawing.node import STATES, printable

SVG = "{http://www.w3.org/2000/svg}"
FORMATS = (".dot", ".svg", ".html")
HOSTILE = [
    "</text></svg><script>alert(1)</script>",
    "<!-- -->",
    "<![CDATA[ ]]>",
    '" onload="alert(1)',
    "' & &lt; &#x41; &amp;",
    "a\\",
    'a\\"; evil [shape=box]; "',
    "\\N \\n \\l",
    "<b>bold</b>",
    "a\nb\tc\0d\x1b[31m",
    "\ud800 \udcff \ufffe",
    "\u202egnp.exe",
    "日本語 的 模型",
    "<!-- drawing -->",
    "{{x}} ${y} %s",
    "x" * 5000,
]


def node(name: str, kind: Any, *inputs: str, state: Any = "current", group: str = "m", detail: str = "") -> Node:
    return Node(name, name.rsplit("/", 1)[-1] or name, kind, state, detail, inputs, group)


def pipeline(models: int = 1, targets: int = 1) -> list[Node]:
    """Models with files of their own, each with targets that share files."""
    found = [node("kernel", "file", group=""), node("other kernel", "file", group="")]
    for m in range(models):
        model = f"model{m}"
        found += [
            node(f"{model}/net.py", "file", group=model),
            node(f"{model} train", "step", f"{model}/net.py", state="cached", group=model, detail="epochs 2 → 3"),
            node(f"{model}/weights", "file", f"{model} train", group=model),
            node(f"{model} lower", "step", f"{model}/weights", f"{model}/net.py", state="run", group=model),
            node(f"{model}/graph", "file", f"{model} lower", group=model),
        ]
        for t in range(targets):
            group = f"{model}/target{t}"
            found += [
                node(f"{group} plan", "step", f"{model}/graph", "kernel", "other kernel", state="failed", group=group),
                node(f"{group}/plan", "file", f"{group} plan", group=group),
                *(node(f"{group} compile{n}", "step", f"{group}/plan", "kernel", group=group) for n in range(7)),
                *(node(f"{group}/object{n}", "file", f"{group} compile{n}", group=group) for n in range(7)),
                node(f"{group} link", "step", *(f"{group}/object{n}" for n in range(7)), state="unknown", group=group),
            ]
    return found


def hostile() -> list[Node]:
    """Steps and files of every unlucky name."""
    found = list[Node]()
    for n, name in enumerate(HOSTILE):
        found.append(Node(f"{name} in", name, "file", "run", name, (), name))
        found.append(Node(f"{name} step", name, "step", "run", name, (f"{name} in", f"{HOSTILE[n - 1]} out"), name))
        found.append(Node(f"{name} out", name, "file", "unknown", name, (f"{name} step",), name))
    return found


def drawn(path: Path, nodes: Sequence[Node]) -> str:
    draw(path, nodes)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    return path.read_text(encoding="utf-8")


GRAPHS = {"empty": [], "one": pipeline(), "many": pipeline(4, 4), "hostile": hostile()}
each_graph = pytest.mark.parametrize("nodes", GRAPHS.values(), ids=GRAPHS)


@each_graph
def test_the_picture_is_xml_that_shows_every_node(tmp_path: Path, nodes: list[Node]) -> None:
    top = ET.fromstring(drawn(tmp_path / "g.svg", nodes).encode())
    assert {each.tag.removeprefix(SVG) for each in top.iter()} <= {"svg", "g", "title", "style", "rect", "text", "path"}
    told = "\n".join(each.text or "" for each in top.iter(f"{SVG}title"))
    assert [each.name for each in nodes if printable(each.name) not in told] == []
    assert not any(name.lower().startswith("on") or "href" in name for each in top.iter() for name in each.attrib)


@each_graph
def test_no_box_lies_on_another_and_no_text_sticks_out(tmp_path: Path, nodes: list[Node]) -> None:
    top = ET.fromstring(drawn(tmp_path / "g.svg", nodes).encode())
    boxes = [_box(each) for each in top.iter(f"{SVG}g") if "node" in each.get("class", "").split()]
    for n, one in enumerate(boxes):
        assert not any(_overlap(one, other) for other in boxes[:n])
    frames = [tuple(float(each.get(key, "")) for key in ("x", "y", "width", "height")) for each in _rects(top, "frame")]
    assert all(any(_within(box, frame) for frame in frames) for box in boxes)
    assert not any(_overlap(one, other) for n, one in enumerate(frames) for other in frames[:n])
    width, height = (float(top.get(key, "")) for key in ("width", "height"))
    assert all(_within(frame, (0, 0, width, height)) for frame in frames)


def _box(group: ET.Element) -> tuple[float, ...]:
    """x, y, width, height of a node, after a look that its lines are inside."""
    x, y = (float(each) for each in re.findall(r"[-\d.]+", group.get("transform", "")))
    (body,) = _rects(group, "body")
    width, height = float(body.get("width", "")), float(body.get("height", ""))
    assert all(0 < float(line.get("y", "")) < height - 4 for line in group.iter(f"{SVG}text"))
    return x, y, width, height


def _rects(top: ET.Element, kind: str) -> list[ET.Element]:
    return [each for each in top.iter(f"{SVG}rect") if each.get("class") == kind]


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(one[k] < other[k] + other[k + 2] and other[k] < one[k] + one[k + 2] for k in (0, 1))


def _within(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(other[k] <= one[k] and one[k] + one[k + 2] <= other[k] + other[k + 2] for k in (0, 1))


@each_graph
@pytest.mark.parametrize("suffix", FORMATS)
def test_the_same_graph_gives_the_same_bytes(tmp_path: Path, nodes: list[Node], suffix: str) -> None:
    draw(tmp_path / f"here{suffix}", nodes)
    program = "import sys; from pathlib import Path; from tests.rules.test_drawing import GRAPHS, draw; "
    program += f"draw(Path(sys.argv[1]), GRAPHS[{next(name for name in GRAPHS if GRAPHS[name] is nodes)!r}])"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", program, str(tmp_path / f"there{suffix}")], env=environment, check=True)
    assert (tmp_path / f"here{suffix}").read_bytes() == (tmp_path / f"there{suffix}").read_bytes()


def test_states_differ_without_colours(tmp_path: Path) -> None:
    text = drawn(tmp_path / "g.svg", pipeline())
    marks = re.findall(r'<g class="(\w+)" transform="[^"]*">(<path class="mark"[^>]*>)\n<text[^>]*>([^<]*): \d+<', text)
    assert [(state, word) for state, _, word in marks] == list(STATES.items())
    assert len({mark for _, mark, _ in marks}) == len(STATES)


class Page(HTMLParser):
    """How many of each element a page has, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.loads = dict[str, int](), list[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.loads += [name for name, _ in attrs if name in ("src", "href", "srcset", "action") or name[:2] == "on"]


@each_graph
def test_the_page_loads_nothing_and_no_name_adds_to_it(tmp_path: Path, nodes: list[Node]) -> None:
    text = drawn(tmp_path / "g.html", nodes)
    page = Page(text)
    assert page.loads == []
    assert (page.tags["script"], page.tags["svg"], page.tags.get("b", 0)) == (1, 1, 0)
    assert re.findall(r"https?://[^\s\"']*", text) == ["http://www.w3.org/2000/svg"]


@each_graph
def test_the_dot_file_has_every_node_and_edge(tmp_path: Path, nodes: list[Node]) -> None:
    text = drawn(tmp_path / "g.dot", nodes)
    known = {each.name for each in nodes}
    outside = re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text)
    assert len(re.findall(r"^ +n\d+ \[label=\"\", [^\n\"]*\"\"[^\n\"]*\];$", outside, re.M)) == len(nodes)
    edges = sum(name in known for each in nodes for name in each.inputs)
    assert len(re.findall(r"^  n\d+ -> n\d+;$", outside, re.M)) == edges
    if shutil.which("dot"):
        done = subprocess.run(["dot", "-Tplain", "g.dot"], cwd=tmp_path, capture_output=True, check=True)
        assert [sum(line.startswith(word) for line in done.stdout.split(b"\n")) for word in (b"node", b"edge")] == [
            len(nodes),
            edges,
        ]
        assert b"warning" not in done.stderr.lower()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("g.png", "--graph=g.png: cannot be drawn as '.png'; end the name in .svg, .html or .dot"),
        ("g", "--graph=g: does not say how to draw; end the name in .svg, .html or .dot"),
        ("no/g.svg", "--graph=no/g.svg: cannot be written (No such file or directory); choose another file"),
    ],
)
def test_mistakes(name: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as raised:
        draw(Path(name), pipeline())
    assert str(raised.value) == fault


def test_inputs_that_are_no_nodes_are_left_out(tmp_path: Path) -> None:
    nodes = [node("s", "step", "nowhere", "s"), node("f", "file", "nobody")]
    for suffix in FORMATS:
        draw(tmp_path / f"g{suffix}", nodes)


Graph = tuple[list[tuple[float, float]], list[tuple[int, int]]]


@st.composite
def graphs(draw_: st.DrawFn) -> Graph:
    """Sizes of boxes, and edges from lower to higher numbers."""
    sizes = draw_(st.lists(st.tuples(st.integers(10, 300), st.integers(10, 90)), max_size=30))
    ends = st.integers(0, max(0, len(sizes) - 1))
    edges = draw_(st.lists(st.tuples(ends, ends), max_size=60))
    return [(float(w), float(h)) for w, h in sizes], [(a, b) for a, b in edges if a < b]


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_edges_lead_down_from_box_to_box(graph: Graph) -> None:
    sizes, edges = graph
    placed = layered(sizes, edges)
    boxes = [(*corner, *size) for corner, size in zip(placed.corners, sizes, strict=True)]
    assert not any(_overlap(one, other) for n, one in enumerate(boxes) for other in boxes[:n])
    assert all(_within(box, (-1e-6, 0, placed.width + 1e-3, placed.height)) for box in boxes)
    assert set(placed.routes) == set(edges)
    for (a, b), points in placed.routes.items():
        for end, box, y in ((points[0], boxes[a], boxes[a][1] + boxes[a][3]), (points[-1], boxes[b], boxes[b][1])):
            assert box[0] <= end[0] <= box[0] + box[2]
            assert end[1] == pytest.approx(y)
        assert all(p[1] <= q[1] for p, q in pairwise(points))
