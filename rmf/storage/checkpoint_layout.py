"""How a Checkpoint lies in its file, and whether it is whole (R25); see checkpoint for the rest.

Decides what frames a Checkpoint is made of, what is verified of them, and how damage is named. Of
the head it needs only where the Checkpoint stands in the ledger (`serial`, `index`, `term`,
`chain`); the rest is the core's.

    file   = header frame, table frames …, slice frames …, footer frame; nothing behind
    header = CBOR [0, magic, format, cluster, index, head]     head: a map with text keys
    table  = CBOR [3, [row …]]     producers (see core/table_slices)
    slice  = CBOR [1, [cell …]]    cells in key order, over all slices
    footer = CBOR [2, BLAKE2b-256 of all bodies before it, number of tables and slices, of cells]

Format 1 has no tables: its head holds the rows as `producers`, which is read in one piece.

The CRC of each frame says where damage is, the digest that nothing is missing, doubled or from
another file. Corrupt is never treated as absent: a damaged Checkpoint is an error with a place.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import cbor2

from rmf.errors import CheckpointDamaged, StorageError
from rmf.storage.framing import FrameFault, FrameReader
from rmf.storage.segments import LedgerPlace, foreign

__all__ = [
    "DIGEST_BYTES",
    "FOOTER",
    "FORMAT_OF_OLD",
    "FORMAT_SLICED",
    "FRAME_BYTES_MAX",
    "HEADER",
    "MAGIC",
    "SLICE",
    "TABLE",
    "Verified",
    "base_of",
    "damaged",
    "frame_at",
    "header_in",
    "index_of",
    "opened",
    "verify",
    "verify_frames",
]

MAGIC: Final = "rmf-checkpoint"
FORMAT_OF_OLD: Final = 1  # the producers' table is in the head
FORMAT_SLICED: Final = 2  # it is in frames of its own
HEADER, SLICE, FOOTER, TABLE = range(4)
FRAME_BYTES_MAX = 2**32 - 1  # an old head holds the whole table; the file's size is the bound
DIGEST_BYTES = 32
_CONTENT_BYTES = 16


@attrs.frozen
class Verified:
    """What is found of a Checkpoint of which every byte is as it was written: its head, how many
    cells it has, its size, and its content: 16 bytes that name what it holds."""

    head: dict[str, Any]
    cells: int
    file_bytes: int
    content: bytes


def base_of(head: dict[str, Any], path: Path) -> LedgerPlace:
    """Return where a Checkpoint with this head stands. Raises CheckpointDamaged."""
    found: list[Any] = [head.get(name) for name in ("serial", "index", "term", "chain")]
    if [type(value) for value in found] != [int, int, int, bytes]:
        raise damaged(path, 0, "its head does not say where it stands")
    return LedgerPlace(*found)


def index_of(path: Path) -> int:
    """Return the index that a Checkpoint has by its name."""
    return int(path.stem)


def damaged(path: Path, offset: int, why: str) -> CheckpointDamaged:
    """Return the CheckpointDamaged for a place in a file."""
    return CheckpointDamaged(
        f"{path}, byte {offset}: {why}. It is not used, and not removed either. The Checkpoint "
        f"before it, or the archive, takes its place; move the file away once that has worked."
    )


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open for reading; whatever cannot be read is damage."""
    try:
        with path.open("rb", buffering=0) as file:
            yield file.fileno()
    except OSError as exc:
        raise damaged(path, 0, f"the disk cannot read it: {exc.strerror}") from exc


def verify(fd: int, path: Path, cluster: bytes, index: int) -> Verified:
    """Return what a Checkpoint is, once every byte is found to be as written. Raises
    CheckpointDamaged, ForeignDirectory, StorageError."""
    # The head first: of another format the frames are unknown.
    head = header_in(frame_at(FrameReader(fd, FRAME_BYTES_MAX), path, 0), path, cluster, index)
    cells, file_bytes, digest = verify_frames(fd, path)
    return Verified(head, cells, file_bytes, digest[:_CONTENT_BYTES])


def verify_frames(fd: int, path: Path) -> tuple[int, int, bytes]:
    """Find every byte of a Checkpoint to be as written; return the number of cells, the size of the
    file, and its digest. Nothing but the footer is decoded. Raises CheckpointDamaged."""
    reader = FrameReader(fd, FRAME_BYTES_MAX)
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    body = frame_at(reader, path, 0)
    slices = -1
    while body[1] != FOOTER:  # the second byte is the kind, the first the head of the array
        digest.update(body)
        slices += 1
        body = frame_at(reader, path, reader.end)
    _, stated, slices_stated, cells = cbor2.loads(body)
    if (stated, slices_stated) != (digest.digest(), slices):
        raise damaged(path, reader.end, "the digest in its footer is not that of what it holds")
    if os.fstat(fd).st_size != reader.end:
        raise damaged(path, reader.end, "bytes follow its footer")
    return cells, reader.end, stated


def frame_at(reader: FrameReader, path: Path, offset: int) -> bytes:
    """Return the body of the frame at an offset. Raises CheckpointDamaged."""
    try:
        body = reader.body_at(offset)
    except FrameFault as fault:
        raise damaged(path, offset, str(fault)) from None
    if body is None or len(body) < 2:
        raise damaged(path, offset, "it ends here, without a footer")
    return body


def header_in(body: bytes, path: Path, cluster: bytes, index: int) -> dict[str, Any]:
    """Return the head out of the first frame. Raises as `verify`."""
    fields = cbor2.loads(body)
    if fields[:2] != [HEADER, MAGIC]:
        raise damaged(path, 0, "this is not the header of a Checkpoint")
    if fields[2] not in {FORMAT_OF_OLD, FORMAT_SLICED}:
        raise StorageError(
            f"{path} has the format {fields[2]}, this version reads up to {FORMAT_SLICED}: use the "
            f"version of RMF that wrote it, or a later one"
        )
    _, _, _, found_cluster, found_index, head = fields
    if found_cluster != cluster:
        raise foreign(path, found_cluster, cluster)
    if found_index != index:
        raise damaged(path, 0, f"it is the Checkpoint of Entry {found_index}, renamed")
    return dict(head)
