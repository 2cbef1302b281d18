"""tune: what every kernel costs on the layers of some models, measured on a target under its emulator.

Inputs: graph (one or several), toolchain (TOML), kernels (their TOMLs), templates (that lie beside them, and headers).
Output: costs, see nnrules.plan.costs. A layer's output that is not the reference's is our bug and ends the run.
"""

import re
import subprocess
import tempfile
from pathlib import Path

from nnrules.catalog.kernel import load_kernel
from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.catalog.stages import TuneOptions
from nnrules.catalog.toolchain import Toolchain, load_toolchain
from nnrules.codegen.trial import Trial, TrialProgram, batches, trials
from nnrules.error import UserError
from nnrules.graph.ir import load
from nnrules.plan.costs import Cost, Costs, dump_costs, template_digest
from nnrules.stages.runner import Request, main
from nnrules.verify.bench import describe
from nnrules.verify.console import layer_ticks


def run(request: Request[TuneOptions]) -> None:
    """Try everything out and write the costs."""
    toolchain = load_toolchain(request.input("toolchain"))
    if toolchain.runner is None or not toolchain.runner.instructions_per_tick:
        raise UserError(request.target, "its emulator does not count instructions", "tune a target whose does")
    kernels = [load_kernel(Path(text).resolve()) for text in request.inputs["kernels"]]
    graphs = [load(Path(text)) for text in request.inputs["graph"]]
    costs: dict[str, dict[str, Cost]] = {}
    for batch in batches(trials(graphs, kernels, toolchain.isa, describe)):
        for trial, cost in zip(batch, measured(batch, request.target, toolchain), strict=True):
            costs.setdefault(trial.candidate.kernel.name, {})[trial.key] = cost
    templates = {kernel.name: template_digest(kernel) for kernel in kernels if kernel.name in costs}
    version = [toolchain.compiler.command, "-dumpfullversion"]
    compiler = subprocess.run(version, check=True, capture_output=True, text=True).stdout.strip()
    request.output("costs").write_bytes(dump_costs(Costs(compiler=compiler, templates=templates, costs=costs)))


def measured(batch: list[Trial], target: str, toolchain: Toolchain) -> list[Cost]:
    """The costs of trials that fit one program."""
    assert toolchain.runner is not None
    program = TrialProgram(batch, target)
    code = program.code
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {f"{code.prefix}.h": code.header(), "model.c": code.source(), "check.c": code.check()}
        for file, text in files.items():
            (folder / file).write_text(text)
        (folder / "inputs.bin").write_bytes(b"".join(x.tobytes() for x in program.inputs))
        console = emulate(toolchain, folder, "-DNN_PROFILE_LAYERS", "-fno-inline")
        if (folder / "outputs.bin").read_bytes() != program.expected():
            names = ", ".join(sorted({trial.candidate.name for trial in batch}))
            raise AssertionError(f"one of these kernels computes something else than its reference: {names}")
        sizes = symbol_sizes(toolchain, folder / "model.o")
    ticks, per_tick = layer_ticks(console), toolchain.runner.instructions_per_tick
    return [
        Cost(
            layer=" ".join([trial.layer, *(f"{name}={value}" for name, value in trial.candidate.variant.items())]),
            instructions=round(ticks[index] * per_tick),
            code=sum(size for symbol, size in sizes.items() if re.match(rf"{own}($|[._])", symbol)),
        )
        for index, (trial, own) in enumerate(zip(batch, program.functions, strict=True))
    ]


def emulate(toolchain: Toolchain, folder: Path, *options: str) -> str:
    """Compile model.c to model.o, link it with check.c and the board, run that; the console."""
    firmware, compiler = toolchain.firmware, toolchain.compiler
    folders = [KERNELS / "include", *(TOOLCHAINS / path for path in firmware.include)]
    flags = [*compiler.cflags, *options, "-I.", *(f"-I{path}" for path in folders)]
    subprocess.run([compiler.command, *flags, "-c", "model.c", "-o", "model.o"], cwd=folder, check=True)
    sources = ["model.o", "check.c", *(str(TOOLCHAINS / source) for source in firmware.sources)]
    script = ["-L", str(TOOLCHAINS), "-T", str(TOOLCHAINS / firmware.linker_script)] if firmware.linker_script else []
    link = [compiler.command, *flags, *sources, *toolchain.linkflags, *script, "-o", "m.elf"]
    subprocess.run(link, cwd=folder, check=True)
    assert toolchain.runner is not None
    command = [word.replace("{elf}", "m.elf") for word in toolchain.runner.command]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def symbol_sizes(toolchain: Toolchain, compiled: Path) -> dict[str, int]:
    """Bytes of every function in an object file."""
    command = toolchain.compiler.command
    tool = f"{command.removesuffix('gcc')}nm" if command.endswith("gcc") else "nm"
    listed = subprocess.run([tool, "-S", str(compiled)], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return {row[3]: int(row[1], 16) for row in rows if len(row) == 4 and row[2] in "tT"}


if __name__ == "__main__":
    main(run, TuneOptions)
