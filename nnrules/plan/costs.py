"""What kernels were measured to cost on a target: kernels/costs/<target>.json, written by `scons tune`.

A kernel's cost follows from the layer's shape and the kernel's own parameters, not from weights, zero points and
scales, but for how many vectors of weights are left where it skips those that are zero: one entry serves every layer
of the same shape. Layers without an entry have the kernel's own estimate.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from nnrules.catalog.kernel import PLAIN, Kernel
from nnrules.catalog.paths import KERNELS

UNMEASURED_CODE = 1024  # bytes of a function, above the mean on every target, where no entry is of its kernel
_WEIGHTLESS = (
    "acc_bits",
    "m1",
    "m2",
    "c",
    "k",
    "reciprocal",
    "weight_low",
    "weight_high",
    "weight_step",
    "x_low",
    "x2_low",
    "y_low",
)  # parameters that follow from weights or scales

_OF_SOME = PLAIN.keys() - {"levels"}


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel on one layer. `layer`: for people; `code`: bytes of code of its own, without what kernels share."""

    layer: str
    instructions: int
    code: int


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """`compiler`: its version; `templates`: digests of the kernels' templates that were measured; `costs`: by kernel,
    then by `key`."""

    compiler: str = ""
    templates: dict[str, str] = {}
    costs: dict[str, dict[str, Cost]] = {}

    def instructions(self, kernel: Kernel, parameters: Mapping[str, Any]) -> float:
        """Of one run, measured or else estimated."""
        known = self.measured(kernel, parameters)
        return kernel.instructions(parameters) if known is None else known

    def measured(self, kernel: Kernel, parameters: Mapping[str, Any]) -> float | None:
        """Of one run, None where it was not measured."""
        known = self.costs.get(kernel.name, {}).get(place(kernel, parameters))
        return float(known.instructions) if known else None

    def code(self, kernel: Kernel, parameters: Mapping[str, Any]) -> int:
        """Bytes of its function, without what kernels share: measured, else the most measured of the kernel."""
        known = self.costs.get(kernel.name, {})
        own = known.get(place(kernel, parameters))
        return own.code if own else max((each.code for each in known.values()), default=UNMEASURED_CODE)


def key(parameters: Mapping[str, Any]) -> str:
    """What the costs of a kernel depend on, in 16 hex digits."""
    kept = {
        name: value
        for name, value in parameters.items()
        if name not in _WEIGHTLESS and not name.endswith(("zero_point", "zero_points"))
    }
    return sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def place(kernel: Kernel, parameters: Mapping[str, Any]) -> str:
    """The key of a kernel's costs on a layer: how narrow its weights are and how many are zero counts only where the
    kernel's description speaks of it."""
    return key({name: value for name, value in parameters.items() if name not in _OF_SOME or kernel.heeds(name)})


def template_digest(kernel: Kernel) -> str:
    """Of the template that costs belong to, in 16 hex digits."""
    return sha256(kernel.template.read_bytes()).hexdigest()[:16]


def costs_file(target: str, folder: Path = KERNELS) -> Path:
    """Where a target's costs are, if it has any."""
    return folder / "costs" / f"{target}.json"


def load_costs(path: Path) -> Costs:
    """Read a file of costs; no costs where there is none. Raises msgspec.ValidationError where it is something else."""
    return msgspec.json.decode(path.read_bytes(), type=Costs) if path.is_file() else Costs()


def dump_costs(costs: Costs) -> bytes:
    """The file: kernels and layers in order, a layer a line; equal costs in equal bytes."""
    encode = msgspec.json.encode
    kernels = []
    for name, each in sorted(costs.costs.items()):
        rows = [encode(place) + b":" + encode(cost) for place, cost in sorted(each.items(), key=_order)]
        kernels.append(encode(name) + b":{\n" + b",\n".join(rows) + b"\n}")
    head = encode({"compiler": costs.compiler, "templates": dict(sorted(costs.templates.items()))})
    return head[:-1] + b',\n"costs":{\n' + b",\n".join(kernels) + b"\n}}\n"


def _order(entry: tuple[str, Cost]) -> tuple[str, str]:
    return entry[1].layer, entry[0]
