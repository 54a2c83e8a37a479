"""Checkpoints (R25): the state at one Entry in one file, `<index, 20 digits>.ckpt`.

Decides that a Checkpoint appears whole or not at all, that nothing of it is used before all of it
is verified, and which ones are kept. How it lies in its file knows checkpoint_layout.

What is large in it, cells and the producers' table, is written and read in slices, so that no
thread that has the interpreter holds up the others for long (R45).

Peers of an older release cannot read a table in slices, and a Checkpoint is sent to them as it is:
it is written so once the cluster's version says that all of them can (R30). Before, the head holds
the table; it is encoded a row at a time all the same.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import suppress
from operator import lt
from pathlib import Path
from typing import Any, Final

import attrs
import cbor2

from rmf import limits
from rmf.core import own_cbor
from rmf.core.entry_kinds import TABLE_SLICES_VERSION
from rmf.core.producer_table import Table
from rmf.core.table_slices import TableSlice, slices_of, whole_row
from rmf.errors import StorageError
from rmf.storage import drive
from rmf.storage.checkpoint_layout import (
    DIGEST_BYTES,
    FOOTER,
    FORMAT_OF_OLD,
    FORMAT_SLICED,
    FRAME_BYTES_MAX,
    HEADER,
    MAGIC,
    SLICE,
    TABLE,
    Verified,
    base_of,
    damaged,
    frame_at,
    header_in,
    index_of,
    opened,
    verify,
    verify_frames,
)
from rmf.storage.files import (
    TMP,
    failing_disk,
    fsync_directory,
    move_durably,
    write_whole,
)
from rmf.storage.framing import FrameReader, frame_of

__all__ = [
    "CellRow",
    "CheckpointWriter",
    "Loaded",
    "Verified",
    "base_of",
    "head_of",
    "index_of",
    "load",
    "newest",
    "prune",
    "rewrite",
    "verified",
]

# A cell in a slice is an array of its key, its value (CBOR bytes), term, tick and slot of its
# Stamp, its producer, when it was harvested, and the tick at which it expires (0: never).
CellRow = tuple[str, bytes, int, int, int, str, int, int]

SUFFIX: Final = ".ckpt"
_CELL_FIELDS = 8
_SLICE_BYTES = limits.CHECKPOINT_SLICE_BYTES
_MAP, _ARRAY = 5, 4  # major types of CBOR


@attrs.frozen
class Loaded:
    """A verified Checkpoint: its head, its producers in slices, and its cells in key order; the
    last two are read while they are taken, each once."""

    head: dict[str, Any]
    producers: Iterator[TableSlice]
    cells: Iterator[CellRow]


class CheckpointWriter:
    """Writes one Checkpoint into the directory `path`, slice by slice. Without a `table` it comes
    by `add_from`.

    Raises DiskFailed; then, as after `abort`, nothing of it stays."""

    def __init__(
        self, path: Path, cluster: bytes, head: dict[str, Any], table: Table | None = None
    ) -> None:
        self._cluster = cluster
        self._index = base_of(head, path).index
        self._target = path / f"{self._index:020d}{SUFFIX}"
        self._tmp = self._target.with_name(self._target.name + TMP)
        self._last_key: str | None = None
        self._digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._offset = self._synced = self._slices = self._cells = 0
        with failing_disk("writing", self._tmp):
            self._fd = os.open(self._tmp, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self._begin(head, table)
        except BaseException:
            self.abort()
            raise

    def _begin(self, head: dict[str, Any], table: Table | None) -> None:
        """Write the header, and the table where the cluster's version has it."""
        fields = [HEADER, MAGIC, FORMAT_SLICED, self._cluster, self._index, head]
        if "producers" not in head and head.get("version", 1) >= TABLE_SLICES_VERSION:
            self._write(fields)
            for rows in slices_of(table) if table is not None else ():
                self._write([TABLE, rows])
                self._slices += 1
            return
        fields[2] = FORMAT_OF_OLD
        self._put(cbor2.dumps(fields) if table is None else _old_header(fields, head, table))

    def add(self, cells: list[CellRow]) -> None:
        """Write cells, in key order, all behind those before."""
        rows: list[CellRow] = []
        size = 0
        for cell in cells:
            assert self._last_key is None or self._last_key < cell[0], "cells have no order"
            self._last_key = cell[0]
            rows.append(cell)
            size += len(cell[1])
            if size > _SLICE_BYTES:
                self._slice(rows)
                rows, size = [], 0
        if rows:
            self._slice(rows)

    def _slice(self, rows: list[CellRow]) -> None:
        self._write([SLICE, rows])
        self._slices += 1
        self._cells += len(rows)

    def add_from(self, path: Path) -> None:
        """Write the tables and cells of another Checkpoint, which is verified already, byte for
        byte. Raises CheckpointDamaged if it changed since."""
        with opened(path) as fd:
            reader = FrameReader(fd, FRAME_BYTES_MAX)
            frame_at(reader, path, 0)
            while (body := frame_at(reader, path, reader.end))[1] != FOOTER:
                self._put(body)
                self._slices += 1
            self._cells += cbor2.loads(body)[3]

    def finish(self) -> Path:
        """Write the rest, fsync, verify what the disk holds, and give the file its name. Raises
        CheckpointDamaged if it does not hold what was written."""
        digest = self._digest.digest()
        self._write([FOOTER, digest, self._slices, self._cells])
        try:
            with failing_disk("writing", self._tmp):
                drive.fsync(self._fd)
                # So that what is verified comes from the disk, not from memory.
                os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
            *_, found = verify_frames(self._fd, self._tmp)
            if found != digest:
                raise damaged(self._tmp, self._offset, "the disk holds another Checkpoint")
            with failing_disk("renaming", self._tmp):
                self._tmp.rename(self._target)
                fsync_directory(self._target.parent)
        except StorageError:
            self.abort()
            raise
        os.close(self._fd)
        self._fd = -1
        return self._target

    @property
    def file_bytes(self) -> int:
        """How much is written so far."""
        return self._offset

    def abort(self) -> None:
        """Remove what was written so far."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            with suppress(OSError):
                self._tmp.unlink()

    def _write(self, fields: list[Any]) -> None:
        self._put(own_cbor.encoded(fields))

    def _put(self, body: bytes) -> None:
        assert self._fd >= 0, "it is finished, or given up"
        assert len(body) <= FRAME_BYTES_MAX, "no reader takes so long a frame"
        frame = frame_of(body)
        try:
            with failing_disk("writing", self._tmp):
                write_whole(self._fd, frame, self._offset)
                self._offset += len(frame)
                if self._offset - self._synced > limits.CHECKPOINT_SYNC_BYTES:
                    drive.fdatasync(self._fd)
                    self._synced = self._offset
        except StorageError:
            self.abort()
            raise
        self._digest.update(body)


def _old_header(fields: list[Any], head: dict[str, Any], table: Table) -> bytes:
    """Return a header whose head holds the table, encoded a row at a time: in one piece it would
    hold everybody up."""
    out = io.BytesIO()
    encoder = cbor2.CBOREncoder(out)
    encoder.encode_length(_ARRAY, len(fields))
    for field in fields[:-1]:
        encoder.encode(field)
    encoder.encode_length(_MAP, len(head) + 1)
    for key, value in head.items():
        encoder.encode(key)
        encoder.encode(value)
    encoder.encode("producers")
    encoder.encode_length(_ARRAY, len(table.rows))
    for name in sorted(table.rows):
        encoder.encode(whole_row(name, table.rows[name]))
    return out.getvalue()


def load(path: Path, cluster: bytes) -> Loaded:
    """Return what a Checkpoint holds, which is verified as a whole before this returns. Raises
    CheckpointDamaged, ForeignDirectory, StorageError."""
    found = verified(path, cluster)
    rows = found.head.pop("producers", None)
    producers = _tables(path) if rows is None else iter([rows])
    return Loaded(found.head, producers, _cells(path, found.cells))


def verified(path: Path, cluster: bytes) -> Verified:
    """Read all of a Checkpoint, and return what it is if it is whole. Raises as `load`."""
    with opened(path) as fd:
        return verify(fd, path, cluster, index_of(path))


def rewrite(path: Path, target: Path, cluster: bytes, head: dict[str, Any]) -> Path:
    """Write a verified Checkpoint again into the directory `target`, with another head. Raises as
    `load`, and DiskFailed."""
    writer = CheckpointWriter(target, cluster, head)
    try:
        writer.add_from(path)
        return writer.finish()
    except StorageError:
        writer.abort()
        raise


def head_of(path: Path, cluster: bytes) -> dict[str, Any]:
    """Return the head alone; only its own checksum is verified. Raises as `load`."""
    with opened(path) as fd:
        reader = FrameReader(fd, FRAME_BYTES_MAX)
        return header_in(frame_at(reader, path, 0), path, cluster, index_of(path))


def newest(*directories: Path) -> list[Path]:
    """Return the Checkpoints in these directories, newest first, none of them verified."""
    found = [p for d in directories if d.is_dir() for p in d.iterdir() if p.suffix == SUFFIX]
    return sorted((p for p in found if p.stem.isdecimal()), key=index_of, reverse=True)


def prune(path: Path, archive: Path, keep: int = limits.CHECKPOINTS_KEPT) -> list[Path]:
    """Move all Checkpoints but the newest into the archive, where history begins with them.
    Returns what was moved. Raises DiskFailed."""
    old = newest(path)[keep:]
    with failing_disk("archiving Checkpoints of", path):
        move_durably(old, archive)
    return old


def _tables(path: Path) -> Iterator[TableSlice]:
    """Return the slices of the table of a verified Checkpoint."""
    with opened(path) as fd:
        reader = FrameReader(fd, FRAME_BYTES_MAX)
        frame_at(reader, path, 0)
        while (body := frame_at(reader, path, reader.end))[1] == TABLE:
            yield cbor2.loads(body)[1]


def _cells(path: Path, expected: int) -> Iterator[CellRow]:
    """Return the cells of a verified Checkpoint. Raises CheckpointDamaged if it changed since."""
    with opened(path) as fd:
        reader = FrameReader(fd, FRAME_BYTES_MAX)
        frame_at(reader, path, 0)
        count = 0
        before = ""
        while (body := frame_at(reader, path, reader.end))[1] != FOOTER:
            if body[1] == TABLE:
                continue
            rows = own_cbor.decoded(body)[1]
            keys = [row[0] for row in rows]
            ordered = (not count or before < keys[0]) and all(map(lt, keys, keys[1:]))
            if not ordered or set(map(len, rows)) != {_CELL_FIELDS}:
                raise damaged(path, reader.end, f"cell {count} or later has no shape or no order")
            before = keys[-1]
            count += len(rows)
            yield from map(tuple, rows)
        if count != expected:
            raise damaged(path, reader.end, f"{count} cells, its footer says {expected}")
