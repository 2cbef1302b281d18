"""From the integer program to verified, measured firmware, for every target of the build."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import msgspec

from nnrules.catalog.stages import Options
from nnrules.plan.costs import costs_file
from nnrules.rules.programs import Programs
from nnrules.rules.workspace import Subject, TargetFile, Workspace

Nodes = dict[str, Any]
UNSTREAMED = "unstreamed"


@dataclass
class Firmware:
    """`model`: the nodes of the quantized model by name; `options`: by stage; `application`: C files, None: ours."""

    workspace: Workspace
    subject: Subject
    model: Nodes
    options: Mapping[str, Options]
    application: Sequence[Any] | None

    def build(self) -> list[Any]:
        """Declare everything from the samples on; the nodes that a user wants: programs, report, figures."""
        data = self.workspace.data(self.subject)
        samples = self.add("sample", {**self.some("graph"), **data}, {"samples": "{}.samples.npz"}, "dataset")
        inputs = {**self.some("graph", "integer", "float"), **data}
        metric = self.add("evaluate", inputs, {"metric": "{}.metric.json"}, "dataset")
        self.model = {**self.model, **samples, **metric}
        return [node for target in self.workspace.targets for node in TargetFirmware(self, target).build()]

    def add(
        self,
        verb: str,
        inputs: Mapping[str, list[Any]],
        outputs: Mapping[str, str],
        *references: str,
        target: TargetFile | None = None,
        runs: bool = False,
    ) -> Nodes:
        """Declare a stage; `outputs`: names of files, {} is the model's; `runs`: it runs the target's programs."""
        named = {name: self.subject.references[name] for name in references}
        about = replace(self.subject, references=named, target=target.name if target else None)
        runner = target.toolchain.runner if target and runs else None
        return self.workspace.add(verb, about, self.options[verb], inputs, outputs, runner)

    def unstreamed(self, target: TargetFile) -> Any:
        """The node of the figures of the same model without rows that stream, to compare with; in a folder of its own
        beside the target's other files, and left out of the closing table."""
        options = {**self.options, "plan": msgspec.structs.replace(self.options["plan"], stream="off")}
        beside = msgspec.structs.replace(target, name=f"{target.name}/{UNSTREAMED}")
        return TargetFirmware(replace(self, options=options), beside, told=False).measured["measured"]

    def chosen(self) -> dict[str, list[Any]]:
        """What was chosen here for a model that somebody else trained, as a stage's input; none for our own."""
        return self.some("chosen") if "chosen" in self.model else {}

    def some(self, *names: str) -> dict[str, list[Any]]:
        """Nodes of the model as a stage's inputs."""
        return {name: [self.model[name]] for name in names}


@dataclass
class TargetFirmware:
    """The part that is made for one target; `told`: its figures are in the closing table."""

    common: Firmware
    target: TargetFile
    told: bool = True

    def build(self) -> list[Any]:
        """Declare the stages and programs; the nodes that a user wants."""
        libraries = [self.programs.shared_library(self.verify)] if self.target.toolchain.hosted else []
        report = self._report()
        return [self.elf, *libraries, self.measured["measured"], *report.values(), self.passed]

    @property
    def toolchain(self) -> dict[str, list[Any]]:
        """The node of the target's TOML file, as a stage's input."""
        return {"toolchain": [self.common.workspace.file(self.target.path)]}

    @cached_property
    def elf(self) -> Any:
        """The node of the shipped program."""
        return self.programs.shipped_program(self.common.application, self.verify)

    @cached_property
    def plan(self) -> Any:
        """The node of the plan."""
        kernels = self.common.workspace.kernel_descriptions()
        inputs = {**self.common.some("graph"), **self.toolchain, "kernels": kernels}
        tuned = costs_file(self.target.path.stem)
        if tuned.is_file():
            inputs["costs"] = [self.common.workspace.file(tuned)]
        return self.add("plan", inputs, {"plan": "{}.plan.json"})["plan"]

    @cached_property
    def programs(self) -> Programs:
        """The programs, from the generated C."""
        inputs = {**self.common.some("graph", "samples"), "plan": [self.plan]}
        outputs = {
            "source": "{}.c",
            "header": "{}.h",
            "selftest": "{}_selftest.c",
            "check": "{}_check.c",
            "port": "nn_port.h",
        }
        common = self.common
        generated = self.add("generate", inputs, outputs)
        return Programs(common.workspace, common.subject.model, self.target, generated)

    @cached_property
    def verify(self) -> Any:
        """The node of the proof that all engines agree."""
        inputs = {**self.common.some("graph", "integer", "float", "model", "samples"), **self.toolchain}
        inputs |= {"host_trace": [self.programs.host_trace()], "objects": [self.programs.shipped]}
        if self.target.toolchain.runner is not None:
            inputs |= {"target_trace": [self.programs.trace()], "target_check": [self.programs.check()]}
        return self.add("verify", inputs, {"verify": "{}.verify.json"}, runs=True)["verify"]

    @cached_property
    def measured(self) -> Nodes:
        """The nodes of the figures."""
        inputs = {"elf": [self.elf], "plan": [self.plan], "verify": [self.verify], **self.toolchain}
        inputs |= {**self.common.some("graph", "metric", "samples"), "objects": [self.programs.shipped]}
        runner = self.target.toolchain.runner
        if runner is not None and runner.instructions_per_tick:
            inputs["profile"] = [self.programs.profile()]
        nodes = self.add("measure", inputs, {"measured": "{}.measured.json", "console": "{}.console.txt"}, runs=True)
        if self.told:
            limits = msgspec.structs.asdict(self.common.options["gate"])
            self.common.workspace.engine.journal.measured(nodes["measured"], limits)
        return nodes

    @cached_property
    def passed(self) -> Any:
        """The node of the proof that the budget is held."""
        inputs = {"measured": [self.measured["measured"]], "plan": [self.plan], **self.common.chosen()}
        return self.add("gate", inputs, {"passed": "{}.budget.json"})["passed"]

    def evidence(self) -> dict[str, list[Any]]:
        """What tells of the C, as a stage's inputs."""
        nodes = {"plan": self.plan, "verify": self.verify, "passed": self.passed, "measured": self.measured["measured"]}
        return {name: [node] for name, node in nodes.items()}

    def _report(self) -> Nodes:
        inputs = {name: [node] for name, node in self.measured.items()} | {"verify": [self.verify], "plan": [self.plan]}
        inputs |= {**self.common.some("graph", "samples"), **self.common.workspace.data(self.common.subject)}
        inputs |= self.common.some("widths", "sensitivities") if "widths" in self.common.model else {}
        outputs = {"report": "{}.report.html", "picture": "{}.png", "arena": "{}.arena.svg"}
        return self.add("report", inputs, outputs, "dataset")

    def add(
        self,
        verb: str,
        inputs: Mapping[str, list[Any]],
        outputs: Mapping[str, str],
        *references: str,
        runs: bool = False,
    ) -> Nodes:
        """Declare a stage of this target; see Firmware.add."""
        return self.common.add(verb, inputs, outputs, *references, target=self.target, runs=runs)
