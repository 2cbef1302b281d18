"""The plan stage on files: a model that does not fit its target is refused before anything is compiled."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.catalog.stages import PlanOptions
from nnrules.catalog.toolchain import load_toolchain
from nnrules.codegen.model import ModelCode
from nnrules.error import UserError
from nnrules.graph.ir import Graph, dump
from nnrules.plan.record import Plan, load_plan
from nnrules.stages import plan as stage
from nnrules.stages.plan import RESERVE
from nnrules.stages.runner import Request
from tests.needs import need_target
from tests.plan.test_planner import graph, of_two_inputs


def planned(
    folder: Path, size: str = "4 MB", flash: str = "4 MB", network: Graph | None = None, **options: Any
) -> Plan:
    """The plan for a Cortex-M7 with this much memory, of `graph` unless there is another ``network``."""
    text = (TOOLCHAINS / "cortex-m7.toml").read_text()
    assert 'ram = "4 MB"\nflash = "4 MB"' in text
    toolchain = text.replace('ram = "4 MB"\nflash = "4 MB"', f'ram = "{size}"\nflash = "{flash}"')
    (folder / "small.toml").write_text(toolchain)
    (folder / "net.graph.json").write_bytes(dump(network or graph()))
    inputs = {
        "graph": [str(folder / "net.graph.json")],
        "toolchain": [str(folder / "small.toml")],
        "kernels": [str(path) for path in sorted(KERNELS.rglob("*.toml"))],
    }
    outputs = {"plan": str(folder / "net.plan.json")}
    stage.run(Request("plan", "net", "small", PlanOptions(**options), inputs, outputs))
    return load_plan(folder / "net.plan.json")


@pytest.mark.parametrize(
    ("options", "flows"),
    [({}, 0), ({"stream": "auto"}, 1), ({"stream": "off", "ram": "least"}, 0), ({"ram": "least"}, 1), ({"ram": 440}, 1),
     ({"ram_budget": 440 + 768}, 1)],
)  # fmt: skip
def test_on_a_pc_rows_stream_where_it_is_said_or_ram_is_asked_for(
    tmp_path: Path, options: dict[str, Any], flows: int
) -> None:
    toolchain = load_toolchain(TOOLCHAINS / "x86-64.toml")
    assert toolchain.ram is None
    (tmp_path / "net.graph.json").write_bytes(dump(graph()))
    inputs = {
        "graph": [str(tmp_path / "net.graph.json")],
        "toolchain": [str(TOOLCHAINS / "x86-64.toml")],
        "kernels": [str(path) for path in sorted(KERNELS.rglob("*.toml"))],
    }
    outputs = {"plan": str(tmp_path / "net.plan.json")}
    stage.run(Request("plan", "net", "x86-64", PlanOptions(portable=True, **options), inputs, outputs))
    assert len(load_plan(tmp_path / "net.plan.json").flows) == flows
    inputs.pop("toolchain")
    own = PlanOptions(isa=("portable",), **options)
    stage.run(Request("plan", "net", "library", own, inputs, outputs))
    assert len(load_plan(tmp_path / "net.plan.json").flows) == (options.get("stream") != "off")


def kernels(plan: Plan) -> list[str]:
    """Those of the layers that have one."""
    return [layer.kernel for layer in plan.layers if layer.kernel]


@pytest.mark.parametrize(
    ("stream", "need"),
    [
        ("off", "480 bytes at layer 'conv'"),
        ("auto", "432 bytes at layer 'conv' (no rows stream through 'sigmoid/288')"),
    ],
)
def test_a_model_too_large_for_the_ram(tmp_path: Path, stream: str, need: str) -> None:
    with pytest.raises(UserError) as caught:
        planned(tmp_path, size="384", portable=True, stream=stream)
    assert str(caught.value) == (
        f"net on small: its activations need {need}, the target has 384 of RAM; "
        "shrink the network's images or channels, or choose a larger target"
    )


def test_ram_that_nothing_keeps(tmp_path: Path) -> None:
    assert planned(tmp_path, portable=True, ram=432).arena_bytes == 432
    with pytest.raises(UserError) as caught:
        planned(tmp_path, portable=True, ram=431)
    assert str(caught.value) == (
        "net.plan.ram=431: net on small: its activations need 432 bytes at layer 'conv' "
        "(no rows stream through 'sigmoid/288'); say 432 or more, or shrink that layer's images or channels"
    )


def test_ram_that_tensors_in_one_piece_do_not_keep(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        planned(tmp_path, portable=True, ram=432, stream="off")
    assert str(caught.value) == (
        "net.plan.ram=432: net on small: its activations need 480 bytes at layer 'conv'; "
        "say 480 or more, or leave net.plan.stream=off out"
    )


def test_several_inputs_are_held(tmp_path: Path) -> None:
    need = "where there are several inputs they are held as a whole: 'a', 'b'"
    with pytest.raises(UserError) as caught:
        planned(tmp_path, network=of_two_inputs(), portable=True, ram=1)
    assert str(caught.value) == (
        f"net.plan.ram=1: net on small: its activations need 296 bytes at layer 'y' ({need}); "
        "say 296 or more, or shrink that layer's images or channels"
    )
    with pytest.raises(UserError) as caught:
        planned(tmp_path, network=of_two_inputs(flat=True), size="288", portable=True)
    assert str(caught.value) == (
        f"net on small: its activations need 296 bytes at layer 'y' ({need}; no rows stream through 'flat'), the "
        "target has 288 of RAM; shrink the network's images or channels, or choose a larger target"
    )


def test_rows_stream_where_the_ram_asks_for_it(tmp_path: Path) -> None:
    """Unstreamed it takes 480 bytes."""
    off = planned(tmp_path, portable=True, stream="off")
    assert (off.arena_bytes, off.flows, off.front) == (480, (), ())
    least = planned(tmp_path, portable=True, ram="least")
    assert least.arena_bytes == 432
    assert [(flow.first, flow.last, flow.pushed) for flow in least.flows] == [(0, 0, "x")]
    assert least.stops == ("sigmoid/288",)
    assert not planned(tmp_path, portable=True, ram=480).flows
    assert planned(tmp_path, portable=True, ram=479).flows
    assert not planned(tmp_path, portable=True, ram_budget=480 + 768).flows
    assert planned(tmp_path, portable=True, ram_budget=479 + 768).arena_bytes == 432
    assert planned(tmp_path, portable=True, ram_budget=479, ram_reserve=0).arena_bytes == 432
    assert planned(tmp_path, portable=True, ram_budget=1).arena_bytes == 432  # the gate refuses it
    assert planned(tmp_path, portable=True, ram_budget=1).missed == 0
    assert not isinstance(planned(tmp_path, portable=True, ram_budget=432, ram_reserve=0).missed, int)


def test_the_least_ram_with_little_more_instructions_where_nothing_is_said(tmp_path: Path) -> None:
    plan = planned(tmp_path, portable=True)
    unstreamed = plan.front[0]
    assert unstreamed.bytes == 480
    assert plan.arena_bytes == min(p.bytes for p in plan.front if p.instructions <= 1.05 * unstreamed.instructions)
    assert planned(tmp_path, portable=True, ram="little", ram_budget=16 * 1024) == plan
    assert planned(tmp_path, portable=True, ram="little", ram_budget=plan.arena_bytes + 768) == plan
    tight = planned(tmp_path, portable=True, ram="little", ram_budget=plan.arena_bytes + 767)
    assert tight == planned(tmp_path, portable=True, ram_budget=plan.arena_bytes + 767)


def test_a_model_too_large_for_the_flash(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        planned(tmp_path, flash="2 KB", portable=True)
    assert str(caught.value) == (
        "net on small: its weights need 4,088 bytes, the target has 2,048 of flash; "
        "prune the network or choose a larger target"
    )


def test_portable_leaves_the_simd_kernels_out(tmp_path: Path) -> None:
    assert any(kernel.endswith("__armv7em") for kernel in kernels(planned(tmp_path)))
    assert all(kernel.endswith("__portable") for kernel in kernels(planned(tmp_path, portable=True)))


def test_a_budget_leaves_a_program_and_the_sample_their_flash(tmp_path: Path) -> None:
    """The sample: 192 bytes of image and 10 of output."""
    free = planned(tmp_path, extra_weights=9.0)
    assert (free.room.by, free.room.least) == ("", None)
    assert free.room.flash is not None
    enough = free.room.flash + 4096 + 192 + 10
    assert planned(tmp_path, extra_weights=9.0, budget=enough).layers == free.layers
    tight = planned(tmp_path, extra_weights=9.0, budget=enough - 1)
    assert (tight.room.by, tight.room.room) == ("budget", free.room.flash - 1)
    assert sum(layer.weight_bytes for layer in tight.layers) < sum(layer.weight_bytes for layer in free.layers)
    assert planned(tmp_path, extra_weights=9.0, budget=enough - 4096, reserve=202).layers == free.layers
    smallest = planned(tmp_path, budget=0).room
    assert (smallest.room, smallest.used) == (0, smallest.least)


def test_the_targets_flash_counts_where_the_budget_has_more(tmp_path: Path) -> None:
    assert planned(tmp_path, flash="8 KB", budget=9000).room.by == "target"
    assert planned(tmp_path, flash="9 KB", budget=9000).room.by == "budget"
    assert planned(tmp_path, flash="8 KB").layers == planned(tmp_path, budget=8192).layers


def test_what_is_reckoned_is_what_the_compiler_makes(tmp_path: Path) -> None:
    """With what kernels share and all calls, which the reserve is for."""
    need_target("cortex-m7")
    for budget in (None, 9000):
        plan = planned(tmp_path, budget=budget)
        code = ModelCode(graph(), plan)
        (tmp_path / "net.h").write_text(code.header())
        (tmp_path / "net.c").write_text(code.source())
        compiler = load_toolchain(TOOLCHAINS / "cortex-m7.toml").compiler
        command = [compiler.command, *compiler.cflags, f"-I{KERNELS / 'include'}", "-c", "net.c", "-o", "net.o"]
        subprocess.run(command, cwd=tmp_path, check=True)
        with (tmp_path / "net.o").open("rb") as stream:
            sections = [each for each in ELFFile(stream).iter_sections() if each["sh_flags"] & SH_FLAGS.SHF_ALLOC]
            size = sum(each["sh_size"] for each in sections if not each.name.startswith(".ARM"))
        assert plan.room.flash is not None
        assert plan.room.flash - 3072 < size < plan.room.flash + RESERVE
