"""A Checkpoint piece by piece, for a peer that is too far behind for Entries (R28).

Decides which Checkpoint is given out: the newest that verifies; and that it is verified as a whole
before the first piece leaves, once, however many pieces and peers there are. A Checkpoint is known
by its content, so that pieces of two files never mix, and is read wherever it lies by now, be it in
the archive. It keeps no file open: one that was shed meanwhile is gone, and the peer begins anew.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import attrs

from rmf import limits
from rmf.core.events import ChunkRead
from rmf.errors import CheckpointDamaged
from rmf.storage import checkpoint
from rmf.storage.checkpoint import Verified
from rmf.storage.segments import Base

__all__ = ["ChunkReader"]


@attrs.frozen
class _Known:
    """A Checkpoint that verified, and the file that it was then."""

    name: str
    inode: int
    modified_ns: int
    base: Base
    found: Verified


class ChunkReader:
    """Reads pieces of the Checkpoints in `directories`: the living ones first, then the archive.
    May be used from any thread, one at a time."""

    def __init__(self, directories: Sequence[Path], cluster: bytes) -> None:
        self._directories = directories
        self._cluster = cluster
        self._known: dict[bytes, _Known] = {}

    def read(
        self,
        peer: str,
        content: bytes | None,
        offset: int,
        bytes_max: int = limits.INSTALL_CHUNK_BYTES,
    ) -> ChunkRead:
        """Return the piece at `offset` of the Checkpoint with that content, of the newest one if it
        is None; `total` is 0 where there is none (any more). Raises StorageError for a Checkpoint
        of another cluster or of a format that this release does not know."""
        known = self._newest() if content is None else self._known.get(content)
        opened = self._opened(known) if known is not None else None
        if known is None or opened is None or not 0 <= offset <= known.found.file_bytes:
            return ChunkRead(peer, 0, 0, b"", b"", 0, 0, b"")
        try:
            data = os.pread(opened, bytes_max, offset)
        finally:
            os.close(opened)
        base, found = known.base, known.found
        place = (base.index, base.term, base.chain)
        return ChunkRead(peer, *place, found.content, found.file_bytes, offset, data)

    def _newest(self) -> _Known | None:
        """Return the newest Checkpoint that verifies."""
        for path in checkpoint.newest(self._directories[0]):
            known = next((x for x in self._known.values() if _is_still(x, path)), None)
            if known is None:
                known = self._verified(path)
            if known is not None:
                return known
        return None

    def _verified(self, path: Path) -> _Known | None:
        try:
            status = path.stat()
            found = checkpoint.verified(path, self._cluster)
            base = checkpoint.base_of(found.head, path)
        except (CheckpointDamaged, FileNotFoundError):
            return None
        known = _Known(path.name, status.st_ino, status.st_mtime_ns, base, found)
        self._known[found.content] = known
        while len(self._known) > limits.CHECKPOINTS_KEPT:
            del self._known[next(iter(self._known))]
        return known

    def _opened(self, known: _Known) -> int | None:
        """Open the file of a Checkpoint, if it is still the one that was verified."""
        for directory in self._directories:
            path = directory / known.name
            try:
                fd = os.open(path, os.O_RDONLY)
            except OSError:
                continue
            if _is_still(known, path):
                return fd
            os.close(fd)
        return None


def _is_still(known: _Known, path: Path) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return (path.name, status.st_ino, status.st_mtime_ns) == (
        known.name,
        known.inode,
        known.modified_ns,
    )
