"""README's table of operators and instruction sets is what the kernels' folders hold."""

from pathlib import Path

from nnrules.codegen.support import table
from nnrules.graph.ops import BY_ONNX_TYPE

README = Path(__file__).parents[2] / "README.md"


def test_readme_holds_the_table() -> None:
    assert table() in README.read_text(), "put what `python -m nnrules.codegen.support` prints into README.md"


def test_every_operator_is_in_the_table() -> None:
    cells = [line.split("|")[1] for line in table().splitlines()[2:]]
    assert {name.strip() for cell in cells for name in cell.split(",")} >= set(BY_ONNX_TYPE)
