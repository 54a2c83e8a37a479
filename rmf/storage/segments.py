"""Segments: the files of a ledger, `<first serial, 20 digits>.seg`.

Decides how a segment is named, made and headed. It does not judge the records in it (see scan).

    segment = header frame, record frames …, zeros
    header  = CBOR [magic, format, cluster, bytes, serial, index, term, chain, hard]

The header says where the ledger stands before the segment's first record (`LedgerPlace`), so each
segment can be placed and read by itself, and how many bytes the file was made with, so a file that
was cut short is found out whatever is left of it. `hard` is the body of the last HARD record before
it (empty if there was none; release 0.1 wrote no such field): recovery may begin behind that
record, and a vote must not be forgotten for it. A segment gets its name only once its header and
filling are fsynced: hence damage to a header is never a torn write. It is zero-filled ahead,
because writing over what is already allocated nearly halves an fdatasync.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Final

import attrs
import cbor2

from rmf import limits
from rmf.core.record import GENESIS_CHAIN
from rmf.errors import WAY_BACK, ForeignDirectory, LedgerDamaged, StorageError
from rmf.storage import drive
from rmf.storage.files import fill_with_zeros, fsync_directory, write_whole
from rmf.storage.framing import FrameFault, FrameReader, frame_of

__all__ = [
    "GENESIS",
    "SUFFIX",
    "LedgerPlace",
    "SegmentHeader",
    "damaged",
    "fill_segment",
    "first_serial_of",
    "foreign",
    "open_segment",
    "place_segment",
    "read_header",
    "segment_path",
    "segments_in",
]

SUFFIX = ".seg"
_MAGIC = "rmf-ledger"
_FORMAT: Final = 1


@attrs.frozen
class LedgerPlace:
    """Where a ledger stands: the serial of the last record, and the last Entry's index, term and
    chain. A Checkpoint stands at such a place."""

    serial: int
    index: int
    term: int
    chain: bytes


GENESIS = LedgerPlace(0, 0, 0, GENESIS_CHAIN)


@attrs.frozen
class SegmentHeader:
    """What the header of a segment says; `end` is the offset of its first record, `hard` the body
    of the last HARD record before it, empty if there was none."""

    cluster: bytes
    base: LedgerPlace
    file_bytes: int
    end: int
    hard: bytes


def damaged(path: Path, offset: int, serial: int, why: str) -> LedgerDamaged:
    """Return the LedgerDamaged for a place: `serial` is the record that was expected there."""
    directory = path.parent.parent
    return LedgerDamaged(
        f"{path}, byte {offset}: {why}. Expected here: record {serial}, which is (or may be) "
        f"acknowledged, so nothing was cut. To repair: keep {directory} as it is; `rmf-replay "
        f"{directory}` shows how far its history can be read. {WAY_BACK}"
    )


def foreign(path: Path, found: bytes, expected: bytes) -> ForeignDirectory:
    """Return the ForeignDirectory for a file that belongs to another cluster."""
    return ForeignDirectory(
        f"{path} holds data of the cluster {found.hex()}, expected {expected.hex()}. Files of two "
        f"clusters are mixed here: put back the files that belong to this directory."
    )


def segments_in(*directories: Path) -> list[Path]:
    """Return the segments in these directories, by first serial."""
    found = [p for d in directories if d.is_dir() for p in d.iterdir() if p.suffix == SUFFIX]
    return sorted((p for p in found if p.stem.isdecimal()), key=first_serial_of)


def segment_path(directory: Path, base: LedgerPlace) -> Path:
    """Return what the segment is called that begins behind this place."""
    return directory / f"{base.serial + 1:020d}{SUFFIX}"


def first_serial_of(path: Path) -> int:
    """Return the serial of the first record of a segment, by its name."""
    return int(path.stem)


def open_segment(path: Path, directories: Sequence[Path]) -> FileIO | None:
    """Open a segment wherever it is by now: a node at work may have moved it to the archive. None
    if it is in none of the directories. Raises OSError."""
    for directory in directories:
        with suppress(FileNotFoundError):
            return (directory / path.name).open("rb", buffering=0)
    return None


def fill_segment(tmp: Path, file_bytes: int) -> None:
    """Make a zero-filled file that place_segment can turn into a segment. Raises OSError."""
    fd = os.open(tmp, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        fill_with_zeros(fd, file_bytes)
    finally:
        os.close(fd)


def place_segment(
    tmp: Path, directory: Path, cluster: bytes, base: LedgerPlace, hard: bytes = b""
) -> tuple[Path, int]:
    """Give a filled file its header and its name. Returns its path and the offset of its first
    record. Raises OSError."""
    fd = os.open(tmp, os.O_RDWR)
    try:
        file_bytes = os.fstat(fd).st_size
        fields = [_MAGIC, _FORMAT, cluster, file_bytes, *attrs.astuple(base), hard]
        header = frame_of(cbor2.dumps(fields))
        write_whole(fd, header, 0)
        drive.fsync(fd)
    finally:
        os.close(fd)
    path = segment_path(directory, base)
    assert len(header) <= limits.KIB, "no reader takes so long a header"
    assert not path.exists(), "a segment would take another's place"
    tmp.rename(path)
    fsync_directory(directory)
    return path, len(header)


def read_header(fd: int, path: Path) -> SegmentHeader:
    """Return the header of an open segment. Raises LedgerDamaged, StorageError for a format that
    this version does not know, or OSError."""
    reader = FrameReader(fd, limits.KIB, limits.KIB)
    serial = first_serial_of(path)
    try:
        fields = cbor2.loads(reader.body_at(0) or b"")
    except (FrameFault, cbor2.CBORError) as exc:
        raise damaged(path, 0, serial, f"the header is unreadable: {exc}") from exc
    if type(fields) is not list or fields[:1] != [_MAGIC]:
        raise damaged(path, 0, serial, "the header is not that of a segment")
    if fields[1] != _FORMAT:
        raise StorageError(
            f"{path} has the format {fields[1]}, this version reads {_FORMAT}: use the version "
            f"of RMF that wrote it, or a later one"
        )
    _, _, cluster, file_bytes, serial_before, index, term, chain, *hard = fields
    base = LedgerPlace(serial_before, index, term, chain)
    header = SegmentHeader(cluster, base, file_bytes, reader.end, *(hard or [b""]))
    if header.base.serial + 1 != serial:
        why = f"the header is that of segment {header.base.serial + 1}: the file was renamed"
        raise damaged(path, 0, serial, why)
    return header
