"""Runs a training script of the user's, a process that the stage `script` starts: SCRIPT TOP SEEN WORD...

As `python SCRIPT WORD...` would, but that its modules are compiled from their source (see references.py) and may lie in
the project's folder TOP too. The files of those that it imported are written to SEEN, a JSON list.
"""

import json
import os
import runpy
import sys
from pathlib import Path


def main() -> None:
    """What the script raises is raised."""
    script, top, seen, *words = sys.argv[1:]
    threads = os.environ["OMP_NUM_THREADS"]
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from nnrules.stages.references import compile_always, imported_files

    os.environ.update(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)
    sys.path[0] = str(Path(script).parent)
    sys.path.append(top)
    compile_always()
    sys.argv = [script, *words]
    before = frozenset(sys.modules)
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        Path(seen).write_text(json.dumps(sorted(imported_files(before))), encoding="utf-8")


if __name__ == "__main__":
    main()
