"""release: the verified C as a library: what other builds compile, with what CMake and Make need, and the figures.

Inputs: source, header, selftest, port, plan, verify, metric, passed (the budget), the templates cmake_template and
make_template; measured where the target was measured. Outputs: source, header, selftest, port, cmake, make, figures.
"""

import shutil
from pathlib import Path
from typing import Any

import jinja2
import msgspec

from nnrules.catalog.names import c_identifier
from nnrules.catalog.stages import ReleaseOptions
from nnrules.error import UserError
from nnrules.plan.record import Plan, load_plan
from nnrules.stages.runner import Request, main
from nnrules.verify.objects import digests

FILES = ("source", "header", "selftest", "port")


def run(request: Request[ReleaseOptions]) -> None:
    """Copy the C; write the rest."""
    for name in FILES:
        shutil.copyfile(request.input(name), request.output(name))
    for name in ("cmake", "make"):
        request.output(name).write_text(_filled(request, request.input(f"{name}_template")), encoding="utf-8")
    record = figures(request, load_plan(request.input("plan")))
    request.output("figures").write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def figures(request: Request[ReleaseOptions], plan: Plan) -> dict[str, Any]:
    """What is known of the library; `ram`, `flash` and `instructions` only where a program was measured."""
    verify, metric = _json(request.input("verify")), _json(request.input("metric"))
    measured = request.optional("measured")
    told = _json(measured) if measured else {}
    return {
        "model": request.model,
        "target": request.target,
        "arena": plan.arena_bytes,
        "layers": [{"name": layer.name, "op": layer.op, "kernel": layer.kernel} for layer in plan.layers],
        "metric": metric if metric["name"] else None,
        "verify": {name: verify[name] for name in ("samples", "values", "differing", "engines")},
        "budget": _json(request.input("passed"))["limits"],
        **{name: told[name] for name in ("macs", "instructions", "ram", "flash") if name in told},
        "files": _digests(request, verify["objects"]),
    }


def _filled(request: Request[ReleaseOptions], template: Path) -> str:
    prefix = c_identifier(request.model)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    names = {"model": request.model, "target": request.target, "prefix": prefix, "macro": prefix.upper()}
    return environment.from_string(template.read_text(encoding="utf-8")).render(names)


def _digests(request: Request[ReleaseOptions], verified: dict[str, str]) -> dict[str, str]:
    """SHA-256 by file name. Raises UserError for a file that is not the one that was verified."""
    found = digests(str(request.input(name)) for name in FILES)
    for name, digest in found.items():
        if verified.get(name, digest) != digest:
            raise UserError(name, "is not what was verified", "build it again")
    return found


def _json(path: Path) -> Any:
    return msgspec.json.decode(path.read_bytes())


if __name__ == "__main__":
    main(run, ReleaseOptions)
