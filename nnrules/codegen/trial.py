"""Programs that try kernels out: every candidate of every layer of some graphs, each once, many in one program."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from nnrules.catalog.kernel import BY_ROWS, Kernel
from nnrules.codegen.model import ModelCode
from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.graph.operator import Operator, Shape
from nnrules.plan.costs import Costs, place
from nnrules.plan.planner import plan_of
from nnrules.plan.select import Candidate, candidates, work

BANDS = (0, 1, 2)  # rows of a layer at a time, 0: all of them
LARGEST_BATCH = 48  # kernels in one program
LARGEST_MEMORY = 1 << 20  # bytes of its tensors together
LARGEST_WEIGHTS = 1 << 20  # bytes of its packed weights together


@dataclass(frozen=True)
class Trial:
    """A kernel in one of its variants on a layer. `layer`: in words; `key`: what its costs are found by."""

    layer: str
    operator: Operator
    shapes: tuple[Shape, ...]
    candidate: Candidate
    key: str

    @property
    def bytes(self) -> int:
        """Of its inputs, its output and its working memory."""
        tensors = (*self.shapes, self.operator.infer(*self.shapes))
        return sum(int(np.prod(shape, dtype=np.int64)) for shape in tensors) + self.candidate.scratch_bytes


def trials(
    graphs: Iterable[Graph], kernels: Sequence[Kernel], isa: tuple[str, ...], describe: Callable[[Graph, Node], str]
) -> list[Trial]:
    """All that is worth trying, equal shapes once: on whole layers, and on bands of rows, but for kernels that take
    rows one by one; those are estimated from the whole layers."""
    found: dict[tuple[str, str], Trial] = {}
    for graph in graphs:
        for node, band in product((node for node in graph.nodes if not node.operator.is_alias), BANDS):
            operator, shapes = work(graph, node, band)
            if band and (operator, shapes) == work(graph, node):  # it does not go by rows, or has no more
                continue
            for candidate in candidates(graph, node, kernels, isa, Costs(), band)[0]:
                if BY_ROWS in candidate.variant:
                    continue
                own = place(candidate.kernel, candidate.parameters)
                trial = Trial(
                    layer=f"{describe(graph, node)}, {band} at a time" if band else describe(graph, node),
                    operator=operator,
                    shapes=tuple(shapes),
                    candidate=candidate,
                    key=own,
                )
                found.setdefault((candidate.kernel.name, own), trial)
    return list(found.values())


def batches(found: Sequence[Trial]) -> Iterator[list[Trial]]:
    """The trials in portions that fit a program."""
    batch: list[Trial] = []
    for trial in found:
        if batch and not _fit([*batch, trial]):
            yield batch
            batch = []
        batch.append(trial)
    yield batch


def _fit(batch: Sequence[Trial]) -> bool:
    """Whether trials fit one program."""
    weights = sum(trial.candidate.weight_bytes for trial in batch)
    memory = sum(trial.bytes for trial in batch)
    return len(batch) <= LARGEST_BATCH and memory <= LARGEST_MEMORY and weights <= LARGEST_WEIGHTS


class TrialProgram:
    """A model whose layers are trials, each with inputs and an output of its own."""

    def __init__(self, batch: Sequence[Trial], target: str) -> None:
        tensors: dict[str, Tensor] = {}
        nodes = []
        for index, trial in enumerate(batch):
            names = [f"x{index}_{number}" for number in range(len(trial.shapes))]
            shapes = [*trial.shapes, trial.operator.infer(*trial.shapes)]
            for name, shape in zip([*names, f"y{index}"], shapes, strict=True):
                tensors[name] = Tensor(name=name, shape=shape, scale=1.0, zero_point=0)
            nodes.append(Node(name=f"{index}", inputs=tuple(names), output=f"y{index}", operator=trial.operator))
        inputs = tuple(name for node in nodes for name in node.inputs)
        outputs = tuple(node.output for node in nodes)
        self.graph = Graph(name="trial", inputs=inputs, outputs=outputs, tensors=tensors, nodes=tuple(nodes))
        self.code = ModelCode(self.graph, plan_of(self.graph, target, [(trial.candidate, ()) for trial in batch]))

    @property
    def functions(self) -> list[str]:
        """The C function of each trial; equal ones are one."""
        return [step.call.partition("(")[0] for step in self.code.steps]

    @cached_property
    def inputs(self) -> list[np.ndarray]:
        """One sample for each input, drawn by lot."""
        generator = np.random.default_rng(0)
        shapes = [(1, *self.graph.tensors[name].shape) for name in self.graph.inputs]
        return [generator.integers(-128, 128, shape).astype(np.int8) for shape in shapes]

    def expected(self) -> bytes:
        """What the program has to write."""
        values = self.graph.run(*self.inputs)
        return b"".join(values[name].tobytes() for name in self.graph.outputs)
