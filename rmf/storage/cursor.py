"""Entries out of a ledger that is being written: for every-tick subscribers (R37).

Decides which Entries may be given out: those at or below the index that the caller knows to be
committed, and not voided by a later record. It knows neither the writer nor what an Entry says. It
may be used from any thread, one at a time.

Theory. Files are the only meeting place: what is behind the last whole record is not written yet,
and no fault. Entries that a later one voids stand in the file as before (truncation is logical), so
the cursor looks VOID_ENTRIES_MAX Entries ahead before it gives one out; at the live end it
has seen everything there is. What it looked at it keeps as places, not as bytes.
"""

from collections import deque
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

import attrs

from rmf import limits
from rmf.core.record import ENTRY, Record, record_of
from rmf.errors import LedgerDamaged
from rmf.storage.framing import FrameFault, FrameReader
from rmf.storage.segments import (
    LedgerPlace,
    damaged,
    first_serial_of,
    foreign,
    open_segment,
    read_header,
    segments_in,
)

__all__ = ["EntryCursor", "oldest_base", "oldest_index"]


@attrs.frozen(eq=False)
class _Segment:
    path: Path
    file: FileIO
    reader: FrameReader


@attrs.frozen(eq=False)
class _Place:
    kind: int
    index: int
    segment: _Segment
    offset: int
    body_bytes: int


def oldest_index(directories: Sequence[Path], cluster: bytes) -> int | None:
    """Return the index of the oldest Entry that a cursor can give, None if there is no ledger."""
    base = oldest_base(directories, cluster)
    return None if base is None else base.index + 1


def oldest_base(directories: Sequence[Path], cluster: bytes) -> LedgerPlace | None:
    """Return where a ledger stood before the oldest record that is held, None if there is none."""
    while segments := segments_in(*directories):
        opened = open_segment(segments[0], directories)
        if opened is None:
            continue  # shed since it was listed
        with opened as file:
            header = read_header(file.fileno(), segments[0])
        if header.cluster != cluster:
            raise foreign(segments[0], header.cluster, cluster)
        return header.base
    return None


