"""What all models of a build share (folders, targets, command line), and how a step is added."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from nnrules.catalog.paths import KERNELS, files_in
from nnrules.catalog.stages import Options
from nnrules.catalog.toolchain import Runner, Toolchain
from nnrules.error import UserError
from nnrules.rules.arguments import Arguments
from nnrules.rules.engine import Engine
from nnrules.rules.failure import caller
from nnrules.rules.slots import Slots
from nnrules.rules.stage import Stage
from nnrules.rules.step import Step, StepAction
from nnrules.rules.templates import TEMPLATE_SCANNER


class TargetFile(msgspec.Struct, frozen=True):
    """A target that was asked for."""

    name: str
    path: Path
    toolchain: Toolchain


@dataclass(frozen=True)
class Subject:
    """What a stage is about. `target` None: the same for all targets. `files`: nodes of what the references read;
    `programs`: commands that the data set runs; `resources`: by stage, see Slots; `data`: the nodes of the data set,
    None: the folder of the command line."""

    model: str
    references: Mapping[str, str]
    target: str | None = None
    files: list[Any] = field(default_factory=list)
    resources: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    programs: Sequence[str] = ()
    data: list[Any] | None = None


@dataclass
class Workspace:
    """`env`: an Environment of our own, without tools; `top`: the project's folder, from which all paths are taken.

    names: see check_model_name. stages: the verbs of every model. wanted: the nodes of every model's last step.
    dear: models that are only built when they are named. firmwares: the Firmware of every model that has come so far.
    seeded: weights are drawn by lot, whatever the SConscripts say. given: the model of the command line's file.
    promises: to be called once all SConscripts are read, what raises UserError where one of them was not kept.
    """

    env: Any
    top: Path
    arguments: Arguments
    targets: list[TargetFile]
    engine: Engine
    slots: Slots
    names: dict[str, str] = field(default_factory=dict)
    stages: dict[str, list[str]] = field(default_factory=dict)
    wanted: dict[str, list[Any]] = field(default_factory=dict)
    dear: set[str] = field(default_factory=set)
    seeded: bool = False
    given: dict[str, Path] = field(default_factory=dict)
    firmwares: dict[str, Any] = field(default_factory=dict)
    promises: list[Callable[[], None]] = field(default_factory=list)
    _nodes: dict[str, Any] = field(default_factory=dict)
    _named: dict[tuple[int, ...], str] = field(default_factory=dict)

    @property
    def asked_for(self) -> dict[str, list[Any]]:
        """The nodes of all that the command line asks for, by model."""
        left_out = set() if self.arguments.named else self.dear
        return {name: nodes for name, nodes in self.wanted.items() if name not in left_out}

    def file(self, path: Path | str) -> Any:
        """The node of a file, by its path from the top; other folders by their absolute path."""
        return self._node(str(path), self.env.fs.Top.File)

    def dir(self, path: Path | str) -> Any:
        """The node of a folder, likewise."""
        return self._node(str(path), self.env.fs.Top.Dir)

    def _node(self, path: str, make: Callable[[str], Any]) -> Any:
        """Without env.File, which looks for variables in every name. Thousands are asked for again and again."""
        if path not in self._nodes:
            self._nodes[path] = make(path.removeprefix(f"{self.top}/"))
        return self._nodes[path]

    def folder(self, model: str, target: str | None = None) -> Path:
        """Where a model, or a model for a target, is built."""
        return self.arguments.build / model / (target or "")

    def data(self, subject: Subject) -> dict[str, list[Any]]:
        """The input `data` of stages that read a model's data set, none where it needs none."""
        if subject.data is not None:
            return {"data": subject.data}
        folder = self.arguments.data
        return {"data": self.tree((self.top / folder).resolve())} if folder else {}

    def tree(self, path: Path) -> list[Any]:
        """The nodes of a file, or of all files in a folder."""
        self.engine.keys.base(path if path.is_dir() else path.parent)
        return [self.file(each) for each in (files_in(path) if path.is_dir() else [path])]

    def _names(self, nodes: Sequence[Any]) -> str:
        """Their digest, made once for what many stages share."""
        key = tuple(map(id, nodes))
        if key not in self._named:
            self._named[key] = self.engine.keys.names(nodes)
        return self._named[key]

    def add(
        self,
        verb: str,
        subject: Subject,
        options: Options,
        inputs: Mapping[str, Sequence[Any]],
        outputs: Mapping[str, str],
        runner: Runner | None = None,
        searched: Sequence[str] = (),
        alternatives: Sequence[Options] = (),
    ) -> dict[str, Any]:
        """Declare a stage; the nodes of its outputs by name.

        outputs: names of files in the subject's folder, {} stands for the model's name. runner: what the stage runs
        programs with. searched, alternatives: see Stage.
        """
        folder = self.folder(subject.model, subject.target)
        if subject.references and subject.files:
            inputs = {**inputs, "files": subject.files}
        needs = self.slots.checked(subject.resources.get(verb, {}))
        stage = Stage(
            model=subject.model,
            target=subject.target,
            name=verb,
            inputs={name: list(given) for name, given in inputs.items()},
            outputs={name: self.file(folder / file.format(subject.model)) for name, file in outputs.items()},
            names={name: self._names(given) for name, given in inputs.items() if len(given) > 1},
            options=options,
            references=subject.references,
            sources=self.engine.sources,
            tools=self._tools(runner, subject.programs if "dataset" in subject.references else ()),
            data="" if subject.data is not None else self.arguments.data or "",
            fresh="gpu" in needs,
            searched=tuple(searched),
            alternatives=tuple(alternatives),
        )
        extra = {"source_scanner": TEMPLATE_SCANNER} if verb == "generate" else {}
        self.declare(stage, **extra)
        for slot in self.slots.take(needs):
            self.env.SideEffect(self.file(self.arguments.build / f".slots/{slot}"), stage.first)
        return dict(stage.outputs)

    def declare(self, step: Step, **settings: Any) -> Any:
        """Tell SCons of a step; the node of its first output. Raises UserError for a second one of its kind."""
        nodes = list(step.outputs.values())
        if step.first.has_builder():
            cure = 'give this one a variant: .Variant("name") before it'
            raise UserError(caller(), f"{step.model} has a {step.name} already", cure)
        sources = [node for given in step.inputs.values() for node in given]
        self.env.Command(nodes, sources, StepAction(step, self.engine), **settings)
        for node in nodes:
            node.set_nocache()
        self.engine.expect(step)
        return step.first

    def kernel_descriptions(self) -> list[Any]:
        """The nodes of all kernels/**/*.toml."""
        return [self.file(path) for path in _descriptions()]

    def _tools(self, runner: Runner | None, programs: Sequence[str]) -> dict[str, str]:
        """The versions of the emulator and of what the user's data set runs."""
        commands = [runner.command[0], *programs] if runner else programs
        return {Path(command).name: self.engine.tools.version(command) for command in commands if "{" not in command}


@cache
def _descriptions() -> list[Path]:
    return sorted(KERNELS.rglob("*.toml"))
