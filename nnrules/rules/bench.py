"""`scons bench`: models with weights drawn by lot on many targets, beside other engines' figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from SCons.Script import COMMAND_LINE_TARGETS

from nnrules.catalog.peers import load_peers
from nnrules.catalog.stages import BenchOptions
from nnrules.rules.arguments import Arguments
from nnrules.rules.workspace import Subject, Workspace

TARGET = "bench"
_NAMES = {"results": "results.json", "tables": "results.md", "picture": "results.svg"}


class Benchmark(msgspec.Struct, frozen=True):
    """`file`: other engines' figures, see nnrules.catalog.peers. The tables of a run that leaves nothing out go beside
    it, others into the folder of the build."""

    file: Path

    @classmethod
    def asked_for(cls, file: str | None) -> "Benchmark | None":
        """Where the command line says `bench` and the project knows what that is."""
        return cls(Path(file)) if file is not None and TARGET in COMMAND_LINE_TARGETS else None

    def words(self, given: Mapping[str, str]) -> dict[str, str]:
        """The command line: by default all targets that are compared on, in a folder of its own."""
        targets = ",".join(load_peers(self.file).targets)
        return {"target": targets, **given, "build_dir": f"{given.get('build_dir', 'build')}/{TARGET}"}

    def choose(self, chosen: Arguments, given: Mapping[str, str]) -> bool:
        """Enter the models that are compared, unless some are named; whether nothing is left out."""
        if "model" not in given:
            chosen.models, chosen.named = [model.name for model in load_peers(self.file).models], True
        return not any(name in ("model", "target") or "." in name for name in given)

    def declare(self, workspace: Workspace, whole: bool) -> list[Any]:
        """The stage that compares all that was measured; its nodes. The terminal shows the tables. Where a peer's RAM
        is known, each model is built without rows that stream too."""
        pairs = [(model, target.name) for target in workspace.targets for model in workspace.firmwares]
        known = load_peers(workspace.top / self.file).ram_targets
        both = [(each, target) for target in workspace.targets if target.name in known for each in workspace.firmwares]
        inputs = {
            "peers": [workspace.file(workspace.top / self.file)],
            "measured": [workspace.file(workspace.folder(m, t) / f"{m}.measured.json") for m, t in pairs],
            "graph": [workspace.file(workspace.folder(m) / f"{m}.graph.json") for m, _ in pairs],
        }
        if both:
            inputs["unstreamed"] = [workspace.firmwares[model].unstreamed(target) for model, target in both]
        folder = workspace.top / (self.file.parent if whole else workspace.arguments.build)
        outputs = {name: str(folder / file) for name, file in _NAMES.items()}
        nodes = workspace.add("bench", Subject("all", {}), BenchOptions(), inputs, outputs)
        workspace.engine.journal.tell(nodes["tables"])
        workspace.env.NoClean(list(nodes.values()))
        return list(nodes.values())
