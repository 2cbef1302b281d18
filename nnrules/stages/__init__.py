"""One verb a file: each stage is a process that reads files and writes files (`python -m nnrules.stages.<verb>`).

Numerical libraries get one thread here, before any of them is imported, however the stage is started: so it computes
the same everywhere, and stages that run side by side do not crowd each other. Training has the option `threads`.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
