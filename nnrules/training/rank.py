"""One of the processes that train together, as torchrun or srun starts it: python -m nnrules.training.rank FOLDER."""

import os
import sys
from pathlib import Path
from threading import Thread

from nnrules.error import UserError
from nnrules.training.launchers import read_job
from nnrules.training.ranks import Job, end_with_parent, make_fabric, require_devices


def main() -> None:
    """Exit code 2: a mistake of the user's, told in the folder; 1: our bug, with its traceback."""
    Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    job = read_job(Path(sys.argv[1]))
    from torch import distributed

    try:
        _require_devices(job)
        job.start(make_fabric(job.recipe))
    except UserError:
        sys.exit(2)
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _require_devices(job: Job) -> None:
    """Of this process's machine, which may not be the build's."""
    try:
        require_devices(job.recipe, job.place)
    except UserError as fault:
        raise job.tell(fault, int(os.environ.get("SLURM_PROCID") or os.environ.get("RANK", "0"))) from None


if __name__ == "__main__":
    main()
