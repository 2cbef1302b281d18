"""Processes that train one network together, over gloo on the CPU, whoever starts them."""

import importlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from nnrules.catalog.stages import QuantizeOptions, TrainOptions
from nnrules.error import UserError
from nnrules.stages.runner import Request
from nnrules.training import rank
from nnrules.training.launchers import _command, _waited
from nnrules.training.ranks import Job, _average_each, alone

from .conftest import ROOT, started

OPTIONS = {"batch_size": 16, "learning_rate": 0.01, "workers": 0, "optimizer": "sgd", "gradient_clip": 0, "epochs": 3}
OUTPUTS = {"weights": "weights.safetensors", "log": "log.json"}
FITTED = {**OUTPUTS, "codes": "codes.safetensors", "quantizers": "quantizers.json"}
TASK = {"network": "task_files.py:Watching", "dataset": "task_files.py:OddHalves"}
SLOW = {"dataset": "task_files.py:SlowOddHalves"}  # the same items, with time to kill whoever reads them
AGAIN = "build again: it goes on after the last whole epoch"

SRUN = """\
import os, subprocess, sys, time
at = next(i for i, word in enumerate(sys.argv[1:], 1) if not word.startswith("-"))
given = dict(word.removeprefix("--").split("=") for word in sys.argv[1:at])
assert given == {"nodes": "1", "ntasks": "2", "ntasks-per-node": "2", "kill-on-bad-exit": "1"}, given
common = {"NTASKS": 2, "NTASKS_PER_NODE": 2, "NNODES": 1, "NODEID": 0, "JOB_ID": 4711, "NODELIST": "127.0.0.1"}
tasks = []
for rank in range(2):
    own = {f"SLURM_{name}": str(value) for name, value in {**common, "PROCID": rank, "LOCALID": rank}.items()}
    tasks.append(subprocess.Popen(sys.argv[at:], env={**os.environ, **own}))
while any(each.poll() is None for each in tasks):
    bad = [each for each in tasks if each.poll()]
    if bad:
        for each in tasks:
            each.terminate()
        sys.exit(bad[0].returncode if bad[0].returncode > 0 else 128 - bad[0].returncode)
    time.sleep(0.05)
"""


def train(folder, variables=None, inputs=None, **options):
    """Start the stage in a folder."""
    folder.mkdir(exist_ok=True)
    return started(folder, "train", OUTPUTS, {**OPTIONS, **options}, variables, **{**TASK, **(inputs or {})})


def run(folder, verb="train", variables=None, inputs=None, **options):
    """The stage in this process, which saves an import of torch."""
    (folder / "task_files.py").write_bytes(Path(__file__).with_name("task_files.py").read_bytes())
    given = {name: [path] for name, path in {**TASK, **(inputs or {})}.items()}
    outputs = {name: str(folder / path) for name, path in (OUTPUTS if verb == "train" else FITTED).items()}
    kind = {"train": TrainOptions, "fit": QuantizeOptions}[verb]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(variables or {})}.items():
            patch.setenv(name, value)
        stage = importlib.import_module(f"nnrules.stages.{verb}")
        stage.run(Request(verb, "halves", "", kind(**{**OPTIONS, **options}), given, outputs))


def finished(process):
    """What it told."""
    told = process.communicate(timeout=300)[1]
    assert process.returncode == 0, told
    return told


