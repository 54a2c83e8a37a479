"""The sending end of the events door: into the resting arbiter where nothing waits, else through
the door.

An ack hangs on several events one after the other, and the way through the door costs each of them
a turn of the scheduler. So while the arbiter's task waits at the empty door it leaves its turn
here: what is sent is taken by it then and there, on the sender's back. The core is stepped by one
at a time all the same: whoever takes the turn has taken it from here, others find the door. A turn
never raises into its sender (see floor/arbiter); it says whether the arbiter goes on resting.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

import trio

__all__ = ["ArbiterEnd"]

T = TypeVar("T")


class ArbiterEnd(Generic[T]):
    """What all others send by. `knock` is an item that only wakes the arbiter's task."""

    def __init__(self, door: trio.MemorySendChannel[T], knock: T) -> None:
        self._door = door
        self._knock = knock
        self._turn: Callable[[T], bool] | None = None
        self._woken = False

    def rest(self, turn: Callable[[T], bool]) -> None:
        """The arbiter begins to wait at the empty door, and leaves its turn."""
        self._turn, self._woken = turn, False

    def rise(self) -> None:
        """The arbiter waits no longer."""
        self._turn = None

    @property
    def rests(self) -> bool:
        """Whether what is sent now is taken at once."""
        return self._turn is not None

    def statistics(self) -> trio.MemoryChannelStatistics:
        """Return those of the door."""
        return self._door.statistics()

    def send_nowait(self, item: T) -> None:
        """Send; raises trio.WouldBlock at the bound."""
        turn, self._turn = self._turn, None
        if turn is None:
            self._door.send_nowait(item)
            self._woken = True
        elif not turn(item):
            with suppress(trio.WouldBlock):  # a full door wakes it as well
                self._door.send_nowait(self._knock)
        elif not self._woken:
            self._turn = turn

    async def send(self, item: T) -> None:
        """Send, as a checkpoint; waits at the bound."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self.send_nowait(item)
        except trio.WouldBlock:
            await self._door.send(item)
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
