"""The alarm: wakes the beats before their time, when something became due sooner than they knew.

One may wait, everybody may ring. It knows no time of its own and no task.
"""

import trio

__all__ = ["Alarm"]


class Alarm:
    """Rung at most once for each wait; a ring with nobody waiting is lost, and need not be heard:
    whoever begins to wait has just looked at what is due."""

    def __init__(self) -> None:
        self._rung = trio.Event()

    def ring(self) -> None:
        """Wake whoever waits."""
        self._rung.set()
        self._rung = trio.Event()

    async def wait(self, seconds: float) -> None:
        """Wait that long, or until it rings."""
        with trio.move_on_after(seconds):
            await self._rung.wait()
