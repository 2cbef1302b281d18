"""Everything random and every order of sums, such that the same run gives the same bytes."""

from __future__ import annotations

import os
import random

import numpy as np


def prepare(seed: int, threads: int) -> None:
    """Make torch repeatable; call it before the network is constructed, for its initial weights."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without which cuBLAS refuses to be deterministic
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    draw_from(seed)


def draw_from(number: int) -> None:
    """Of torch, and of what else a network or a data set may draw from."""
    import torch

    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number % 2**32)
