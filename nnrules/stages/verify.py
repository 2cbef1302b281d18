"""verify: the held-out samples through every engine, all layers' integers compared; any difference fails the build.

Inputs: graph, integer, float, model (QDQ), samples, host_trace, objects; toolchain where the C is for one target, and
target_trace and target_check where that has a runner. Outputs: verify.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from nnrules.catalog.stages import VerifyOptions
from nnrules.catalog.toolchain import load_toolchain
from nnrules.error import UserError
from nnrules.graph import ir
from nnrules.stages.runner import Request, main
from nnrules.verify import samples as held_out
from nnrules.verify.compare import Comparison
from nnrules.verify.engines import c_program, numpy_reference, torch_simulation
from nnrules.verify.engines.onnx_runtime import OnnxRuntime
from nnrules.verify.listing import print_layers
from nnrules.verify.objects import digests
from nnrules.verify.program import Program
from nnrules.verify.qdq import QdqDistances
from nnrules.verify.sqnr import Sqnr

BATCH = 16

Samples = dict[str, npt.NDArray[np.int8]]
Engine = Callable[[Samples], dict[str, npt.NDArray[np.int8]]]


def run(request: Request[VerifyOptions]) -> None:
    """Compare, and write the counts. Raises UserError that names the first difference, after the table of layers."""
    graph = ir.load(request.input("graph"))
    inputs = held_out.load(graph, request.input("samples"), request.options.host_samples)
    sqnr, qdq = Sqnr(graph, request.input("float")), QdqDistances(graph, request.input("model"))
    comparison = Comparison(graph)
    for batch, agreed in compare(comparison, inputs, Engines.of(graph, request), request.options.target_samples):
        sqnr.add(batch, agreed)
        qdq.add(batch, agreed)
    record = summary(comparison, sqnr.decibels(), qdq.layers(), request.inputs["objects"])
    if comparison.first:
        print_layers(record)
        cure = "that engine is wrong there; the table above counts the differing values of every layer"
        raise UserError(f"verify {request.model} on {request.target}", str(comparison.first), cure)
    require_near(record["layers"], f"verify {request.model} on {request.target}")
    request.output("verify").write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def require_near(layers: list[dict[str, Any]], place: str) -> None:
    """Raises UserError for a layer that is more than one step from the QDQ model, which rounds otherwise but no more,
    given equal inputs: then it is not the layer that the model describes."""
    for layer in layers:
        distance = layer["qdq"]["largest"] if layer["qdq"] else 0
        if distance > 1:
            fault = f"layer '{layer['name']}' is {distance} steps from the QDQ model, given equal inputs"
            raise UserError(place, fault, "at most 1 is rounding: report this model")


@dataclass(frozen=True)
class Engines:
    """The engines by name. `host` and `target` give every layer, `shipped` (the shipped objects) the outputs only."""

    host: dict[str, Engine]
    target: dict[str, Engine]
    shipped: dict[str, Engine]

    @classmethod
    def of(cls, graph: ir.Graph, request: Request[VerifyOptions]) -> "Engines":
        """All that there are: those of the target need a runner and samples."""
        oracle = OnnxRuntime(graph, request.input("integer"))
        seconds = request.options.timeout
        on_host = Program("c-host", request.input("host_trace"), timeout=seconds)
        host: dict[str, Engine] = {
            "torch": lambda batch: torch_simulation.run(graph, batch),
            "numpy": lambda batch: numpy_reference.run(graph, batch),
            "onnxruntime": oracle.run,
            "c-host": lambda batch: c_program.trace(graph, on_host, batch),
        }
        toolchain = request.optional("toolchain")
        runner = load_toolchain(toolchain).runner if toolchain else None
        if runner is None or not request.options.target_samples:
            return cls(host, {}, {})
        traced = Program("c-target", request.input("target_trace"), runner.command, seconds)
        check = Program("c-target-shipped", request.input("target_check"), runner.command, seconds)
        return cls(
            host,
            {traced.name: lambda batch: c_program.trace(graph, traced, batch)},
            {check.name: lambda batch: c_program.outputs(graph, check, batch)},
        )


def compare(
    comparison: Comparison, inputs: Samples, engines: Engines, target_samples: int
) -> Iterator[tuple[Samples, Samples]]:
    """Run the samples through the engines, batch by batch; the target's see those below `target_samples` only.

    Gives each batch's inputs and the tensors that were agreed on.
    """
    count = len(next(iter(inputs.values())))
    first = min(count, target_samples) if engines.target else 0
    for start, stop in batches(count, first):
        batch = {name: array[start:stop] for name, array in inputs.items()}
        complete = {**engines.host, **engines.target} if start < first else engines.host
        shipped = engines.shipped if start < first else {}
        yield batch, comparison.add(start, _results(complete, batch), _results(shipped, batch))


def _results(engines: dict[str, Engine], batch: Samples) -> dict[str, Samples]:
    return {name: engine(batch) for name, engine in engines.items()}


def batches(count: int, first: int) -> Iterator[tuple[int, int]]:
    """Ranges that cover `count` samples: one of the first `first` where that is not 0, then some of at most BATCH.

    >>> list(batches(40, 4))
    [(0, 4), (4, 20), (20, 36), (36, 40)]
    """
    edges = [*([0] if first else []), *range(first, count, BATCH), count]
    yield from pairwise(edges)


def summary(
    comparison: Comparison, decibels: list[float | None], qdq: list[dict[str, int] | None], objects: list[str]
) -> dict[str, Any]:
    """The record verify.json: counts in all and by layer, and the SHA-256 of the objects that were compared.

    `qdq` tells of the model for other tools, which is no engine: how many of its values differ, given equal inputs.
    """
    graph = comparison.graph
    layers = [
        {
            "name": node.name,
            "op": node.operator.op,
            "shape": graph.tensors[node.output].shape,
            "values": comparison.values[index],
            "differing": comparison.differing[index],
            "sqnr_db": decibels[index],
            "qdq": qdq[index],
        }
        for index, node in enumerate(graph.nodes)
    ]
    return {
        "samples": comparison.samples["numpy"],
        "target_samples": comparison.samples.get("c-target", 0),
        "values": sum(comparison.values),
        "differing": sum(sum(counts.values()) for counts in comparison.differing),
        "engines": list(comparison.samples),
        "layers": layers,
        "objects": digests(objects),
    }


if __name__ == "__main__":
    main(run, VerifyOptions)