class EntryCursor:
    """Gives the Entries after `after_index`, in order, from the segments in `directories` (ledger
    and archive). If they begin later, so does the cursor: the first index shows the gap; the same
    if it is so slow that the archive is shed under it. Raises LedgerDamaged, ForeignDirectory.
    """

    def __init__(self, directories: Sequence[Path], cluster: bytes, after_index: int) -> None:
        self._directories = directories
        self._cluster = cluster
        self._given = after_index
        self._has_given = False
        self._seen = after_index  # the index of the Entry looked at last
        self._segment: _Segment | None = None
        self._open: list[_Segment] = []
        self._offset = 0
        self._serial = 0
        self._fault: LedgerDamaged | None = None  # what stands at the end, if it is no clean end
        self._ahead: deque[_Place] = deque()

    def read(
        self, through_index: int, limit: int, bytes_max: int = limits.CURSOR_READ_BYTES_MAX
    ) -> list[Record]:
        """Return the next Entries, at most `limit` of them and about `bytes_max` bytes, none above
        `through_index`: the caller knows that this ledger holds that one, committed."""
        # What is given out leaves VOID_ENTRIES_MAX looked at behind it, or the end.
        self._look_ahead(limit + limits.VOID_ENTRIES_MAX)
        if self._fault is not None and self._seen < through_index:
            raise self._fault
        records: list[Record] = []
        room = bytes_max
        while self._ahead and len(records) < limit and room > 0:
            if self._ahead[0].index > through_index:
                break
            place = self._ahead.popleft()
            records.append(self._record(place))
            room -= place.body_bytes
        if records:
            self._given, self._has_given = records[-1].index, True
        self._close_unused()
        return records

    def close(self) -> None:
        """Close its files."""
        self._ahead.clear()
        self._segment = None
        self._close_unused()

    def _look_ahead(self, count: int) -> None:
        """Note the places of Entries until there are `count`, or the end is reached."""
        if self._segment is not None:
            self._segment.reader.forget()
        while len(self._ahead) < count:
            found = self._next()
            if found is None:
                return
            if found.kind == ENTRY:
                self._note(found)

    def _note(self, place: _Place) -> None:
        """Take the place of an Entry for the one that holds, those from its index on for void."""
        while self._ahead and self._ahead[-1].index >= place.index:
            self._ahead.pop()
        self._seen = place.index
        if place.index > self._given:
            self._ahead.append(place)
        elif self._has_given:
            why = f"Entry {place.index} voids others up to {self._given}, which were committed"
            raise damaged(place.segment.path, place.offset, self._serial, why)

    def _next(self) -> _Place | None:
        """Go behind the next record and return its place, or None where nothing is written yet."""
        while True:
            body = self._body()
            if body is None:
                path = self._following()
                if path is None:
                    return None
                # A segment is only begun once the one before is complete: look there once more.
                body = self._body()
                if body is None and self._fault is not None:
                    raise self._fault
                if body is None:
                    self._enter(path)
                    continue
            return self._step(body)

    def _body(self) -> bytes | None:
        self._fault = None
        if self._segment is None:
            return None
        try:
            return self._segment.reader.body_at(self._offset)
        except (FrameFault, OSError) as exc:
            self._fault = damaged(self._segment.path, self._offset, self._serial + 1, str(exc))
            return None

    def _step(self, body: bytes) -> _Place:
        segment = self._segment
        assert segment is not None
        record = self._decoded(body, segment, self._offset)
        if record.serial != self._serial + 1:
            why = f"this is record {record.serial}, at the place of another"
            raise damaged(segment.path, self._offset, self._serial + 1, why)
        place = _Place(record.kind, record.index, segment, self._offset, len(body))
        self._offset = segment.reader.end
        self._serial = record.serial
        return place

    def _decoded(self, body: bytes, segment: _Segment, offset: int) -> Record:
        try:
            record = record_of(body)
        except ValueError as exc:
            raise damaged(segment.path, offset, self._serial + 1, str(exc)) from exc
        if record.cluster != self._cluster:
            raise foreign(segment.path, record.cluster, self._cluster)
        return record

    def _record(self, place: _Place) -> Record:
        """Read again what was looked at before."""
        try:
            body = place.segment.reader.body_at(place.offset)
        except (FrameFault, OSError) as exc:
            raise damaged(place.segment.path, place.offset, self._serial, str(exc)) from exc
        return self._decoded(body or b"", place.segment, place.offset)

    def _following(self) -> Path | None:
        """Return the segment to read next, or None if there is none yet."""
        segments = segments_in(*self._directories)
        if self._segment is not None:
            self._segment.reader.forget()
            here = first_serial_of(self._segment.path)
            return next((p for p in segments if first_serial_of(p) > here), None)
        for path in reversed(segments[1:]):
            opened = open_segment(path, self._directories)
            if opened is not None:
                with opened as file:
                    if read_header(file.fileno(), path).base.index <= self._given:
                        return path
        return segments[0] if segments else None

    def _enter(self, path: Path) -> None:
        """Go on in this segment, unless it was shed meanwhile."""
        file = open_segment(path, self._directories)
        if file is None:
            return
        segment = _Segment(
            path,
            file,
            FrameReader(file.fileno(), limits.RECORD_BYTES_MAX, limits.CURSOR_FILE_READ_BYTES),
        )
        self._open.append(segment)
        header = read_header(file.fileno(), path)
        if header.cluster != self._cluster:
            raise foreign(path, header.cluster, self._cluster)
        self._segment = segment
        self._offset = header.end
        self._serial = header.base.serial

    def _close_unused(self) -> None:
        """Close the files that no place refers to any more, and drop what was read ahead."""
        used = {id(place.segment) for place in self._ahead} | {id(self._segment)}
        for segment in self._open:
            segment.reader.forget()
            if id(segment) not in used:
                segment.file.close()
        self._open = [segment for segment in self._open if id(segment) in used]
