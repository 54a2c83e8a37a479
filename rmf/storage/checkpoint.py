"""Checkpoints (R25): the state at one Entry in one file, `<index, 20 digits>.ckpt`.

Decides how a Checkpoint is laid out, that it appears whole or not at all, and that nothing of it is
used before all of it is verified. Of the head it needs only where the Checkpoint stands in the
ledger (`serial`, `index`, `term`, `chain`); the rest is the core's.

    file   = header frame, slice frames …, footer frame; nothing behind
    header = CBOR [0, magic, format, cluster, index, head]     head: a map with text keys
    slice  = CBOR [1, [cell …]]                                cells in key order, over all slices
    footer = CBOR [2, BLAKE2b-256 of all bodies before it, number of slices, number of cells]

The CRC of each frame says where damage is, the digest that nothing is missing, doubled or from
another file. Corrupt is never treated as absent: a damaged Checkpoint is an error with a place, and
whoever loads then takes the one before it.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import attrs
import cbor2

from rmf import limits
from rmf.errors import CheckpointDamaged, StorageError
from rmf.storage.files import (
    TMP,
    failing_disk,
    fsync_directory,
    move_durably,
    write_whole,
)
from rmf.storage.framing import FrameFault, FrameReader, frame_of
from rmf.storage.segments import Base, foreign

__all__ = [
    "CellRow",
    "CheckpointWriter",
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
_MAGIC = "rmf-checkpoint"
_FORMAT: Final = 1
_HEADER, _SLICE, _FOOTER = range(3)
_FRAME_BYTES_MAX = 2**32 - 1  # a head holds whole tables; the file's own size is the bound
_CELL_FIELDS = 8
_DIGEST_BYTES = 32
_CONTENT_BYTES = 16
_SLICE_BYTES = limits.CHECKPOINT_SLICE_BYTES


@attrs.frozen
class Verified:
    """What is found of a Checkpoint of which every byte is as it was written: its head, how many
    cells it has, its size, and its content: 16 bytes that name what it holds."""

    head: dict[str, Any]
    cells: int
    file_bytes: int
    content: bytes


class CheckpointWriter:
    """Writes one Checkpoint into the directory `path`, slice by slice.

    Raises DiskFailed; then, as after `abort`, nothing of it stays."""

    def __init__(self, path: Path, cluster: bytes, head: dict[str, Any]) -> None:
        self._cluster = cluster
        self._index = base_of(head, path).index
        self._target = path / f"{self._index:020d}{SUFFIX}"
        self._tmp = self._target.with_name(self._target.name + TMP)
        self._digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self._offset = self._synced = self._slices = self._cells = 0
        with failing_disk("writing", self._tmp):
            self._fd = os.open(self._tmp, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._write([_HEADER, _MAGIC, _FORMAT, cluster, self._index, head])

    def add(self, cells: list[CellRow]) -> None:
        """Write cells, in key order, all behind those before."""
        rows: list[CellRow] = []
        size = 0
        for cell in cells:
            rows.append(cell)
            size += len(cell[1])
            if size > _SLICE_BYTES:
                self._slice(rows)
                rows, size = [], 0
        if rows:
            self._slice(rows)

    def _slice(self, rows: list[CellRow]) -> None:
        self._write([_SLICE, rows])
        self._slices += 1
        self._cells += len(rows)

    def add_from(self, path: Path) -> None:
        """Write all cells of another Checkpoint, which is verified already, byte for byte. Raises
        CheckpointDamaged if it changed since."""
        with _opened(path) as fd:
            reader = FrameReader(fd, _FRAME_BYTES_MAX)
            _frame(reader, path, 0)
            while (body := _frame(reader, path, reader.end))[1] == _SLICE:
                self._put(body)
                self._slices += 1
            self._cells += cbor2.loads(body)[3]

    def finish(self) -> Path:
        """Write the rest, fsync, verify what the disk holds, and give the file its name. Raises
        CheckpointDamaged if it does not hold what was written."""
        self._write([_FOOTER, self._digest.digest(), self._slices, self._cells])
        try:
            with failing_disk("writing", self._tmp):
                os.fsync(self._fd)
                # So that what is verified comes from the disk, not from memory.
                os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
            _verify(self._fd, self._tmp, self._cluster, self._index)
            with failing_disk("renaming", self._tmp):
                self._tmp.rename(self._target)
                fsync_directory(self._target.parent)
        except StorageError:
            self.abort()
            raise
        os.close(self._fd)
        self._fd = -1
        return self._target

    def abort(self) -> None:
        """Remove what was written so far."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            with suppress(OSError):
                self._tmp.unlink()

    def _write(self, fields: list[Any]) -> None:
        self._put(cbor2.dumps(fields))

    def _put(self, body: bytes) -> None:
        frame = frame_of(body)
        try:
            with failing_disk("writing", self._tmp):
                write_whole(self._fd, frame, self._offset)
                self._offset += len(frame)
                if self._offset - self._synced > limits.CHECKPOINT_SYNC_BYTES:
                    os.fdatasync(self._fd)
                    self._synced = self._offset
        except StorageError:
            self.abort()
            raise
        self._digest.update(body)