def weights(folder):
    return folder / OUTPUTS["weights"]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder of a run of two processes that the stage starts itself, whatever else the build is part of."""
    folder = tmp_path_factory.mktemp("two")
    variables = {"MASTER_ADDR": "192.0.2.1", "MASTER_PORT": "1", "NODE_RANK": "3"}
    run(folder, variables=variables, devices=2)
    return folder


def test_two_processes_are_one_with_the_whole_batch(two, tmp_path):
    """Also where the last batch has an odd number of items."""
    run(tmp_path)
    found = load_file(weights(two))
    one = load_file(weights(tmp_path))
    assert one.pop("seen") != found["seen"]
    for name, value in one.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_process_that_is_killed_is_named_and_the_run_goes_on(two, tmp_path):
    """Whoever starts its processes then, with the same result."""
    killed = train(tmp_path, inputs=SLOW, devices=2, launcher="torchrun")
    wait_for(lambda: list(tmp_path.glob(".nnrules/checkpoints/*/checkpoint.safetensors")), killed)
    os.kill(ranks(killed.pid)[1], signal.SIGKILL)
    told = killed.communicate(timeout=120)[1]
    assert killed.returncode == 2
    assert told.splitlines()[-1] == f"train halves: process 1 of 2 ended with signal SIGKILL; {AGAIN}"
    assert "Traceback" not in told
    assert not weights(tmp_path).exists()
    told = finished(train(tmp_path, inputs=SLOW, devices=2))
    assert "train halves: resumed after epoch" in told
    assert told.count("epoch 3/3") == 1
    assert weights(tmp_path).read_bytes() == weights(two).read_bytes()
    assert not list(tmp_path.glob(".nnrules/checkpoints/*"))


def test_slurm(two, tmp_path):
    """An srun that starts what it is told to, with SLURM's variables."""
    run(tmp_path, variables=path_with_srun(tmp_path), devices=2, launcher="srun")
    assert weights(tmp_path).read_bytes() == weights(two).read_bytes()


def test_quantizers_are_trained_together(two, tmp_path):
    """As by one process, but for roundings of sums; the outputs are there once."""
    found = []
    for devices, launcher in ((1, "spawn"), (2, "torchrun")):
        shutil.copy(weights(two), tmp_path / "before.safetensors")
        options = {"method": "lsq", "weight_bits": 8, "activation_bits": 8, "epochs": 2, "devices": devices}
        run(tmp_path, "fit", inputs={"weights": "before.safetensors"}, launcher=launcher, **options)
        found.append(json.loads((tmp_path / "log.json").read_text())["loss"])
        assert {each.name for each in tmp_path.glob("*.*")} >= set(FITTED.values())
    np.testing.assert_allclose(*found, rtol=1e-3)


def test_kubernetes(two, tmp_path):
    """Each pod has its own folder, and the outputs in it; only the first one has the checkpoint that both go on
    from."""
    port = str(free_port())

    def pods():
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
        options = {"nodes": 2, "launcher": "kubernetes"}
        return [train(tmp_path / f"pod{i}", {**common, "RANK": str(i)}, SLOW, **options) for i in range(2)]

    killed = pods()
    wait_for(lambda: list(tmp_path.glob("pod0/.nnrules/checkpoints/*/checkpoint.safetensors")), killed[0])
    for each in killed:
        each.kill()
        each.communicate()
    first, second = map(finished, pods())
    assert "resumed after epoch" in first
    assert "epoch" not in second
    for i in range(2):
        assert weights(tmp_path / f"pod{i}").read_bytes() == weights(two).read_bytes()


