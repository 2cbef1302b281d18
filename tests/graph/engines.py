"""Which functions of the integer graph each engine reaches, read from the source text.

An attribute is followed to every method of that name, unless its object is known (`self`, `emitter`, a library): so
more may be reached here than when the program runs, never less, as long as nobody looks names up at run time, which
is reported too.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations

ENGINES = ("reference", "simulate", "emit")
DRIVERS = {"simulate": ["torch_simulation.run"]}  # what verify calls, beside the operators' methods
LIBRARIES = ("torch", "np", "onnx", "helper", "numpy_helper", "TensorProto", "msgspec", "math", "json")
RUN_TIME_LOOKUP = ("getattr", "eval", "exec", "vars", "globals", "importlib", "__import__")
SHARED = {  # these tell shapes, or pick constants from a record: no arithmetic on values
    "average_pool2d.AveragePool2d.is_uniform",
    "concat.Concat.part",
    "operator.Geometry.output",
}

Function = ast.FunctionDef


@dataclass
class Functions:
    """The functions of some modules by their names: "conv2d.Conv2d.reference", "requant.requantize"."""

    by_name: dict[str, Function] = field(default_factory=dict)

    @classmethod
    def of(cls, sources: Mapping[str, str]) -> "Functions":
        """sources: a module's name without its packages -> its text."""
        found = cls()
        for module, text in sources.items():
            for node in ast.parse(text).body:
                members = node.body if isinstance(node, ast.ClassDef) else [node]
                owner = f"{module}.{node.name}" if isinstance(node, ast.ClassDef) else module
                named = [each for each in members if isinstance(each, Function)]
                found.by_name |= {f"{owner}.{each.name}": each for each in named}
        return found

    def methods(self, name: str, owner: str = "") -> list[str]:
        """The methods of that name, of all classes or of `owner` ("conv2d.Conv2d")."""
        found = [full for full in self.by_name if full.count(".") == 2 and full.endswith(f".{name}")]
        return [full for full in found if not owner or full.startswith(f"{owner}.")]

    def calls(self, full: str) -> Iterator[str]:
        """The functions that one mentions."""
        for node in ast.walk(self.by_name[full]):
            if isinstance(node, ast.Attribute):
                yield from self._attribute(node, full)
            elif isinstance(node, ast.Name):
                yield from (name for name in self.by_name if name.count(".") == 1 and name.endswith(f".{node.id}"))

    def _attribute(self, node: ast.Attribute, full: str) -> list[str]:
        root = root_name(node)
        if root in LIBRARIES:
            return []
        if isinstance(node.value, ast.Name) and root == "self":
            own = full.rpartition(".")[0]
            return self.methods(node.attr, own) or self.methods(node.attr, "operator.Operator")
        if root == "emitter":
            return self.methods(node.attr, "emit.Emitter")
        if isinstance(node.value, ast.Name) and f"{root}.{node.attr}" in self.by_name:
            return [f"{root}.{node.attr}"]
        return [name for name in self.methods(node.attr) if not name.startswith("emit.")]

    def reached(self, engine: str) -> set[str]:
        """Every function that an engine's methods and its driver reach, themselves included."""
        found: set[str] = set()
        waiting = self.methods(engine) + DRIVERS.get(engine, [])
        while waiting:
            full = waiting.pop()
            if full not in found:
                found.add(full)
                waiting.extend(self.calls(full))
        return found


def violations(sources: Mapping[str, str]) -> list[str]:
    """Where one engine uses another's arithmetic, in words."""
    functions = Functions.of(sources)
    reached = {engine: functions.reached(engine) for engine in ENGINES}
    found = [
        f"{name} serves {one} and {other}"
        for one, other in combinations(ENGINES, 2)
        for name in sorted((reached[one] & reached[other]) - SHARED)
    ]
    for name in sorted(set().union(*reached.values())):
        mentioned = {each.id for each in ast.walk(functions.by_name[name]) if isinstance(each, ast.Name)}
        found += [f"{name} looks names up by {lookup}" for lookup in RUN_TIME_LOOKUP if lookup in mentioned]
    for name in sorted(reached["reference"]):
        if any(root_name(each) == "torch" for each in ast.walk(functions.by_name[name])):
            found.append(f"{name} serves reference and uses torch")
    for name in sorted(each for each in reached["simulate"] if not each.startswith("torch_simulation.")):
        found += [f"{name} serves simulate and {fault}" for fault in numpy_on_activations(functions.by_name[name])]
    return found


def numpy_on_activations(function: Function) -> list[str]:
    """Calls of numpy with anything that was computed from the function's tensors, and conversions to numpy.

    The tensors are all parameters but `self` and `torch`; their shapes are no activations.
    """
    known = {"self", "torch"}
    tainted: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            every = [*node.args.args, *([node.args.vararg] if node.args.vararg else [])]
            tainted |= {each.arg for each in every} - known
    while more := _assigned(function, tainted) - tainted:
        tainted |= more
    found = []
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and root_name(node.func) == "np":
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            found += [f"calls {ast.unparse(node.func)}" for value in values if mentions(value, tainted)]
        if isinstance(node, ast.Attribute) and node.attr in ("numpy", "__array__") and root_name(node) in tainted:
            found.append("converts to numpy")
    return found


def _assigned(function: Function, tainted: set[str]) -> set[str]:
    """Names that are given something computed from tainted ones."""
    pairs: list[tuple[ast.expr, ast.expr]] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            pairs += [(target, node.value) for target in node.targets]
        elif isinstance(node, (ast.AugAssign, ast.NamedExpr)):
            pairs.append((node.target, node.value))
        elif isinstance(node, (ast.For, ast.comprehension)):
            pairs.append((node.target, node.iter))
    return {
        name.id
        for target, value in pairs
        if mentions(value, tainted)
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    }


def mentions(node: ast.AST, names: set[str]) -> bool:
    """Whether an expression depends on one of the variables by more than its shape."""
    if isinstance(node, ast.Attribute) and node.attr == "shape":
        return False
    if isinstance(node, ast.Name):
        return node.id in names
    return any(mentions(child, names) for child in ast.iter_child_nodes(node))


def root_name(node: ast.AST) -> str | None:
    """The variable that a chain of attributes, subscripts and calls starts from."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None
