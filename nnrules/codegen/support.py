"""Which ONNX operators run on which instruction sets: `python -m nnrules.codegen.support` prints README's table.

A number counts the kernels written for an instruction set; an operator without one there runs its portable kernel.
"""

from nnrules.catalog.kernel import load_kernels
from nnrules.graph.operator import Operator
from nnrules.graph.ops import OPERATORS

NAMES = {"portable": "portable C", "armv6m": "Armv6-M", "armv7em": "Armv7E-M DSP", "mve": "Helium", "rv32imc": "RV32"}


def table() -> str:
    """Markdown, an integer operator a line, in the order of their names."""
    kernels = load_kernels()
    known = {kernel.isa for kernel in kernels}
    sets = [*(isa for isa in NAMES if isa in known), *sorted(known - NAMES.keys())]
    heads = ["ONNX operators", "integer operator", *(NAMES.get(isa, isa) for isa in sets)]
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


if __name__ == "__main__":
    print(table(), end="")
