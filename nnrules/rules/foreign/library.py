"""The verified C of one model for one target or instruction set, as other people's builds take it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from nnrules.catalog.stages import PlanOptions, ReleaseOptions
from nnrules.rules.firmware import Firmware, TargetFirmware
from nnrules.rules.foreign.isa import Features

_TEMPLATES = Path(__file__).resolve().parents[2] / "library"
_C = ("source", "header", "selftest", "port")
OUTPUTS = {
    "source": "library/{}.c",
    "header": "library/{}.h",
    "selftest": "library/{}_selftest.c",
    "port": "library/nn_port.h",
    "cmake": "library/CMakeLists.txt",
    "make": "library/{}.mk",
    "figures": "library/{}.json",
}


@dataclass(frozen=True)
class Library:
    """`folder`: of the model for its target, from the top; `nodes`: the files by name, see OUTPUTS."""

    isa: Features
    folder: Path
    nodes: Mapping[str, Any]

    @property
    def include(self) -> str:
        """The absolute path of the folder with the headers."""
        return str(Path(self.nodes["header"].get_abspath()).parent)


@dataclass
class FeatureFirmware(TargetFirmware):
    """C for an instruction set, verified on this machine. No program is linked: somebody else does that."""

    @property
    def toolchain(self) -> dict[str, list[Any]]:
        """None: whose compiler it will be is not known."""
        return {}

    @cached_property
    def verify(self) -> Any:
        """The node of the proof, which has the digests of the C."""
        inputs = {**self.common.some("graph", "integer", "float", "model", "samples")}
        c_files = [self.programs.generated[name] for name in ("source", "header", "port")]
        inputs |= {"host_trace": [self.programs.host_trace()], "objects": c_files}
        return self.add("verify", inputs, {"verify": "{}.verify.json"})["verify"]

    @cached_property
    def passed(self) -> Any:
        """The node of the proof that the budget is held, as far as it can be told without a program."""
        inputs = {"plan": [self.plan], "verify": [self.verify], **self.common.some("metric")}
        inputs |= self.common.chosen()
        return self.add("gate", inputs, {"passed": "{}.budget.json"})["passed"]

    def evidence(self) -> dict[str, list[Any]]:
        """What tells of the C, as a stage's inputs."""
        return {"plan": [self.plan], "verify": [self.verify], "passed": [self.passed]}


def with_options(firmware: Firmware, isa: Features | None = None) -> Firmware:
    """The options that only libraries have."""
    plan = firmware.options["plan"]
    assert isinstance(plan, PlanOptions)
    chosen = plan if isa is None or plan.isa is not None else msgspec.structs.replace(plan, isa=isa)
    if chosen.ram_reserve is None:  # the stack is not ours
        chosen = msgspec.structs.replace(chosen, ram_reserve=0)
    return replace(firmware, options={**firmware.options, "plan": chosen, "release": ReleaseOptions()})


def release(firmware: TargetFirmware, isa: Features) -> Library:
    """Declare the stage that hands the C out, after its proof and within its budget."""
    workspace, model = firmware.common.workspace, firmware.common.subject.model
    inputs = {
        **{name: [firmware.programs.generated[name]] for name in _C},
        "cmake_template": [workspace.file(_TEMPLATES / "CMakeLists.txt.j2")],
        "make_template": [workspace.file(_TEMPLATES / "model.mk.j2")],
        **firmware.common.some("metric"),
        **firmware.evidence(),
    }
    nodes = firmware.add("release", inputs, OUTPUTS)
    return Library(isa, workspace.folder(model, firmware.target.name), nodes)
