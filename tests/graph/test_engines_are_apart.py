"""No engine uses another's arithmetic: held by reading the source, because equal results would not show it."""

from pathlib import Path

import pytest

import nnrules.graph
from tests.graph.engines import SHARED, Functions, violations

FOLDER = Path(nnrules.graph.__file__).parent
MODULES = [*(FOLDER / f"{name}.py" for name in ("emit", "ir", "operator", "requant")), *FOLDER.glob("ops/[!_]*.py")]
MODULES += [FOLDER.parent / "verify/engines/torch_simulation.py"]
SOURCES = {path.stem: path.read_text() for path in MODULES}
SIMULATE = "    def simulate(self, torch: Any, *inputs: Any) -> Any:\n"
APPLY = "    def simulate(self, torch: Any, acc: Any) -> Any:\n"
EMIT = '    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:\n'
REFERENCE = "    def reference(self, *inputs: np.ndarray) -> np.ndarray:\n"


def test_engines_are_apart() -> None:
    assert violations(SOURCES) == []


@pytest.mark.parametrize(
    ("module", "function", "line", "fault"),
    [
        (
            "conv2d", SIMULATE, "return torch.as_tensor(self.reference(*inputs))",
            "conv2d.Conv2d.reference serves reference and simulate",
        ),
        (
            "conv2d", SIMULATE, "same = self.reference",
            "conv2d.Conv2d.reference serves reference and simulate",
        ),
        (
            "conv2d", SIMULATE, "return self.requantization.apply(inputs[0])",
            "requant.Requantization.apply serves reference and simulate",
        ),
        (
            "requant", APPLY, "return requantize(acc, self.multiplier, self.shift, self.zero_point, -128, 127)",
            "requant.requantize serves reference and simulate",
        ),
        (
            "max_pool2d", SIMULATE, "padded = self.geometry.pad(inputs[0], -128)",
            "operator.Geometry.pad serves reference and simulate",
        ),
        (
            "average_pool2d", EMIT, "counts = self.geometry.counts(3, 3)",
            "operator.Geometry.counts serves reference and emit",
        ),
        (
            "average_pool2d", EMIT, "counts = self.geometry.counts(3, 3)",
            "operator.Geometry.window serves reference and emit",
        ),
        (
            "softmax", EMIT, "self.simulate(None, output)",
            "softmax.Softmax.simulate serves simulate and emit",
        ),
        (
            "add", REFERENCE, "return self.simulate(None, *inputs)",
            "add.Add.simulate serves reference and simulate",
        ),
        (
            "add", REFERENCE, "import torch; total = torch.as_tensor(inputs[0])",
            "add.Add.reference serves reference and uses torch",
        ),
        (
            "add", SIMULATE, "total = inputs[0] * 2; same = total; return np.clip(same, -128, 127)",
            "add.Add.simulate serves simulate and calls np.clip",
        ),
        (
            "lookup", SIMULATE, "return self.table[inputs[0].numpy()]",
            "lookup.Lookup.simulate serves simulate and converts to numpy",
        ),
        (
            "lookup", SIMULATE, "return getattr(self, 'refer' + 'ence')(*inputs)",
            "lookup.Lookup.simulate looks names up by getattr",
        ),
    ],
)  # fmt: skip
def test_a_planted_violation_is_found(module: str, function: str, line: str, fault: str) -> None:
    text = SOURCES[module]
    assert text.count(function) == 1
    assert fault in violations(SOURCES | {module: text.replace(function, f"{function}        {line}\n")})


def test_a_violation_through_a_new_helper_is_found() -> None:
    helper = "\n    def summed(self, x: Any) -> Any:\n        return self.geometry.window(x, 0, 0, (1, 1))\n\n"
    text = SOURCES["max_pool2d"].replace(SIMULATE, f"{helper}{SIMULATE}        inputs = [self.summed(inputs[0])]\n")
    assert "operator.Geometry.window serves reference and simulate" in violations(SOURCES | {"max_pool2d": text})


def test_a_driver_that_runs_the_reference_is_found() -> None:
    text = SOURCES["torch_simulation"].replace("    import torch\n", "    return graph.run(*samples.values())\n")
    assert "conv2d.Conv2d.reference serves reference and simulate" in violations(SOURCES | {"torch_simulation": text})


def test_what_may_be_shared_exists() -> None:
    assert set(Functions.of(SOURCES).by_name) >= SHARED
