"""Whose turn it is to move files of the ledger about: one task at a time (R24, R25).

A Checkpoint is written, a piece of one is kept, history is shed, a ledger is set aside or gives way
to another: none of these may meet another. Each of them asks here first (see asking.file_turn), in
order. The turn is over when the one who has it closes its end, however it ends.

Errors: none. Shutdown: cancel it.
"""

import trio

from rmf.floor.doors import Doors
from rmf.floor.items import TurnAsked
from rmf.floor.supervisor import InProgress

__all__ = ["FileTurns"]


class FileTurns:
    """The task. Whose turn it is outlives a failure of it: it is not given twice."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._given: TurnAsked | None = None

    async def run(self, in_progress: InProgress) -> None:
        """Give turns until cancelled."""
        in_progress.free()  # it holds no packets
        while True:
            if self._given is None:
                self._given = await self._doors.file_turns_out.receive()
            try:
                while True:  # taken once: it has the turn; after that, only the end is waited for
                    await self._given.turn.send(None)
            except trio.BrokenResourceError:
                self._given = None
