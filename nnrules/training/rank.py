"""One of the processes that train together, as torchrun or srun starts it: python -m nnrules.training.rank FOLDER."""

import os
import sys
from pathlib import Path
from threading import Thread

from nnrules.error import UserError
from nnrules.training.launchers import read_job
from nnrules.training.ranks import end_with_parent, make_fabric


def main() -> None:
    """Exit code 2: a mistake of the user's, told in the folder; 1: our bug, with its traceback."""
    Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    job = read_job(Path(sys.argv[1]))
    from torch import distributed

    try:
        job.start(make_fabric(job.recipe))
    except UserError:
        sys.exit(2)
    if distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
