"""A Checkpoint piece by piece, for a peer that is too far behind for Entries (R28).

Decides which Checkpoint is given out: the newest that verifies; and that it is verified as a whole
before the first piece leaves, once, however many pieces and peers there are. A Checkpoint is known
by its content, so that pieces of two files never mix. It is held open while it is being sent to
a peer: whatever becomes of its name, a peer that began with it gets it to its end.
"""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import attrs

from rmf import limits
from rmf.core.events import ChunkRead
from rmf.errors import CheckpointDamaged
from rmf.storage import checkpoint
from rmf.storage.checkpoint_layout import Verified, base_of, index_of, opened, verify
from rmf.storage.segments import LedgerPlace

__all__ = ["ChunkReader"]


@attrs.frozen(eq=False)
class _Held:
    """A Checkpoint that verified, and its file."""

    fd: int
    base: LedgerPlace
    found: Verified

    def stands_at(self, path: Path) -> bool:
        """Whether its file is the one that has this name now."""
        return _is_file_of(self.fd, path)


class ChunkReader:
    """Reads pieces of the Checkpoints in the first of `directories`. May be used from any thread,
    one at a time."""

    def __init__(self, directories: Sequence[Path], cluster: bytes) -> None:
        self._directory = directories[0]
        self._cluster = cluster
        self._held: dict[bytes, _Held] = {}  # by content
        self._sent: dict[str, bytes] = {}  # which of them to whom

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
        held = self._newest() if content is None else self._held.get(content)
        if held is None or not 0 <= offset <= held.found.file_bytes:
            return ChunkRead(peer, 0, 0, b"", b"", 0, 0, b"")
        base, found = held.base, held.found
        if self._sent.get(peer) != found.content:
            self._send(peer, found.content)
        data = os.pread(held.fd, bytes_max, offset)
        place = (base.index, base.term, base.chain)
        return ChunkRead(peer, *place, found.content, found.file_bytes, offset, data)

    def keep(self, peers: Collection[str]) -> None:
        """Close what is being sent to none of these."""
        self._sent = {name: sent for name, sent in self._sent.items() if name in peers}
        self._close_unused()

    def close(self) -> None:
        """Close everything."""
        self.keep(())

    def _send(self, peer: str, content: bytes) -> None:
        self._sent.pop(peer, None)
        while len(self._sent) >= limits.MEMBERS_MAX:
            del self._sent[next(iter(self._sent))]
        self._sent[peer] = content
        self._close_unused()

    def _close_unused(self) -> None:
        for content in self._held.keys() - set(self._sent.values()):
            os.close(self._held.pop(content).fd)

    def _newest(self) -> _Held | None:
        """Return the newest Checkpoint that verifies."""
        for path in checkpoint.newest(self._directory):
            held = next((x for x in self._held.values() if x.stands_at(path)), None)
            if held is None:
                held = self._verified(path)
            if held is not None:
                return held
        return None

    def _verified(self, path: Path) -> _Held | None:
        try:
            with opened(path) as fd:
                found = verify(fd, path, self._cluster, index_of(path))
                base = base_of(found.head, path)
                if found.content not in self._held:
                    self._held[found.content] = _Held(os.dup(fd), base, found)
        except CheckpointDamaged:
            return None
        return self._held[found.content]


def _is_file_of(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
