"""RAM and flash of a linked program, counted from its sections: every byte that is loaded falls in exactly one class.

Flash is what a programmer writes to the device: code, constants (with the weights told apart), and the image that
initialised variables are copied from. RAM is the arena, the other variables, and the stack: what was in use of it or,
where the program was not run, what the linker script reserves. A program of this machine has neither.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section, SymbolTableSection

from nnrules.error import UserError

WEIGHTS_SECTION = ".rodata.nn_weights"
STACK_SECTIONS = (".stack", ".heap")
CLASSES = ("code", "rodata", "data", "bss", "stack")


@dataclass(frozen=True)
class Memory:
    """Bytes: flash is code + weights + rodata (the image of data in it), RAM is arena + data + bss + stack.

    reserved_stack: what the linker script sets aside; 0: nothing, an operating system gives the stack.
    """

    code: int
    weights: int
    rodata: int
    data: int
    bss: int
    arena: int
    reserved_stack: int

    def ram(self, peak: int | None) -> dict[str, Any]:
        """The `ram` record of measured.json; `peak`: of the stack in bytes, None where the program was not run.

        `stack_is` tells what `stack` is: the "peak", the "reserved" bytes, or None: unknown and not in the total.
        """
        stack = peak if peak is not None else self.reserved_stack or None
        stack_is = None if stack is None else "reserved" if peak is None else "peak"
        total = self.arena + (stack or 0) + self.data + self.bss
        sizes = {"arena": self.arena, "stack": stack, "data": self.data, "bss": self.bss, "total": total}
        return {**sizes, "stack_is": stack_is}

    def flash(self) -> dict[str, int]:
        """The `flash` record of measured.json."""
        total = self.code + self.weights + self.rodata
        return {"code": self.code, "weights": self.weights, "rodata": self.rodata, "total": total}


def read(elf: Path, objects: Iterable[Path], arena_bytes: int) -> Memory:
    """Count the sections of a linked program.

    objects: the model's object files, whose `.rodata.nn_weights` sections say how much of the constants are weights.
    arena_bytes: the size the plan asks for; the program must hold a static array with "arena" in its name at least
    that large in RAM, else UserError.
    """
    with elf.open("rb") as stream:
        program = ELFFile(stream)
        sizes = dict.fromkeys(CLASSES, 0)
        for section in program.iter_sections():
            if section["sh_flags"] & SH_FLAGS.SHF_ALLOC:
                sizes[classify(section)] += section["sh_size"]
        _check_sum(elf, program, sizes)
        arena = _arena_size(program, elf, arena_bytes)
    weights = sum(_weights(path) for path in objects)
    return Memory(
        code=sizes["code"],
        weights=weights,
        rodata=sizes["rodata"] - weights + sizes["data"],
        data=sizes["data"],
        bss=sizes["bss"] - arena,
        arena=arena,
        reserved_stack=sizes["stack"],
    )


def compiler(path: Path) -> str | None:
    """What the compiler of an object file says of itself there, with its version."""
    with path.open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".comment")
        return section.data().decode(errors="replace").strip("\0").split("\0")[0] if section else None


def classify(section: Section) -> str:
    """The class of a section that occupies memory: one of CLASSES."""
    flags = section["sh_flags"]
    if section.name.startswith(STACK_SECTIONS):
        return "stack"
    if section["sh_type"] == "SHT_NOBITS":
        return "bss"
    if flags & SH_FLAGS.SHF_EXECINSTR:
        return "code"
    return "data" if flags & SH_FLAGS.SHF_WRITE else "rodata"


def _check_sum(elf: Path, program: ELFFile, sizes: dict[str, int]) -> None:
    """Hold the sections against the segments that a loader copies: nothing outside them, nothing counted twice."""
    loaded = [segment for segment in program.iter_segments() if segment["p_type"] == "PT_LOAD"]
    for section in program.iter_sections():
        filled = section["sh_flags"] & SH_FLAGS.SHF_ALLOC and section["sh_type"] != "SHT_NOBITS" and section["sh_size"]
        if filled and not any(segment.section_in_segment(section) for segment in loaded):
            fault = f"section '{section.name}' lies in no loaded segment"
            raise UserError(elf.name, fault, "correct the linker script")
    counted = sizes["code"] + sizes["rodata"] + sizes["data"]
    in_file = sum(segment["p_filesz"] for segment in loaded)
    if counted > in_file:
        fault = f"its sections have {counted:,} bytes and its loaded segments {in_file:,}"
        raise UserError(elf.name, fault, "correct the linker script")


def _arena_size(program: ELFFile, elf: Path, needed: int) -> int:
    if needed == 0:
        return 0
    found = [
        symbol["st_size"]
        for table in program.iter_sections()
        if isinstance(table, SymbolTableSection)
        for symbol in table.iter_symbols()
        if symbol["st_info"]["type"] == "STT_OBJECT" and "arena" in symbol.name.lower() and symbol["st_size"] >= needed
    ]
    if not found:
        cure = "keep the arena in a static array with 'arena' in its name"
        raise UserError(elf.name, f"no arena of {needed:,} bytes among its variables", cure)
    return int(max(found))


def _weights(path: Path) -> int:
    with path.open("rb") as stream:
        sections = ELFFile(stream).iter_sections()
        return sum(int(one["sh_size"]) for one in sections if one.name.startswith(WEIGHTS_SECTION))
