"""What the cache did in one build."""

import threading

import msgspec

_KB, _MB, _GB = 1000, 1000**2, 1000**3


class Summary(msgspec.Struct, frozen=True):
    """`bytes_down`, `bytes_up`: over the network; `seconds_saved`: what the restored steps once took; `strikes`: faults
    of the remote; `damaged`: bad entries and contents found."""

    hits_local: int = 0
    hits_remote: int = 0
    misses: int = 0
    bytes_down: int = 0
    bytes_up: int = 0
    seconds_saved: float = 0.0
    strikes: int = 0
    damaged: int = 0

    @property
    def hits(self) -> int:
        """From wherever."""
        return self.hits_local + self.hits_remote

    def text(self) -> str:
        """One line for the end of a build, "" where nothing was looked for.

        >>> Summary(12, 5, 2, 1_300_000, 200_000, 124.3).text()
        'cache: 17 hits (12 local, 5 remote), 2 misses, 1.3 MB down, 0.2 MB up, 124.3 s saved'
        >>> Summary(hits_local=1, misses=1, seconds_saved=2, damaged=1).text()
        'cache: 1 hit, 1 miss, 2.0 s saved, 1 damaged'
        """
        if not self.hits + self.misses:
            return ""
        places = f" ({self.hits_local} local, {self.hits_remote} remote)" if self.hits_remote else ""
        parts = [_count(self.hits, "hit", "hits") + places, _count(self.misses, "miss", "misses")]
        parts += [f"{_size(self.bytes_down)} down"] if self.bytes_down else []
        parts += [f"{_size(self.bytes_up)} up"] if self.bytes_up else []
        parts += [f"{self.seconds_saved:.1f} s saved"] if self.hits else []
        parts += [f"{self.damaged} damaged"] if self.damaged else []
        parts += [_count(self.strikes, "fault of the remote", "faults of the remote")] if self.strikes else []
        return "cache: " + ", ".join(parts)


class Tally:
    """A Summary that grows; for any number of threads."""

    def __init__(self) -> None:
        self._now, self._lock = Summary(), threading.Lock()

    def add(self, **amounts: float) -> None:
        """Add to fields of the Summary, by their names."""
        with self._lock:
            grown = {name: getattr(self._now, name) + amount for name, amount in amounts.items()}
            self._now = msgspec.structs.replace(self._now, **grown)

    @property
    def now(self) -> Summary:
        """The Summary so far."""
        return self._now


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _size(number: int) -> str:
    """
    >>> [_size(n) for n in (999, 1500, 200_000, 1_300_000, 2_500_000_000)]
    ['999 B', '1.5 KB', '0.2 MB', '1.3 MB', '2.5 GB']
    """
    for unit, name in ((_GB, "GB"), (_MB, "MB"), (_KB, "KB")):
        if number >= unit / 10 and number >= _KB:
            return f"{number / unit:.1f} {name}"
    return f"{number} B"