def load(path: Path, cluster: bytes) -> tuple[dict[str, Any], Iterator[CellRow]]:
    """Return the head and the cells, in key order, of a Checkpoint that is verified as a whole
    before this returns. Raises CheckpointDamaged, ForeignDirectory, StorageError."""
    found = verified(path, cluster)
    return found.head, _cells(path, found.cells)


def verified(path: Path, cluster: bytes) -> Verified:
    """Read all of a Checkpoint, and return what it is if it is whole. Raises as `load`."""
    with _opened(path) as fd:
        return _verify(fd, path, cluster, index_of(path))


def rewrite(path: Path, target: Path, cluster: bytes, head: dict[str, Any]) -> Path:
    """Write a verified Checkpoint anew into the directory `target`, with another head. Raises as
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
    with _opened(path) as fd:
        reader = FrameReader(fd, _FRAME_BYTES_MAX)
        return _header(_frame(reader, path, 0), path, cluster, index_of(path))


def base_of(head: dict[str, Any], path: Path) -> Base:
    """Return where a Checkpoint with this head stands. Raises CheckpointDamaged."""
    found: list[Any] = [head.get(name) for name in ("serial", "index", "term", "chain")]
    if [type(value) for value in found] != [int, int, int, bytes]:
        raise _damaged(path, 0, "its head does not say where it stands")
    return Base(*found)


def index_of(path: Path) -> int:
    """Return the index that a Checkpoint has by its name."""
    return int(path.stem)


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


def _damaged(path: Path, offset: int, why: str) -> CheckpointDamaged:
    return CheckpointDamaged(
        f"{path}, byte {offset}: {why}. It is not used, and not removed either. The Checkpoint "
        f"before it, or the archive, takes its place; move the file away once that has worked."
    )


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open for reading; whatever cannot be read is damage."""
    try:
        with path.open("rb", buffering=0) as file:
            yield file.fileno()
    except OSError as exc:
        raise _damaged(path, 0, f"the disk cannot read it: {exc.strerror}") from exc


def _verify(fd: int, path: Path, cluster: bytes, index: int) -> Verified:
    """Return what a Checkpoint is, once every byte is found to be as written."""
    reader = FrameReader(fd, _FRAME_BYTES_MAX)
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    body = _frame(reader, path, 0)
    head = _header(body, path, cluster, index)
    slices = -1
    while body[1] != _FOOTER:  # the second byte is the kind, the first the head of the array
        digest.update(body)
        slices += 1
        body = _frame(reader, path, reader.end)
    _, stated, slices_stated, cells = cbor2.loads(body)
    if (stated, slices_stated) != (digest.digest(), slices):
        raise _damaged(path, reader.end, "the digest in its footer is not that of what it holds")
    if os.fstat(fd).st_size != reader.end:
        raise _damaged(path, reader.end, "bytes follow its footer")
    return Verified(head, cells, reader.end, stated[:_CONTENT_BYTES])


def _cells(path: Path, expected: int) -> Iterator[CellRow]:
    """Return the cells of a verified Checkpoint. Raises CheckpointDamaged if it changed since."""
    with _opened(path) as fd:
        reader = FrameReader(fd, _FRAME_BYTES_MAX)
        _frame(reader, path, 0)
        count = 0
        before = ""
        while (body := _frame(reader, path, reader.end))[1] == _SLICE:
            for cell in cbor2.loads(body)[1]:
                if len(cell) != _CELL_FIELDS or (cell[0] <= before and count):
                    raise _damaged(path, reader.end, f"cell {count} has no shape or no order")
                before = cell[0]
                count += 1
                yield tuple(cell)
        if count != expected:
            raise _damaged(path, reader.end, f"{count} cells, its footer says {expected}")


def _frame(reader: FrameReader, path: Path, offset: int) -> bytes:
    try:
        body = reader.body_at(offset)
    except FrameFault as fault:
        raise _damaged(path, offset, str(fault)) from None
    if body is None or len(body) < 2:
        raise _damaged(path, offset, "it ends here, without a footer")
    return body


def _header(body: bytes, path: Path, cluster: bytes, index: int) -> dict[str, Any]:
    fields = cbor2.loads(body)
    if fields[:2] != [_HEADER, _MAGIC]:
        raise _damaged(path, 0, "this is not the header of a Checkpoint")
    if fields[2] != _FORMAT:
        raise StorageError(
            f"{path} has the format {fields[2]}, this version reads {_FORMAT}: use the version "
            f"of RMF that wrote it, or a later one"
        )
    _, _, _, found_cluster, found_index, head = fields
    if found_cluster != cluster:
        raise foreign(path, found_cluster, cluster)
    if found_index != index:
        raise _damaged(path, 0, f"it is the Checkpoint of Entry {found_index}, renamed")
    return dict(head)
