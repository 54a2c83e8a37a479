"""One node's part: how the parts play together, where no case asks for it."""

import pytest

from rmf import limits
from rmf.core.effects import LinkPeers
from rmf.core.raft import messages as m
from tests.core.raft.cases.test_elections import ask, heartbeat, yes
from tests.core.raft.entries_kit import (
    append,
    entry_after,
    log_of,
    members_body,
    members_of,
    place_of,
)
from tests.core.raft.one_kit import One

ANY: list[m.PeerMessage] = [
    ask(9),
    yes(9),
    append(9, log_of([9]), 0),
    m.AppendReply(9, True, 1, 0, 0, 1, True, 1),
    heartbeat(9),
    m.HeartbeatReply(9, 1, True),
    m.Chunk(9, 4, 1, b"", b"c", 9, 0, b"", 3),
    m.ChunkReply(9, 1, b"", 0, True, 1),
    m.CampaignNow(9),
    m.ReadAsk(9, 1),
    m.ReadReply(9, 1, 1),
]


@pytest.mark.parametrize("message", ANY, ids=lambda x: type(x).__name__)
def test_a_retired_node_neither_votes_nor_answers(message: m.PeerMessage) -> None:
    one = One(terms=[1])
    one.lead()
    one.raft.retire()
    assert one.hear("n2", message) == []
    assert (one.raft.term, one.persists, one.raft.next_due_ns()) == (2, [], None)
    assert one.beat(10_000) == []


def test_what_a_retired_node_had_to_say_stays_unsaid() -> None:
    one = One()
    one.slow = True
    one.hear("n2", ask(1))
    one.raft.retire()
    assert one.sync() == []


@pytest.mark.parametrize("message", ANY, ids=lambda x: type(x).__name__)
def test_a_newer_term_ends_a_leadership(message: m.PeerMessage) -> None:
    one = One()
    one.lead()
    one.cluster.now_ns += limits.SECOND  # no lease any more
    one.hear("n2", message)
    assert (one.raft.term >= 9, one.raft.role) == (True, "follower") or one.raft.term == 10


def test_links_follow_the_members_as_the_log_says_them() -> None:
    one = One()

    def links() -> list[tuple[str, ...]]:
        return [tuple(x.name for x in e.members) for e in one.effects if isinstance(e, LinkPeers)]

    log = log_of([1])
    log.append(entry_after(place_of(log[0]), 1, members_body(members_of("n1 n2 n3 n4?"))))
    one.hear("n2", append(1, log, 0))
    assert links() == [("n1", "n2", "n3", "n4")]
    one.hear("n2", append(1, log, 0))
    assert links() == []
    one.hear("n3", append(2, log_of([1, 2]), 1))
    assert links() == [("n1", "n2", "n3")]


def test_a_step_down_keeps_the_term_and_the_log() -> None:
    one = One()
    one.lead()
    one.propose()
    one.do(lambda raft: raft.step_down("a test", one.now_ns))
    assert (one.raft.role, one.raft.term, one.log.last.index) == ("follower", 1, 1)
    assert one.acks("n2", 1) == []
    assert one.log.commit == 0


def test_an_empty_node_without_a_cluster_waits() -> None:
    one = One("")
    assert one.beat(60_000) == []
    assert (one.raft.role, one.raft.leader) == ("follower", None)
