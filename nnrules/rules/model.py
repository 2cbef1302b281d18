"""What a SConscript calls: env.Model().Train().Prune().Quantize().Firmware(); each step is a list of SCons nodes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Self

import msgspec
from SCons.Node import NodeList

from nnrules.catalog import pruners, quantizers
from nnrules.catalog.names import check_model_name
from nnrules.catalog.sources import reference_file
from nnrules.catalog.space import NETWORK, group_of
from nnrules.catalog.stages import STAGES, GateOptions, Options, QuantizeOptions, Recipe, ReportOptions
from nnrules.catalog.toolchain import toolchain_path
from nnrules.error import UserError, suggest
from nnrules.plan.costs import costs_file
from nnrules.rules import arguments
from nnrules.rules.failure import caller, explained
from nnrules.rules.firmware import Firmware
from nnrules.rules.origins import Teacher, outputs_of_script, recipe, require_python, with_teacher
from nnrules.rules.quantizing import require_heeded
from nnrules.rules.recipes import require_effect
from nnrules.rules.search import Searched, search
from nnrules.rules.workspace import Subject, Workspace

_PACKAGE = Path(__file__).resolve().parents[1]
RECORDED = f"{_PACKAGE}/datasets/recorded.py:Recorded"


class Step(NodeList):
    """The nodes of a stage's outputs, and the steps that may follow."""

    def __init__(self, model: "Declaration", nodes: Mapping[str, Any]) -> None:
        super().__init__(nodes.values())
        self.model, self.nodes = model, nodes
        model.workspace.wanted[model.subject.model] = list(nodes.values())

    def __getattr__(self, name: str) -> Any:
        if name[:1].isupper():
            steps = [each for each in dir(type(self)) if each[:1].isupper()]
            here = caller()
            explained(_refuse)(here, f"{type(self).__name__.lower()} has no step {name!r}", suggest(name, steps))
        return super().__getattr__(name)

    @explained
    def Variant(self, name: str) -> Self:  # noqa: N802
        """The same model up to here under a name of its own, `<model>-<name>`: what follows is another's than the
        model's, what came before is built once for all variants."""
        return type(self)(self.model.variant(f"{self.model.subject.model}-{name}"), self.nodes)


