"""A Checkpoint that comes from the leader, until it is ready to take this ledger's place (R28).

Decides how the pieces are kept, when they are whole, and what is made of them; it does not decide
whether they are wanted. The pieces are kept byte for byte as they came, each durable before the
next is asked for, so that neither a restart nor a new leader with the same Checkpoint starts over.

    install/<content>/<index>.ckpt   the pieces so far
    install/ready/                   the ledger made of them: a segment that begins behind the
                                     Checkpoint, and the Checkpoint as this node's own

Nothing of it is used before all of it is verified: every byte, the place that the leader named, and
the digest of the state. The node's own Checkpoint says its own serial, and neither boot nor clock:
those were the sender's, and bridge no time here. What is ready takes the ledger's place the next
time when no reader has it open (see exchange).
"""

import os
from pathlib import Path
from typing import Final

from rmf import limits
from rmf.core.events import ChunkWritten
from rmf.core.raft.peer_messages import Chunk, ChunkReply
from rmf.errors import CheckpointDamaged, DiskFailed, StorageError
from rmf.storage import checkpoint, drive
from rmf.storage.drive import free_bytes
from rmf.storage.files import TMP, failing_disk, fsync_directory, write_whole
from rmf.storage.restore import check_digest
from rmf.storage.segments import LedgerPlace, fill_segment, place_segment
from rmf.storage.swap_directories import (
    INSTALL,
    PARTS,
    READY,
    announce,
    make_directory,
    remove_directory,
)

__all__ = ["Receiver"]

_SUFFIX: Final = ".ckpt"


class Receiver:
    """What is received in the data directory `directory`; to be used from any thread, one call at a
    time, none while a ledger takes another's place.

    After each piece `fault` says why it led to nothing, or is None. The leader sends the next piece
    as soon as it hears of this one: with a fault the reply should wait a while."""

    def __init__(
        self,
        directory: Path,
        cluster: bytes,
        *,
        first_segment_bytes: int = limits.LEDGER_FIRST_SEGMENT_BYTES,
    ) -> None:
        self.fault: str | None = None
        self._directory = directory
        self._cluster = cluster
        self._first_segment_bytes = first_segment_bytes
        self._path: Path | None = None
        self._offset = 0  # of what is durable
        self._complete = False
        self._find()

    def take(self, peer: str, chunk: Chunk, serial: int) -> ChunkWritten:
        """Keep a piece; with the last one, verify the whole and make it ready. `serial` is that of
        this node's last record. The reply says what is wanted next: where the Checkpoint turned out
        to be no good, it is all of it. Raises DiskFailed."""
        self.fault = None
        with failing_disk("receiving a Checkpoint into", self._directory / INSTALL):
            self._keep(chunk)
            whole = chunk.total > 0 and self._offset == chunk.total
            if whole and not self._complete:
                self._complete = self._made_ready(chunk, serial)
        return ChunkWritten(peer, self._reply(chunk), self._complete and whole)

    def discard(self) -> None:
        """Remove what was received. Raises DiskFailed."""
        with failing_disk("removing", self._directory / INSTALL):
            remove_directory(self._directory / INSTALL)
        self._path, self._offset, self._complete = None, 0, False

    def _reply(self, chunk: Chunk) -> ChunkReply:
        place = (chunk.term, chunk.index, chunk.content)
        return ChunkReply(*place, self._offset, True, chunk.round)

    def _find(self) -> None:
        """Go on with what was received before a restart. The last piece may not have got to the
        disk whole, so it is wanted once more."""
        found = sorted((self._directory / INSTALL).glob(f"*/*{_SUFFIX}"))
        if len(found) == 1:
            self._path = found[0]
            size = self._path.stat().st_size
            self._offset = max(0, size - limits.INSTALL_CHUNK_BYTES)

    def _keep(self, chunk: Chunk) -> None:
        path = self._directory / INSTALL / chunk.content.hex() / f"{chunk.index:020d}{_SUFFIX}"
        taken = self._complete and not path.exists()  # the ledger's place, since
        if path != self._path or self._offset > chunk.total or taken:
            remove_directory(self._directory / INSTALL)
            make_directory(path.parent)
            self._path, self._offset, self._complete = path, 0, False
        if chunk.offset != self._offset or not chunk.data:
            return
        if self._offset + len(chunk.data) > chunk.total:
            self.fault = f"a piece that ends behind the {chunk.total} bytes of the Checkpoint"
            return
        # The pieces, and the Checkpoint of this node's own that is made of them.
        wanted = 2 * chunk.total - self._offset + self._first_segment_bytes
        if free_bytes(self._directory) < wanted + limits.DISK_HARD_FREE_BYTES:
            self.fault = f"the disk has no room for a Checkpoint of {chunk.total} bytes, twice"
            return
        self._write(path, chunk.data)

    def _write(self, path: Path, data: bytes) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(fd, self._offset)
            write_whole(fd, data, self._offset)
            drive.fsync(fd)
        finally:
            os.close(fd)
        if self._offset == 0:
            fsync_directory(path.parent)
        self._offset += len(data)

    def _made_ready(self, chunk: Chunk, serial: int) -> bool:
        """Verify the whole, and stage the ledger that is made of it; where that cannot be done, the
        Checkpoint is forgotten."""
        assert self._path is not None
        try:
            self._verify(self._path, chunk)
            self._stage(self._path, LedgerPlace(serial, chunk.index, chunk.entry_term, chunk.chain))
        except DiskFailed:
            raise
        except (StorageError, ValueError, TypeError, KeyError) as exc:
            # Damaged on the way, of another cluster, or of a release that writes other heads.
            self.fault = f"a Checkpoint that the leader sent is no good: {exc!r}"
            self.discard()
            return False
        announce(self._directory, chunk.index, chunk.chain)
        return True

    def _verify(self, path: Path, chunk: Chunk) -> None:
        found = checkpoint.verified(path, self._cluster)
        base = checkpoint.base_of(found.head, path)
        stands = (base.index, base.term, base.chain, found.content)
        if stands != (chunk.index, chunk.entry_term, chunk.chain, chunk.content):
            raise CheckpointDamaged(f"{path}: it is not the Checkpoint that the leader named")
        check_digest(path, self._cluster)

    def _stage(self, path: Path, base: LedgerPlace) -> None:
        """Make a ledger that begins behind the Checkpoint."""
        ready = self._directory / READY
        remove_directory(ready)
        for part in PARTS:
            make_directory(ready / part)
        head = checkpoint.head_of(path, self._cluster) | {"serial": base.serial}
        for of_the_sender in ("boot_id", "clock"):
            head.pop(of_the_sender, None)
        checkpoint.rewrite(path, ready / "checkpoints", self._cluster, head)
        tmp = ready / "ledger" / f"first{TMP}"
        fill_segment(tmp, self._first_segment_bytes)
        place_segment(tmp, ready / "ledger", self._cluster, base)
