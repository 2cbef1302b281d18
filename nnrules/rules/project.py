"""What a project's SConstruct calls: which targets and models were asked for, what their SConscripts get."""

import atexit
import gc
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec
from SCons.Environment import Environment
from SCons.Script import GetLaunchDir

from nnrules.cache import settings
from nnrules.catalog.space import group_of
from nnrules.catalog.stages import STAGES, Options, Recipe, ReportOptions, RowOptions, StudyOptions, default_of
from nnrules.catalog.toolchain import load_toolchain, target_names, toolchain_path
from nnrules.error import UserError
from nnrules.rules import study as studies
from nnrules.rules import tune
from nnrules.rules.arguments import VARIABLES, Arguments, named_values, parse, refuse_unused
from nnrules.rules.bench import TARGET as BENCH
from nnrules.rules.bench import Benchmark
from nnrules.rules.compilers import HOST, host_toolchain
from nnrules.rules.engine import MEMORY, Engine
from nnrules.rules.failure import caller, explain_once, explained
from nnrules.rules.imported import import_model, model_name
from nnrules.rules.lock import lock, lock_signatures
from nnrules.rules.model import declare, search_for
from nnrules.rules.options import DESCRIBED, wishes
from nnrules.rules.origin import claim
from nnrules.rules.prerequisites import require_tools
from nnrules.rules.slots import Slots
from nnrules.rules.workspace import TargetFile, Workspace

ALIAS = "all-models"
_NOT_ASKED_FOR = (ReportOptions, RowOptions, StudyOptions)  # the gate's, and what a study says


class Project:
    """One build. `arguments`: the command line's variables (SCons's ARGUMENTS); `variables`: names of those that are
    not ours; `resources`: what heavy stages share, see Slots; `benchmark`: a file for `scons bench`, see Benchmark;
    `study`: the SConscript of `scons study`, see Study.

    `env`: what the SConscripts import; `database`: a place for SCons's signatures that two builds in two folders do not
    share.

    Nothing else of the SConstruct is touched: no default target, no environment, no database of its own accord.
    """

    @explained
    def __init__(
        self,
        arguments: Mapping[str, str],
        variables: Collection[str] = (),
        resources: Mapping[str, int | str] | None = None,
        benchmark: str | None = None,
        study: str | None = None,
    ) -> None:
        self.env = Environment(tools=[])
        self.env.Decider("content")
        models = sorted(path.parent.name for path in Path().glob("models/*/SConscript"))
        self.scripts: list[str] = []
        self.database = ".sconsign"
        self._studies: list[studies.Study] = []
        if self.env.GetOption("help"):
            self.env.Help(_help(models, benchmark, study))
            return
        self._benchmark = Benchmark.asked_for(benchmark)
        words = self._benchmark.words(arguments) if self._benchmark else arguments
        studied = studies.is_asked_for(study)
        words = studies.words(arguments) if studied else words
        chosen = parse(words, target_names(), models, variables)
        self._whole = self._benchmark is not None and self._benchmark.choose(chosen, arguments)
        self._study_is_whole = studies.is_whole(arguments)
        if studied:
            studies.choose(chosen)
        if tune.is_asked_for():
            tune.choose(chosen, arguments, benchmark)
        self.database = str(chosen.build.absolute() / ".sconsign")
        explain_once()
        self.workspace = self._open(chosen, resources or {})
        self.workspace.seeded = self._benchmark is not None or tune.is_asked_for()
        self.env.AddMethod(self._model, "Model")
        self.env.AddMethod(self._import, "ImportModel")
        self.env.AddMethod(explained(search_for), "Search")
        self.env.AddMethod(self._cache, "NNCache")
        self.env.AddMethod(self._study, "Study")
        self.scripts = [f"models/{name}/SConscript" for name in chosen.models]
        if studied and study is not None:
            self.scripts.append(study)
        if chosen.onnx is not None:
            self._import_given(chosen.onnx, chosen.samples)
        gc.disable()  # what is declared stays: looking through it for garbage takes a quarter of a null build

    @explained
    def finish(self) -> list[Any]:
        """After the SConscripts: the node of all that was asked for; the record of the build is written at its end."""
        if not self.scripts and (self.env.GetOption("help") or not self.workspace.wanted):
            return []
        gc.enable()
        gc.freeze()
        workspace = self.workspace
        refuse_unused(workspace.arguments.overrides, workspace.stages)
        for promise in workspace.promises:
            promise()
        if self._benchmark:
            self.env.Alias(BENCH, self._benchmark.declare(workspace, self._whole))
        if tune.is_asked_for():
            self.env.Alias(tune.TARGET, tune.declare(workspace))
        if self._studies:
            self.env.Alias(studies.TARGET, [each.declare(self._study_is_whole) for each in self._studies])
        if not self.env.GetOption("no_exec"):
            self._signatures = lock_signatures(MEMORY, workspace.arguments.build)
        if self.env.GetOption("no_exec"):
            workspace.engine.foresee()
            atexit.register(workspace.engine.tell_forecast)
        elif not self.env.GetOption("clean"):
            if not self.env.GetOption("question"):
                workspace.engine.open()
                self._claim()
            atexit.register(workspace.engine.close)
        nodes: list[Any] = self.env.Alias(ALIAS, list(workspace.asked_for.values()))
        return nodes

    def _open(self, chosen: Arguments, resources: Mapping[str, int | str]) -> Workspace:
        """Take the build folder, after a look for the tools that its targets need."""
        targets = [
            TargetFile(name, path, load_toolchain(path)) for name in chosen.targets for path in [toolchain_path(name)]
        ]
        if not self.env.GetOption("clean"):
            for target in targets:
                require_tools(target.name, target.toolchain)
            require_tools(HOST, host_toolchain())
        self._lock = lock(chosen.build)
        engine = Engine(Path.cwd(), chosen.build, Path(chosen.data).resolve() if chosen.data else None, wishes())
        engine.settings = settings(chosen.cache, os.environ, Path.cwd())
        return Workspace(self.env, Path.cwd(), chosen, targets, engine, Slots(resources))

    @explained
    def _cache(self, env: Any, place: str, **options: Any) -> None:
        """`env.NNCache(place, size=, read_only=, push=)`: the cache, unless `cache=` or NNRULES_CACHE names one."""
        if self.workspace.arguments.cache is None and not os.environ.get("NNRULES_CACHE"):
            self.workspace.engine.settings = settings(place, os.environ, self.workspace.top, place=caller(), **options)

    def _import_given(self, onnx: str, samples: str | None) -> None:
        """The model of `onnx=`; paths are seen from the folder in which scons was called."""
        place, start = f"onnx={onnx}", Path(GetLaunchDir())
        paths = {"onnx": str(start / onnx)} | ({"samples": str(start / samples)} if samples is not None else {})
        for (word, path), text in zip(paths.items(), (onnx, samples), strict=False):
            if Path(path).is_dir():
                raise UserError(f"{word}={text}", "is a folder", "name the file in it")
            if not Path(path).is_file():
                raise UserError(f"{word}={text}", "there is no such file", "correct the path")
        name = model_name(place, Path(onnx))
        self.workspace.given[name] = Path(paths["onnx"]).resolve()
        import_model(self.workspace, name, place=place, **paths).Firmware()

    def _claim(self) -> None:
        """Let the folders of all models be about those of this build."""
        for name in self.workspace.asked_for:
            folder = self.workspace.folder(name)
            if claim(folder, name, self.workspace.given.get(name), target_names()):
                told = f"{folder} held another model of that name: its results are removed"
                self.workspace.engine.terminal.say(told)

    @explained
    def _import(self, env: Any, name: str, onnx: str, **options: Any) -> Any:
        return import_model(self.workspace, name, onnx, **options)

    def _model(self, env: Any, *given: Any, **named: Any) -> Any:
        return declare(self.workspace, *given, **named)

    @explained
    def _study(self, env: Any, file: str, title: str = "", notes: str = "") -> studies.Study:
        """`env.Study(file, title=, notes=)`: see Study."""
        self._studies.append(studies.Study(self.workspace, file, title, notes))
        return self._studies[-1]


