"""One build inside somebody else's: opened by the first model, shared by all environments of the SConstruct."""

import atexit
import os
import sys
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import msgspec
from SCons.Node.FS import get_default_fs
from SCons.Script import ARGUMENTS
from SCons.Script.SConscript import SConsEnvironment

from nnrules.cache import settings
from nnrules.catalog.stages import STAGES
from nnrules.catalog.toolchain import load_toolchain, target_names, toolchain_path
from nnrules.error import UserError
from nnrules.rules.arguments import Arguments, parse, refuse_unused
from nnrules.rules.budget import Budget
from nnrules.rules.compilers import HOST, host_toolchain
from nnrules.rules.engine import MEMORY, Engine
from nnrules.rules.failure import caller, explain_once, explained
from nnrules.rules.firmware import Firmware, TargetFirmware
from nnrules.rules.foreign.isa import PORTABLE, Features, named
from nnrules.rules.foreign.library import FeatureFirmware, Library, release, with_options
from nnrules.rules.foreign.nodes import Objects
from nnrules.rules.imported import import_model
from nnrules.rules.lock import lock, lock_signatures
from nnrules.rules.model import declare, search_for
from nnrules.rules.options import DESCRIBED, Wishes, wishes
from nnrules.rules.prerequisites import require_tools
from nnrules.rules.slots import Slots
from nnrules.rules.workspace import TargetFile, Workspace

BUILD_OPTIONS = ("build_dir", "cache", "data")
BUILD = "build/nnrules"


@dataclass(frozen=True)
class Wish:
    """What a SConstruct says of the whole build, and where."""

    place: str
    value: str


