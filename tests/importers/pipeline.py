"""A model file through the stages' own functions, as far as the integer graph, and how far that is from the file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.gaps import is_quantized
from nnrules.compress.qdq import quantized_model
from nnrules.graph.emit import integer_model
from nnrules.graph.importers import import_model
from nnrules.graph.importers.samples import drawn, read_samples
from nnrules.graph.ir import Graph
from nnrules.graph.lowering import lower
from nnrules.stages.evaluate import float_runner, integer_runner
from nnrules.stages.quantize import calibrated, completed
from nnrules.verify.qdq import QdqDistance

FILES = Path(__file__).with_name("files")


class Given:
    """Samples as the stages see them."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.x, self.drawn = arrays["x0"], "drawn" in arrays

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self.x[index], 0


@dataclass(frozen=True)
class Imported:
    """`imported`: normalised; `quantized`: with nothing left out; `x`: real samples."""

    imported: onnx.ModelProto
    quantized: onnx.ModelProto
    graph: Graph
    x: np.ndarray
    folder: Path

    def distances(self) -> dict[str, dict[str, int]]:
        """By tensor, how many values differ from ONNX Runtime's given equal inputs, and by how much."""
        onnx.save(self.quantized, self.folder / "quantized.onnx")
        distance = QdqDistance(self.graph, self.folder / "quantized.onnx")
        source = self.graph.tensors[self.graph.inputs[0]]
        integers = source.to_nhwc(source.quantize(self.x))
        distance.add({source.name: integers}, self.graph.run(integers))
        found = zip(self.graph.nodes, distance.layers(), strict=True)
        return {node.output: layer for node, layer in found if layer is not None}

    def outputs(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(the imported model's by ONNX Runtime, the integer model's) real outputs."""
        onnx.save(self.imported, self.folder / "imported.onnx")
        onnx.save(integer_model(self.graph), self.folder / "integer.onnx")
        exact = float_runner(self.folder / "imported.onnx")((self.x,))
        return list(zip(exact, integer_runner(self.folder / "integer.onnx", self.graph)((self.x,)), strict=True))


def through(path: Path, folder: Path, samples: Path | None = None, name: str = "net") -> Imported:
    """Import, quantize what is not, lower."""
    beside = [each for each in path.parent.iterdir() if each.name.startswith(path.stem) and each != path]
    model = import_model(path, name, beside)
    given = Given(read_samples(samples, model) if samples else drawn(model, name, 16))
    options = QuantizeOptions(method="minmax", samples=64)
    if is_quantized(model):
        finished, _ = completed(model, given, options, name)
    else:
        finished = quantized_model(model, calibrated(model, given, options, name))
    return Imported(model, finished, lower(finished, name), given.x, folder)