def _help(models: list[str], benchmark: str | None, study: str | None) -> str:
    """The text of `scons -h`."""
    described = {name: load_toolchain(toolchain_path(name)).target.description for name in target_names()}
    options = {"(training)": ", ".join(_described(Recipe, None))}
    for verb, stage in STAGES.items():
        if stage.options not in _NOT_ASKED_FOR and group_of(verb) == verb:
            trains = issubclass(stage.options, Recipe)
            words = _described(stage.options, Recipe if trains else None)
            options[verb] = ", ".join([*words, *(["those of (training)"] if trains else [])])
    lines = ["scons [target=NAME] [model=NAME] [MODEL.STAGE.OPTION=VALUE ...]"]
    lines += [f"scons {BENCH}: seeded models beside other engines' figures ({benchmark})"] if benchmark else []
    lines += [f"scons {studies.TARGET}: variants of models in one table ({study})"] if study else []
    lines += [f"scons {tune.TARGET}: what every kernel costs on the models' layers is measured and recorded", ""]
    lines += (
        _section("Variables", VARIABLES)
        + _section("Options, beside those of scons (-n: what would run)", DESCRIBED)
        + _section("Models", dict.fromkeys(models, ""))
        + _section("Targets", described)
    )
    lines += _section("Stages, their options and defaults", {verb: text for verb, text in options.items() if text})
    return "\n".join(lines)


def _described(kind: type[Options], base: type[Options] | None) -> list[str]:
    """Options with their defaults, but those that are as in ``base``."""
    known = {each.name: each.default for each in msgspec.structs.fields(base)} if base else {}
    return [
        f"{each.name}={'|'.join([repr(default_of(each)), *named_values(each.type)])}"
        for each in msgspec.structs.fields(kind)
        if not (each.name in known and known[each.name] == each.default)
    ]


def _section(title: str, rows: Mapping[str, str]) -> list[str]:
    width = max(map(len, rows), default=0)
    return [f"{title}:", *(f"  {name:{width}}  {text}".rstrip() for name, text in rows.items()), ""]
