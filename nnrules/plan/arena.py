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

PATIENCE = 50_000  # buffers that are placed without a gain


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
        loads = step_bytes(self.buffers)
        bound, chance = max(loads, default=0), random.Random(len(self.buffers))
        found = self._place(range(len(self.buffers)))
        for order in self._orders(loads):
            placed = self._improved(order, bound, chance)
            if placed[1] < found[1]:
                found = placed
            if found[1] <= bound:
                break
        return found

    def _orders(self, loads: Sequence[int]) -> list[list[int]]:
        """To begin with: what is alive when most is, what is long alive, or what is large comes first."""
        most = [max(load for step, load in enumerate(loads) if b.held >> step & 1) for b in self.buffers]
        times = [buffer.held.bit_count() for buffer in self.buffers]
        keys: list[list[tuple[int, ...]]] = [
            [(-size, i) for i, size in enumerate(self.sizes)],
            [(-load, -size, i) for i, (load, size) in enumerate(zip(most, self.sizes, strict=True))],
            [(-time, -size, i) for i, (time, size) in enumerate(zip(times, self.sizes, strict=True))],
            [(buffer.first, -size, i) for i, (buffer, size) in enumerate(zip(self.buffers, self.sizes, strict=True))],
        ]
        return [[key[-1] for key in sorted(each)] for each in keys]

    def _improved(self, order: list[int], bound: int, chance: random.Random) -> tuple[list[int], int]:
        """By placing another buffer earlier, mostly one that reaches to the top."""
        best = self._place(order)
        gained = number = 0
        while best[1] > bound and len(order) > 1 and (number - gained) * len(order) < PATIENCE:
            offsets, top = best
            highest = [i for i, offset in enumerate(offsets) if offset + self.sizes[i] == top]
            moved = chance.choice(highest if number % 4 else order)
            trial = [i for i in order if i != moved]
            trial.insert(chance.randrange(len(order)), moved)
            placed = self._place(trial)
            number += 1
            if placed[1] < top:
                gained = number
            if placed[1] <= top:
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
