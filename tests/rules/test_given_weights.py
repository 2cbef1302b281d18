"""Weights that the build did not train itself: Model(weights=...), Train(script=...)."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.rules.project import Project

BUILT = "build/dense/dense"
SCRIPT = """\
import json
import os
from pathlib import Path

from helper import FIRST
import numpy as np
from safetensors.numpy import save_file

rng = np.random.default_rng(int(os.environ["NNRULES_SEED"]))
shapes = {"hidden.weight": (6, 8), "hidden.bias": (6,), "head.weight": (3, 6), "head.bias": (3,)}
save_file({name: rng.normal(FIRST, 1, shape).astype(np.float32) for name, shape in shapes.items()},
          os.environ["NNRULES_WEIGHTS"])
Path("history.json").write_text(json.dumps([FIRST]))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Nothing built yet."""
    return Project.create(tmp_path / "project")


def declare(project: Project, steps: str, model: str = "") -> Path:
    """Write the model's SConscript; its folder."""
    folder = project.top / "models/dense"
    start = f'env.Model("dense", network="network.py:Dense", dataset="dataset.py:Slopes"{model})'
    (folder / "SConscript").write_text(f'Import("env")\n\n{start}{steps}\n')
    return folder


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    layers = nn.ModuleDict({"hidden": nn.Linear(8, 6), "head": nn.Linear(6, 3)})
    return dict(layers.state_dict())


def refused(project: Project, *told: str) -> str:
    """The one line of a build that fails, after what a script told."""
    done = project.build("model=dense")
    assert done.status == 2, done.stdout + done.stderr
    *before, line = done.stderr.splitlines()
    assert before == list(told)
    return line


def test_a_script_trains_and_its_files_are_products(project: Project) -> None:
    folder = declare(project, '.Train(script="train.py", outputs=["history.json"], seed=3)')
    (folder / "train.py").write_text(SCRIPT)
    (folder / "helper.py").write_text("FIRST = 0\n")
    history = project.top / "build/dense/script/history.json"
    assert project.rebuild("model=dense") == {"dense script"}
    assert history.read_text() == "[0]"
    before = load_file(project.top / f"{BUILT}.trained.safetensors")

    (folder / "train.py").write_text(SCRIPT + "# no more\n")
    assert project.rebuild("model=dense") == set()
    history.unlink()
    (folder / "helper.py").write_text("FIRST = 1\n")
    assert project.rebuild("model=dense") == {"dense script"}
    assert history.read_text() == "[1]"
    after = load_file(project.top / f"{BUILT}.trained.safetensors")
    assert not torch.equal(before["head.bias"], after["head.bias"])

    (folder / "train.py").write_text(SCRIPT + "raise SystemExit('the end')\n")
    log = "what it told is in build/dense/dense.script.log"
    assert refused(project, "the end") == f"models/dense/train.py: ended with status 1: the end; {log}"


def test_a_script_that_is_none(project: Project) -> None:
    place = "models/dense/SConscript:3"
    declare(project, '.Train(script="train.py")')
    assert refused(project) == f"{place}: there is no file models/dense/train.py; create it or correct the name"
    declare(project, '.Train(script="train.sh")')
    assert refused(project) == f"{place}: script='train.sh' is not a Python file; name one like \"train.py\""
    declare(project, '.Train(script="train.py", outputs=["../other"])')
    (project.top / "models/dense/train.py").touch()
    cure = "write names of files, which the script leaves in the folder that it runs in"
    assert refused(project) == f"{place}: outputs= has '../other'; {cure}"


def test_weights_of_a_file(project: Project) -> None:
    """Of torch, pruned and quantized at once; then others under the same name, which fit or do not."""
    folder = declare(project, '.Prune("magnitude", sparsity=0.5, retrain_epochs=0)', ', weights="dense.pth"')
    place, file = "models/dense/dense.pth", folder / "dense.pth"
    torch.save({"state_dict": {f"module.{name}": each for name, each in state().items()}}, file)
    assert project.rebuild("model=dense") == {"dense load", "dense prune"}
    loaded = load_file(project.top / f"{BUILT}.loaded.safetensors")
    assert all(torch.equal(each, loaded[name]) for name, each in state().items())

    save_file(state(), file)  # the same values: nothing that follows runs
    assert project.rebuild("model=dense") == {"dense load"}

    torch.save(nn.Linear(8, 6), file)
    cure = "save network.state_dict() with torch.save or safetensors, nothing else"
    text = f"{place}: holds code (torch.nn.modules.linear.Linear), which is not run; {cure}"
    assert refused(project) == text

    save_file({**state(), "head.weight": torch.zeros(4, 6), "head.bias": torch.zeros(4)}, file)
    told = "head.weight is (4, 6), the network's (3, 6) (2 tensors differ)"
    assert refused(project) == f"{place}: {told}; name the network class that these weights are of"

    file.unlink()
    text = f"models/dense/SConscript:3: there is no file {place}; create it or correct the name"
    assert refused(project) == text
