"""README's table of operators and instruction sets is what the kernels' folders hold."""

from pathlib import Path

from nnrules.codegen.support import renewed, table
from nnrules.graph.ops import BY_ONNX_TYPE

README = Path(__file__).parents[2] / "README.md"


def test_readme_holds_the_table() -> None:
    assert table() in README.read_text(), "run `python -m nnrules.codegen.support README.md`"


def test_every_operator_is_in_the_table() -> None:
    cells = [line.split("|")[1] for line in table().splitlines()[2:]]
    assert {name.strip() for cell in cells for name in cell.split(",")} >= set(BY_ONNX_TYPE)


def test_an_old_table_is_replaced_and_nothing_else() -> None:
    page = README.read_text()
    old = page.replace("| `add` |", "| `sum` |")
    assert old != page
    assert renewed(old) == renewed(page)
    assert renewed("no table") == "no table"
    assert renewed(page).replace(table(), "") == page.replace(table(), "")
