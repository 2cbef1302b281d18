"""Offsets in the arena: bytes that are in use at the same time never overlap.

Offset assignment is two-dimensional packing.  Buffers are placed one after another at the lowest offset that is free
for their whole life (Pisarchyk and Lee, 2020, arXiv:2001.03288, for the greedy rules).  Of any two that are in use
together one is above the other, and the height of the whole is a longest path, as the length of a schedule is in a job
shop; so the order is improved where such a path goes, by simulated annealing (van Laarhoven, Aarts and Lenstra, Job
shop scheduling by simulated annealing, 1992), seeded, until it meets the lower bound or has placed EFFORT buffers.
A buffer that dies row by row may lie over one that grows row
by row: what matters of two buffers is how far one reaches up while the other is in use.
"""

import math
import random
from collections.abc import Sequence

from nnrules.plan.lifetimes import Buffer, step_bytes
from nnrules.plan.schedule import aligned

EFFORT = 40_000  # buffers that are placed
WARM = 0.03  # of the height: what may be lost at the beginning
COLD = 0.02  # of that, at the end


def assign_offsets(buffers: Sequence[Buffer], effort: int = EFFORT) -> tuple[list[int], int]:
    """An offset for each buffer (multiples of 8), and the arena's size in bytes. ``effort``: buffers to place."""
    return _Packing(buffers).best(effort)


class _Packing:
    """`rivals`: for each buffer, those that it may not lie over, how far each has to be above it at least where it is
    above, and how far it has to be above that one."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self.buffers = buffers
        self.sizes = [aligned(buffer.bytes) for buffer in buffers]
        reach = [[_reach(a, b) if a is not b else 0 for b in buffers] for a in buffers]
        self.rivals = [
            [(b, reach[a][b], reach[b][a]) for b in range(len(buffers)) if reach[a][b] > 0 or reach[b][a] > 0]
            for a in range(len(buffers))
        ]

    def best(self, effort: int) -> tuple[list[int], int]:
        """Offsets and size of the best order found."""
        loads = step_bytes(self.buffers)
        bound = max(loads, default=0)
        starts = [self._place(order) for order in (range(len(self.buffers)), *self._orders(loads))]
        start = min(starts, key=lambda placed: placed[1])
        return start if start[1] <= bound else self._annealed(start, bound, effort // len(self.buffers))

    def _orders(self, loads: Sequence[int]) -> list[list[int]]:
        """To begin with: what is alive when most is, what is long alive, or what is large comes first."""
        lives = [buffer.held for buffer in self.buffers]
        most = [max(load for step, load in enumerate(loads) if held >> step & 1) for held in lives]
        times = [held.bit_count() for held in lives]
        keys: list[list[tuple[int, ...]]] = [
            [(-size, i) for i, size in enumerate(self.sizes)],
            [(-load, -size, i) for i, (load, size) in enumerate(zip(most, self.sizes, strict=True))],
            [(-time, -size, i) for i, (time, size) in enumerate(zip(times, self.sizes, strict=True))],
            [(buffer.first, -size, i) for i, (buffer, size) in enumerate(zip(self.buffers, self.sizes, strict=True))],
        ]
        return [[key[-1] for key in sorted(each)] for each in keys]

    def _annealed(self, start: tuple[list[int], int], bound: int, rounds: int) -> tuple[list[int], int]:
        """From ``start`` on, by changing which of two buffers on a longest path is above the other."""
        chance, best, now = random.Random(len(self.buffers)), start, start
        for number in range(rounds):
            offsets, top = now
            path = self._path(offsets, top, chance)
            place = chance.randrange(len(path) - 1) if len(path) > 1 else 0
            below, above = path[place], path[place + 1 if place + 1 < len(path) and chance.random() < 2 / 3 else -1]
            order = sorted(range(len(offsets)), key=lambda i: (offsets[i], chance.random()))
            if chance.random() < 1 / 2:
                order.remove(above)
                order.insert(order.index(below) if below != above else chance.randrange(len(offsets)), above)
            elif below != above:
                order.remove(below)
                order.insert(order.index(above) + 1, below)
            placed = self._place(order)
            if placed[1] < best[1]:
                best = placed
                if placed[1] <= bound:
                    break
            warmth = WARM * start[1] * max(COLD, 1 - number / rounds)
            if placed[1] <= top or chance.random() < math.exp((top - placed[1]) / warmth):
                now = placed
        return best

    def _path(self, offsets: Sequence[int], top: int, chance: random.Random) -> list[int]:
        """Buffers that lie directly one above the other, from the bottom to the top."""
        path = [chance.choice([i for i, offset in enumerate(offsets) if offset + self.sizes[i] == top])]
        while at := offsets[path[-1]]:
            own = path[-1]
            below = [i for i, _, apart in self.rivals[own] if offsets[i] + apart == at and i not in path]
            if not below:
                break
            path.append(chance.choice(below))
        return path[::-1]

    def _place(self, order: Sequence[int]) -> tuple[list[int], int]:
        """Place in this order, each buffer at the lowest offset that keeps it apart from those that are there."""
        offsets = [-1] * len(order)
        top = 0
        for index in order:
            there = self.rivals[index]
            gaps = sorted([(offsets[i] - ahead, offsets[i] + apart) for i, ahead, apart in there if offsets[i] >= 0])
            offset = 0
            for start, stop in gaps:
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
