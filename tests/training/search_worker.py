"""The search stage in a process of its own: from its command line, with a machine that died given up after seconds; or
several searches one after another, `--cases FILE`, what each says in FILE's place with its name for suffix."""

import json
import sys
from contextlib import redirect_stderr
from pathlib import Path

from nnrules.catalog.checked import checked
from nnrules.catalog.stages import SearchOptions
from nnrules.error import UserError
from nnrules.stages.runner import Request, main
from nnrules.stages.search import run
from nnrules.training.search import storage, study


def run_cases(file):
    """Each of {name: [options, inputs]}."""
    for name, (options, inputs) in json.loads(file.read_text()).items():
        folder = file.parent / name
        folder.mkdir(exist_ok=True)
        outputs = {each: str(folder / each) for each in ("best", "study", "report", "table")}
        given = {each: [path] for each, path in inputs.items()}
        with (folder / "said").open("w") as said, redirect_stderr(said):
            try:
                run(Request("search", "halves", "", checked("options", SearchOptions, options), given, outputs))
            except UserError as fault:
                print(fault, file=said)


if __name__ == "__main__":
    storage.HEARTBEAT = study.HEARTBEAT = 1
    storage.GRACE = 3
    if sys.argv[1] == "--cases":
        run_cases(Path(sys.argv[2]))
    else:
        main(run, SearchOptions)
