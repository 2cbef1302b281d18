"""Many kernels in one C program: built for the host under sanitizers or for an emulator, run once, outputs compared."""

import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from nnrules.catalog.kernel import BY_ROWS, Kernel
from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.catalog.toolchain import Toolchain, load_toolchain
from nnrules.codegen.ctext import array
from nnrules.codegen.packing import pack
from nnrules.codegen.render import render
from nnrules.graph.ir import Graph, Node, Packing, Tensor
from nnrules.graph.operator import Parameter
from nnrules.graph.packed import packing_parameters
from tests.cases import Case

# -O0 takes half as long to compile as -O1, and leaves no access out
SANITIZERS = ("-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
HARNESS = Path(__file__).with_name("harness.c")
PATTERNS = (0xA5, 0x5A)


@dataclass(frozen=True)
class Run:
    """One kernel, in one of its variants, on one case; with a ``band`` so many rows of outputs at a time, from pointers
    to their rows of input. ``packings``: of the inputs and the output, where some are packed.
    """

    kernel: Kernel
    case: Case
    variant: Mapping[str, int] = field(default_factory=dict)
    band: int = 0
    packings: tuple[Packing | None, ...] = ()

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """What the kernel is rendered with."""
        operator, (shape, *others) = self.case.operator, self.case.shapes
        more = {**(packing_parameters(*self._alone) if self.packings else {}), **self.variant}
        if not self.band:
            return {**operator.parameters(shape, *others), **more}
        window = operator.row_window(shape)
        assert window is not None
        rows = (self.band - 1) * window.stride + (window.kernel - 1) * window.dilation + 1
        return {**operator.on_rows().parameters((rows, *shape[1:])), **more, BY_ROWS: 1}

    @cached_property
    def inputs(self) -> list[np.ndarray]:
        """As they lie in memory."""
        packings = self.packings[:-1] or [None] * len(self.case.inputs)
        return [stored(x, packing) for x, packing in zip(self.case.inputs, packings, strict=True)]

    @cached_property
    def expected(self) -> np.ndarray:
        """The bytes of the reference's output, as int8."""
        packing = self.packings[-1] if self.packings else None
        return stored(self.case.operator.reference(*self.case.inputs), packing).reshape(-1).view(np.int8)

    @property
    def _alone(self) -> tuple[Graph, Node]:
        """The layer by itself."""
        shapes = [*self.case.shapes, self.case.operator.infer(*self.case.shapes)]
        names = [*(f"x{index}" for index in range(len(shapes) - 1)), "y"]
        tensors = {
            name: Tensor(name=name, shape=shape, scale=1.0, zero_point=0, packing=packing)
            for name, shape, packing in zip(names, shapes, self.packings, strict=True)
        }
        node = Node(name="layer", inputs=tuple(names[:-1]), output="y", operator=self.case.operator)
        return Graph(name="alone", inputs=node.inputs, outputs=("y",), tensors=tensors, nodes=(node,)), node

    def source(self, index: int) -> str:
        """The kernel, its constants, and a function that calls it with buffers of exactly the right size."""
        operator, shapes = self.case.operator, self.case.shapes
        parameters = self.parameters
        scratch = self.kernel.scratch_bytes(parameters)
        constants = pack(self.kernel.packing, operator, parameters)
        names = {role: f"{role}_{index}" for role in constants}
        template = self.kernel.template.relative_to(KERNELS).as_posix()
        sizes = ", ".join(str(x.size) for x in self.inputs)
        after = [*names.values(), *(["scratch"] if scratch else [])]
        body = f"kernel_{index}({', '.join([*(f'x[{i}]' for i in range(len(shapes))), 'y', *after])});"
        if self.band:
            body = self._banded(f"kernel_{index}({', '.join(['rows', 'y', *after])});")
        return "\n".join([
            *(array(names[role], values, "NN_WEIGHTS static const") for role, values in constants.items()),
            render(template, name=f"kernel_{index}", **self.kernel.known(parameters)),
            f"static void call_{index}(int8_t **x, int8_t *y, void *scratch)",
            f"{{ (void)scratch; {body} }}",
            f"static const struct test test_{index} = {{call_{index}, {len(shapes)}, {{{sizes}}}, "
            f"{self.expected.size}, {scratch}, {int(not self.band and self.kernel.runs_in_place(parameters))}}};",
        ])  # fmt: skip

    def _banded(self, call: str) -> str:
        """The C that calls it for each band."""
        shape = self.case.shapes[0]
        window = self.case.operator.row_window(shape)
        height = self.case.operator.infer(shape)[0]
        assert window is not None
        count, bytes_in, bytes_out = self.parameters["in_h"], self.inputs[0][0, 0].size, self.expected.size // height
        return (
            f"for (int oy = 0; oy < {height}; oy += {self.band}, y += {self.band * bytes_out}) {{ "
            f"const int8_t *rows[{count}]; for (int i = 0; i < {count}; i++) {{ "
            f"const int iy = oy * {window.stride} - {window.pad} + i; "
            f"rows[i] = iy >= 0 && iy < {shape[0]} ? x[0] + iy * {bytes_in} : NULL; }} {call} }}"
        )


def stored(values: np.ndarray, packing: Packing | None) -> np.ndarray:
    """As the arena holds them: by bits, the first value in the lowest, each pixel from a byte on."""
    if packing is None:
        return values
    codes = (values.astype(np.int64) - packing.low).astype(np.uint8)
    assert (codes < 1 << packing.bits).all()
    bits = np.unpackbits(codes[..., np.newaxis], axis=-1, bitorder="little")[..., : packing.bits]
    return np.packbits(bits.reshape(*codes.shape[:-1], -1), axis=-1, bitorder="little").view(np.int8)


def program(runs: Sequence[Run]) -> str:
    """The C text: all kernels, a table of them, and the harness."""
    table = ", ".join(f"&test_{index}" for index in range(len(runs)))
    sources = [run.source(index) for index, run in enumerate(runs)]
    header = '#include "nn_port.h"\n#include "harness.h"\n'
    return "\n".join([header, *sources, f"const struct test *const tests[] = {{{table}, NULL}};\n"])


def toolchain(target: str) -> Toolchain:
    """The target's description."""
    return load_toolchain(TOOLCHAINS / f"{target}.toml")


def build(folder: Path, target: str, runs: Sequence[Run], sanitize: bool = False) -> Path:
    """Compile and link the runs for a target; the warnings are errors."""
    chain = toolchain(target)
    source, elf = folder / "kernels.c", folder / f"{target}.elf"
    source.write_text(program(runs))
    firmware = chain.firmware
    script = ["-T", str(TOOLCHAINS / firmware.linker_script)] if firmware.linker_script else []
    folders = [KERNELS / "include", HARNESS.parent, *(TOOLCHAINS / name for name in firmware.include)]
    sources = [str(path) for path in (source, HARNESS, *(TOOLCHAINS / name for name in firmware.sources))]
    flags = [*SANITIZERS, "-DHOSTED"] if sanitize else []
    compilation = [chain.compiler.command, *chain.compiler.cflags, *flags, *(f"-I{path}" for path in folders), *sources]
    command = [*compilation, *chain.linkflags, *script, "-o", str(elf)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr}"
    return elf


def execute(folder: Path, target: str, elf: Path, runs: Sequence[Run]) -> str:
    """Run the program on the cases' inputs; its console. Raises AssertionError unless it ends well."""
    inputs = [x.tobytes() for run in runs for x in run.inputs]
    (folder / "inputs.bin").write_bytes(b"".join(inputs))
    runner = toolchain(target).runner
    assert runner is not None
    command = [word.replace("{elf}", str(elf)) for word in runner.command]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def differences(folder: Path, runs: Sequence[Run]) -> list[str]:
    """What outputs.bin holds against the reference: one line per run that differs, naming the kernel and the case."""
    outputs = np.frombuffer((folder / "outputs.bin").read_bytes(), np.int8)
    found, offset = [], 0
    for index, run in enumerate(runs):
        expected = run.expected
        for pattern in PATTERNS:
            got = outputs[offset : offset + expected.size]
            offset += expected.size
            if not np.array_equal(got, expected):
                first = int(np.flatnonzero(got != expected)[0]) if got.size == expected.size else got.size
                found.append(f"{index} {run.kernel.name}, memory {pattern:#x}, at {first}: {run.parameters}")
    return found if offset == outputs.size else [*found, f"{outputs.size} bytes instead of {offset}"]


def check_runs(runs: Sequence[Run], target: str, sanitize: bool = False) -> None:
    """Build, run and compare one program."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        execute(folder, target, build(folder, target, runs, sanitize), runs)
        assert not differences(folder, runs), "\n".join(differences(folder, runs))
