"""report: one HTML page about a firmware, a picture of what it finds or costs, and one of its arena.

Inputs: measured, verify, plan, console, graph, samples; dataset and data where there are any; widths and sensitivities
(of the stage allot) where bits were chosen.
Outputs: report, picture, arena (SVG).
"""

from pathlib import Path
from typing import Any

import msgspec

from nnrules.catalog.stages import ReportOptions
from nnrules.graph import ir
from nnrules.plan.record import load_plan
from nnrules.stages.runner import Request, main
from nnrules.training.task import Dataset, PicturedDataset, make_dataset
from nnrules.verify import arena, page, profile
from nnrules.verify import samples as held_out
from nnrules.verify.engines import numpy_reference

SCENE = 0
SCENE_HEADING = "Found in one scene"


def run(request: Request[ReportOptions]) -> None:
    """Draw what was found in the built-in scene (without a dataset that can: the layers' cost), and write the page."""
    measured = _json(request.input("measured"))
    console = request.input("console").read_text(encoding="utf-8")
    picture, dataset = request.output("picture"), _dataset(request)
    drawn = draw_scene(request, dataset, console, picture)
    pictured = SCENE_HEADING if drawn else profile.draw(measured, picture)
    widths, sensitivities = request.optional("widths"), request.optional("sensitivities")
    build = page.Build(
        measured=measured,
        verify=_json(request.input("verify")),
        plan=load_plan(request.input("plan")),
        limits=msgspec.structs.asdict(request.options),
        console=console,
        picture=picture.read_bytes(),
        pictured=pictured,
        samples="inputs drawn by lot" if measured["note"] else getattr(dataset, "told", "held-out samples"),
        allotted=_json(widths) if widths else {},
        sensitivities=sensitivities.read_bytes() if sensitivities else b"",
    )
    request.output("arena").write_text(arena.draw(build.plan), encoding="utf-8")
    request.output("report").write_text(page.render(build), encoding="utf-8")


def _dataset(request: Request[ReportOptions]) -> Dataset | None:
    """The test split; None where there is no dataset."""
    if "dataset" not in request.inputs:
        return None
    return make_dataset(request.reference("dataset"), "test", request.optional("data"))


def draw_scene(request: Request[ReportOptions], dataset: Dataset | None, console: str, path: Path) -> bool:
    """Let the dataset draw its built-in scene with the integer model's outputs and the console; False if it cannot."""
    if not isinstance(dataset, PicturedDataset):
        return False
    graph = ir.load(request.input("graph"))
    scene = {name: array[SCENE:] for name, array in held_out.load(graph, request.input("samples"), SCENE + 1).items()}
    results = numpy_reference.run(graph, scene)
    own = graph.at(int(scene[graph.selector][0, 0])) if graph.selector else graph
    tensors = [own.tensors[name] for name in graph.outputs]
    outputs = [tensor.from_nhwc(results[tensor.name])[0] for tensor in tensors]
    dataset.picture(SCENE, outputs, [(tensor.scale, tensor.zero_point) for tensor in tensors], console, path)
    return True


def _json(path: Path) -> Any:
    return msgspec.json.decode(path.read_bytes())


if __name__ == "__main__":
    main(run, ReportOptions)
