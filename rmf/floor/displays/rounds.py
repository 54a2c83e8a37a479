"""The rounds: one task says what is due to the displays that wait, a few in a pass (R36, R45).

A display that looks on waits for its rate, for news, and for the time of its next keepalive; to
wake a task for each of these costs more than the frame. So who waits is an Onlooker here: an alarm
on a wheel says when something is due, and then its own `tell` is called, in turn. What
cannot be said at once wakes the task of the display. After DISPLAYS_A_PASS of them all else on the
loop has a turn: their connections write, and packets go on.

It belongs to the publisher's task and its feeders; it knows nothing of pictures.
"""

import math
import time
from collections import deque
from collections.abc import Callable

import trio

from rmf import limits
from rmf.floor.wheel import Alarm, Wheel

__all__ = ["DisplayRounds", "Onlooker"]

Tell = Callable[[], float | None]


class Onlooker:
    """A display that waits. `tell` says what is due, if anything is, and returns when something
    will be, of the scheduler's time; None: the display's own task is to say it. It awaits
    nothing."""

    def __init__(self, rounds: "DisplayRounds", tell: Tell) -> None:
        self._rounds = rounds
        self._tell = tell
        self._alarm = Alarm(rounds.wheel, self._be_due)
        self._done: trio.Event | None = None
        self._failure: Exception | None = None
        self._is_due = False

    async def wait(self) -> None:
        """Have `tell` called whenever something is due, until it needs its task. Raises what
        `tell` raises."""
        self._done, self._failure = trio.Event(), None
        self._be_due()
        try:
            await self._done.wait()
        finally:
            self._done = None
            self._alarm.set(math.inf)
        if self._failure is not None:
            raise self._failure

    def expect(self, due_s: float) -> None:
        """Something is due then, if not before."""
        if self._done is None or self._is_due or due_s >= self._alarm.due_s:
            return
        if due_s <= trio.current_time():
            self._be_due()
        else:
            self._alarm.set(due_s)

    def serve(self) -> None:
        """It is its turn."""
        self._is_due = False
        if self._done is None:
            return  # it left meanwhile
        due_s = None
        try:
            due_s = self._tell()
        except Exception as exc:  # noqa: BLE001 its task raises it
            self._failure = exc
        if due_s is None:
            self._done.set()
        else:
            self._alarm.set(due_s)

    def _be_due(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._rounds.queue(self)


class DisplayRounds:
    """For all displays of a node. `packets_age_s` says how long ago the Arbiter's loop turned:
    while it does, there is a pause behind each pass, so that a packet on its way meets few of
    them."""

    def __init__(
        self,
        packets_age_s: Callable[[], float] = lambda: math.inf,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.wheel = Wheel()
        self._packets_age_s = packets_age_s
        self._clock = clock
        self._queue: deque[Onlooker] = deque()

    def queue(self, waiting: Onlooker) -> None:
        """Serve this one in turn."""
        self._queue.append(waiting)
        self.wheel.nudge()

    async def run(self) -> None:
        """Serve them until cancelled."""
        began_s = self._clock()
        while True:
            if not self._queue:
                await self.wheel.wait()
            since_s, began_s = began_s, self._clock()
            self._serve_some(began_s)
            if self._packets_age_s() < self._clock() - since_s:
                await trio.sleep(limits.DISPLAYS_PAUSE_S)
            else:
                await trio.lowlevel.checkpoint()  # others first
            self.wheel.ring()

    def _serve_some(self, began_s: float) -> None:
        """Serve as many as there is time for."""
        for _ in range(min(len(self._queue), limits.DISPLAYS_A_PASS)):
            self._queue.popleft().serve()
            if self._clock() - began_s > limits.FEED_SLICE_S / 2:
                return
