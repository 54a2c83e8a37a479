"""What time it is, and since when that is counted (R6, R7): the only clocks of a node.

The core reads none; the caller brings the present along.
"""

import os
import time
from pathlib import Path

from rmf.core.events import Now

__all__ = ["boot_id", "boot_ns", "now"]


def now() -> Now:
    """Return the present: CLOCK_BOOTTIME decides, the wall clock is shown (R6, R7)."""
    return Now(boot_ns(), time.time_ns())


def boot_ns() -> int:
    """Return CLOCK_BOOTTIME alone."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_id() -> bytes:
    """Return the id of this boot of the machine; if it has none, one that bridges nothing."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return os.urandom(16)
    return bytes.fromhex(text.strip().replace("-", ""))
