"""The plan stage on files: a model that does not fit its target is refused before anything is compiled."""

import json
from pathlib import Path

import pytest

from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.catalog.stages import PlanOptions
from nnrules.error import UserError
from nnrules.graph.ir import dump
from nnrules.stages import plan
from nnrules.stages.runner import Request
from tests.plan.test_planner import graph


def planned(folder: Path, ram: str = "4 MB", flash: str = "4 MB", portable: bool = False) -> list[str]:
    """The kernels planned for a Cortex-M7 with this much memory."""
    text = (TOOLCHAINS / "cortex-m7.toml").read_text()
    assert 'ram = "4 MB"\nflash = "4 MB"' in text
    toolchain = text.replace('ram = "4 MB"\nflash = "4 MB"', f'ram = "{ram}"\nflash = "{flash}"')
    (folder / "small.toml").write_text(toolchain)
    (folder / "net.graph.json").write_bytes(dump(graph()))
    inputs = {
        "graph": [str(folder / "net.graph.json")],
        "toolchain": [str(folder / "small.toml")],
        "kernels": [str(path) for path in sorted(KERNELS.rglob("*.toml"))],
    }
    outputs = {"plan": str(folder / "net.plan.json")}
    plan.run(Request("plan", "net", "small", PlanOptions(portable=portable), inputs, outputs))
    return [layer["kernel"] for layer in json.loads((folder / "net.plan.json").read_text())["layers"]]


def test_a_model_too_large_for_the_ram(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        planned(tmp_path, ram="384", portable=True)
    assert str(caught.value) == (
        "net on small: its activations need 480 bytes, the target has 384 of RAM; "
        "shrink the network's images or channels, or choose a larger target"
    )


def test_a_model_too_large_for_the_flash(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        planned(tmp_path, flash="2 KB", portable=True)
    assert str(caught.value) == (
        "net on small: its weights need 4,088 bytes, the target has 2,048 of flash; "
        "prune the network or choose a larger target"
    )


def test_portable_leaves_the_simd_kernels_out(tmp_path: Path) -> None:
    assert any(kernel.endswith("__armv7em") for kernel in planned(tmp_path))
    assert all(kernel.endswith("__portable") for kernel in planned(tmp_path, portable=True) if kernel)