class Workshop:
    """`top`: the folder of the SConstruct. The command line has the last word over `wishes`."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.objects = Objects()
        self._wishes: dict[str, Wish] = {}
        self._scripts: dict[Path, Firmware] = {}
        self._folders: dict[str, Path] = {}
        self._libraries: dict[tuple[str, str], Library] = {}

    def wish(self, place: str, name: str, value: Any) -> None:
        """Take an option of the whole build. Raises UserError where another value was said, or is in use."""
        known = self._wishes.setdefault(name, Wish(place, str(value)))
        if known.value != str(value):
            raise UserError(place, f"{name}={value} is not the {name}={known.value} of {known.place}", "say it once")
        if known.place == place and "workspace" in self.__dict__:
            raise UserError(place, f"{name}={value} comes after the first NNModel", "say it before")

    def use_cache(self, place: str, text: str, options: dict[str, Any]) -> None:
        """As env.NNCache of a project of ours: unless the command line or NNRULES_CACHE names one."""
        if self.workspace.arguments.cache is None and not os.environ.get("NNRULES_CACHE"):
            self.workspace.engine.settings = settings(text, os.environ, self.top, place=place, **options)

    @cached_property
    def workspace(self) -> Workspace:
        """Opened when it is first needed; the process's folder is the top then."""
        env, chosen = SConsEnvironment(tools=[]), self.arguments()
        env.Decider("content")
        engine = Engine(self.top, chosen.build, Path(chosen.data).resolve() if chosen.data else None, _wishes())
        engine.settings = settings(chosen.cache, os.environ, self.top)
        env.AddMethod(self._declare, "Model")
        env.AddMethod(self._import, "ImportModel")
        env.AddMethod(explained(search_for), "Search")
        self._start(env, chosen, engine)
        return Workspace(env, self.top, chosen, [], engine, Slots({}))

    def firmware(self, script: Path) -> Firmware:
        """What a model's SConscript declares, read once. Raises UserError unless it declares one model, complete."""
        if script not in self._scripts:
            workspace, known = self.workspace, set(self.workspace.firmwares)
            workspace.env.SConscript(str(script), exports={"env": workspace.env, "Budget": Budget})
            names = sorted(workspace.firmwares.keys() - known)
            place = self._told(script)
            if not names:
                raise UserError(place, "declares no firmware", "end the model with .Firmware()")
            if len(names) > 1:
                cure = "give each a folder of its own"
                raise UserError(place, f"declares {len(names)} models: {', '.join(names)}", cure)
            mine = {key: values for key, values in workspace.arguments.overrides.items() if key[0] == names[0]}
            refuse_unused(mine, workspace.stages)
            self._scripts[script] = workspace.firmwares[names[0]]
        return self._scripts[script]

    def for_target(self, firmware: Firmware, name: str) -> Library:
        """The C for a target of toolchains/, verified, measured and held to its budget there."""
        path = toolchain_path(name)
        toolchain = load_toolchain(path)
        if not self.workspace.env.GetOption("clean"):
            require_tools(name, toolchain)
        made = TargetFirmware(with_options(firmware), TargetFile(name, path, toolchain))
        return self._library(made, tuple(each for each in toolchain.isa if each != PORTABLE))

    def for_features(self, firmware: Firmware, isa: Features) -> Library:
        """The C for an instruction set, verified on this machine."""
        host = msgspec.structs.replace(host_toolchain(), runner=None)
        target = TargetFile(named(isa), toolchain_path(HOST), host)
        return self._library(FeatureFirmware(with_options(firmware, isa), target), isa)

    def _library(self, made: TargetFirmware, isa: Features) -> Library:
        key = made.common.subject.model, made.target.name
        if key not in self._libraries:
            self._libraries[key] = release(made, isa)
            if self.workspace.env.GetOption("no_exec"):
                self.workspace.engine.foresee()
        return self._libraries[key]

    def arguments(self) -> Arguments:
        """What of the command line is ours: the rest belongs to the user's own SConstruct."""
        words = {"build_dir": BUILD} | {name: wish.value for name, wish in self._wishes.items()}
        words |= {name: value for name, value in ARGUMENTS.items() if name in BUILD_OPTIONS or _is_option(name)}
        chosen = parse(words, target_names(), [])
        chosen.data = chosen.data and str(Path(chosen.data).absolute())
        return chosen

    def _start(self, env: Any, chosen: Arguments, engine: Engine) -> None:
        """Take the build folder, and see to it that the build's record is written."""
        explain_once()
        if env.GetOption("help"):
            return
        if env.GetOption("no_exec"):
            atexit.register(self._tell_unused)
            atexit.register(engine.tell_forecast)
            return
        self._locks = lock(chosen.build), lock_signatures(self.top / MEMORY, chosen.build)
        if not env.GetOption("clean"):
            require_tools(HOST, host_toolchain())
            engine.open()
            atexit.register(self._tell_unused)
            atexit.register(engine.close)

    def _tell_unused(self) -> None:
        """A line for an option of a stage that no model took; not where SCons came to no step."""
        workspace, journal = self.workspace, self.workspace.engine.journal
        if any(map(journal.reached, journal.steps)):
            overrides = workspace.arguments.overrides
            meant = {key: values for key, values in overrides.items() if key[1] in STAGES}
            try:
                refuse_unused(meant, workspace.stages)
            except UserError as fault:
                workspace.engine.terminal.error(str(fault))

    @explained
    def _declare(self, env: Any, name: str, *given: Any, **named: Any) -> Any:
        """env.Model of the model's SConscript."""
        self._claim(env, caller(), name)
        return declare(self.workspace, name, *given, **named)

    @explained
    def _import(self, env: Any, name: str, onnx: str, **named: Any) -> Any:
        """env.ImportModel of the model's SConscript."""
        self._claim(env, caller(), name)
        return import_model(self.workspace, name, onnx, **named)

    def _claim(self, env: Any, place: str, name: str) -> None:
        """Raises UserError where a model of that name is in another folder too."""
        folder = Path(env.Dir(".").srcnode().get_abspath())
        if name in self._folders:
            fault = f"there is a model {name!r} in {self._told(self._folders[name])} too"
            raise UserError(place, fault, "rename one of them")
        self._folders[name] = folder

    def _told(self, path: Path) -> str:
        return str(path.relative_to(self.top) if path.is_relative_to(self.top) else path)


def _is_option(name: str) -> bool:
    """facedet.train.epochs; a word whose middle is no stage is refused when the first part is a model of this build."""
    return name.count(".") >= 2


def _wishes() -> Wishes:
    """Our options are added only where one is used: their names are the user's otherwise."""
    words = [*sys.argv, *os.environ.get("SCONSFLAGS", "").split()]
    ours = {name.partition("=")[0] for name in DESCRIBED}
    return wishes() if any(word.partition("=")[0] in ours for word in words) else Wishes()


@cache
def workshop() -> Workshop:
    """The one of this process."""
    return Workshop(Path(get_default_fs().Top.get_abspath()))
