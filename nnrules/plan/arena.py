"""Offsets in the arena: bytes that are in use at the same time never overlap.

Offset assignment is two-dimensional packing.  Buffers are placed one after another at the lowest offset that is free
for their whole life, and the order is improved by a seeded random search until it meets the lower bound (Pisarchyk
and Lee, 2020, arXiv:2001.03288, for the greedy rules).  A buffer that dies row by row may lie over one that grows row
by row: what matters of two buffers is how far one reaches up while the other is in use.
"""

import random
from collections.abc import Sequence

from nnrules.plan.lifetimes import Buffer, step_bytes
from nnrules.plan.schedule import aligned

TRIALS = 3000
PATIENCE = 400  # trials without a gain


def assign_offsets(buffers: Sequence[Buffer]) -> tuple[list[int], int]:
    """An offset for each buffer (multiples of 8), and the arena's size in bytes."""
    return _Packing(buffers).best()


def live_bytes(buffers: Sequence[Buffer]) -> int:
    """The most bytes in use in one step, alignment included: no arena is smaller."""
    return max(step_bytes(buffers), default=0)


class _Packing:
    """`reach[a][b]`: how far b has to be above a at least, where it is above; 0 where they may lie anywhere."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self.buffers = buffers
        self.sizes = [aligned(buffer.bytes) for buffer in buffers]
        self.reach = [[_reach(a, b) if a is not b else 0 for b in buffers] for a in buffers]
        self.rivals = [
            [b for b in range(len(buffers)) if b != a and (self.reach[a][b] > 0 or self.reach[b][a] > 0)]
            for a in range(len(buffers))
        ]

    def best(self) -> tuple[list[int], int]:
        """Offsets and size of the best order found."""
        buffers, bound = self.buffers, live_bytes(self.buffers)
        times = [buffer.held.bit_count() for buffer in buffers]
        keys = [
            lambda i: (-self.sizes[i], i),
            lambda i: (-times[i], -self.sizes[i], i),
            lambda i: (-times[i] * self.sizes[i], i),
            lambda i: (buffers[i].first, -self.sizes[i], i),
        ]
        orders = [sorted(range(len(buffers)), key=key) for key in keys]
        order = min(orders, key=lambda candidate: self._place(candidate)[1])
        best = self._place(order)
        chance = random.Random(len(buffers))
        gained = 0
        for number in range(min(TRIALS, 30 * len(order) ** 2) if len(order) > 1 else 0):
            if best[1] <= bound or number - gained > PATIENCE:
                break
            trial = list(order)
            a, b = chance.sample(range(len(trial)), 2)
            trial.insert(b, trial.pop(a))
            placed = self._place(trial)
            if placed[1] < best[1]:
                gained = number
            if placed[1] <= best[1]:
                best, order = placed, trial
        return best

    def _place(self, order: Sequence[int]) -> tuple[list[int], int]:
        """Place in this order, each buffer at the lowest offset that keeps it apart from those that are there."""
        offsets = [-1] * len(order)
        top = 0
        for index in order:
            ahead = self.reach[index]
            there = (i for i in self.rivals[index] if offsets[i] >= 0)
            gaps = [(offsets[i] - ahead[i], offsets[i] + self.reach[i][index]) for i in there]
            offset = 0
            for start, stop in sorted(gaps):
                if start >= offset:
                    break
                offset = max(offset, stop)
            offsets[index] = offset
            top = max(top, offset + self.sizes[index])
        return offsets, top


def _reach(a: Buffer, b: Buffer) -> int:
    """How far a reaches up from where b begins, at most, while both are in use."""
    most = max((p.high - q.low for p in a.pieces for q in b.pieces if p.held & q.held), default=0)
    return aligned(max(most, 0))
