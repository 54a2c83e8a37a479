"""The stop of a node, and what bounds it (R18): both outside of what they bound.

The first signal stops the node in order, the second one at once. A disk that hangs may hold up
whatever waits for it: shielded tasks, threads, the closing of files. So the bound is a thread of
its own, which needs neither the loop nor the lock of any task. Nothing that was acked is lost,
however a node ends.

SIGHUP stops in order, too, unless the node was started with it ignored (nohup); it never counts as
the second signal, as some send it along with SIGTERM. SIGUSR1 and SIGUSR2 mean nothing to a node,
and must not end it.
"""

import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import trio

from rmf import limits
from rmf.core.events import StopAsked
from rmf.floor import log
from rmf.floor.items import EventItem

__all__ = ["Stop", "Timer", "heard"]

_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_MEANINGLESS = (signal.SIGUSR1, signal.SIGUSR2)


def heard() -> tuple[signal.Signals, ...]:
    """Return the signals that a node hears: to stop, those that it was not started to ignore;
    without meaning, those that would end it."""
    stop = (x for x in _STOP if signal.getsignal(x) != signal.SIG_IGN)
    return (*stop, *(x for x in _MEANINGLESS if signal.getsignal(x) == signal.SIG_DFL))


class Timer(Protocol):
    """What calls a function after a while, from whatever thread; see threading.Timer."""

    daemon: bool

    def start(self) -> None:
        """Begin to count."""
        ...

    def cancel(self) -> None:
        """Do not call."""
        ...


class Stop:
    """The stop of one node. `close` it once the process has nothing more to lose. `end` ends the
    process, with an exit code, from whatever thread; `timer` makes what calls it after `bound_s`,
    and must not need the loop."""

    def __init__(
        self,
        bound_s: float = limits.STOP_S_MAX,
        end: Callable[[int], object] = os._exit,
        timer: Callable[..., Timer] = threading.Timer,
    ) -> None:
        self._end = end
        self._bound = timer(bound_s, _overdue, (bound_s, end))
        self._bound.daemon = True
        self._asked = False

    async def obey(
        self, signals: AsyncIterator[int], events: trio.MemorySendChannel[EventItem]
    ) -> None:
        """Tell the arbiter of the first signal; exit at the second one."""
        async with trio.open_nursery() as nursery:
            async for number in signals:
                if number in _MEANINGLESS:
                    name = signal.Signals(number).name
                    log.note("info", "signal_without_meaning", signal=name)
                    continue
                if self._asked and number == signal.SIGHUP:
                    continue
                if self._asked:
                    self._end(128 + number)
                self._asked = True
                log.note("info", "stopping", signal=signal.Signals(number).name)
                self._bound.start()
                # The door may be full, and the next signal is heard all the same.
                nursery.start_soon(events.send, StopAsked())

    def close(self) -> None:
        """The node has ended in order."""
        self._bound.cancel()


def _overdue(seconds: float, end: Callable[[int], object]) -> None:
    teller = threading.Thread(target=_tell, args=(seconds,), daemon=True)
    teller.start()
    teller.join(limits.LAST_WORDS_S_MAX)  # standard error may be a pipe that is not read
    end(1)


def _tell(seconds: float) -> None:
    log.note("error", "stop_overdue", seconds=seconds)
    log.flush()