def test_two_machines(two, tmp_path):
    """The build says what the other one is to start."""
    where = f"127.0.0.1:{free_port()}"
    first = train(tmp_path, nodes=2, launcher="torchrun", rendezvous=where)
    told = first.stderr.readline()
    begin = "train halves: waits for 1 other machine; start there, in this folder: "
    assert told.startswith(begin)
    words = shlex.split(told.removeprefix(begin))
    assert words[:3] == [sys.executable, "-m", "torch.distributed.run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    finished(subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True))
    finished(first)
    assert weights(tmp_path).read_bytes() == weights(two).read_bytes()


def test_what_the_users_code_raises_is_told_as_with_one_process(tmp_path, capfd):
    variables = path_with_srun(tmp_path)
    with pytest.raises(UserError) as raised:
        run(tmp_path, variables=variables, inputs={"dataset": "task_files.py:Damaged"}, devices=2, launcher="srun")
    lines = (tmp_path / "task_files.py").read_text().splitlines()
    number = 1 + next(i for i, line in enumerate(lines) if "item 7 is damaged" in line)
    text = f"task_files.py:{number}: ValueError: item 7 is damaged; fix the exception and build again"
    assert str(raised.value) == text
    assert "Traceback" not in capfd.readouterr().err


class Given(NamedTuple):
    """What a process gets."""

    checkpoints: Path

    def blamed(self, fault):
        return None


def raising(fabric, given):
    raise UserError("here", "is wrong: in two ways; or three")


def test_gradients_are_averaged_one_by_one(monkeypatch):
    """However they lie in a bucket, which after a kill is otherwise than before: sums of three are rounded alike."""

    class Work:
        def wait(self):
            waited.append(self)

        def get_future(self):
            future = torch.futures.Future()
            future.set_result(None)
            return future

    class Bucket:
        def buffer(self):
            return flat

        def gradients(self):
            return [flat[:2], flat[2:].view(2, 2)]

    def reduce(each, async_op):
        reduced.append(each.tolist())
        return Work()

    flat, reduced, waited = torch.arange(6.0), [], []
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("torch.distributed.all_reduce", reduce)
    assert _average_each(Bucket()).value() is flat
    assert reduced == [[0.0, 0.5], [[1.0, 1.5], [2.0, 2.5]]]
    assert len(waited) == 2


def test_what_happened_is_told_before_what_came_of_it(tmp_path):
    job = Job.of(raising, Given(tmp_path), TrainOptions(), "train halves")
    job.folder.mkdir()
    told = {0: ["train halves", "process 0 lost the others", AGAIN], 1: ["train halves", "the loss is nan", "look"]}
    for number, fields in told.items():
        (job.folder / f"{number}.json").write_text(json.dumps(fields))
    with pytest.raises(UserError, match=r"^train halves: the loss is nan; look$"):
        job.raise_told()


def test_an_interrupted_srun_ends(monkeypatch):
    process = subprocess.Popen(["sleep", "60"])
    wait, stops = process.wait, [KeyboardInterrupt]
    monkeypatch.setattr(process, "wait", lambda: raise_(stops.pop()) if stops else wait())
    with pytest.raises(KeyboardInterrupt):
        _waited(process)
    assert process.returncode == -signal.SIGTERM


def test_a_mistake_without_a_cure(tmp_path):
    job = Job.of(raising, Given(tmp_path), TrainOptions(), "train halves")
    job.folder.mkdir()
    job.raise_told()
    for action in (lambda: job.run(alone()), job.raise_told):
        with pytest.raises(UserError) as raised:
            action()
        assert str(raised.value) == "here: is wrong: in two ways; or three"


@pytest.mark.parametrize("fault", [torch.distributed.DistNetworkError("gone"), RuntimeError("[gloo/pair.cc] closed")])
def test_who_lost_another_process_waits_and_says_so(fault, tmp_path, monkeypatch):
    """For as long as the one that started them takes to notice the other's end."""
    waited = []
    monkeypatch.setattr(f"{__name__}.raising", lambda fabric, given: raise_(fault))
    monkeypatch.setattr("time.sleep", waited.append)
    job = Job(__name__, "raising", Given(tmp_path), TrainOptions(), "train halves")
    job.folder.mkdir()
    with pytest.raises(UserError) as raised:
        job.run(alone())
    assert str(raised.value) == f"train halves: process 0 lost the others; {AGAIN}"
    assert waited == [10.0]


def test_srun_asks_its_own_machines_for_gpus(tmp_path, monkeypatch):
    """The build's may be one to log in."""
    job = Job(__name__, "raising", Given(tmp_path), TrainOptions(devices=2, launcher="srun", precision="fp16"), "train")
    job.folder.mkdir()
    with pytest.raises(UserError, match=r"there is no srun"):
        run(tmp_path, variables={"PATH": "/nowhere"}, devices=2, launcher="srun", precision="fp16")
    monkeypatch.setattr("sys.argv", _command(job)[2:])
    monkeypatch.setattr(rank, "Thread", Mock())
    monkeypatch.setenv("SLURM_PROCID", "1")
    with pytest.raises(SystemExit) as ended:
        rank.main()
    assert ended.value.code == 2
    assert json.loads((job.folder / "1.json").read_text()) == [
        "train",
        "precision fp16 needs a GPU",
        "take bf16 or fp32",
    ]


def test_who_finds_no_other_process_says_so(tmp_path, monkeypatch):
    fault = torch.distributed.DistNetworkError("The client socket has timed out\nwhile trying to connect")
    fabric = alone()
    monkeypatch.setattr(fabric, "launch", lambda function: raise_(fault))
    job = Job(__name__, "raising", Given(tmp_path), TrainOptions(), "train halves")
    job.folder.mkdir()
    text = f"train halves: process 0 cannot reach the others: The client socket has timed out; {AGAIN}"
    for action in (lambda: job.start(fabric), job.raise_told):
        with pytest.raises(UserError) as raised:
            action()
        assert str(raised.value) == text


def raise_(fault):
    raise fault


def wait_for(happened, process):
    deadline = time.monotonic() + 120
    while not happened():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ranks(parent):
    """The processes that train, in their order."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    words = {int(each): Path(f"/proc/{each}/cmdline").read_bytes() for each in children}
    found = [each for each, line in words.items() if b"spawn_main" in line or b"nnrules.training.rank" in line]
    assert len(found) == 2
    return found


def path_with_srun(folder):
    """Variables that have a fake one found."""
    program = folder / "srun"
    program.write_text(f"#!{sys.executable}\n{SRUN}")
    program.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.parametrize(
    ("options", "variables", "line"),
    [
        ({"precision": "fp16"}, {}, "precision fp16 needs a GPU; take bf16 or fp32"),
        (
            {"nodes": 2},
            {},
            "nodes=2, but launcher spawn starts processes on this machine alone; take launcher torchrun, srun or "
            "kubernetes",
        ),
        (
            {"nodes": 2, "launcher": "torchrun"},
            {},
            f'there is no rendezvous; set rendezvous="{socket.gethostname()}:29400", an address of a machine that the '
            "others reach",
        ),
        (
            {"nodes": 2, "launcher": "torchrun", "rendezvous": "here"},
            {},
            f"rendezvous 'here' is no host:port; set rendezvous=\"{socket.gethostname()}:29400\", an address of a "
            "machine that the others reach",
        ),
        (
            {"nodes": 2, "launcher": "torchrun", "rendezvous": "here:65536"},
            {},
            f"rendezvous 'here:65536' is no host:port; set rendezvous=\"{socket.gethostname()}:29400\", an address of "
            "a machine that the others reach",
        ),
        (
            {"devices": 2, "launcher": "srun"},
            {"PATH": "/nowhere"},
            "launcher srun, but there is no srun; build inside an allocation of SLURM, or take another launcher",
        ),
        (
            {"devices": 2, "launcher": "kubernetes"},
            {},
            "devices=2, but with launcher kubernetes each pod is one process; set nodes to the number of pods, and "
            "devices to 1",
        ),
        (
            {"nodes": 2, "launcher": "kubernetes"},
            {"MASTER_ADDR": "127.0.0.1"},
            "launcher kubernetes, but there is no variable MASTER_PORT; build in the pods of a PyTorchJob, or take "
            "another launcher",
        ),
        (
            {"nodes": 2, "launcher": "kubernetes"},
            {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "WORLD_SIZE": "3", "RANK": "0"},
            "nodes=2, but WORLD_SIZE is 3; set nodes to the number of pods",
        ),
    ],
)
def test_what_the_machine_has_not(options, variables, line, tmp_path):
    with pytest.raises(UserError) as raised:
        run(tmp_path, variables=variables, **options)
    assert str(raised.value) == f"train halves: {line}"
