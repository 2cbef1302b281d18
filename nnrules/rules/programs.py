"""The programs of one model on one target, all from the same generated C."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from SCons.Tool import CScanner

from nnrules.catalog.names import c_identifier
from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.error import UserError
from nnrules.rules.compilers import SANITIZED, Compiler, environment, host_toolchain
from nnrules.rules.failure import caller
from nnrules.rules.tool import NO_SCANNER, Compile, Link
from nnrules.rules.workspace import TargetFile, Workspace

TRACE, PROFILE = "NN_TRACE_ROWS", "NN_PROFILE_LAYERS"
DEFAULT_APPLICATION = KERNELS / "program/main.c"


@dataclass
class Programs:
    """`generated`: the nodes of M.c, M.h, nn_port.h, M_selftest.c and M_check.c as `source`, `header`, `port`,
    `selftest`, `check`."""

    workspace: Workspace
    model: str
    target: TargetFile
    generated: dict[str, Any]

    def __post_init__(self) -> None:
        build = self.workspace.arguments.build
        self.folder = self.workspace.folder(self.model, self.target.name)
        self.compiler = Compiler(self.target.toolchain, self.workspace.top, build)
        self.host = Compiler(host_toolchain(), self.workspace.top, build, SANITIZED)

    @cached_property
    def shipped(self) -> Any:
        """One object for the programs and, on a target with an operating system, the shared library."""
        pic = ("-fPIC",) if self.target.toolchain.hosted else ()
        return self._object(self.compiler, "", self.generated["source"], *pic)

    def host_trace(self) -> Any:
        """The target's C on this machine, every row traced, under the address and undefined behaviour sanitizers."""
        return self._variant(self.host, "host_trace", TRACE, "host/")

    def trace(self) -> Any:
        """Every row traced, on the target."""
        return self._variant(self.compiler, "trace.elf", TRACE)

    def profile(self) -> Any:
        """The ticks of every layer, on the target."""
        return self._variant(self.compiler, "profile.elf", PROFILE)

    def check(self) -> Any:
        """The shipped object with a program that feeds it samples from a file."""
        objects = [self.shipped, self._object(self.compiler, "", self.generated["check"])]
        return self._program(self.compiler, "check.elf", objects)

    def shipped_program(self, application: Sequence[Any] | None, verify: Any) -> Any:
        """The firmware: the shipped object, the self test and the application; linked after `verify`."""
        objects = [self.shipped, self._object(self.compiler, "", self.generated["selftest"])]
        if application is None:
            objects.append(self._default_application())
        else:
            objects += [self._object(self.compiler, "application/", source) for source in application]
        return self._program(self.compiler, "elf", objects, verify=verify)

    def shared_library(self, verify: Any) -> Any:
        """lib<model>.so from the shipped object, for targets with an operating system; linked after `verify`."""
        file = self.workspace.file(self.folder / f"lib{self.model}.so")
        return self._link(self.compiler, file, [self.shipped], "-shared", verify=verify)

    def _default_application(self) -> Any:
        """The program for a model that brings none; it learns the model's names from defines."""
        name = c_identifier(self.model)
        defines = {"NN_MODEL": name, "NN_MODEL_MACRO": name.upper(), "NN_MODEL_HEADER": f'"{self.model}.h"'}
        flags = [f"-D{define}={value}" for define, value in defines.items()]
        return self._object(self.compiler, "application/", self.workspace.file(DEFAULT_APPLICATION), *flags)

    def _variant(self, compiler: Compiler, ending: str, define: str, folder: str = "") -> Any:
        """A program from the model's C and its check program, both compiled with a define."""
        place = f"{folder}{define.lower()}/"
        objects = [self._object(compiler, place, self.generated[name], f"-D{define}") for name in ("source", "check")]
        return self._program(compiler, ending, objects, folder)

    def _program(self, compiler: Compiler, ending: str, objects: list[Any], folder: str = "", **after: Any) -> Any:
        board = [self.workspace.file(TOOLCHAINS / name) for name in compiler.toolchain.firmware.sources]
        objects = objects + [self._object(compiler, f"{folder}board/", source) for source in board]
        return self._link(compiler, self.workspace.file(self.folder / f"{self.model}.{ending}"), objects, **after)

    def _link(self, compiler: Compiler, file: Any, objects: list[Any], *flags: str, **after: Any) -> Any:
        """`after`: nodes that must be there before, by name."""
        scripts = [self.workspace.file(path) for path in compiler.scripts]
        inputs = {"objects": objects, **{name: [node] for name, node in after.items()}}
        step = Link(
            model=self.model,
            target=self.target.name,
            name=f"link {file.name}",
            inputs=inputs | ({"scripts": scripts} if scripts else {}),
            outputs={"program": file},
            program=compiler.program,
            flags=(*compiler.linkflags, *flags),
            places=compiler.script,
            tools=self.workspace.engine.tools.compiler(compiler.program),
            environment=environment(),
            toolchain=compiler.toolchain,
        )
        return self.workspace.declare(step)

    def _object(self, compiler: Compiler, folder: str, source: Any, *flags: str) -> Any:
        """An object file, declared once however many programs link it. Raises UserError for two sources of one name."""
        file = self.workspace.file(self.folder / f"objects/{folder}{Path(str(source)).stem}.o")
        if file.has_builder():
            if file.sources[0] != source:
                raise UserError(caller(), f"two C files are named {source.name!r}", "rename one of them")
            return file
        ours, application = source in self.generated.values(), folder == "application/"
        include = tuple(self.workspace.dir(path) for path in (self.folder, *self._board_folders()))
        headers = {name: [self.generated[name]] for name in ("header", "port")} if ours or application else {}
        if source is self.generated["check"]:
            headers["board"] = [self.workspace.file(path) for path in _headers(*self._board_folders())]
        step = Compile(
            model=self.model,
            target=self.target.name,
            name=f"compile {folder}{file.name}",
            inputs={"source": [source], **headers},
            outputs={"object": file},
            program=compiler.program,
            flags=(*compiler.cflags, *flags),
            places=compiler.prefixes,
            tools=self.workspace.engine.tools.compiler(compiler.program),
            environment=environment(),
            include=include,
            scan=not ours,
        )
        scanner = {"source_scanner": NO_SCANNER if ours else CScanner, "CPPPATH": list(include)}
        return self.workspace.declare(step, **scanner)

    def _board_folders(self) -> list[Path]:
        return [TOOLCHAINS / name for name in self.target.toolchain.firmware.include]


@cache
def _headers(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.glob("*.h"))
