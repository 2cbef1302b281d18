"""Layer by layer comparison of what the engines computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from nnrules.graph.ir import Graph

Tensors = dict[str, npt.NDArray[np.int8]]


@dataclass(frozen=True)
class Difference:
    """The first value in the order layer, sample, index that an engine computed otherwise than the others agree on."""

    layer: int
    sample: int
    engine: str
    name: str
    index: tuple[int, ...]
    expected: int
    got: int

    def __str__(self) -> str:
        """One line: engine, layer, sample, index within the sample (height, width, channel), expected, got."""
        where = ", ".join(map(str, self.index))
        return (
            f"engine {self.engine} differs first at layer '{self.name}', sample {self.sample}, index [{where}]: "
            f"expected {self.expected}, got {self.got}"
        )


@dataclass
class Comparison:
    """Counts over all samples; fed batch by batch, so that only one batch of activations is in memory.

    `values` counts every integer of a layer once per sample, however many engines computed it; `differing` holds a
    count per engine for each layer.
    """

    graph: Graph
    values: list[int] = field(init=False)
    differing: list[dict[str, int]] = field(init=False)
    samples: dict[str, int] = field(default_factory=dict)
    firsts: list[Difference] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values = [0] * len(self.graph.nodes)
        self.differing = [{} for _ in self.graph.nodes]

    def add(self, start: int, results: Mapping[str, Tensors], shipped: Mapping[str, Tensors]) -> Tensors:
        """Compare one batch whose first sample has the number `start`, and give the tensors that were agreed on.

        results: engine -> every node's tensor. shipped: program -> the graph's outputs; these are held to what the
        engines agree on, and have no vote.
        """
        agreed: Tensors = {}
        for number, node in enumerate(self.graph.nodes):
            arrays = {engine: tensors[node.output] for engine, tensors in results.items()}
            agreed[node.output] = majority(list(arrays.values()))
            self.values[number] += agreed[node.output].size
            if node.output in self.graph.outputs:
                arrays |= {program: tensors[node.output] for program, tensors in shipped.items()}
            for engine, array in arrays.items():
                self._count(number, engine, agreed[node.output], array, start)
        for engine, tensors in results.items():
            self.samples[engine] = self.samples.get(engine, 0) + len(tensors[self.graph.nodes[0].output])
        return agreed

    @property
    def first(self) -> Difference | None:
        """The earliest difference of all: lowest layer, then sample; None when all engines agree."""
        return min(self.firsts, key=lambda one: (one.layer, one.sample), default=None)

    def _count(
        self, layer: int, engine: str, expected: npt.NDArray[np.int8], got: npt.NDArray[np.int8], start: int
    ) -> None:
        wrong = expected != got
        count = int(np.count_nonzero(wrong))
        self.differing[layer][engine] = self.differing[layer].get(engine, 0) + count
        if count:
            place = tuple(int(axis) for axis in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
            name = self.graph.nodes[layer].name
            pair = (int(expected[place]), int(got[place]))
            self.firsts.append(Difference(layer, start + place[0], engine, name, place[1:], *pair))


def majority(arrays: Sequence[npt.NDArray[np.int8]]) -> npt.NDArray[np.int8]:
    """The array that most of the engines computed; at a tie the one of the earliest engine.

    Two engines vote for the same when their arrays are equal throughout. No engine is right by definition, so a fault
    in any single one, the reference too, is laid at its own door.
    """
    votes = [1] * len(arrays)
    for left, right in combinations(range(len(arrays)), 2):
        if np.array_equal(arrays[left], arrays[right]):
            votes[left] += 1
            votes[right] += 1
    return arrays[votes.index(max(votes))]
