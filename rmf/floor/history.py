"""Ticks told again from the ledger, for every-tick subscribers (R37).

Reads Entries in a thread, a bounded batch at a time, and turns them into what they changed. It
knows the ledger's directories and the feed of nobody: one cursor belongs to one subscriber.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import trio

from rmf import limits
from rmf.core.entry import Accession, decode_entry
from rmf.core.record import Record
from rmf.core.turns import Turn, turn_of
from rmf.storage.cursor import EntryCursor

__all__ = ["Gone", "History", "TurnCursor"]


@attrs.frozen
class Gone:
    """Ticks before `oldest_tick` are no longer retained."""

    oldest_tick: int


class History:
    """Where the Entries are; `period_ns` and `line` are asked for when a cursor is made."""

    def __init__(
        self, directories: Sequence[Path], cluster: bytes, facts: Callable[[], tuple[int, str]]
    ) -> None:
        self._directories = directories
        self._cluster = cluster
        self._facts = facts
        self._limiter = trio.CapacityLimiter(4)

    def cursor(self, since_tick: int) -> "TurnCursor":
        """Return a cursor over the Ticks after `since_tick`."""
        period_ns, line = self._facts()
        cursor = EntryCursor(self._directories, self._cluster, 0)
        return TurnCursor(cursor, since_tick, period_ns, line, self._limiter)


class TurnCursor:
    """Gives Ticks in order; `index` is the last Entry that was read."""

    def __init__(
        self,
        cursor: EntryCursor,
        since_tick: int,
        period_ns: int,
        line: str,
        limiter: trio.CapacityLimiter,
    ) -> None:
        self.index = 0
        self._cursor = cursor
        self._since_tick = since_tick
        self._period_ns = period_ns
        self._line = line
        self._limiter = limiter

    async def turns(self, through_index: int) -> list[Turn] | Gone:
        """Return the next Ticks up to this Entry, [] when there are none; Gone, once, if the first
        ones asked for are not retained any more."""
        while self.index < through_index:
            records = await trio.to_thread.run_sync(
                self._cursor.read,
                through_index,
                limits.EVERY_TICK_BATCH_ENTRIES,
                limiter=self._limiter,
            )
            if not records:
                return []
            first = self.index == 0
            self.index = records[-1].index
            if first and records[0].index > 1:
                oldest = decode_entry(records[0].body).tick
                if self._since_tick < oldest - 1:
                    return Gone(oldest)
            turns = [turn for record in records for turn in self._turns_of(record)]
            if turns:
                return turns
        return []

    def _turns_of(self, record: Record) -> list[Turn]:
        entry = decode_entry(record.body)
        if isinstance(entry.books, Accession):
            self._line = entry.books.line.name
        if entry.tick <= self._since_tick:
            return []
        turn = turn_of(entry, record.term, record.index, self._period_ns, self._line)
        return [turn] if turn is not None else []
