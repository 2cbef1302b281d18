"""A child process for work on files that nobody vouches for: a crash, a hang or a flood of memory ends only it."""

import contextlib
import faulthandler
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable

import msgspec

from nnrules.error import UserError

MEMORY = 6 * 2**30  # of address space beyond what this process has


def guarded(place: str, work: Callable[[], None], seconds: float) -> None:
    """Do the work in a child. Its UserErrors are raised here; so is one where it dies or takes too long."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(work, writing)
    os.close(writing)
    try:
        told, ended = _read(reading, time.monotonic() + seconds)
        if not ended:
            raise UserError(place, f"is not read within {seconds:g} seconds", "give a smaller model")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL) if not _done(child) else None
        os.close(reading)
    if told.startswith(b"{"):
        fault = msgspec.json.decode(told, type=dict[str, str])
        raise UserError(fault["place"], fault["fault"], fault["cure"])
    if told != b"done":
        if told:
            raise RuntimeError(f"reading {place} failed:\n{told.decode(errors='replace')}")
        raise UserError(place, "cannot be read: its reader died of it", "check the file, or export the model again")


def _work(work: Callable[[], None], pipe: int) -> None:
    """The child's life."""
    status = b""
    faulthandler.disable()  # a crash is told in one line
    try:
        with contextlib.suppress(OSError, ValueError):
            pages = int(open("/proc/self/statm").read().split()[0])  # noqa: SIM115, PTH123 - a file of the kernel's
            resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + MEMORY,) * 2)
        work()
        status = b"done"
    except UserError as fault:
        status = msgspec.json.encode({"place": fault.place, "fault": fault.fault, "cure": fault.cure})
    except (MemoryError, RecursionError):
        status = b""
    except BaseException:
        status = traceback.format_exc().encode()
    finally:
        with contextlib.suppress(BaseException):
            os.write(pipe, status)
        os._exit(0)


def _read(pipe: int, until: float) -> tuple[bytes, bool]:
    """What the child says, and whether it ended in time."""
    told = b""
    while (left := until - time.monotonic()) > 0:
        if select.select([pipe], [], [], left)[0]:
            part = os.read(pipe, 65536)
            if not part:
                return told, True
            told += part
    return told, False


def _done(child: int) -> bool:
    """Whether the child has ended, after a moment for it to."""
    for _ in range(100):
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.01)
    return False