class Declaration(msgspec.Struct, frozen=True, eq=False):
    """A model as its SConscript names it. Any stage's options may have `resources`, what it takes while it runs.
    `searched`: what a search says to its steps; `line`: the models whose variant this is."""

    workspace: Workspace
    subject: Subject
    searched: Searched | None = None
    line: tuple[str, ...] = ()

    def variant(self, name: str) -> "Declaration":
        """The same under another name; made only when it is asked for wherever that is so of this one."""
        workspace, model = self.workspace, self.subject.model
        check_model_name(caller(), name, workspace.names)
        if model in workspace.dear:
            workspace.dear.add(name)
        workspace.stages[name] = []
        subject = replace(self.subject, model=name, resources=dict(self.subject.resources))
        return msgspec.structs.replace(self, subject=subject, line=(*self.line, model))

    def options(self, verb: str, declared: Mapping[str, Any]) -> Options:
        """The options of one of the model's stages, checked; the command line has the last word."""
        name, workspace = self.subject.model, self.workspace
        workspace.stages.setdefault(name, []).append(verb)
        declared = dict(declared)
        if resources := declared.pop("resources", None):
            if not isinstance(resources, Mapping):
                fault = f"{verb} option 'resources': {resources!r} is no table"
                raise UserError(caller(), fault, 'write it like resources={"gpu": 1}')
            self.subject.resources[verb] = resources
        overrides = workspace.arguments.overrides.pop((name, verb), {})
        if self.searched:
            declared = self.searched.declared(name, verb, declared, overrides)
        chosen = arguments.options(caller(), verb, declared, overrides, name)
        self.require_methods(verb, chosen, overrides)
        searched = self.searched.taken.get((name, verb), ()) if self.searched else ()
        if verb == "quantize":
            require_heeded(caller(), name, chosen, declared, overrides, searched)
        if isinstance(chosen, Recipe):
            most: Any = self.searched.most(verb, chosen, searched) if self.searched else chosen
            require_effect(caller(), f"{name}.{verb}", most, overrides, searched)
        return chosen

    def add(
        self,
        verb: str,
        options: Options,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, str],
        *references: str,
        teacher: Teacher | None = None,
        **more: str,
    ) -> dict[str, Any]:
        """Declare a stage of the model that is the same for all targets. `outputs`: see Workspace; `more`: references
        that are not the model's own."""
        named = {**{name: self.subject.references[name] for name in references}, **more}
        inputs = {**inputs, **teacher[0]} if teacher else inputs
        given = {name: node if isinstance(node, list) else [node] for name, node in inputs.items()}
        names, alternatives = self._from_search(verb, options)
        if self.searched and (names or (self.searched.has_arguments and "network" in references)):
            given["best"] = [self.searched.best]
        subject = with_teacher(replace(self.subject, references=named), teacher)
        return self.workspace.add(verb, subject, options, given, outputs, searched=names, alternatives=alternatives)

    def is_taken(self, group: str) -> bool:
        """Whether a step up to here has what a search chose of its options; the network's arguments always are had."""
        known = self.searched.taken if self.searched else {}
        return group == NETWORK or any((name, group) in known for name in (*self.line, self.subject.model))

    def is_searched(self, group: str, option: str) -> bool:
        """Whether a search chooses an option of a step, which has been declared."""
        return bool(self.searched and option in self.searched.taken.get((self.subject.model, group), ()))

    def _from_search(self, verb: str, options: Options) -> tuple[tuple[str, ...], list[Options]]:
        """The options of a stage that a search chooses, and what they may become."""
        group = group_of(verb)
        names = self.searched.taken.get((self.subject.model, group), ()) if self.searched else ()
        return names, self.searched.alternatives(options, group, names) if self.searched and names else []

    @staticmethod
    def trains(method: str) -> bool:
        """Whether a quantizer is trained along with the network."""
        return quantizers.method(method).trains

    def require_methods(self, verb: str, options: Options, overrides: Mapping[str, Any]) -> None:
        """Raises UserError, at the place where it was chosen, for an option that names a method which no file has."""
        for pattern in STAGES[verb].plugins:
            folder, _, rest = pattern.partition("{")
            option = rest.partition("}")[0]
            name = getattr(options, option, None)
            if option and name not in _methods(folder):
                place = f"{self.subject.model}.{verb}.{option}={name}" if option in overrides else caller()
                raise UserError(place, f"{verb} has no {option} {name!r}", suggest(str(name), _methods(folder)))
            if option == "method" and verb == "prune":
                self._require_use(str(name), options, overrides)

    def _require_use(self, method: str, options: Options, overrides: Mapping[str, Any]) -> None:
        """Raises UserError for an option, or a value of `scope`, that other pruners have and this one does not."""
        defaults = type(options)()
        for name in type(options).__struct_fields__:
            users, value = pruners.users(name), getattr(options, name)
            if users and method not in users and value != getattr(defaults, name):
                place = f"{self.subject.model}.prune.{name}={value}" if name in overrides else caller()
                raise UserError(place, f"{method} does not use {name}", f"it is for {', '.join(users)}")
        known, scope = pruners.scopes(method), getattr(options, "scope", "")
        if known and scope not in known:
            place = f"{self.subject.model}.prune.scope={scope}" if "scope" in overrides else caller()
            raise UserError(place, f"{method} has no scope {scope!r}", f"choose from {', '.join(known)}")


class Model(Step):
    """A network and its data set, nothing built yet."""

    @explained
    def Seed(self, **options: Any) -> "Weights":  # noqa: N802
        """Weights and inputs drawn by lot, in the place of training and data set: what is built has no metric and is
        labelled."""
        return Weights(*_seeded(self.model, options))

    @explained
    def Train(self, script: str | None = None, outputs: Sequence[str] = (), **options: Any) -> "Trained":  # noqa: N802
        """Train the network; `teacher`: "self" or a step with weights, whose outputs are learnt too.

        `script`: the Python file beside the SConscript that does it, see stages/script.py; `outputs`: names of the
        files that it writes beside the weights.
        """
        model = self.model
        if outputs and script is None:
            raise UserError(caller(), "outputs has no effect", "say script too: they are what a script writes")
        if model.workspace.seeded:
            return Trained(*_seeded(model, {}))
        return _train(model, {}, options) if script is None else _scripted(model, script, outputs, options)


