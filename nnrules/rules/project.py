"""What a project's SConstruct calls: which targets and models were asked for, what their SConscripts get."""

import atexit
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec
from SCons.Environment import Environment

from nnrules.catalog.sources import Sources
from nnrules.catalog.stages import STAGES, ReportOptions
from nnrules.catalog.toolchain import load_toolchain, target_names, toolchain_path
from nnrules.rules.arguments import VARIABLES, Arguments, parse, refuse_unused
from nnrules.rules.compilers import HOST, host_toolchain
from nnrules.rules.failure import explain_once, explained
from nnrules.rules.journal import Journal
from nnrules.rules.lock import lock
from nnrules.rules.model import declare
from nnrules.rules.prerequisites import require_tools
from nnrules.rules.workspace import TargetFile, Workspace

ALIAS = "all-models"


class Project:
    """One build. `arguments`: the command line's variables (SCons's ARGUMENTS); `variables`: names of those that are
    not ours; `env`: what the SConscripts import.

    Nothing else of the SConstruct is touched: no default target, no environment, no database of signatures.
    """

    @explained
    def __init__(self, arguments: Mapping[str, str], variables: Collection[str] = ()) -> None:
        self.env = Environment(tools=[])
        models = sorted(path.parent.name for path in Path().glob("models/*/SConscript"))
        self.scripts: list[str] = []
        if self.env.GetOption("help"):
            self.env.Help(_help(models))
            return
        chosen = parse(arguments, target_names(), models, variables)
        explain_once()
        self.workspace = self._open(chosen)
        self.env.AddMethod(self._model, "Model")
        self.scripts = [f"models/{name}/SConscript" for name in chosen.models]

    @explained
    def finish(self) -> list[Any]:
        """After the SConscripts: the node of all that was asked for; the record of the build is written at its end."""
        if not self.scripts:
            return []
        workspace = self.workspace
        refuse_unused(workspace.arguments.overrides, workspace.stages)
        if not (self.env.GetOption("no_exec") or self.env.GetOption("clean")):
            atexit.register(workspace.journal.close)
            atexit.register(workspace.sources.save)
        nodes: list[Any] = self.env.Alias(ALIAS, list(workspace.wanted.values()))
        return nodes

    def _open(self, chosen: Arguments) -> Workspace:
        """Take the build folder, after a look for the tools that its targets need."""
        targets = [
            TargetFile(name, path, load_toolchain(path)) for name in chosen.targets for path in [toolchain_path(name)]
        ]
        if not self.env.GetOption("clean"):
            for target in targets:
                require_tools(target.name, target.toolchain)
            require_tools(HOST, host_toolchain())
        self._lock = lock(chosen.build)
        journal = Journal(chosen.build / "last_build.json")
        return Workspace(self.env, Path.cwd(), chosen, targets, Sources(Path(".nnrules/sources.json")), journal)

    @explained
    def _model(self, env: Any, name: str, network: str, dataset: str) -> Any:
        return declare(self.workspace, name, network, dataset)


def _help(models: list[str]) -> str:
    """The text of `scons -h`."""
    described = {name: load_toolchain(toolchain_path(name)).target.description for name in target_names()}
    options = {
        verb: ", ".join(f"{field.name}={field.default!r}" for field in msgspec.structs.fields(stage.options))
        for verb, stage in STAGES.items()
        if stage.options is not ReportOptions  # they are the gate's
    }
    lines = ["scons [target=NAME] [model=NAME] [MODEL.STAGE.OPTION=VALUE ...]", ""]
    lines += (
        _section("Variables", VARIABLES)
        + _section("Models", dict.fromkeys(models, ""))
        + _section("Targets", described)
    )
    lines += _section("Stages, their options and defaults", {verb: text for verb, text in options.items() if text})
    return "\n".join(lines)


def _section(title: str, rows: Mapping[str, str]) -> list[str]:
    width = max(map(len, rows), default=0)
    return [f"{title}:", *(f"  {name:{width}}  {text}".rstrip() for name, text in rows.items()), ""]
