"""The programs of the small graph, built as the rules build them: trace, check, profile and shipped program."""

import subprocess
from pathlib import Path

import numpy as np

from nnrules.catalog.paths import TOOLCHAINS
from nnrules.codegen.model import ModelCode
from nnrules.codegen.render import port_header
from nnrules.graph.ir import Graph
from nnrules.plan.record import Plan
from tests.codegen.plans import streamed_plan, whole_plan
from tests.needs import need_target

SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TRACE, PROFILE = "-DNN_TRACE_ROWS", "-DNN_PROFILE_LAYERS"


def plan(graph: Graph, target: str, streamed: bool = False) -> Plan:
    """The graph's plan with the kernels that ship; where rows stream, with the least RAM."""
    isa = need_target(target).isa
    return streamed_plan(graph, isa, target) if streamed else whole_plan(graph, isa, target)


def generate(graph: Graph, target: str, sample: np.ndarray, folder: Path, streamed: bool = False) -> None:
    """Write small.c, small.h, small_selftest.c, small_check.c and nn_port.h."""
    folder.mkdir(parents=True, exist_ok=True)
    code = ModelCode(graph, plan(graph, target, streamed))
    texts = {".c": code.source(), ".h": code.header(), "_selftest.c": code.selftest(sample), "_check.c": code.check()}
    for ending, text in texts.items():
        (folder / f"small{ending}").write_text(text)
    (folder / "nn_port.h").write_text(port_header())


def compile_object(target: str, folder: Path, source: str | Path, *flags: str) -> Path:
    """One object file beside the generated C."""
    chain = need_target(target)
    includes = [f"-I{path}" for path in (folder, *(TOOLCHAINS / name for name in chain.firmware.include))]
    result = folder / f"{Path(source).stem}{''.join(flags)}.o".replace("/", "_")
    command = [chain.compiler.command, *chain.compiler.cflags, *flags, *includes, "-c", folder / source, "-o", result]
    subprocess.run(command, check=True)
    return result


def link(target: str, folder: Path, name: str, objects: list[Path], *flags: str) -> Path:
    """A program of objects and the target's board."""
    chain = need_target(target)
    board = [compile_object(target, folder, TOOLCHAINS / source, *flags) for source in chain.firmware.sources]
    script = ["-T", str(TOOLCHAINS / chain.firmware.linker_script)] if chain.firmware.linker_script else []
    command = [chain.compiler.command, *objects, *board, *flags, *chain.linkflags, *script]
    subprocess.run([*command, "-o", folder / name], check=True)
    return folder / name


def checker(target: str, folder: Path, name: str, *flags: str) -> Path:
    """The check program of the C in `folder`, plain, tracing or profiling."""
    objects = [compile_object(target, folder, source, *flags) for source in ("small.c", "small_check.c")]
    return link(target, folder, name, objects, *(flag for flag in flags if not flag.startswith("-D")))
