"""The messages: what a sender in an older term is answered (raft-cases 8)."""

import pytest

from rmf.core.raft import peer_messages as m

OLDER: list[tuple[m.PeerMessage, m.PeerMessage | None]] = [
    (m.VoteAsk(1, 0, 0, True, False), m.VoteReply(5, True, False, 0, False, 0)),
    (m.VoteAsk(1, 0, 0, False, True), m.VoteReply(5, False, False, 0, False, 0)),
    (m.Append(1, 9, 1, b"", 0, 9, 0, False, 3, []), m.AppendReply(5, False, 9, 0, 0, 0, True, 0)),
    (m.Heartbeat(1, 0, 9, 0, False, 3, 0, 0), m.HeartbeatReply(5, 0, True)),
    (m.Chunk(1, 4, 1, b"", b"c", 9, 0, b"", 3), m.ChunkReply(5, 4, b"c", 0, True, 0)),
    (m.ReadAsk(1, 77), m.ReadReply(5, 77, -1)),
    (m.VoteReply(1, False, True, 0, False, 0), None),
    (m.AppendReply(1, True, 1, 0, 0, 1, True, 1), None),
    (m.HeartbeatReply(1, 1, True), None),
    (m.ChunkReply(1, 1, b"", 0, True, 1), None),
    (m.CampaignNow(1), None),
    (m.ReadReply(1, 1, 1), None),
]


@pytest.mark.parametrize(("message", "answer"), OLDER)
def test_it_names_the_newer_term_and_confirms_nothing(
    message: m.PeerMessage, answer: m.PeerMessage | None
) -> None:
    assert m.answer_to_older(message, 5, whole=True) == answer


def test_every_message_has_its_line_here() -> None:
    assert {type(message) for message, _ in OLDER} == set(m.CODES.values())
