"""Virtual time for a real floor: it goes on only when nothing at all can happen before.

trio's MockClock sees tasks, not threads: it would jump over a thread that writes, as if a drive
took minutes. This one looks at the threads, too. Time goes on once no task can run, no socket has
anything to say, and each thread of the process sleeps; then to whatever is due first: a deadline of
trio's, or the end of a wait of a thread.

A thread that is to wait in virtual time (a drive that hangs) waits here; so do timers.
"""

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

__all__ = ["VirtualClock"]

_THREADS = Path("/proc/self/task")
_GIVE_WAY_S = 0.0003  # what a thread that waits for the interpreter's lock needs to get it
_IDLE = 2  # passes without anything, before it is looked at the threads


class VirtualClock(trio.abc.Clock, trio.abc.Instrument):
    """`trio.run(..., clock=clock, instruments=[clock])`. `now_s` counts from 0."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.jumps = 0
        self._idle = 0
        self._waits: list[tuple[float, Callable[[], object]]] = []
        self._lock = threading.Lock()
        self._own_id = threading.get_native_id()

    # --- What trio asks ---------------------------------------------------------------------------

    def start_clock(self) -> None:
        """Begin; time stands still by itself."""

    def current_time(self) -> float:
        """Return the virtual time, in s."""
        return self.now_s

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Something happens."""
        del task
        self._idle = 0

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Return how long to wait for sockets, in real s; time goes on where that is in vain."""
        if deadline <= self.now_s:
            return 0
        self._idle += 1
        if self._idle < _IDLE or not self._threads_sleep():
            return _GIVE_WAY_S
        self._idle = 0
        self._go_on(deadline)
        return 0

    # --- Threads ----------------------------------------------------------------------------------

    def boot_ns(self) -> int:
        """Return the boot time of this virtual machine; for any thread."""
        return int((self.now_s + 1_000) * 1e9)

    def wait(self, seconds: float, woken: threading.Event | None = None) -> None:
        """Wait in a thread for so many virtual seconds, or until another one sets `woken`."""
        woken = woken or threading.Event()
        self.at(self.now_s + seconds, woken.set)
        woken.wait()
        self.forget(woken.set)

    def timer(self, seconds: float, call: Callable[..., object], args: Any = ()) -> "Timer":
        """Return what calls a function so long after it was started, as threading.Timer does."""
        return Timer(self, seconds, lambda: call(*args))

    def at(self, at_s: float, call: Callable[[], object]) -> None:
        """Call a function at this time."""
        with self._lock:
            self._waits.append((at_s, call))

    def forget(self, call: Callable[[], object]) -> None:
        """Do not call it any more."""
        with self._lock:
            self._waits = [wait for wait in self._waits if wait[1] != call]

    def _threads_sleep(self) -> bool:
        for entry in _THREADS.iterdir():
            if int(entry.name) == self._own_id:
                continue
            try:
                state = entry.joinpath("stat").read_bytes().rpartition(b")")[2][1:2]
            except OSError:
                continue  # it has ended
            if state in b"RD":
                return False
        return True

    def _go_on(self, deadline: float) -> None:
        with self._lock:
            due_s = min([at_s for at_s, _ in self._waits], default=math.inf)
            target_s = min(deadline, due_s)
            if target_s == math.inf:
                return
            self.now_s = max(self.now_s, target_s)
            self.jumps += 1
            due = [wait for wait in self._waits if wait[0] <= self.now_s]
            self._waits = [wait for wait in self._waits if wait[0] > self.now_s]
        for _, call in due:
            call()


class Timer:
    """A timer in virtual time; see threading.Timer."""

    def __init__(self, clock: VirtualClock, seconds: float, call: Callable[[], object]) -> None:
        self.daemon = True
        self._clock = clock
        self._seconds = seconds
        self._call = call

    def start(self) -> None:
        """Begin to count."""
        self._clock.at(self._clock.now_s + self._seconds, self._call)

    def cancel(self) -> None:
        """Do not call."""
        self._clock.forget(self._call)
