"""Bits of weights by layer beside the same bits in all layers: what they take and how good they are.

    python -m benchmarks.mixed

trains `models/digits` unless the folder has it, and writes docs/mixed.md.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import onnx

from nnrules.catalog.markdown import markdown
from nnrules.catalog.stages import EvaluateOptions, ExportOptions, LowerOptions, Options, QuantizeOptions, TrainOptions
from nnrules.compress.quantizers.mixed_precision import own_layers, size_of
from nnrules.stages import allot, evaluate, export, lower, quantize, train
from nnrules.stages.runner import Request

TOP = Path(__file__).resolve().parents[1]
DIGITS = TOP / "models/digits"
SIZES = (60_000, 38_000, 28_000, 24_000, 21_000)  # bytes
UNIFORM = (8, 4, 3, 2)
PAGE = """# Bits by layer

`models/digits` with `ptq` and 8-bit inputs: weights of the same bits in all layers, and of those that `mixed_precision`
chooses within a size. Made by `python -m benchmarks.mixed`, one seed; the float network has {exact:.4f}.

{table}
"""


class Row(msgspec.Struct, frozen=True):
    """`size`: what was asked for, None where all layers have the same bits; `bits`: of the layers in their order."""

    size: int | None
    bits: tuple[int, ...]
    bytes: int
    metric: float


def main() -> None:
    """Train, measure all, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=TOP / "build/mixed", help="where the float network is kept")
    parser.add_argument("--page", type=Path, default=TOP / "docs/mixed.md", help="what is written")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    trained(given.folder)
    rows = [row(given.folder, bits=bits) for bits in UNIFORM] + [row(given.folder, size=size) for size in SIZES]
    given.page.write_text(page(rows, metric(given.folder)["float"]), encoding="utf-8")


def ask(folder: Path, verb: str, options: Options, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> Request:
    """A stage's request whose files are called by what they are."""
    given = {"network": [f"{DIGITS / 'network.py'}:ResNet"], "dataset": [f"{DIGITS / 'dataset.py'}:Digits"]}
    given |= {name: [str(folder / file)] for name, _, file in (each.partition("=") for each in inputs)}
    made = {name: str(folder / file) for name, _, file in (each.partition("=") for each in outputs)}
    return Request(verb, "digits", "", options, given, made)


def trained(folder: Path) -> None:
    """The float network, as its SConscript trains it."""
    if not (folder / "float").is_file():
        options = TrainOptions(epochs=12, batch_size=32)
        train.run(ask(folder, "train", options, outputs=["weights=weights", "log=log"]))
        export.run(ask(folder, "export", ExportOptions(), ["weights=weights"], ["model=float"]))


def row(folder: Path, bits: int = 8, size: int | None = None) -> Row:
    """Quantize and measure."""
    options = QuantizeOptions(method="ptq", weight_bits=bits, first_bits=bits, last_bits=bits)
    layers = own_layers(onnx.load(folder / "float"))
    found, inputs = dict.fromkeys(layers, bits), ["model=float"]
    if size is not None:
        options = QuantizeOptions(method="mixed_precision", base="ptq", size=size)
        allot.run(ask(folder, "allot", options, inputs, ["widths=widths", "picture=widths.png"]))
        chosen = json.loads((folder / "widths").read_text(encoding="utf-8"))
        found = {name: each["weights"] for name, each in chosen.items()}
        options, inputs = msgspec.structs.replace(options, method="ptq"), [*inputs, "widths=widths"]
    quantize.run(ask(folder, "quantize", options, inputs, ["model=qdq", "qparams=qparams"]))
    lower.run(ask(folder, "lower", LowerOptions(), ["model=qdq"], ["graph=graph", "integer=integer"]))
    held = {each.name: each for each in onnx.load(folder / "float").graph.initializer}
    counts = {name: int(onnx.numpy_helper.to_array(held[node.input[1]]).size) for name, node in layers.items()}
    taken = sum(size_of(counts[name], each) for name, each in found.items())
    return Row(size, tuple(found.values()), taken, metric(folder)["integer"])


def metric(folder: Path) -> dict[str, float]:
    """Of the float network, and of the integers that were made last."""
    inputs = ["graph=graph", "float=float", "integer=integer"]
    evaluate.run(ask(folder, "evaluate", EvaluateOptions(), inputs, ["metric=metric"]))
    found: dict[str, float] = json.loads((folder / "metric").read_text(encoding="utf-8"))
    return found


def page(rows: Sequence[Row], exact: float) -> str:
    """Markdown, the largest first."""
    lines = [
        [
            f"{each.bits[0]} bits" if each.size is None else f"`size={each.size}`",
            " ".join(map(str, each.bits)),
            f"{each.bytes:,}",
            f"{each.metric:.4f}",
        ]
        for each in sorted(rows, key=lambda each: -each.bytes)
    ]
    heading = ["weights", "bits by layer", "bytes", "accuracy"]
    return PAGE.format(exact=exact, table=markdown(heading, lines, left=(0, 1)))


if __name__ == "__main__":
    main()
