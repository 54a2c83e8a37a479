"""The second copy of term and vote: the file `vote` in the data directory (R23, R24).

Decides how the copy is laid out and that it is replaced whole. The first copy are the HARD records
of the ledger; this one is written before them, so it is never behind. Damage to a ledger may take
anything but a vote: a node that forgot one could give two in a term, and a term could have two
kings. A reader of both takes the higher (see core/comeback).

    vote = one frame: CBOR [magic, format, cluster, incarnation, term, voted for or null]
"""

from pathlib import Path
from typing import Final

import cbor2

from rmf import limits
from rmf.core.raft.raft_values import HardState
from rmf.errors import ForeignDirectory, StorageError
from rmf.storage.files import forget_cached, replace_durably
from rmf.storage.framing import FrameFault, FrameReader, frame_of
from rmf.storage.segments import foreign

__all__ = ["HardStateCopy"]

_NAME: Final = "vote"
_MAGIC: Final = "rmf-vote"
_FORMAT: Final = 1
_KINDS: Final = (str, int, bytes, bytes, int)


class HardStateCopy:
    """The copy in a data directory, of the node that this incarnation is."""

    def __init__(self, directory: Path, cluster: bytes, incarnation: bytes) -> None:
        self.path = directory / _NAME
        self._cluster = cluster
        self._incarnation = incarnation
        self._newest = HardState(0, None)  # of those written or read here

    def write(self, hard: HardState) -> None:
        """Replace the copy; durable when this returns. Raises OSError."""
        assert hard.follows(self._newest), "the hard state goes back"
        self._newest = hard
        fields = [_MAGIC, _FORMAT, self._cluster, self._incarnation, *hard]
        replace_durably(self.path, frame_of(cbor2.dumps(fields)))

    def read(self) -> HardState | None:
        """Return what the copy says, None if there is none. Raises StorageError if it cannot be
        read, ForeignDirectory if it is that of another node."""
        try:
            if self.path.exists():
                forget_cached(self.path)
            with self.path.open("rb", buffering=0) as file:
                reader = FrameReader(file.fileno(), limits.KIB, limits.KIB)
                fields = cbor2.loads(reader.body_at(0) or b"")
        except FileNotFoundError:
            return None
        except (FrameFault, cbor2.CBORError, OSError) as exc:
            raise self._damaged(str(exc)) from exc
        if type(fields) is not list or tuple(map(type, fields[:-1])) != _KINDS:
            raise self._damaged("these are not the six fields of a vote")
        if not (fields[-1] is None or type(fields[-1]) is str):
            raise self._damaged("its vote is no name")
        magic, form, cluster, incarnation, term, voted_for = fields
        if (magic, form) != (_MAGIC, _FORMAT):
            raise self._damaged(f"it is a {magic!r} of format {form}")
        if cluster != self._cluster:
            raise foreign(self.path, cluster, self._cluster)
        if incarnation != self._incarnation:
            raise ForeignDirectory(
                f"{self.path} holds a vote of the incarnation {incarnation.hex()}, expected "
                f"{self._incarnation.hex()}. Files of two nodes are mixed here: put back the one "
                f"that belongs to this directory."
            )
        self._newest = HardState(term, voted_for)
        return self._newest

    def _damaged(self, why: str) -> StorageError:
        return StorageError(f"{self.path} cannot be read: {why}")
