"""fit: a trained network quantized and trained on, by one of compress/quantizers that do so.

Inputs: network, dataset, weights; optional data, teacher (weights) and teacher_network. Outputs: weights
(safetensors: the values that the codes stand for), codes (safetensors: int8, by layer), quantizers (JSON:
nnrules.compress.fitting.Fitted by layer), log (loss, metric).
"""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from safetensors.torch import save_file

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress import fitting
from nnrules.compress.widths import with_allotted
from nnrules.stages.runner import Request, Work, main
from nnrules.stages.teachers import find_teacher
from nnrules.training.launchers import launch
from nnrules.training.loop import fit
from nnrules.training.ranks import is_writer
from nnrules.training.repeatable import prepare
from nnrules.training.report import evaluated, write_log
from nnrules.training.task import make_dataset, make_network, stacked
from nnrules.training.weights import load_weights, save_weights

if TYPE_CHECKING:
    from lightning_fabric import Fabric

EXAMPLES = 32  # from which quantizers start


def run(request: Request[QuantizeOptions]) -> None:
    """Insert quantizers and train; resumes like training does."""
    launch(quantize, Work(request, request.checkpoints), request.options, f"quantize {request.model}")


def quantize(fabric: "Fabric", work: Work[QuantizeOptions]) -> None:
    """In each process; the first one writes the outputs."""
    request = work.request
    options = with_allotted(request.options, request.optional("widths"))
    prepare(options.seed, options.threads)
    dataset = make_dataset(request.reference("dataset"), "train", request.optional("data"))
    network = make_network(request.reference("network"))
    load_weights(network, request.input("weights"))
    teacher = find_teacher(request, network)
    count = min(EXAMPLES, len(dataset))
    examples = tuple(torch.from_numpy(each) for each in stacked(dataset, range(count)))
    widths = fitting.insert(network, examples, options, request.model)
    method: Any = importlib.import_module(f"nnrules.compress.quantizers.{options.method}")
    losses: list[float] = []
    least = min((min(each.weights, each.inputs) for each in widths.values() if not each.skipped), default=0)
    for bits, epochs in phases(options, getattr(method, "PROGRESSIVE", 0), least):
        if bits:
            fitting.set_bits(network, bits)
        title = f"quantize {request.model}" + (f" to {bits} bits" if bits else "")
        folder = work.checkpoints / str(bits)
        losses += fit(
            network, dataset, options, epochs, folder, title, fabric, lambda: fitting.penalty(network),
            after_epoch=_after(request.after_epoch, len(losses)), teacher=teacher,
        )  # fmt: skip
    if not is_writer(fabric, options):
        return
    test = make_dataset(request.reference("dataset"), "test", request.optional("data"))
    log = {"loss": losses, "widths": msgspec.to_builtins(widths)}
    write_log(log, evaluated(network, test), request.output("log"), f"quantize {request.model}")
    codes, fitted = fitting.finish(network)
    save_weights(network, request.output("weights"))
    save_file({name: each.contiguous() for name, each in codes.items()}, request.output("codes"))
    request.output("quantizers").write_bytes(msgspec.json.format(msgspec.json.encode(fitted), indent=1) + b"\n")


def _after(told: Callable[[int, Any], None] | None, before: int) -> Callable[[int, Any], None] | None:
    """Counts the epochs of the phases before."""
    return (lambda epoch, network: told(before + epoch, network)) if told else None


def phases(options: QuantizeOptions, first: int, least: int) -> list[tuple[int, int]]:
    """(bits, epochs) one after the other; bits 0: as they are. ``first``: bits of the first phase, 0: there are no
    phases; ``least``: the fewest bits there are. The last phase has as many epochs as any: where they are too few for
    all phases, it is the first ones that are left out."""
    each = options.progressive_epochs
    if not first or not each:
        return [(0, options.epochs)]
    count = max(0, min(first - least, options.epochs // each - 1))
    return [*((least + count - index, each) for index in range(count)), (least, options.epochs - count * each)]


if __name__ == "__main__":
    main(run, QuantizeOptions)
