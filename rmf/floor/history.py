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
        self,
        directories: Sequence[Path],
        cluster: Callable[[], bytes],
        facts: Callable[[], tuple[int, str]],
    ) -> None:
        self._directories = directories
        self._cluster = cluster
        self._facts = facts
        self._limiter = trio.CapacityLimiter(limits.HISTORY_THREADS_MAX)

    def cursor(self, since_tick: int, after_index: int = 0) -> "TurnCursor":
        """Return a cursor over the Ticks after `since_tick`, to be closed; whoever knows the index
        of that Tick's Entry spares the search for it."""
        period_ns, line = self._facts()
        cursor = EntryCursor(self._directories, self._cluster(), after_index)
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
        self._gone: Gone | None = None

    async def turns(self, through_index: int) -> list[Turn] | Gone:
        """Return the next Ticks up to this Entry, [] when there are none; Gone, from then on, once
        the ones that come next are not retained any more."""
        while self._gone is None and self.index < through_index:
            records = await trio.to_thread.run_sync(
                self._cursor.read,
                through_index,
                limits.EVERY_TICK_BATCH_ENTRIES,
                limiter=self._limiter,
            )
            if not records:
                return []
            turns = self._take(records)
            if turns:
                return turns
        return self._gone if self._gone is not None else []

    def close(self) -> None:
        """Close its files."""
        self._cursor.close()

    def _take(self, records: list[Record]) -> list[Turn]:
        """Return the Ticks in these records, up to where some are missing."""
        turns = []
        for record in records:
            entry = decode_entry(record.body)
            if record.index > self.index + 1 and self._since_tick < entry.tick - 1:
                self._gone = Gone(entry.tick)
                break
            self.index = record.index
            if isinstance(entry.books, Accession):
                self._line = entry.books.line.name
            if entry.tick > self._since_tick:
                self._since_tick = entry.tick
                turn = turn_of(entry, record.term, record.index, self._period_ns, self._line)
                turns += [turn] if turn is not None else []
        return turns
