"""Ticks told again from the ledger, for every-tick subscribers (R37, R45).

Reads Entries in a thread, opens one after the other there, and gives what they changed of one
selection, encoded: so neither the loop nor the memory of the node pays for what a display reads of
its history. It knows the ledger's directories and no feed: one cursor belongs to one
subscriber.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import trio

from rmf import limits
from rmf.core.entry import Accession, Entry, decode_entry
from rmf.core.entry_kinds import ACCESSION, kind_of, tick_of
from rmf.core.page import pages_of
from rmf.core.record import Record
from rmf.core.selector import SelectionMark
from rmf.core.tick_changes import changes_of_entry
from rmf.storage.cursor import EntryCursor

__all__ = ["Gone", "History", "ToldTick", "TurnCursor"]

Wanted = Callable[[str], bool]


@attrs.frozen
class Gone:
    """Ticks before `oldest_tick` are no longer retained; what is, comes next. None: not one that
    was asked for is."""

    oldest_tick: int | None


@attrs.frozen
class ToldTick:
    """What one Tick changed of the selection: pages, and the Entry that it was."""

    mark: SelectionMark
    pages: list[bytes]


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

    def cursor(self, wanted: Wanted, since_tick: int, after_index: int = 0) -> "TurnCursor":
        """Return a cursor over the Ticks after `since_tick`, to be closed; the index of that
        Tick's Entry, where known, spares the search. It asks `wanted` for keys in a thread."""
        period_ns, line = self._facts()
        cursor = EntryCursor(self._directories, self._cluster(), after_index)
        return TurnCursor(
            cursor,
            wanted,
            SelectionMark(0, since_tick, after_index, b""),
            period_ns,
            line,
            self._limiter,
        )


class TurnCursor:
    """Gives Ticks in order. `mark` is the last Entry that was read; its term and digest are known
    once one was. `bookmark` is the Entry that the search began at, if the ledger has it."""

    def __init__(
        self,
        cursor: EntryCursor,
        wanted: Wanted,
        mark: SelectionMark,
        period_ns: int,
        line: str,
        limiter: trio.CapacityLimiter,
    ) -> None:
        self.mark = mark
        self.bookmark: SelectionMark | None = None
        self._cursor = cursor
        self._wanted = wanted
        self._since_tick = mark.tick
        self._period_ns = period_ns
        self._line = line
        self._limiter = limiter
        self._records: deque[Record] = deque()
        self._before: Record | None = None
        self._gap_told = False

    async def turns(self, through_index: int) -> list[ToldTick] | Gone:
        """Return the next Ticks up to this Entry, which is committed and on this disk, [] when all
        of it is read; Gone, once, where some are not retained any more."""
        while self.mark.entry_index < through_index:
            index = self.mark.entry_index
            found = await trio.to_thread.run_sync(self._read, through_index, limiter=self._limiter)
            if found:
                return found
            if self.mark.entry_index == index:  # a Checkpoint took the place of all that there was
                self.mark = self.mark._replace(entry_index=through_index)
                return Gone(None)
        return []

    def skip(self, mark: SelectionMark) -> None:
        """Take what is up to this Entry for told."""
        self.mark = mark
        self._since_tick = mark.tick

    def close(self) -> None:
        """Close its files."""
        self._cursor.close()

    # --- In a thread ------------------------------------------------------------------------------

    def _read(self, through_index: int) -> list[ToldTick] | Gone:
        """Read on for a while, or until there is a page's worth."""
        until_s = time.monotonic() + limits.HISTORY_READ_S
        told: list[ToldTick] = []
        size = 0
        most = limits.EVERY_TICK_BATCH_ENTRIES  # however fast they are read
        while size < limits.SNAPSHOT_CHUNK_BYTES and len(told) < most:
            if time.monotonic() >= until_s:
                break
            record = self._next(through_index)
            if record is None:
                self._find_bookmark()
                break
            if self._is_behind_a_gap(record):
                if not told:
                    self._gap_told = True
                return told or Gone(tick_of(record.body))
            self._records.popleft()
            tick = self._tell(record)
            if tick is not None:
                told.append(tick)
                size += sum(map(len, tick.pages))
        return told

    def _next(self, through_index: int) -> Record | None:
        if not self._records:
            self._records += self._cursor.read(
                through_index, limits.EVERY_TICK_BATCH_ENTRIES, limits.HISTORY_READ_BYTES
            )
        if self._records and self._records[0].index <= through_index:
            return self._records[0]
        return None

    def _is_behind_a_gap(self, record: Record) -> bool:
        if self._gap_told or record.index <= self.mark.entry_index + 1:
            self._gap_told = False
            return False
        return self._since_tick < tick_of(record.body) - 1

    def _tell(self, record: Record) -> ToldTick | None:
        """Return what an Entry changed of the selection, None if nothing."""
        if tick_of(record.body) <= self._since_tick:
            self._pass_by(record)
            return None
        self._find_bookmark()
        entry = decode_entry(record.body)
        self.mark = _mark_of(record, entry)
        self._since_tick = entry.tick
        if isinstance(entry.books, Accession):
            self._line = entry.books.line.name
        turn = changes_of_entry(entry, record.term, record.index, self._period_ns, self._line)
        if turn is None:
            return None
        cells = [cell for cell in turn.cells if self._wanted(cell.key)]
        removed = [pair for pair in turn.removed if self._wanted(pair[0])]
        return ToldTick(self.mark, pages_of(cells, removed)) if cells or removed else None

    def _pass_by(self, record: Record) -> None:
        """Leave out what the subscriber knows; but a line that acceded there is at work since."""
        self._before = record
        self.mark = self.mark._replace(entry_index=record.index)
        if kind_of(record.body) == ACCESSION:
            books = decode_entry(record.body).books
            assert isinstance(books, Accession)
            self._line = books.line.name

    def _find_bookmark(self) -> None:
        before, self._before = self._before, None
        if before is not None:
            self.bookmark = _mark_of(before, decode_entry(before.body))


def _mark_of(record: Record, entry: Entry) -> SelectionMark:
    return SelectionMark(record.term, entry.tick, record.index, entry.digest)
