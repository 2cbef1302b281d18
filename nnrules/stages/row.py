"""row: a row of a study, from what was measured of its seeds.

Inputs, one of each for every seed: measured (JSON), float (ONNX). Output: row (JSON).
"""

import statistics
from pathlib import Path
from typing import Any

import msgspec
import onnx
from onnx import numpy_helper

from nnrules.catalog.stages import FLOAT, RowOptions
from nnrules.error import UserError
from nnrules.stages.runner import Request, main


def run(request: Request[RowOptions]) -> None:
    """Write the labels, mean and sample standard deviation (null for one seed) of the metric, and the mean of what the
    programs take."""
    found = [msgspec.json.decode(Path(path).read_bytes()) for path in request.inputs["measured"]]
    metrics = [_metric(each, request) for each in found]
    if request.options.method == FLOAT:
        sizes = {"weight_bytes": [_bytes(Path(path)) for path in request.inputs["float"]]}
    else:
        sizes = {
            "weight_bytes": [each["flash"]["weights"] for each in found],
            "instructions": [each["instructions"] for each in found],
        }
    row = {
        **msgspec.to_builtins(request.options),
        "metric": found[0]["metric"]["name"],
        "metric_mean": statistics.fmean(metrics),
        "metric_std": statistics.stdev(metrics) if len(metrics) > 1 else None,
        "seeds": len(metrics),
        "macs": round(statistics.fmean(each["macs"] for each in found)),
        **{name: _mean(sizes.get(name)) for name in ("weight_bytes", "instructions")},
        "target": found[0]["target"],
        "differing": sum(each["verify"]["differing"] for each in found),
    }
    request.output("row").write_bytes(msgspec.json.format(msgspec.json.encode(row), indent=1) + b"\n")


def _metric(measured: dict[str, Any], request: Request[RowOptions]) -> float:
    if measured["metric"] is None:
        raise UserError(request.model, "its data set has no metric", "define metric_name and metric(outputs)")
    value: float = measured["metric"]["float" if request.options.method == FLOAT else "integer"]
    return value


def _bytes(path: Path) -> int:
    """Of a float model's constants."""
    return sum(numpy_helper.to_array(each).nbytes for each in onnx.load(path).graph.initializer)


def _mean(values: list[int] | None) -> int | None:
    return None if values is None or None in values else round(statistics.fmean(values))


if __name__ == "__main__":
    main(run, RowOptions)
