"""Reading a ledger back (R23, R24): every record verified, damage judged, the end found.

Decides where the valid data of a ledger ends, and whether what stands behind is a torn tail or
damage. It only reads: zeroing a torn tail is the writer's, on opening (see ledger).

    the frame at a place is broken, or bytes follow zeros        → look for valid records behind
        none of them says that this place was durable              → torn tail: the ledger ends here
        one does, or a later segment exists, or a Checkpoint
        stands behind it                                           → LedgerDamaged
    the frame is whole but its record belongs elsewhere          → LedgerDamaged: no tear does this
    a segment is missing, shorter than it was made, renamed      → LedgerDamaged
    a record or header of another cluster                        → ForeignDirectory

Residual, by design: rot of the very last batch, before anything was written behind it, looks like a
torn write and is cut. An idle keeper's seal makes that window short.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from rmf import limits
from rmf.core.record import HARD, Record, record_of
from rmf.errors import WAY_BACK, LedgerDamaged, StorageError
from rmf.storage.framing import FrameFault, FrameReader, data_end
from rmf.storage.records import KINDS, Lineage, durable_behind
from rmf.storage.segments import (
    LedgerPlace,
    SegmentHeader,
    damaged,
    first_serial_of,
    foreign,
    open_segment,
    read_header,
    segments_in,
)

__all__ = ["Cut", "LedgerScan", "Tail"]


@attrs.frozen
class Cut:
    """A torn tail: `file_bytes` bytes from `offset` on were never acknowledged and go."""

    path: Path
    offset: int
    file_bytes: int
    why: str


@attrs.frozen
class Tail:
    """Where valid data ends: the place in the newest segment, and where the ledger stands there.
    `last` is the last record behind the base, None if there is none; `commit` the highest index
    that is said to be committed; `hard` the body of the last HARD record, empty if there is none.
    """

    path: Path
    offset: int
    first_offset: int
    base: LedgerPlace
    last: Record | None
    commit: int
    hard: bytes


class LedgerScan:
    """Iterate once over all records behind `base`, oldest first, verified.

    A later Entry with a lower index voids the higher ones: the reader drops them (see records).
    Afterwards `tail` says where the ledger ends and `cut` what has to go. `hard` is the body of the
    last HARD record read so far, those before the base included. Memory is bounded by one record
    and one read. Raises LedgerDamaged, ForeignDirectory, StorageError.

    `directories` are where segments lie; with the archive among them, history begins earlier. A
    ledger that is being written meanwhile may be read: it ends where its writer had got to, and
    what it says of a cut there may be a write under way.
    """

    def __init__(self, directories: Sequence[Path], cluster: bytes, base: LedgerPlace) -> None:
        self.cluster = cluster
        self.tail: Tail | None = None
        self.cut: Cut | None = None
        self.hard = b""
        self._directories = directories
        self._base = base
        self._lineage = Lineage(cluster, base)
        self._serial = 0  # of the record read last, those before the base included
        self._last: Record | None = None

    def __iter__(self) -> Iterator[Record]:
        segments = self._needed()
        self._serial = first_serial_of(segments[0]) - 1
        for position, path in enumerate(segments):
            yield from self._segment(path, newest=position == len(segments) - 1)

    def _needed(self) -> list[Path]:
        """Return the segments from the base on."""
        found = segments_in(*self._directories)
        behind = [p for p in found if first_serial_of(p) <= self._base.serial + 1]
        if behind:
            return found[len(behind) - 1 :]
        what = f"the oldest begins with record {first_serial_of(found[0])}" if found else "none"
        raise LedgerDamaged(
            f"{self._directories[0]}: no segment holds record {self._base.serial + 1}, with which "
            f"history goes on (found: {what}). If files were moved away, move them back, and check "
            f"with `rmf-replay {self._directories[0].parent}`. {WAY_BACK}"
        )

    def _segment(self, path: Path, *, newest: bool) -> Iterator[Record]:
        offset = 0
        try:
            opened = open_segment(path, self._directories)
            if opened is None:
                raise damaged(path, 0, self._serial + 1, "it is gone since it was listed")
            with opened as file:
                fd = file.fileno()
                header = self._checked_header(fd, path)
                offset = header.end
                self.hard = header.hard or self.hard
                reader = FrameReader(fd, limits.RECORD_BYTES_MAX)
                while (record := self._next(fd, reader, path, offset, newest=newest)) is not None:
                    offset = reader.end
                    self._serial = record.serial
                    if record.kind == HARD:
                        self.hard = record.body
                    if record.serial > self._base.serial:
                        self._lineage.follow(record)
                        self._last = record
                        yield record
        except OSError as exc:
            why = f"the disk cannot read it: {exc.strerror}"
            raise damaged(path, offset, self._serial + 1, why) from exc
        if newest:
            self._end(path, offset, header)

    def _checked_header(self, fd: int, path: Path) -> SegmentHeader:
        """Return the header, once the segment is found to be the one that comes next."""
        header = read_header(fd, path)
        if header.cluster != self.cluster:
            raise foreign(path, header.cluster, self.cluster)
        expected = self._serial + 1
        if header.base.serial != self._serial:
            why = f"the segment that begins with record {expected} is missing before this one"
            raise damaged(path, 0, expected, why)
        if self._serial >= self._base.serial and not self._lineage.stands_at(header.base):
            raise damaged(path, 0, expected, "its header does not follow from what comes before")
        size = os.fstat(fd).st_size
        if size < header.file_bytes:
            why = f"the file ends here; it was made with {header.file_bytes} bytes"
            raise damaged(path, size, expected, why)
        return header

    def _next(
        self, fd: int, reader: FrameReader, path: Path, offset: int, *, newest: bool
    ) -> Record | None:
        """Return the record at `offset`, or None where the segment ends; judge what is neither."""
        try:
            return self._read(fd, reader, path, offset)
        except FrameFault:
            expected = self._serial + 1
            durable = self._base.serial
            if newest:
                durable = max(durable, durable_behind(fd, offset, self.cluster, expected))
        # A writer at work may have finished this very record since it was read: look again.
        reader.forget()
        try:
            return self._read(fd, reader, path, offset)
        except FrameFault as fault:
            if not newest or durable >= expected:
                raise damaged(path, offset, expected, str(fault)) from None
            file_bytes = data_end(fd, offset) - offset
            self.cut = Cut(path, offset, file_bytes, f"record {expected}: {fault}")
            return None

    def _read(self, fd: int, reader: FrameReader, path: Path, offset: int) -> Record | None:
        """Return the record at `offset` or None at the clean end. Raises FrameFault for bytes that
        a torn write can leave, LedgerDamaged and ForeignDirectory for those it cannot."""
        expected = self._serial + 1
        body = reader.body_at(offset)
        if body is None:
            if (end := data_end(fd, offset)) > offset:
                raise FrameFault(f"zeros where a record was due, and data behind, up to {end}")
            return None
        try:
            record = record_of(body)
        except ValueError as exc:
            raise damaged(path, offset, expected, str(exc)) from exc
        if record.cluster != self.cluster:
            raise foreign(path, record.cluster, self.cluster)
        if record.kind not in KINDS:
            raise StorageError(
                f"{path}, byte {offset}: a record of the kind {record.kind}, which this version "
                f"does not know: use the version of RMF that wrote it, or a later one"
            )
        if fault := self._fault_of(record):
            raise damaged(path, offset, expected, fault)
        return record

    def _fault_of(self, record: Record) -> str | None:
        """Return why the record does not belong here. Before the base only the serial is known;
        at the base the ledger has to be where the Checkpoint says it is."""
        if record.serial > self._base.serial:
            return self._lineage.fault_of(record)
        if record.serial != self._serial + 1:
            return f"this is record {record.serial}, at the place of another"
        stands = (record.index, record.chain)
        if record.serial == self._base.serial and stands != (self._base.index, self._base.chain):
            return f"the Checkpoint of Entry {self._base.index} is not one of this ledger"
        return None

    def _end(self, path: Path, offset: int, header: SegmentHeader) -> None:
        if self._serial < self._base.serial:
            why = f"the ledger ends here, the Checkpoint in use stands at {self._base.serial}"
            raise damaged(path, offset, self._serial + 1, why)
        lineage = self._lineage
        self.tail = Tail(
            path, offset, header.end, lineage.base, self._last, lineage.commit, self.hard
        )
