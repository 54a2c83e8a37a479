"""Records as bytes, and what makes one record follow another (R23, R24).

Decides how a record is encoded, whether it is the one that belongs at its place, and which records
can be found behind damage. It knows no files but the descriptor it is asked to search.

A record belongs at its place if cluster, serial, index and chain say so (`Lineage`). The CRC finds
flipped bits; the lineage finds records that are whole but wrong: misplaced, stale or edited. The
second kind is never a torn write.

Truncation is logical: an Entry with an index at or below the last one voids the higher ones (Raft:
they were never committed). How deep it may go is bounded, so that readers can hold what might be
voided still in bounded memory; the writer keeps to the bound, the readers check it. Nothing at or
below an index that a record says is committed is ever voided: where it looks so, it is damage.
"""

import os
from typing import Final

import cbor2

from rmf import limits
from rmf.core.cbor_heads import head
from rmf.core.record import ENTRY, HARD, SEAL, Record, chain_of, record_of
from rmf.storage.framing import HEAD_BYTES, FrameFault, FrameReader, frame_of
from rmf.storage.segments import LedgerPlace

__all__ = ["KINDS", "Lineage", "durable_behind", "record_frame"]

KINDS: Final = frozenset({ENTRY, HARD, SEAL})
_ARRAY_HEADS: Final = b"\x8a\x8b"  # of ten fields (release 0.1) and of eleven


def record_frame(record: Record) -> bytes:
    """Return the frame of a record. The body, which may be megabytes, is not encoded again."""
    start = cbor2.dumps(
        [
            record.cluster,
            record.kind,
            record.serial,
            record.index,
            record.term,
            record.chain,
            record.durable_through,
            record.boot_id,
            record.boot_ns,
        ]
    )
    commit = cbor2.dumps(record.commit)
    return frame_of(b"\x8b" + start[1:], head(2, len(record.body)), record.body, commit)


class Lineage:
    """Where a ledger stands while its records are read one by one.

    Invariant: `_chains[i]` is the chain of the Entry `_first + i`, the last one that of `index`.
    `commit` is the highest index that was said to be committed; a base always is.
    """

    def __init__(self, cluster: bytes, base: LedgerPlace) -> None:
        self.serial = base.serial
        self.index = base.index
        self.term = base.term
        self.commit = base.index
        self._cluster = cluster
        self._first = base.index
        self._chains = [base.chain]

    @property
    def base(self) -> LedgerPlace:
        """The place itself, as a Base."""
        return LedgerPlace(self.serial, self.index, self.term, self._chains[-1])

    def stands_at(self, place: LedgerPlace) -> bool:
        """Whether this is the place (the chain covers the term)."""
        return (place.serial, place.index, place.chain) == (
            self.serial,
            self.index,
            self._chains[-1],
        )

    def fault_of(self, record: Record) -> str | None:
        """Return why this record is not the next one, or None if it is."""
        if record.serial != self.serial + 1:
            return f"this is record {record.serial}, at the place of another"
        if record.durable_through >= record.serial:
            return f"record {record.serial} says that {record.durable_through} came before it"
        if record.commit > record.index:
            return f"at index {record.index} it says that {record.commit} is committed"
        if record.kind != ENTRY:
            if (record.index, record.chain) != (self.index, self._chains[-1]):
                return f"its index {record.index} or its chain is not that of Entry {self.index}"
            return None
        if not self._first < record.index <= self.index + 1:
            return f"its index is {record.index}, after {self.index}"
        if record.index <= self.commit:
            return f"it voids Entry {record.index}; those up to {self.commit} were committed"
        before = self._chains[record.index - 1 - self._first]
        if chain_of(before, self._cluster, record.index, record.term, record.body) != record.chain:
            return f"the chain of Entry {record.index} does not follow from the one before"
        return None

    def follow(self, record: Record) -> None:
        """Stand behind this record, which has no fault."""
        assert record.serial == self.serial + 1, "a record was left out"
        self.serial = record.serial
        self.commit = max(self.commit, record.commit)
        if record.kind != ENTRY:
            return
        del self._chains[record.index - self._first :]
        self._chains.append(record.chain)
        self.index, self.term = record.index, record.term
        if len(self._chains) > 2 * limits.VOID_ENTRIES_MAX:
            dropped = len(self._chains) - limits.VOID_ENTRIES_MAX - 1
            del self._chains[:dropped]
            self._first += dropped


def durable_behind(fd: int, offset: int, cluster: bytes, serial: int) -> int:
    """Return the highest `durable_through` of all valid records that begin behind `offset`, where
    the record `serial` could not be read; 0 if there are none.

    Candidates are the places where a record of this cluster would begin, so one look through the
    bytes finds them all, whatever the damage did to lengths.
    """
    mark = head(2, len(cluster)) + cluster  # behind the head of the array
    reader = FrameReader(fd, limits.RECORD_BYTES_MAX, 4 * limits.KIB)
    highest = 0
    while chunk := os.pread(fd, limits.FILE_READ_BYTES, offset):
        at = chunk.find(mark, 1)
        while at >= 0:
            begins = offset + at - 1 - HEAD_BYTES
            record = _record_at(reader, begins) if chunk[at - 1] in _ARRAY_HEADS else None
            if record is not None and serial < record.serial > record.durable_through:
                highest = max(highest, record.durable_through)
            at = chunk.find(mark, at + 1)
        offset += max(len(chunk) - len(mark), 1)
    return highest


def _record_at(reader: FrameReader, offset: int) -> Record | None:
    try:
        body = reader.body_at(offset)
        return record_of(body) if body is not None else None
    except (FrameFault, ValueError, OSError):
        return None
