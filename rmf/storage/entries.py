"""Committed Entries out of the ledger, for a peer that is behind what memory holds (R28).

Decides whether the ledger can still tell a peer how to go on: it must hold the Entry the peer has
last, or begin right behind it, for its term and chain are what the peer compares. It knows neither
peers nor messages beyond their values.

Asked again where it left off, it goes on reading; asked for another place, it looks for that again.
"""

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from crc32c import crc32c

from rmf import limits
from rmf.core.events import EntriesRead
from rmf.core.raft.peer_messages import WireEntry
from rmf.core.raft.raft_values import Place
from rmf.core.record import GENESIS_CHAIN, Record
from rmf.storage.cursor import EntryCursor, oldest_base

__all__ = ["EntryReader"]


class EntryReader:
    """Reads for one peer, from the segments in `directories` (ledger and archive). May be used from
    any thread, one call at a time. What was read and not given yet is kept, about
    CURSOR_READ_BYTES_MAX of it."""

    def __init__(self, directories: Sequence[Path], cluster: bytes, peer: str) -> None:
        self._directories = directories
        self._cluster = cluster
        self._peer = peer
        self._cursor: EntryCursor | None = None
        self._at: Place | None = None  # the Entry given last
        self._read: deque[Record] = deque()

    def read(
        self, after_index: int, through_index: int, bytes_max: int = limits.APPEND_BYTES_MAX
    ) -> EntriesRead:
        """Return the Entries behind `after_index`, none above `through_index`, which is committed
        and on this disk, and at most `bytes_max` bytes of them, their heads in an APPEND counted,
        but one at least. None of them: the ledger does not hold them any more. Raises
        LedgerDamaged, ForeignDirectory, OSError."""
        if self._at is None or self._at.index != after_index:
            self._at = self._begin(after_index)
        if self._at is None:
            return EntriesRead(self._peer, after_index, 0, b"", [])
        before = self._at
        entries: list[WireEntry] = []
        room = bytes_max
        while (record := self._next(through_index)) is not None:
            room -= len(record.body) + limits.ENTRY_HEAD_BYTES
            if record.index != self._at.index + 1 or (entries and room < 0):
                break
            self._read.popleft()
            entries.append(WireEntry(record.term, crc32c(record.body), record.body))
            self._at = Place(record.index, record.term, record.chain)
        assert self._at.index == before.index + len(entries), "an Entry is left out"
        return EntriesRead(self._peer, before.index, before.term, before.chain, entries)

    def close(self) -> None:
        """Close its files."""
        if self._cursor is not None:
            self._cursor.close()
        self._cursor = self._at = None
        self._read.clear()

    def _begin(self, after_index: int) -> Place | None:
        """Return the place of that Entry, with the cursor behind it; None if it is not held."""
        self.close()
        self._cursor = EntryCursor(self._directories, self._cluster, max(0, after_index - 1))
        if after_index == 0:
            return Place(0, 0, GENESIS_CHAIN)
        record = self._next(after_index)
        if record is not None and record.index == after_index:
            self._read.popleft()
            return Place(record.index, record.term, record.chain)
        base = oldest_base(self._directories, self._cluster)
        if base is not None and base.index == after_index:
            return Place(base.index, base.term, base.chain)
        self.close()
        return None

    def _next(self, through_index: int) -> Record | None:
        """Return the next Entry, which stays the next one."""
        assert self._cursor is not None
        if not self._read:
            self._read += self._cursor.read(through_index, limits.EVERY_TICK_BATCH_ENTRIES)
        if self._read and self._read[0].index <= through_index:
            return self._read[0]
        return None
