"""What a training stage leaves behind: weights, and a log with the metric."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnrules.training.metric import measure
from nnrules.training.task import Dataset, Floats
from nnrules.training.weights import save_weights

if TYPE_CHECKING:
    from torch import nn


def finish(network: nn.Module, test: Dataset, log: dict[str, Any], weights: Path, log_file: Path, title: str) -> None:
    """Write the weights and `log` with the metric on `test` added, and print the metric after `title`."""
    save_weights(network, weights)
    write_log(log, evaluated(network, test), log_file, title)


def evaluated(network: nn.Module, test: Dataset) -> dict[str, Any] | None:
    """The metric on `test`, see measure, on whatever device the network is."""
    import torch

    network.eval()
    device = next((each.device for each in network.parameters()), torch.device("cpu"))

    def infer(batch: tuple[Floats, ...]) -> list[Floats]:
        with torch.no_grad():
            output = network(*(torch.from_numpy(each).to(device) for each in batch))
        outputs = output if isinstance(output, tuple | list) else [output]
        return [each.cpu().numpy() for each in outputs]

    return measure(test, infer)


def write_log(log: dict[str, Any], metric: dict[str, Any] | None, log_file: Path, title: str) -> None:
    """Write `log` with the metric added, and print that after `title`, what is trained."""
    if metric:
        told = f"{title}: {metric['name']} {metric['value']} on {metric['samples']} test samples"
        print(told, file=sys.stderr, flush=True)
    log_file.write_text(json.dumps({**log, "metric": metric}, indent=1) + "\n", encoding="utf-8")
