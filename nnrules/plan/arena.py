"""Offsets in the arena: buffers that live at the same time never overlap.

Offset assignment is two-dimensional packing.  Buffers are placed one after another at the lowest offset that is free
for their whole life, and the order is improved by a seeded random search until it meets the lower bound (Pisarchyk
and Lee, 2020, arXiv:2001.03288, for the greedy rules).
"""

import random
from collections.abc import Sequence

from nnrules.plan.lifetimes import Buffer

ALIGNMENT = 8
TRIALS = 400


def assign_offsets(buffers: Sequence[Buffer]) -> tuple[list[int], int]:
    """An offset for each buffer (multiples of 8), and the arena's size in bytes."""
    bound = live_bytes(buffers)
    orders = [
        sorted(range(len(buffers)), key=lambda i: (-buffers[i].bytes, i)),
        sorted(range(len(buffers)), key=lambda i: (buffers[i].first - buffers[i].last, -buffers[i].bytes, i)),
        sorted(range(len(buffers)), key=lambda i: (buffers[i].first, -buffers[i].bytes, i)),
    ]
    best = min((_place(buffers, order) for order in orders), key=lambda placed: placed[1])
    order = min(orders, key=lambda candidate: _place(buffers, candidate)[1])
    chance = random.Random(len(buffers))
    for _ in range(TRIALS if len(buffers) > 2 else 0):
        if best[1] == bound:
            break
        trial = list(order)
        a, b = chance.sample(range(len(trial)), 2)
        trial.insert(b, trial.pop(a))
        placed = _place(buffers, trial)
        if placed[1] <= best[1]:
            best, order = placed, trial
    return best


def live_bytes(buffers: Sequence[Buffer]) -> int:
    """The most bytes alive at one step, alignment included: no arena is smaller."""
    steps = max((buffer.last for buffer in buffers), default=-1) + 1
    return max((sum(_aligned(b.bytes) for b in buffers if b.held >> step & 1) for step in range(steps)), default=0)


def _place(buffers: Sequence[Buffer], order: Sequence[int]) -> tuple[list[int], int]:
    """Place in this order, each buffer at the lowest offset free for its life."""
    offsets = [0] * len(buffers)
    placed: list[int] = []
    for index in order:
        buffer = buffers[index]
        alive = [i for i in placed if buffers[i].held & buffer.held]
        offset = 0
        for start, stop in sorted((offsets[i], offsets[i] + _aligned(buffers[i].bytes)) for i in alive):
            if start - offset >= _aligned(buffer.bytes):
                break
            offset = max(offset, stop)
        offsets[index] = offset
        placed.append(index)
    return offsets, max((offsets[i] + _aligned(b.bytes) for i, b in enumerate(buffers)), default=0)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
