"""Which ONNX operators run on which instruction sets: `python -m nnrules.codegen.support` prints README's table.

`python -m nnrules.codegen.support README.md` puts it there.

A number counts the kernels written for an instruction set; an operator without one there runs its portable kernel.
"""

import sys
from pathlib import Path

from nnrules.catalog.kernel import load_kernels
from nnrules.graph.operator import Operator
from nnrules.graph.ops import OPERATORS

HEAD = "| ONNX operators |"
NAMES = {"portable": "portable C", "armv6m": "Armv6-M", "armv7em": "Armv7E-M DSP", "mve": "Helium", "rv32imc": "RV32"}


def table() -> str:
    """Markdown, an integer operator a line, in the order of their names."""
    kernels = load_kernels()
    known = {kernel.isa for kernel in kernels}
    sets = [*(isa for isa in NAMES if isa in known), *sorted(known - NAMES.keys())]
    heads = [HEAD.strip("| "), "integer operator", *(NAMES.get(isa, isa) for isa in sets)]
    lines = [f"| {' | '.join(heads)} |", "|---|---|" + "---:|" * len(sets)]
    for op, operator in sorted(OPERATORS.items()):
        counts = [sum(kernel.op == op and kernel.isa == isa for kernel in kernels) for isa in sets]
        cells = (
            ["" if not count else str(count) for count in counts]
            if any(counts)
            else ["no code", *[""] * (len(sets) - 1)]
        )
        lines.append(f"| {_types(operator)} | `{op}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _types(operator: type[Operator]) -> str:
    return ", ".join(sorted(operator.onnx_types)) or "none of its own"


def renewed(page: str) -> str:
    """A page with the table that it holds replaced by the one of now."""
    before, head, rest = page.partition(HEAD)
    old, gap, after = rest.partition("\n\n")
    return f"{before}{table().rstrip()}{gap}{after}" if head and old else page


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(renewed(Path(sys.argv[1]).read_text()))
    else:
        print(table(), end="")
