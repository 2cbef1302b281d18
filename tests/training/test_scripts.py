"""Train(script=...): the stage that runs a training script of the user's."""

import json
import os
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file

from nnrules.catalog.stages import ScriptOptions
from nnrules.error import UserError
from nnrules.stages import script

HEAD = """\
import json, os, sys
from pathlib import Path
import numpy as np
from safetensors.numpy import save_file

state = {
    "stem.weight": np.ones((6, 1, 3, 3)), "stem.bias": np.zeros(6),
    "head.weight": np.ones((1, 216)), "head.bias": np.zeros(1),
}
state = {name: each.astype(np.float32) for name, each in state.items()}
"""
SAVE = 'save_file(state, os.environ["NNRULES_WEIGHTS"])\n'
OURS = {"weights": "halves.trained.safetensors", "log": "halves.script.json"}


@pytest.fixture
def run(tmp_path, monkeypatch, reference, request_for):
    """`run(text, outputs, data, **options)`: the stage with a script of this text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(("lib", os.environ.get("PYTHONPATH", ""))))
    (tmp_path / "partial").mkdir()

    def call(text, outputs=(), data=None, **options):
        (tmp_path / "train.py").write_text(HEAD + text)
        inputs = {"script": "train.py:__main__", "network": reference("Plain"), "dataset": reference("Halves")}
        inputs |= {"data": data} if data else {}
        files = {name: f"partial/{file}" for name, file in {**OURS, **{each: each for each in outputs}}.items()}
        script.run(request_for("script", ScriptOptions(**options), files, **inputs))

    return call


def test_what_a_script_is_told_and_leaves(run, tmp_path):
    """It starts in an empty folder; what it prints is in a log; its checkpoints stay where it looks again."""
    text = """
told = {name: value for name, value in os.environ.items() if name.startswith("NNRULES_")}
files = sorted(os.listdir())
kept = Path(told["NNRULES_CHECKPOINTS"], "kept")
before = kept.exists()
kept.touch()
print("it trains")
told |= {"words": sys.argv[1:], "files": files, "kept": before, "OMP": os.environ["OMP_NUM_THREADS"]}
Path("told.json").write_text(json.dumps(told))
"""
    run(text + SAVE, ["told.json"], seed=7, threads=2, words=("--deep", "3"))
    told = json.loads((tmp_path / "partial/told.json").read_text())
    assert (told["NNRULES_SEED"], told["NNRULES_THREADS"], told["OMP"]) == ("7", "2", "2")
    assert (told["words"], told["files"], told["kept"]) == (["--deep", "3"], [], False)
    assert "NNRULES_DATA" not in told
    assert (tmp_path / "halves.script.log").read_text() == "it trains\n"
    assert (load_file(tmp_path / "partial" / OURS["weights"])["stem.weight"] == np.ones((6, 1, 3, 3))).all()
    assert json.loads((tmp_path / "partial" / OURS["log"]).read_text())["metric"]["name"] == "accuracy"
    (tmp_path / "partial/script").rmdir()
    run(text + SAVE, ["told.json"], seed=7, threads=2, words=("--deep", "3"))
    assert json.loads((tmp_path / "partial/told.json").read_text())["kept"]


def test_a_process_that_a_script_leaves_behind_is_not_waited_for(run, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "_REST", 0.5)
    run(f'import subprocess\nPath("{tmp_path}/left").write_text(str(subprocess.Popen(["sleep", "600"]).pid))\n' + SAVE)
    os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)


LOG = "halves.script.log"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "print('first', file=sys.stderr)\nraise ValueError('the loss is not there')\n",
            f"train.py: ended with status 1: ValueError: the loss is not there; what it told is in {LOG}",
        ),
        ("sys.exit(3)\n", f"train.py: ended with status 3; what it told is in {LOG}"),
        ("os.kill(os.getpid(), 9)\n", f"train.py: ended with signal SIGKILL; what it told is in {LOG}"),
        (
            "",
            "train.py: left no weights; write the network's state_dict to NNRULES_WEIGHTS; what it told is in " + LOG,
        ),
        (SAVE, "train.py: left no history.json; write it to the folder that the script runs in"),
        (
            'state["hat.bias"] = state.pop("head.bias")\nPath("history.json").touch()\n' + SAVE,
            "train.py: its weights: has no head.bias but has hat.bias; name the network class that these weights are "
            "of",
        ),
        (
            'state["head.weight"] = state["head.weight"][:, :200].copy()\nPath("history.json").touch()\n' + SAVE,
            "train.py: its weights: head.weight is (1, 200), the network's (1, 216); name the network class that these "
            "weights are of",
        ),
        (
            'state["head.bias"] += np.inf\nPath("history.json").touch()\n' + SAVE,
            "train.py: its weights: tensor 'head.bias' holds NaN or infinity; train it again",
        ),
        (
            "import importlib\nsys.path.insert(0, str(Path(sys.argv[0]).parent))\n"
            'importlib.import_module("hid" + "den")\nPath("history.json").touch()\n' + SAVE,
            "hidden.py: is imported in a way that no build sees; name it in files= of env.Model",
        ),
    ],
    ids=["raises", "leaves", "killed", "weights", "output", "names", "shapes", "values", "import"],
)
def test_what_a_script_does_wrong(run, tmp_path, text, line):
    (tmp_path / "hidden.py").write_text("")
    with pytest.raises(UserError) as raised:
        run(text, ["history.json"])
    assert str(raised.value) == line


def test_its_data(run, tmp_path):
    """The folder of data=; the small task's has none and would say so, but the script's end comes first."""
    (tmp_path / "data").mkdir()
    with pytest.raises(UserError) as raised:
        run('sys.exit(os.environ["NNRULES_DATA"])\n', data="data")
    assert str(raised.value) == f"train.py: ended with status 1: {tmp_path / 'data'}; what it told is in {LOG}"
