"""What CPU time processes have used: a whole tree of them, or one by its threads.

It reads /proc, so that what is measured is not asked for anything. What the processes are it does
not know.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

__all__ = ["ThreadTime", "family", "threads", "tree_cpu_s"]

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class ThreadTime(NamedTuple):
    """What a thread is called, and the seconds it ran on a core."""

    name: str
    cpu_s: float


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it; nothing if it is gone."""
    with suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return []


def tree_cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU seconds, user and system, of these processes and all that descend from them;
    to a hundredth of a second, with the threads that have ended."""
    return sum(_cpu_s(member) for pid in pids for member in family(pid))


def _cpu_s(pid: int) -> float:
    with suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS
    return 0.0


def threads(pid: int) -> dict[int, ThreadTime]:
    """Return the threads of a process that run now, by their id; to a nanosecond."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            ran_ns = int((task / "schedstat").read_text().split()[0])
            found[int(task.name)] = ThreadTime((task / "comm").read_text().strip(), ran_ns / 1e9)
    return found
