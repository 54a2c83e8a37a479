"""Leading a term: what `cases` does not ask."""

from rmf import limits
from rmf.core.raft.peer_messages import Append, AppendReply, Heartbeat
from tests.core.raft.one_kit import One, of, only


def reigning(names: str = "n1 n2 n3") -> One:
    one = One(names)
    one.lead()
    one.propose()
    one.acks("n2", 1)
    return one


def test_it_speaks_to_every_peer_each_heartbeat() -> None:
    one = reigning("n1 n2 n3 n4?")
    one.beat(50)
    due = one.raft.next_due_ns()
    assert due == one.now_ns + limits.HEARTBEAT_NS
    assert of(Heartbeat, one.beat(49)) == []
    told = one.beat(1)
    assert [name for name, x in told if isinstance(x, Heartbeat)] == ["n2", "n3", "n4"]


def test_a_commit_is_sent_soon_when_nothing_else_is_sent() -> None:
    one = reigning()
    one.beat(50)
    one.propose()
    one.acks("n2", 2)
    assert one.raft.next_due_ns() == one.now_ns + limits.COMMIT_NOTICE_NS
    told = one.beat(limits.COMMIT_NOTICE_NS / limits.MS)
    assert only(Heartbeat, told, "n2").commit == 2


def test_a_commit_travels_with_the_next_append() -> None:
    one = reigning()
    assert only(Append, one.propose(), "n2").commit == 1


def test_learners_and_repairing_peers_are_fed_and_not_counted() -> None:
    one = One("n1 n2 n3 n4?")
    one.lead()
    assert len(of(Append, one.propose(), "n4")) == 1
    one.acks("n4", 1)
    one.hear("n3", AppendReply(1, True, 1, 0, 0, 0, False, 1))
    assert one.log.commit == 0
    one.hear("n3", AppendReply(1, True, 1, 0, 0, 0, True, 1))
    assert one.log.commit == 1


def test_answers_of_strangers_are_none() -> None:
    one = reigning()
    assert one.acks("n9", 99) == []
    assert one.answers("n9", 1) == []
    assert sorted(one.leads.peers) == ["n2", "n3"]
