"""toolchains/<target>.toml -> a frozen Toolchain record: compiler, ISA features, board files, memory map, runner."""

from pathlib import Path

import msgspec

from nnrules.catalog.checked import checked, parse_size, read_toml
from nnrules.catalog.paths import TOOLCHAINS
from nnrules.error import UserError, suggest


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the TOML file: no key that is not a field."""


class Target(_Table, frozen=True, kw_only=True):
    """`isa`: kernel features the target has; "portable" is always implied."""

    description: str
    isa: tuple[str, ...] = ()


class Compiler(_Table, frozen=True, kw_only=True):
    """`package`: the Debian package that has `command`."""

    command: str
    package: str
    cflags: tuple[str, ...] = ()
    linkflags: tuple[str, ...] = ()


class Firmware(_Table, frozen=True, kw_only=True):
    """Files every program of the target links; all names are relative to toolchains/."""

    linker_script: str | None = None
    sources: tuple[str, ...] = ()
    include: tuple[str, ...] = ()


class Memory(_Table, frozen=True, kw_only=True):
    """Sizes as written ("48 KB"); None: no limit. Linker scripts get them as `__ram_size` and `__flash_size`."""

    ram: str | int | None = None
    flash: str | int | None = None


class Runner(_Table, frozen=True, kw_only=True):
    """How an ELF is run: `{elf}` stands for its path. `instructions_per_tick` 0: instructions are not counted."""

    command: tuple[str, ...]
    package: str | None = None
    instructions_per_tick: float = 0.0


class Toolchain(_Table, frozen=True, kw_only=True):
    """One target. `runner` None: firmware is built but cannot be run here."""

    target: Target
    compiler: Compiler
    firmware: Firmware
    memory: Memory = Memory()
    runner: Runner | None = None

    @property
    def isa(self) -> tuple[str, ...]:
        """Kernel features, "portable" last."""
        return (*(name for name in self.target.isa if name != "portable"), "portable")

    @property
    def hosted(self) -> bool:
        """Whether programs run under an operating system, which places them in memory."""
        return self.firmware.linker_script is None

    @property
    def linkflags(self) -> tuple[str, ...]:
        """The linker's flags, with the sizes of the memory for its script."""
        sizes = {"__ram_size": self.ram, "__flash_size": self.flash}
        symbols = (f"-Wl,--defsym={name}={size}" for name, size in sizes.items() if size is not None)
        return (*self.compiler.linkflags, *symbols)

    @property
    def ram(self) -> int | None:
        """Bytes of RAM, None without a limit."""
        return None if self.memory.ram is None else parse_size("[memory] ram", self.memory.ram)

    @property
    def flash(self) -> int | None:
        """Bytes of flash, None without a limit."""
        return None if self.memory.flash is None else parse_size("[memory] flash", self.memory.flash)


def target_names(folder: Path = TOOLCHAINS) -> list[str]:
    """Every known target, sorted."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def toolchain_path(name: str, folder: Path = TOOLCHAINS) -> Path:
    """The TOML file of target `name`. Raises UserError for an unknown one."""
    path = folder / f"{name}.toml"
    if not path.is_file():
        raise UserError(f"target={name}", "there is no such target", suggest(name, target_names(folder)))
    return path


def load_toolchain(path: Path) -> Toolchain:
    """Read and check one toolchain file. Raises UserError naming the file, the fault and the cure."""
    place = f"{path.parent.name}/{path.name}"
    toolchain = checked(place, Toolchain, read_toml(place, path))
    for name, size in msgspec.structs.asdict(toolchain.memory).items():
        if size is not None:
            parse_size(f"{place}: [memory] {name}", size)
        elif not toolchain.hosted:
            raise UserError(place, f"[memory] has no {name}", "say how much there is for the linker script to place")
    return toolchain
