"""What all models of a build share (folders, targets, command line, journal), and how a stage is added."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnrules.catalog.paths import KERNELS
from nnrules.catalog.stages import Options
from nnrules.catalog.toolchain import Toolchain
from nnrules.rules.arguments import Arguments
from nnrules.rules.journal import Entry, Journal
from nnrules.rules.stage import Stage, StageAction
from nnrules.rules.templates import TEMPLATE_SCANNER


@dataclass(frozen=True)
class TargetFile:
    """A target that was asked for."""

    name: str
    path: Path
    toolchain: Toolchain


@dataclass(frozen=True)
class Subject:
    """What a stage is about. `target` None: the same for all targets."""

    model: str
    references: Mapping[str, str]
    target: str | None = None


@dataclass
class Workspace:
    """`env`: an Environment of our own, without tools; `top`: the project's folder, from which all paths are taken.

    names: see check_model_name. stages: the verbs of every model. wanted: the nodes of every model's last step.
    """

    env: Any
    top: Path
    arguments: Arguments
    targets: list[TargetFile]
    sources: Any
    journal: Journal
    names: dict[str, str] = field(default_factory=dict)
    stages: dict[str, list[str]] = field(default_factory=dict)
    wanted: dict[str, list[Any]] = field(default_factory=dict)

    def file(self, path: Path | str) -> Any:
        """The node of a file, by its path from the top; other folders by their absolute path."""
        path = self.top / path
        return self.env.File(f"#{path.relative_to(self.top)}" if path.is_relative_to(self.top) else str(path))

    def folder(self, model: str, target: str | None = None) -> Path:
        """Where a model, or a model for a target, is built."""
        return self.arguments.build / model / (target or "")

    @property
    def data(self) -> dict[str, list[Any]]:
        """The input `data` of stages that read the data set: the folder named on the command line."""
        return {"data": [self.arguments.data]} if self.arguments.data else {}

    def add(
        self,
        verb: str,
        subject: Subject,
        options: Options,
        inputs: Mapping[str, Sequence[Any]],
        outputs: Mapping[str, str],
    ) -> dict[str, Any]:
        """Declare a stage; the nodes of its outputs by name.

        outputs: names of files in the subject's folder, {} stands for the model's name.
        """
        folder = self.folder(subject.model, subject.target)
        nodes = {name: self.file(folder / file.format(subject.model)) for name, file in outputs.items()}
        known = {name: list(given) for name, given in inputs.items()}
        stage = Stage(verb, subject.model, subject.target, options, subject.references, known, nodes)
        action = StageAction(stage, self.sources, self.journal)
        files = [node for given in known.values() for node in given if node != self.arguments.data]
        if "data" in known:
            files += [self.file(path) for path in sorted(Path(known["data"][0]).rglob("*")) if path.is_file()]
        extra = {"source_scanner": TEMPLATE_SCANNER} if verb == "generate" else {}
        self.env.Command(list(nodes.values()), files, action, **extra)
        first = next(iter(nodes.values()))
        self.journal.expect(Entry(subject.model, subject.target, verb, first))
        return nodes

    def kernel_descriptions(self) -> list[Any]:
        """The nodes of all kernels/**/*.toml."""
        return [self.file(path) for path in sorted(KERNELS.rglob("*.toml"))]
