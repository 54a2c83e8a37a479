"""Pieces of a message, and what is joined of them."""

import crc32c
import pytest

from rmf import limits
from rmf.core.raft import peer_messages as m
from rmf.core.raft import wire
from rmf.core.raft.greetings import Piece
from rmf.core.raft.pieces import Joining, item_of
from rmf.errors import ProtocolFault

BODY = bytes(range(256)) * 40
APPEND = m.Append(
    2, 7, 1, bytes(16), 7, 8, 1000, True, 5, [m.WireEntry(1, crc32c.crc32c(BODY), BODY)]
)
HEARTBEAT = m.Heartbeat(2, 7, 8, 1000, True, 6, 7, 0)


def cut(message: wire.Message, size: int = 1000) -> list[Piece]:
    """The pieces of a message."""
    item = bytes(item_of(wire.encode(message)))
    return [Piece(at + size >= len(item), item[at : at + size]) for at in range(0, len(item), size)]


def joined(pieces: list[Piece]) -> wire.Message:
    joining = Joining()
    for piece in pieces:
        joining.take(piece)
    return joining.message()


def fault_of(pieces: list[Piece]) -> str:
    with pytest.raises(ProtocolFault) as caught:
        joined(pieces)
    return caught.value.code


def test_what_was_cut_is_joined_however_long_the_pieces_are() -> None:
    for message in (APPEND, m.Chunk(2, 7, 1, bytes(16), b"c", 10**6, 0, BODY, 5)):
        for size in (1, 999, 10**6):
            joining, pieces = Joining(), cut(message, size)
            for piece in pieces:
                joining.take(piece)
            assert joining.message() == message
            assert joining.taken == sum(len(piece.data) for piece in pieces)


def test_one_message_after_the_other_is_joined_and_all_bytes_are_counted() -> None:
    joining = Joining()
    for times in (1, 2):
        for piece in cut(APPEND):
            joining.take(piece)
        assert joining.message() == APPEND
        assert joining.taken == times * len(item_of(wire.encode(APPEND)))


def test_no_bulk_may_come_between_pieces() -> None:
    joining = Joining()
    joining.passes(100)
    joining.take(cut(APPEND)[0])
    with pytest.raises(ProtocolFault, match="between the pieces"):
        joining.passes(100)


def test_what_is_long_is_counted_whole_too_and_what_is_short_is_not() -> None:
    joining, least = Joining(), limits.PEER_COUNTED_BYTES_MIN
    for size in (least - 1, least, 5 * least):
        joining.passes(size)
    assert joining.taken == 6 * least


def test_pieces_longer_than_a_frame_are_refused_before_they_are_joined() -> None:
    piece = Piece(False, bytes(limits.PEER_PIECE_BYTES_MAX))
    most = limits.PEER_FRAME_BYTES_MAX // limits.PEER_PIECE_BYTES_MAX
    assert fault_of([piece] * (most + 1)) == "frame_too_long"


def test_faults_of_what_was_joined_are_faults_of_a_frame() -> None:
    wrong = APPEND._replace(entries=[APPEND.entries[0]._replace(crc=1)])
    assert fault_of(cut(wrong)) == "entry_crc"
    assert fault_of(cut(HEARTBEAT)) == "wrong_shape"
    assert fault_of([Piece(True, b"\xff")]) == "not_well_formed"
