"""The report of a small build: whole, escaped, and the same bytes every time."""

import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from nnrules.catalog.stages import ReportOptions
from nnrules.compress.quantizers.mixed_precision import Allotted
from nnrules.graph.ir import Graph, dump
from nnrules.plan.record import Layer, Plan, Room, Slot, dump_plan
from nnrules.stages import report
from nnrules.stages.runner import Request

KERNELS = {"stem": "conv2d_dense_s8__armv7em", "flat": ""}
DATASET = """
class Scenes:
    def __init__(self, split, data=None):
        self.split = split
    def __len__(self):
        return 3
    def __getitem__(self, index):
        return None, None
    def picture(self, index, outputs, steps, console, path):
        path.write_bytes(repr((self.split, index, outputs[0].tolist(), steps, console)).encode())
"""


@pytest.fixture
def inputs(graph: Graph, samples: dict[str, np.ndarray], tmp_path: Path) -> dict[str, list[str]]:
    """The files that a report is made from, by input name."""
    names = [node.name for node in graph.nodes]
    layers = tuple(Layer(name=n.name, op=n.operator.op, kernel=KERNELS.get(n.name, n.name)) for n in graph.nodes)
    slots = (
        Slot(name="image", offset=0, bytes=96, first=0, last=0),
        Slot(name="stem", offset=96, bytes=192, first=0, last=2),
        Slot(name="a <b>", offset=288, bytes=192, first=1, last=2),
    )
    plan = Plan(model="small", target="cortex-m7", arena_bytes=480, live_bytes=480, tensors=slots, layers=layers)
    measured = {
        "model": "small",
        "target": "cortex-m7",
        "macs": 7008,
        "instructions": 14016,
        "layers": [
            {"name": name, "op": layer.op, "kernel": layer.kernel, "macs": 9 * i, "instructions": 100 * i}
            for i, (name, layer) in enumerate(zip(names, layers, strict=True))
        ],
        "ram": {"arena": 480, "stack": 100, "data": 0, "bss": 4, "total": 584, "stack_is": "peak"},
        "flash": {"code": 900, "weights": 300, "rodata": 40, "total": 1240},
        "metric": {"name": "AP", "float": 0.5, "integer": 0.49},
        "note": None,
        "verify": {"samples": 5, "values": 2485, "differing": 0, "engines": ["torch", "c-target"]},
    }
    verify: dict[str, Any] = {"samples": 5, "values": 2485, "differing": 0, "target_samples": 4}
    verify |= {"engines": ["torch", "c-target"]}
    verify["layers"] = [
        {"shape": graph.tensors[name].shape, "sqnr_db": 31.27, "qdq": {"differing": 7, "largest": 1}} for name in names
    ]
    contents = {
        "graph": dump(graph),
        "plan": dump_plan(plan),
        "measured": msgspec.json.encode(measured),
        "verify": msgspec.json.encode(verify),
        "console": b"<script>alert(1)</script>\nnn:run 100\n",
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    np.savez(tmp_path / "samples.npz", x=samples["image"])
    return {name: [str(tmp_path / name)] for name in contents} | {"samples": [str(tmp_path / "samples.npz")]}


def make(inputs: dict[str, list[str]], folder: Path) -> tuple[bytes, bytes]:
    """Run the stage; gives the page and the picture."""
    folder.mkdir()
    names = {"report": "small.report.html", "picture": "small.png", "arena": "small.arena.svg"}
    outputs = {name: str(folder / file) for name, file in names.items()}
    report.run(Request("report", "small", "cortex-m7", ReportOptions(ram=1024, metric_at_least=0.45), inputs, outputs))
    return (folder / "small.report.html").read_bytes(), (folder / "small.png").read_bytes()


def test_page_without_a_dataset_shows_the_layers_cost(inputs: dict[str, list[str]], tmp_path: Path) -> None:
    page, picture = make(inputs, tmp_path / "one")
    text = page.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\nnn:run 100" in text
    assert "<script>" not in text
    assert '<td>RAM, bytes<td class="n good">584<td class="n">1,024' in text
    assert '<td>AP, integer model<td class="n good">0.4900<td class="n">at least 0.45' in text
    assert '<td>AP, float less integer<td class="n ">0.0100<td class="n">\n' in text
    assert "conv2d_dense_s8__armv7em" in text
    assert "<title>a &lt;b&gt;: tensor in one piece, 192 bytes at 288, steps 1 to 2</title>" in text
    assert (tmp_path / "one/small.arena.svg").read_text() in text
    assert "while layer &#39;depthwise&#39; works: 384 bytes of the arena&#39;s 480. 96 are gaps" in text
    assert picture.startswith(b"\x89PNG")
    assert '<h2>Instructions of each layer</h2>\n<img alt="small: instructions of each layer"' in text
    assert "scene" not in text
    assert str(tmp_path) not in text
    assert make(inputs, tmp_path / "two") == (page, picture)


@pytest.mark.parametrize(
    ("room", "line"),
    [
        (Room(), "Nothing bounds the kernels: each layer has its fastest."),
        (
            Room(by="extra_weights", room=4096, used=4000, more=2048, saved=100_000.0),
            "Packed weights take 4,000 of the 4,096 bytes that plan.extra_weights leaves them; "
            "2 KB more would save 100,000 instructions, 50,000 each.",
        ),
        (
            Room(by="budget", room=4096, used=4000, more=1024, saved=900.0, flash=4000, least=3000),
            "Kernels and constants take 4,000 of the 4,096 bytes that the budget leaves them; "
            "1 KB more would save 900 instructions.",
        ),
        (
            Room(by="target", room=10, used=400, flash=400),
            "Kernels and constants take 400 of the 10 bytes that the target leaves them; "
            "a little more would buy nothing.",
        ),
    ],
)
def test_the_page_says_what_bounded_the_kernels(
    inputs: dict[str, list[str]], tmp_path: Path, room: Room, line: str
) -> None:
    path = Path(inputs["plan"][0])
    path.write_bytes(dump_plan(msgspec.structs.replace(msgspec.json.decode(path.read_bytes(), type=Plan), room=room)))
    assert f'<p class="about">{line}</p>' in make(inputs, tmp_path / "page")[0].decode()


def test_the_page_shows_the_bits_that_were_chosen(inputs: dict[str, list[str]], tmp_path: Path) -> None:
    """By layer, with what each width costs in loss; a layer whose bits were given has no such figures."""
    given = {
        "stem": Allotted(2, 8, 1234, {"2": 0.01234, "8": 0.0}, {"2": 43210, "8": 21}),
        "head <1>": Allotted(8, 4, 5, {}, {"8": 77}),
    }
    (tmp_path / "widths").write_bytes(msgspec.json.encode(given))
    (tmp_path / "drawn").write_bytes(b"a picture")
    assert "Bits of each layer" not in make(inputs, tmp_path / "before")[0].decode()
    inputs |= {"widths": [str(tmp_path / "widths")], "sensitivities": [str(tmp_path / "drawn")]}
    text = make(inputs, tmp_path / "page")[0].decode()
    cells = [
        re.sub(r"\s*<t[dh][^>]*>", "|", row).strip() for row in re.findall(r"<tr>(.*?)(?=<tr>|</table>)", text, re.S)
    ]
    assert (
        "|layer|bits of weights|of the input|bytes of weights|loss with 2 bits|loss with 8 bits|instructions" in cells
    )
    assert "|stem|2|8|1,234|0.01234|0.00000|43,210" in cells
    assert "|head &lt;1&gt;|8|4|5|||77" in cells
    assert f"data:image/png;base64,{b64encode(b'a picture').decode()}" in text


def test_dataset_draws_the_integer_models_output(
    inputs: dict[str, list[str]], graph: Graph, samples: dict[str, np.ndarray], tmp_path: Path
) -> None:
    (tmp_path / "report_scenes.py").write_text(DATASET)
    given = inputs | {"dataset": [f"{tmp_path}/report_scenes.py:Scenes"]}
    page, picture = make(given, tmp_path / "drawn")
    assert '<h2>Found in one scene</h2>\n<img alt="small: found in one scene"' in page.decode()
    head = graph.run(samples["image"][:1])["head"][0].tolist()
    assert picture == repr(("test", 0, head, [(0.1, -3)], "<script>alert(1)</script>\nnn:run 100\n")).encode()
