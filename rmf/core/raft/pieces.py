"""A long message between nodes in pieces, and pieces joined to a message again (R28).

So that what hurries, a heartbeat or a vote, need not wait until eight megabytes are through a slow
link: between two pieces other messages go. PEER-23 and PEER-24 are the contract. Bytes and values
only: how large pieces are and when they leave, the sending end decides (see floor/peer_writer).
"""

from rmf import limits
from rmf.core.raft import peer_messages as m
from rmf.core.raft import wire
from rmf.core.raft.greetings import Piece
from rmf.errors import ProtocolFault

__all__ = ["BULK", "Joining", "item_of"]

BULK = (m.Append, m.Chunk)  # what may be cut; all other messages hurry

_LENGTH_BYTES = _CRC_BYTES = 4


def item_of(frame: bytes | memoryview) -> memoryview:
    """Return what is cut: the item of a frame, without length and CRC."""
    return memoryview(frame)[_LENGTH_BYTES:-_CRC_BYTES]


class Joining:
    """What came over one connection. `taken`: how many bytes of what is counted (PEER-24)."""

    def __init__(self) -> None:
        self.taken = 0
        self._parts: list[bytes] = []
        self._bytes = 0

    def take(self, piece: Piece) -> None:
        """Take a piece. Raises ProtocolFault."""
        self.taken += len(piece.data)
        self._bytes += len(piece.data)
        if self._bytes > limits.PEER_FRAME_BYTES_MAX - _CRC_BYTES:
            raise ProtocolFault("frame_too_long", "pieces are longer than a frame may be")
        self._parts.append(piece.data)

    def message(self) -> wire.Message:
        """Return the message of the pieces; the last one has come. Raises ProtocolFault."""
        item = b"".join(self._parts)
        self._parts, self._bytes = [], 0
        message = wire.decode(item)
        if not isinstance(message, BULK):
            raise ProtocolFault("wrong_shape", "only APPEND and CHUNK come in pieces")
        wire.check_entries(message)
        return message

    def passes(self, item_bytes: int) -> None:
        """An APPEND or CHUNK came whole, with an item of so many bytes. Raises ProtocolFault if it
        came between pieces."""
        if self._parts:
            raise ProtocolFault("wrong_shape", "a message came between the pieces of another")
        if item_bytes >= limits.PEER_COUNTED_BYTES_MIN:
            self.taken += item_bytes
