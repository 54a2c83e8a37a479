"""What time it is, and since when that is counted (R6, R7): the only clocks of a node.

The core reads none; the caller brings the present along.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rmf.core.events import Now

__all__ = ["boot_clock", "boot_id", "boot_ns", "now", "run_by"]

_clocks: list[Callable[[], int]] = [partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)]


def now() -> Now:
    """Return the present: CLOCK_BOOTTIME decides, the wall clock is shown (R6, R7)."""
    return Now(boot_ns(), time.time_ns())


def boot_ns() -> int:
    """Return CLOCK_BOOTTIME alone."""
    return _clocks[-1]()


def boot_clock() -> Callable[[], int]:
    """Return what `boot_ns` reads now, for who reads it in each pass of the loop."""
    return _clocks[-1]


@contextmanager
def run_by(clock_ns: Callable[[], int]) -> Iterator[None]:
    """Let all nodes of this process go by another boot clock while the block runs (R46)."""
    _clocks.append(clock_ns)
    try:
        yield
    finally:
        _clocks.remove(clock_ns)


def boot_id() -> bytes:
    """Return the id of this boot of the machine; if it has none, one that bridges nothing."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return os.urandom(16)
    return bytes.fromhex(text.strip().replace("-", ""))
