"""The intake door as a connection sees it: it waits while full, and wakes the arbiter (R16)."""

from contextlib import suppress

import trio

from rmf.floor.doors import Doors
from rmf.floor.items import IntakeItem, Knock

__all__ = ["IntakeDoor"]


class IntakeDoor:
    """The intake door as a connection sees it: it waits while full, and wakes the arbiter."""

    def __init__(self, doors: Doors) -> None:
        self._intake = doors.intake
        self._events = doors.events

    def takes(self, item: IntakeItem) -> bool:
        """Hand an item to the arbiter, if there is room in the ingest queue; return whether there
        was. A hop would cost as much as decoding ten packets."""
        try:
            self._intake.send_nowait(item)
        except trio.WouldBlock:
            return False
        self._knock()
        return True

    async def offer(self, item: IntakeItem) -> None:
        """Hand it over; waits while the ingest queue is full (R16), and is no checkpoint else."""
        if not self.takes(item):
            await self._intake.send(item)
            self._knock()

    def _knock(self) -> None:
        if self._intake.statistics().current_buffer_used == 1:
            # When that door is full the arbiter is awake, and looks at the intake door anyway.
            with suppress(trio.WouldBlock):
                self._events.send_nowait(Knock())
