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

    def cursor(self, since_tick: int, after_index: int = 0) -> "TurnCursor":
        """Return a cursor over the Ticks after `since_tick`, to be closed; whoever knows the index
        of that Tick's Entry spares the search for it."""
        period_ns, line = self._facts()
        cursor = EntryCursor(self._directories, self._cluster, after_index)
        return TurnCursor(cursor, since_tick, after_index, period_ns, line, self._limiter)


class TurnCursor:
    """Gives Ticks in order; `index` is the last Entry that was read."""

    def __init__(
        self,
        cursor: EntryCursor,
        since_tick: int,
        after_index: int,
        period_ns: int,
        line: str,
        limiter: trio.CapacityLimiter,
    ) -> None:
        self.index = after_index
        self._cursor = cursor
        self._since_tick = since_tick
        self._period_ns = period_ns
        self._line = line
        self._limiter = limiter

    async def turns(self, through_index: int) -> list[Turn] | Gone:
        """Return the next Ticks up to this Entry, [] when there are none; Gone if the ones that
        come next are not retained any more. Nothing is to be asked after that."""
        while self.index < through_index:
            records = await trio.to_thread.run_sync(
                self._cursor.read,
                through_index,
                limits.EVERY_TICK_BATCH_ENTRIES,
                limiter=self._limiter,
            )
            if not records:
                return []
            is_next = records[0].index == self.index + 1
            self.index = records[-1].index
            if not is_next:
                oldest = decode_entry(records[0].body).tick
                if self._since_tick < oldest - 1:
                    return Gone(oldest)
            turns = [turn for record in records for turn in self._turns_of(record)]
            if turns:
                return turns
        return []

    def close(self) -> None:
        """Close its files."""
        self._cursor.close()

    def _turns_of(self, record: Record) -> list[Turn]:
        entry = decode_entry(record.body)
        if isinstance(entry.books, Accession):
            self._line = entry.books.line.name
        if entry.tick <= self._since_tick:
            return []
        self._since_tick = entry.tick
        turn = turn_of(entry, record.term, record.index, self._period_ns, self._line)
        return [turn] if turn is not None else []
