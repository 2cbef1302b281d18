"""Who starts the processes that train together: `Train(devices=..., nodes=..., launcher=...)`.

spawn: the stage itself, on this machine.

torchrun: torch's elastic launcher, which `torchrun` is. With nodes > 1, `rendezvous="host:port"` is an address of one
of the machines, on a port that is free there; the build runs on one of them and prints the command to be started on
each of the others, `python -m torch.distributed.run ...`, in the same project folder, which they share.

srun: SLURM's, one task for each process; the build runs inside an allocation (salloc, sbatch) of `nodes` machines,
which share the project folder.

kubernetes: nobody. Each pod of a Kubeflow PyTorchJob runs the whole build in a folder of its own and trains as one
process, so that `nodes` is the number of pods. Each ends with the same weights; checkpoints are the first pod's, whose
.nnrules/checkpoints should survive it.
"""

from __future__ import annotations

import logging
import os
import pickle
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnrules.catalog.stages import Recipe
from nnrules.error import UserError
from nnrules.training.ranks import AGAIN, Given, Job, make_fabric, require_devices

if TYPE_CHECKING:
    from lightning_fabric import Fabric

JOB = "job.pickle"
_RANK = "nnrules.training.rank"
_OTHERS = ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")  # of what may run around the build


def launch(function: Callable[[Fabric, Any], None], given: Given, recipe: Recipe, place: str) -> None:
    """Call ``function``, of a module, in every process, with what connects it to the others.

    Raises UserError where the machine has not what the recipe asks for, where one of the processes raised it, and where
    one of them was ended from outside.
    """
    many = recipe.devices * recipe.nodes > 1
    if not many or recipe.launcher != "srun":  # whose machines are others
        require_devices(recipe, place)
    if not many:
        function(make_fabric(recipe), given)
        return
    job = Job.of(function, given, recipe, place)
    shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True)
    {"spawn": _spawn, "torchrun": _torchrun, "srun": _srun, "kubernetes": _join}[recipe.launcher](job)


def _spawn(job: Job) -> None:
    from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

    if job.recipe.nodes > 1:
        fault = f"nodes={job.recipe.nodes}, but launcher spawn starts processes on this machine alone"
        raise UserError(job.place, fault, "take launcher torchrun, srun or kubernetes")
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)
    others = {name: os.environ.pop(name) for name in _OTHERS if name in os.environ}
    try:
        make_fabric(job.recipe).launch(job.run)
    except ProcessExitedException as fault:
        job.raise_told()
        job.raise_ended(fault.error_index, _cause(fault.exit_code))
    except ProcessRaisedException:
        job.raise_told()
        raise
    finally:
        os.environ.pop("MASTER_PORT", None)  # which Fabric leaves
        os.environ.update(others)


def _torchrun(job: Job) -> None:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    recipe, identity = job.recipe, job.given.checkpoints.name
    config = LaunchConfig(
        min_nodes=recipe.nodes,
        max_nodes=recipe.nodes,
        nproc_per_node=recipe.devices,
        run_id=identity,
        rdzv_backend="c10d",
        rdzv_endpoint=_rendezvous(job),
        local_addr="127.0.0.1" if recipe.nodes == 1 else None,
        max_restarts=0,
        signals_to_handle="SIGTERM",
        logs_specs=DefaultLogsSpecs(log_dir=str(job.folder)),
    )
    command = _command(job)
    if recipe.nodes > 1:
        print(f"{job.place}: {_invitation(recipe, identity, command)}", file=sys.stderr, flush=True)
    logging.disable(logging.ERROR)  # it tells at length what is told here in a line
    try:
        elastic_launch(config, command[0])(*command[1:])
    except ChildFailedError as fault:
        job.raise_told()
        rank, failure = fault.get_first_failure()
        if failure.exitcode == 1:
            raise
        job.raise_ended(rank, _cause(failure.exitcode))
    except RendezvousError as fault:
        told = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        cure = "look whether its machine can be reached, and start the others in time"
        raise UserError(job.place, f"no rendezvous at {recipe.rendezvous}: {told}", cure) from None
    except SignalException:
        raise KeyboardInterrupt from None
    finally:
        logging.disable(logging.NOTSET)


