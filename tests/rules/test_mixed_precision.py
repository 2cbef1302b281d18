"""Bits of weights that are chosen, through the whole build: they are what is built, and the report says them."""

import json
import re

from nnrules.graph.ir import load
from tests.needs import need_target
from tests.rules.project import Project

MIXED = ("model=tiny", "target=cortex-m7", "tiny.quantize.method=mixed_precision", "tiny.quantize.base=ptq")


def test_what_is_chosen_is_built_and_told(project: Project) -> None:
    """Within a size that not all layers' 8 bits fit into, and so many instructions; then within too few of either."""
    need_target("cortex-m7")
    limits = ("tiny.quantize.size=30", "tiny.quantize.instructions=20000")
    done = project.build(*MIXED, *limits)
    assert done.status == 0, done.stdout + done.stderr
    folder = project.top / "build/tiny"
    chosen = json.loads((folder / "tiny.allotted.json").read_text())
    assert sum(each["bytes"] for each in chosen.values()) <= 30
    assert chosen["stem.0"]["weights"] < 8
    nodes = load(folder / "tiny.graph.json").nodes
    built = {node.name: node.operator.weight_bits for node in nodes if node.name in chosen}
    assert built == {name: each["weights"] for name, each in chosen.items()}
    taken = sum(each["instructions"][str(each["weights"])] for each in chosen.values())
    measured = json.loads((folder / "cortex-m7/tiny.measured.json").read_text())
    counted = sum(layer["instructions"] for layer in measured["layers"] if layer["name"] in chosen)
    assert 0.5 * counted < taken < 2 * counted
    assert json.loads((folder / "cortex-m7/tiny.verify.json").read_text())["differing"] == 0
    assert "<h2>Bits of each layer</h2>" in (folder / "cortex-m7/tiny.report.html").read_text()
    for limit, fault in (
        ("size=10", "the weights take 11 bytes at their fewest bits; say 11 or more"),
        ("instructions=9", r"all layers take [0-9,]+ instructions at the least on cortex-m7; say \d+ or more"),
    ):
        done = project.build(*MIXED, f"tiny.quantize.{limit}")
        assert done.status == 2
        assert re.fullmatch(f"tiny.quantize.{limit}: {fault}", done.stderr.strip())
