"""The programs of one model on one target, all from the same generated C (SCons Object and Program builders)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnrules.catalog.names import c_identifier
from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.catalog.toolchain import Toolchain
from nnrules.error import UserError
from nnrules.rules.compilers import SANITIZED, compiler, host_toolchain
from nnrules.rules.failure import caller
from nnrules.rules.journal import Entry
from nnrules.rules.workspace import TargetFile, Workspace

TRACE, PROFILE = "NN_TRACE_ROWS", "NN_PROFILE_LAYERS"
DEFAULT_APPLICATION = KERNELS / "program/main.c"


@dataclass
class Programs:
    """`generated`: the nodes of M.c, M_selftest.c and M_check.c as `source`, `selftest`, `check`."""

    workspace: Workspace
    model: str
    target: TargetFile
    generated: dict[str, Any]

    def __post_init__(self) -> None:
        build, journal = self.workspace.arguments.build, self.workspace.journal
        self.folder = self.workspace.folder(self.model, self.target.name)
        self.env = compiler(self.target.toolchain, build, journal)
        self.host = compiler(host_toolchain(), build, journal, SANITIZED)
        # One object for the programs and, on a target with an operating system, the shared library.
        changes = {"CCFLAGS": [*self.env["CCFLAGS"], "-fPIC"]} if self.target.toolchain.hosted else {}
        self.shipped = self._object(self.env, "", self.generated["source"], **changes)

    def host_trace(self) -> Any:
        """The target's C on this machine, every row traced, under the address and undefined behaviour sanitizers."""
        return self._variant(self.host, host_toolchain(), "host_trace", TRACE, "host/")

    def trace(self) -> Any:
        """Every row traced, on the target."""
        return self._variant(self.env, self.target.toolchain, "trace.elf", TRACE)

    def profile(self) -> Any:
        """The ticks of every layer, on the target."""
        return self._variant(self.env, self.target.toolchain, "profile.elf", PROFILE)

    def check(self) -> Any:
        """The shipped object with a program that feeds it samples from a file."""
        objects = [self.shipped, self._object(self.env, "", self.generated["check"])]
        return self._program(self.env, self.target.toolchain, "check.elf", objects)

    def shipped_program(self, application: Sequence[Any] | None) -> Any:
        """The firmware: the shipped object, the self test and the application."""
        objects = [self.shipped, self._object(self.env, "", self.generated["selftest"])]
        if application is None:
            objects.append(self._default_application())
        else:
            objects += [self._object(self.env, "application/", source) for source in application]
        return self._program(self.env, self.target.toolchain, "elf", objects)

    def shared_library(self) -> Any:
        """lib<model>.so from the shipped object, for targets with an operating system."""
        file = self.workspace.file(self.folder / f"lib{self.model}.so")
        flags = [*self.env["LINKFLAGS"], "-shared"]
        return self._expect("link", self.env.Program(file, [self.shipped], LINKFLAGS=flags)[0])

    def _default_application(self) -> Any:
        """The program for a model that brings none; it learns the model's names from defines."""
        name = c_identifier(self.model)
        defines = {"NN_MODEL": name, "NN_MODEL_MACRO": name.upper(), "NN_MODEL_HEADER": f'\\"{self.model}.h\\"'}
        source = self.workspace.file(DEFAULT_APPLICATION)
        node = self._object(self.env, "application/", source, CPPDEFINES=defines)
        self.env.Depends(node, self.generated["header"])
        return node

    def _variant(self, env: Any, toolchain: Toolchain, ending: str, define: str, folder: str = "") -> Any:
        """A program from the model's C and its check program, both compiled with a define."""
        place = f"{folder}{define.lower()}/"
        defined = [self._object(env, place, self.generated[name], CPPDEFINES=[define]) for name in ("source", "check")]
        return self._program(env, toolchain, ending, defined, folder)

    def _program(self, env: Any, toolchain: Toolchain, ending: str, objects: list[Any], folder: str = "") -> Any:
        board = [self.workspace.file(TOOLCHAINS / name) for name in toolchain.firmware.sources]
        objects = objects + [self._object(env, f"{folder}board/", source) for source in board]
        (program,) = env.Program(self.workspace.file(self.folder / f"{self.model}.{ending}"), objects)
        if toolchain.firmware.linker_script:
            env.Depends(program, self.workspace.file(TOOLCHAINS / toolchain.firmware.linker_script))
        return self._expect("link", program)

    def _object(self, env: Any, folder: str, source: Any, **changes: Any) -> Any:
        """An object file, declared once however many programs link it. Raises UserError for two sources of one name."""
        file = self.workspace.file(self.folder / f"objects/{folder}{Path(str(source)).stem}.o")
        if file.has_builder():
            if file.sources != [source]:
                raise UserError(caller(), f"two C files are named {source.name!r}", "rename one of them")
            return file
        includes = [TOOLCHAINS / name for name in self.target.toolchain.firmware.include]
        paths = [
            self.workspace.env.Dir(f"#{folder}") if not Path(folder).is_absolute() else str(folder)
            for folder in (self.folder, *includes)
        ]
        return self._expect("compile", env.Object(file, source, CPPPATH=paths, **changes)[0])

    def _expect(self, step: str, node: Any) -> Any:
        self.workspace.journal.expect(Entry(self.model, self.target.name, f"{step} {node.name}", node))
        return node
