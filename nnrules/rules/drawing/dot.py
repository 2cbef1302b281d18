"""The graph in Graphviz's language: every file and every step a node of its own."""

from collections.abc import Sequence

from nnrules.rules.drawing.node import STATES, Node, printable

_COLOURS = {
    "current": "gray60", "cached": "royalblue", "run": "darkorange",
    "ran": "forestgreen", "failed": "red3", "unknown": "gray75",
}  # fmt: skip


def text(nodes: Sequence[Node]) -> str:
    """A digraph with a cluster for each group."""
    keys = {node.name: f"n{n}" for n, node in enumerate(nodes)}
    lines = ["digraph build {", "  rankdir=LR;", '  node [fontname="sans-serif", fontsize=10];']
    for n, group in enumerate(dict.fromkeys(node.group for node in nodes)):
        members = [f"    {keys[node.name]} {_attributes(node)};" for node in nodes if node.group == group]
        lines += [f"  subgraph cluster_{n} {{", f"    label={_quoted(group)};", *members, "  }"] if group else members
    lines += [f"  {keys[name]} -> {keys[node.name]};" for node in nodes for name in node.inputs if name in keys]
    return "\n".join([*lines, "}"]) + "\n"


def _attributes(node: Node) -> str:
    state = STATES[node.state]
    label = f"{node.label}\n{state}" if node.kind == "step" else node.label
    told = "\n".join(filter(None, (node.name, state, node.detail)))
    values = {
        "label": _quoted(label),
        "tooltip": _quoted(told),
        "shape": "box" if node.kind == "step" else "ellipse",
        "color": _COLOURS[node.state],
        "style": "dashed" if node.state == "unknown" else "bold" if node.state in ("run", "failed") else "solid",
    }
    return "[" + ", ".join(f"{name}={value}" for name, value in values.items()) + "]"


def _quoted(words: str) -> str:
    """A string that Graphviz shows as it is: it knows escapes and HTML's entities. Lines are kept."""
    lines = (
        printable(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;") for line in words.split("\n")
    )
    return '"' + "\\n".join(lines) + '"'
