"""One timer for many: who waits for a moment hangs an alarm on the wheel (R36, R43).

A scope of the scheduler costs each wait two steps of its own, although mostly something else comes
first. An alarm that is put off costs nothing: the wheel looks again where it stood before. It
belongs to one task and those that it serves, and knows nothing of what is due.
"""

import math
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

import trio

__all__ = ["Alarm", "Wheel"]


class Alarm:
    """Rings once, by calling `ring` in the task of the wheel, at `due_s` (of the scheduler)."""

    __slots__ = ("_looked_at_s", "_wheel", "due_s", "ring")

    def __init__(self, wheel: "Wheel", ring: Callable[[], None]) -> None:
        self.due_s = math.inf
        self.ring = ring
        self._wheel = wheel
        self._looked_at_s = math.inf  # when the wheel looks at it next

    def set(self, due_s: float) -> None:
        """Ring then instead; math.inf: do not."""
        self.due_s = due_s
        if due_s < self._looked_at_s:
            self._looked_at_s = due_s
            self._wheel.look_at(due_s, self)

    def look(self, at_s: float, now_s: float) -> None:
        """The wheel looks at it, as was said at `at_s`."""
        if at_s != self._looked_at_s:
            return  # an earlier look took the place of this one
        self._looked_at_s = math.inf
        if self.due_s > now_s:
            self.set(self.due_s)
            return
        self.due_s = math.inf
        self.ring()


class Wheel:
    """The alarms of one task."""

    def __init__(self) -> None:
        self._looks: list[tuple[float, int, Alarm]] = []
        self._numbers = count()
        self._sooner: trio.Event | None = None  # while it waits

    def __len__(self) -> int:
        """How often it is to look at an alarm."""
        return len(self._looks)

    def look_at(self, at_s: float, alarm: Alarm) -> None:
        """Look at this alarm then."""
        if not self._looks or at_s < self._looks[0][0]:
            self.nudge()
        heappush(self._looks, (at_s, next(self._numbers), alarm))

    def nudge(self) -> None:
        """Let `wait` return at once, if it waits."""
        if self._sooner is not None:
            self._sooner.set()

    async def run(self) -> None:
        """Let alarms ring, until cancelled."""
        while True:
            await self.wait()

    async def wait(self) -> None:
        """Wait until an alarm is due, or it is nudged; let those ring that are due."""
        sooner = self._sooner = trio.Event()
        with trio.move_on_at(self._looks[0][0] if self._looks else math.inf):
            await sooner.wait()
        self._sooner = None
        self.ring()

    def ring(self) -> None:
        """Let those ring that are due."""
        now_s = trio.current_time()
        while self._looks and self._looks[0][0] <= now_s:
            at_s, _, alarm = heappop(self._looks)
            alarm.look(at_s, now_s)