def _rendezvous(job: Job) -> str:
    """Where the machines meet; a free port of this one where it is alone."""
    recipe = job.recipe
    if recipe.nodes == 1:
        return "127.0.0.1:0"
    host, _, port = recipe.rendezvous.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        fault = f"rendezvous {recipe.rendezvous!r} is no host:port" if recipe.rendezvous else "there is no rendezvous"
        cure = f'set rendezvous="{socket.gethostname()}:29400", an address of a machine that the others reach'
        raise UserError(job.place, fault, cure)
    return recipe.rendezvous


def _invitation(recipe: Recipe, identity: str, command: list[str]) -> str:
    """What the other machines are to start."""
    options = {
        "nnodes": recipe.nodes,
        "nproc-per-node": recipe.devices,
        "rdzv-backend": "c10d",
        "rdzv-endpoint": recipe.rendezvous,
        "rdzv-id": identity,
    }
    python, *rank = command
    words = [python, "-m", "torch.distributed.run", *(f"--{name}={value}" for name, value in options.items()), *rank]
    many = recipe.nodes - 1
    machines = "1 other machine" if many == 1 else f"{many} other machines"
    return f"waits for {machines}; start there, in this folder: {shlex.join(words)}"


def _srun(job: Job) -> None:
    recipe = job.recipe
    if shutil.which("srun") is None:
        fault = "launcher srun, but there is no srun"
        raise UserError(job.place, fault, "build inside an allocation of SLURM, or take another launcher")
    words = [
        "srun",
        f"--nodes={recipe.nodes}",
        f"--ntasks={recipe.nodes * recipe.devices}",
        f"--ntasks-per-node={recipe.devices}",
        "--kill-on-bad-exit=1",
        *_command(job),
    ]
    status = _waited(subprocess.Popen(words, env={"MASTER_PORT": str(_free_port()), **os.environ}))
    if status:
        job.raise_told()
        raise UserError(job.place, f"srun ended with {_cause(status)}", f"see what it told, and {AGAIN}")


def _waited(process: subprocess.Popen[bytes]) -> int:
    """Its status; ended with this process, so that it ends its tasks, too."""
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise


def _free_port() -> int:
    """Here; on another machine with luck, else the next build has another one."""
    with socket.socket() as one:
        one.bind(("", 0))
        return int(one.getsockname()[1])


def _join(job: Job) -> None:
    """This process is one of them."""
    recipe = job.recipe
    if recipe.devices > 1:
        fault = f"devices={recipe.devices}, but with launcher kubernetes each pod is one process"
        raise UserError(job.place, fault, "set nodes to the number of pods, and devices to 1")
    for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"):
        if name not in os.environ:
            fault = f"launcher kubernetes, but there is no variable {name}"
            raise UserError(job.place, fault, "build in the pods of a PyTorchJob, or take another launcher")
    if os.environ["WORLD_SIZE"] != str(recipe.nodes):
        fault = f"nodes={recipe.nodes}, but WORLD_SIZE is {os.environ['WORLD_SIZE']}"
        raise UserError(job.place, fault, "set nodes to the number of pods")
    job.start(make_fabric(recipe))


def _command(job: Job) -> list[str]:
    """What starts one of the processes; they read the job from its folder."""
    (job.folder / JOB).write_bytes(pickle.dumps(job))
    return [sys.executable, "-m", _RANK, str(job.folder)]


def _cause(status: int) -> str:
    """Of Python's exit codes: negative ones are signals."""
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def read_job(folder: Path) -> Job:
    """In a process that another program started."""
    job: Job = pickle.loads((folder / JOB).read_bytes())
    return job
