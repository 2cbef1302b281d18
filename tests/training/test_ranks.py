"""Two processes that train one network, over gloo on the CPU."""

import os
import signal
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

OPTIONS = {"batch_size": 16, "learning_rate": 0.01, "workers": 0, "optimizer": "sgd", "gradient_clip": 0}
OUTPUTS = {"weights": "weights.safetensors", "log": "log.json"}


def test_two_processes_are_one_with_the_whole_batch(stage, tmp_path):
    """Also where the last batch has an odd number of items."""
    task = {"network": "task_files.py:Plain", "dataset": "task_files.py:OddHalves"}
    found = []
    for devices in (1, 2):
        done = stage("train", OUTPUTS, {**OPTIONS, "epochs": 3, "devices": devices}, **task)
        console = done.communicate()[1]
        assert done.returncode == 0, console
        assert console.count("epoch 3/3") == 1
        found.append(load_file(tmp_path / "weights.safetensors"))
    one, two = found
    for name, weights in one.items():
        np.testing.assert_allclose(two[name], weights, rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_process_that_is_killed_is_named(stage, tmp_path):
    """One line, and the checkpoint stays."""
    task = {"network": "task_files.py:Plain", "dataset": "task_files.py:SlowHalves"}
    started = stage("train", OUTPUTS, {**OPTIONS, "epochs": 500, "devices": 2}, **task)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".nnrules/checkpoints/*/checkpoint.safetensors")):
        assert started.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(ranks(started.pid)[1], signal.SIGKILL)
    told = started.communicate(timeout=120)[1]
    assert started.returncode == 2
    text = "train halves: process 1 of 2 ended with signal SIGKILL; build again: it goes on after the last whole epoch"
    assert told.splitlines()[-1] == text
    assert list(tmp_path.glob(".nnrules/checkpoints/*/checkpoint.safetensors"))


def ranks(parent):
    """The processes that train, in their order."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    found = [int(each) for each in children if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]
    assert len(found) == 2
    return found


def test_fp16_needs_a_gpu(stage, tmp_path):
    task = {"network": "task_files.py:Plain", "dataset": "task_files.py:Halves"}
    done = stage("train", OUTPUTS, {"precision": "fp16"}, **task)
    assert done.communicate()[1] == "train halves: precision fp16 needs a GPU; take bf16 or fp32\n"
    assert done.returncode == 2
