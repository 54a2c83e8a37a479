"""Entries between their proposal and their commit, and how many are applied in one step (R45).

Values only: who proposes is `reign`'s matter, who commits `raft`'s.
"""

import attrs

from rmf import limits
from rmf.core.entry import Entry, TickBooks
from rmf.core.latch import Latched, Waiting
from rmf.core.state import Applied, State

__all__ = ["InFlight", "Room"]


class Room:
    """What is left to be applied in one step, before the node looks at its peers again (R45)."""

    def __init__(self) -> None:
        self._bytes = limits.APPLIED_A_STEP_BYTES
        self._cells = limits.APPLIED_A_STEP_CELLS
        self._entries = limits.APPLIED_A_STEP_ENTRIES

    @property
    def left(self) -> bool:
        """Whether one more Entry may be applied."""
        return self._bytes > 0 and self._cells > 0 and self._entries > 0

    def take(self, body: bytes, entry: Entry) -> None:
        """An Entry was applied."""
        books = entry.books
        self._bytes -= len(body)
        self._entries -= 1
        if isinstance(books, TickBooks):
            self._cells -= books.touched


@attrs.frozen
class InFlight:
    """An Entry that is proposed and not yet committed, with all that waits for its commit: its own
    latch, and what later latches without a Tick added to `waiting`."""

    index: int
    entry: Entry
    before: State
    state: State
    applied: Applied
    latched: Latched | None
    waiting: Waiting
