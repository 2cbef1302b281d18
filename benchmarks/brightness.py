"""What the face detector finds in scenes that are darker or brighter than those of its data set.

    scons model=facedet && python -m benchmarks.brightness [--build build] [--epochs 12] [--scenes 500]

Compares the float network with three int8 ones of the same weights: static scales chosen on scenes as they are, static
scales chosen on scenes of every brightness, and method dynamic_qformat. A scene is its picture times the brightness,
with no other loss, as from a sensor of more than eight bits. Does so for the network as it was built, and after it has
been trained on with scenes of every brightness. Writes docs/brightness.md.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from nnrules.catalog.stages import QuantizeOptions, TrainOptions
from nnrules.compress.qdq import quantized_model
from nnrules.graph.emit import integer_model
from nnrules.graph.format_tables import untabled
from nnrules.graph.formats import joined
from nnrules.graph.lowering import lower
from nnrules.stages.evaluate import float_runner, integer_runner
from nnrules.stages.quantize import calibrated, of_formats
from nnrules.stages.references import load_reference
from nnrules.training.loop import fit
from nnrules.training.metric import measure
from nnrules.training.onnx_export import export
from nnrules.training.repeatable import prepare
from nnrules.training.weights import load_weights

TOP = Path(__file__).resolve().parents[1]
BRIGHTNESS = {"1/16": 1 / 16, "1/4": 1 / 4, "1": 1.0, "2": 2.0, "4": 4.0}
COLUMNS = ("float", "static int8", "static int8, all", "dynamic Q-format")
SAMPLES = 256  # that scales are chosen on
PAGE = """# Brightness

Average precision of `facedet` (AP@0.4) on its {scenes} test scenes, each picture times the brightness on the left, with
no other loss: as from a sensor of more than eight bits. All int8 networks have the float one's weights. *Static int8*:
scales chosen on scenes as they are (`percentile`); *all*: on scenes of every brightness from 1/16 to 4; *dynamic
Q-format*: `dynamic_qformat` with its defaults, calibrated on scenes as they are, each picture choosing its own format.
Made by `python -m benchmarks.brightness`.

## As it is built

{built}
## Trained on for {epochs} epochs with scenes of every brightness

{lit}"""


def main() -> None:
    """Train on, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=TOP / "build", help="where facedet was built")
    parser.add_argument("--epochs", type=int, default=12, help="of training on")
    parser.add_argument("--scenes", type=int, default=500, help="of the test split")
    parser.add_argument("--page", type=Path, default=TOP / "docs/brightness.md", help="what is written")
    given = parser.parse_args()
    weights = given.build / "facedet/facedet.trained.safetensors"
    if not weights.is_file():
        parser.error(f"there is no {weights}; run scons model=facedet")
    prepare(1, 1)
    network = load_reference(f"{TOP / 'models/facedet/network.py'}:FaceDet")()
    load_weights(network, weights)
    built = table(network, given.scenes)
    recipe = TrainOptions(epochs=given.epochs, learning_rate=0.002)
    with tempfile.TemporaryDirectory() as folder:
        fit(network, lit("train"), recipe, recipe.epochs, Path(folder), "train on")
    page = PAGE.format(scenes=given.scenes, epochs=given.epochs, built=built, lit=table(network, given.scenes))
    given.page.write_text(page, encoding="utf-8")


def lit(split: str, brightness: float = 0.0, length: int | None = None) -> Any:
    """The scenes of a split at one brightness, or (0) each at another one from 1/16 to 4."""
    scenes = load_reference(f"{TOP / 'models/facedet/dataset.py'}:FaceScenes")

    class Lit(scenes):
        """The pictures times their brightness."""

        input_quantization = scenes.input_quantization if brightness == 1 else None

        def __getitem__(self, index: int) -> Any:
            picture, target = super().__getitem__(index)
            chance = np.random.default_rng([self.epoch, index, 7])
            return picture * np.float32(brightness or 2 ** chance.uniform(-4, 2)), target

    return Lit(split, length=length)


def table(network: Any, scenes: int) -> str:
    """A network's metric at each brightness, float and quantized, as Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        runners = quantized(network, Path(folder))
        rows = [f"| brightness | {' | '.join(COLUMNS)} |", f"|---|{'---|' * len(COLUMNS)}"]
        for name, brightness in BRIGHTNESS.items():
            found = [measure(lit("test", brightness, scenes), runners[column]) for column in COLUMNS]
            cells = [name, *(f"{each['value']:.3f}" for each in found if each)]
            rows.append(f"| {' | '.join(cells)} |")
            print(rows[-1], flush=True)
    return "\n".join(rows) + "\n"


def quantized(network: Any, folder: Path) -> Mapping[str, Any]:
    """Runners of the network and of its int8 versions, by column."""
    (folder / "float.onnx").write_bytes(export(network.eval(), lit("test", 1.0), "network.py"))
    model = onnx.load(folder / "float.onnx")
    static = QuantizeOptions(method="percentile", samples=SAMPLES)
    records = [calibrated(model, lit("train", each), static, "facedet") for each in (1.0, 0.0)]
    graphs = [lower(quantized_model(model, record), "facedet") for record in records]
    formats = QuantizeOptions(method="dynamic_qformat", samples=SAMPLES)
    dynamic, _ = of_formats(model, lit("train", 1.0), formats, "facedet")
    graphs.append(joined([lower(each, "facedet") for each in untabled(dynamic)], "format"))
    runners = [float_runner(folder / "float.onnx")]
    for number, graph in enumerate(graphs):
        path = folder / f"{number}.onnx"
        onnx.save(integer_model(graph), path)
        runners.append(integer_runner(path, graph))
    return dict(zip(COLUMNS, runners, strict=True))


if __name__ == "__main__":
    main()