class Weights(Step):
    """Weights of any origin."""

    @explained
    def Quantize(self, method: str | None = None, **options: Any) -> "Quantized":  # noqa: N802
        """Export to ONNX, choose scales and zero points, and lower to the exact integer program."""
        model = self.model
        if model.searched:
            model.searched.require_steps(model.is_taken)
        weights = {"weights": self.nodes["weights"], **_data(model)}
        export, lower = model.options("export", {}), model.options("lower", {})
        chosen, teacher = recipe(model, "quantize", _with_method(method, options))
        float_model = model.add("export", export, weights, {"model": "{}.float.onnx"}, "network", "dataset")["model"]
        inputs, allotted = {"model": float_model, **_data(model)}, dict[str, Any]()
        if chosen.method == quantizers.MIXES:
            allotted = self._allot(chosen, inputs)
            inputs["widths"] = allotted["widths"]
            chosen = _without_limits(chosen)
        if quantizers.method(chosen.method).trains:
            inputs |= self._fit(chosen, export, teacher, inputs)
        outputs = {"qparams": "{}.qparams.json", "model": "{}.onnx"}
        quantized = model.add("quantize", chosen, inputs, outputs, "dataset")
        outputs = {"graph": "{}.graph.json", "integer": "{}.integer.onnx"}
        lowered = model.add("lower", lower, {"model": quantized["model"]}, outputs)
        return Quantized(model, {**quantized, **lowered, **allotted, "float": float_model})

    def _allot(self, chosen: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The nodes of the bits of each layer, and of their picture."""
        model, given = self.model, {"weights": self.nodes["weights"], **inputs}
        if chosen.instructions is not None:
            workspace, tuned = model.workspace, costs_file(chosen.target)
            given["toolchain"] = workspace.file(toolchain_path(chosen.target))
            given["kernels"] = workspace.kernel_descriptions()
            given |= {"costs": workspace.file(tuned)} if tuned.is_file() else {}
        outputs = {"widths": "{}.allotted.json", "picture": "{}.allotted.png"}
        nodes = model.add("allot", chosen, given, outputs, "network", "dataset")
        return {"widths": nodes["widths"], "sensitivities": nodes["picture"]}

    def _fit(
        self, chosen: Options, export: Options, teacher: Teacher | None, known: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Train on with quantizers; what the quantize stage gets of it. `known`: its inputs so far."""
        model, data = self.model, _data(self.model)
        outputs = {
            "weights": "{}.fitted.safetensors", "codes": "{}.codes.safetensors",
            "quantizers": "{}.quantizers.json", "log": "{}.fit.json",
        }  # fmt: skip
        inputs = {"weights": self.nodes["weights"], **data}
        inputs |= {name: node for name, node in known.items() if name == "widths"}
        fitted = model.add("fit", chosen, inputs, outputs, "network", "dataset", teacher=teacher)
        inputs = {"weights": fitted["weights"], "quantizers": fitted["quantizers"], **data}
        exported = model.add("export", export, inputs, {"model": "{}.fitted.onnx"}, "network", "dataset")
        return {"model": exported["model"], "codes": fitted["codes"], "quantizers": fitted["quantizers"]}


class Trained(Weights):
    """Trained weights."""

    @explained
    def Prune(self, method: str | None = None, **options: Any) -> "Trained":  # noqa: N802
        """Remove the least useful share (`sparsity`) of channels or weights and train again; left out where it is 0."""
        model = self.model
        chosen, teacher = recipe(model, "prune", _with_method(method, options))
        if (chosen.sparsity == 0 and not model.is_searched("prune", "sparsity")) or model.workspace.seeded:
            return self
        inputs = {"weights": self.nodes["weights"], **_data(model)}
        outputs = {"weights": "{}.pruned.safetensors", "log": "{}.prune.json"}
        nodes = model.add("prune", chosen, inputs, outputs, "network", "dataset", teacher=teacher)
        return Trained(model, nodes)


class Loaded(Trained):
    """Weights from a file of the user's."""

    @explained
    def Train(self, **options: Any) -> Trained:  # noqa: N802
        """Train on from them."""
        if self.model.workspace.seeded:
            return self
        return _train(self.model, {"weights": self.nodes["weights"]}, options)


class Quantized(Step):
    """The float, the QDQ and the integer model."""

    @explained
    def Firmware(  # noqa: N802
        self, application: list[str] | None = None, budget: GateOptions | None = None, **options: Mapping[str, Any]
    ) -> Any:
        """C, firmware, proof and figures for every target that was asked for; their nodes.

        application: C files beside the SConscript, None: a program that runs the self test. options: of the stages
        that follow, by name: `verify={"host_samples": 128}`.
        """
        model = self.model
        known = ("sample", "evaluate", "plan", "generate", "verify", "measure")
        for verb in options:
            if verb not in known:
                words = ("application", "budget", *known)
                raise UserError(caller(), f"Firmware has no option {verb!r}", suggest(verb, words))
        limits = msgspec.structs.asdict(budget) if budget else {}
        chosen = {verb: model.options(verb, options.get(verb, {})) for verb in known}
        chosen["gate"] = model.options("gate", limits)
        chosen["plan"] = _within(chosen["plan"], chosen["gate"])
        chosen["report"] = ReportOptions(**msgspec.structs.asdict(chosen["gate"]))
        sources = None if application is None else [_source(model.workspace, name) for name in application]
        firmware = Firmware(model.workspace, model.subject, dict(self.nodes), chosen, sources)
        model.workspace.firmwares[model.subject.model] = firmware
        wanted = firmware.build()
        model.workspace.wanted[model.subject.model] = wanted
        return NodeList(wanted)


@explained
def declare(
    workspace: Workspace,
    name: str,
    network: str,
    dataset: str,
    files: Sequence[str] = (),
    programs: Sequence[str] = (),
    by_default: bool = True,
    weights: str | None = None,
) -> Model | Loaded:
    """env.Model: a network and a data set as "file.py:Class" beside the SConscript; `files`: files and folders that
    these read, whose content counts; `programs`: commands that the data set runs, whose versions count; `by_default`:
    whether it is built without being named (with `model=`); `weights`: a file beside the SConscript with the network's
    trained weights, see training/adopted.py."""
    place = caller()
    if not by_default:
        workspace.dear.add(name)
    check_model_name(place, name, workspace.names)
    workspace.stages[name] = []
    references = {"network": _reference(workspace, place, network), "dataset": _reference(workspace, place, dataset)}
    read = [node for each in files for node in _files(workspace, each)]
    model = Declaration(workspace, Subject(name, references, files=read, programs=programs))
    if weights is None:
        return Model(model, {})
    if workspace.seeded:
        return Loaded(*_seeded(model, {}))
    inputs = {"file": _source(workspace, weights), **_data(model)}
    outputs = {"weights": "{}.loaded.safetensors", "log": "{}.load.json"}
    return Loaded(model, model.add("load", model.options("load", {}), inputs, outputs, "network", "dataset"))


def _train(model: Declaration, weights: Mapping[str, Any], options: Mapping[str, Any]) -> Trained:
    """`weights`: the input of that name to begin with, if there is one."""
    outputs = {"weights": "{}.trained.safetensors", "log": "{}.train.json"}
    chosen, teacher = recipe(model, "train", options)
    inputs = {**weights, **_data(model)}
    return Trained(model, model.add("train", chosen, inputs, outputs, "network", "dataset", teacher=teacher))


def _scripted(model: Declaration, script: str, names: Sequence[str], options: Mapping[str, Any]) -> Trained:
    """`names`: what the script writes beside the weights."""
    place = caller()
    require_python(script)
    if model.searched:
        model.searched.require_none_of("train", f"script={script!r}")
    reference = _reference(model.workspace, place, f"{script}:__main__")
    outputs = {"weights": "{}.trained.safetensors", "log": "{}.script.json", **outputs_of_script(names)}
    chosen = model.options("script", options)
    nodes = model.add("script", chosen, _data(model), outputs, "network", "dataset", script=reference)
    return Trained(model, nodes)


def _reference(workspace: Workspace, place: str, text: str) -> str:
    """`text` with its path taken from the top. Raises UserError where there is no such file."""
    try:
        path, name = reference_file(text)
    except UserError as fault:
        raise UserError(place, f"{text!r} {fault.fault}", fault.cure) from None
    file = Path(_source(workspace, str(path)).get_abspath())
    return f"{file.relative_to(workspace.top) if file.is_relative_to(workspace.top) else file}:{name}"


def _source(workspace: Workspace, name: str) -> Any:
    """The node of a file beside the SConscript. Raises UserError where there is no such file."""
    node = workspace.env.File(name).srcnode()
    path = Path(node.get_abspath())
    if not path.is_file():
        known = path.relative_to(workspace.top) if path.is_relative_to(workspace.top) else path
        raise UserError(caller(), f"there is no file {known}", "create it or correct the name")
    return node


def _files(workspace: Workspace, name: str) -> list[Any]:
    """The nodes of a file, or of all files in a folder, beside the SConscript. Raises UserError for neither."""
    path = Path(workspace.env.Entry(name).srcnode().get_abspath())
    return workspace.tree(path) if path.is_dir() else [_source(workspace, name)]


def _within(plan: Any, gate: Any) -> Any:
    """The plan's options with the model's budget of flash and RAM, unless they have a smaller one."""
    flash = min((each for each in (plan.budget, gate.flash) if each is not None), default=None)
    ram = min((each for each in (plan.ram_budget, gate.ram) if each is not None), default=None)
    return msgspec.structs.replace(plan, budget=flash, ram_budget=ram)


def _seeded(model: Declaration, options: Mapping[str, Any]) -> tuple[Declaration, dict[str, Any]]:
    """The stage that draws weights and inputs: the model with these inputs for a data set, and the nodes."""
    outputs = {"weights": "{}.seeded.safetensors", "inputs": "{}.seeded.npz"}
    nodes = model.add("seed", model.options("seed", options), {}, outputs, "network")
    references = {**model.subject.references, "dataset": RECORDED}
    subject = replace(model.subject, references=references, programs=(), data=[nodes["inputs"]])
    return msgspec.structs.replace(model, subject=subject), nodes


def search_for(
    env: Any,
    step: Step,
    space: Mapping[str, Any],
    budget: Any = None,
    train: Mapping[str, Any] | None = None,
    prune: Mapping[str, Any] | None = None,
    quantize: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """env.Search: find options for the steps of a model, or for those that follow its trained weights, by trying; the
    same model, whose steps take the best. See nnrules.rules.search.search, and SearchOptions for `options`."""
    place = caller()
    if type(step) not in (Model, Trained, Loaded):
        raise UserError(
            place, "there is nothing here to search for", "give it a model, or one after Train() or Prune()"
        )
    stages = {"train": train, "prune": prune, "quantize": quantize}
    given = {name: each for name, each in stages.items() if each is not None}
    searched, nodes = search(step.model, space, step.nodes.get("weights"), given, budget, options)
    return type(step)(msgspec.structs.replace(step.model, searched=searched), {**step.nodes, **nodes})


def _with_method(method: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    return {**options} if method is None else {"method": method, **options}


def _without_limits(chosen: Any) -> Any:
    """The options of what has the bits that were chosen within these limits."""
    plain = QuantizeOptions()
    return msgspec.structs.replace(
        chosen, method=chosen.base, base=plain.base, size=None, instructions=None, target=plain.target
    )


def _data(model: Declaration) -> dict[str, Any]:
    return model.workspace.data(model.subject)


def _refuse(place: str, fault: str, cure: str) -> None:
    raise UserError(place, fault, cure)


@cache
def _methods(folder: str) -> list[str]:
    return [path.stem for path in (_PACKAGE / folder).glob("[!_]*.py")]
