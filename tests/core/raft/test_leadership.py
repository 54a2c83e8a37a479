"""Leading a term: what `cases` does not ask."""

from rmf import limits
from rmf.core.effects import ReadEntries, Tell
from rmf.core.events import EntriesRead
from rmf.core.raft.messages import Append, AppendReply, Heartbeat
from tests.core.raft.entries_kit import log_of, place_of, wire_of
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


def test_many_entries_travel_in_one_append_up_to_its_bound() -> None:
    one = One(terms=[1] * 20)
    one.lead()
    told = one.hear("n2", AppendReply(2, False, 20, 0, 0, 0, True, 0))
    assert [len(x.entries) for x in of(Append, told, "n2")] == [20]


def test_a_peer_that_is_far_behind_is_read_to_from_the_ledger() -> None:
    one = One(terms=[1] * 9, commit=9)
    one.raft.log.compact(6, 0)
    one.lead()
    one.hear("n2", AppendReply(2, False, 9, 2, 1, 0, True, 0))
    assert ReadEntries("n2", 2, 9, limits.PROBE_BYTES_MAX) in one.effects
    log = log_of([1] * 9)
    found = EntriesRead("n2", *place_of(log[1]), wire_of(log[2:5]))
    told = only(Append, one.do(lambda raft: raft.entries_read(found, one.now_ns)), "n2")
    assert (told.prev_index, len(told.entries)) == (2, 3)
    one.acks("n2", 5)
    assert ReadEntries("n2", 5, 9) in one.effects
    stale = EntriesRead("n2", *place_of(log[1]), [])
    one.do(lambda raft: raft.entries_read(stale, one.now_ns))
    assert one.leads.peers["n2"].reading
    assert ReadEntries("n2", 5, 9) in one.effects


def test_a_probe_carries_no_long_entry_but_asks_where_it_would_go() -> None:
    one = One()
    one.lead()
    probe = only(Append, one.propose("x" * limits.PROBE_BYTES_MAX), "n2")
    assert (probe.prev_index, probe.entries) == (0, [])
    assert len(only(Append, one.acks("n2", 0), "n2").entries) == 1


def test_a_reading_that_got_lost_is_begun_again() -> None:
    one = One(terms=[1] * 9, commit=9)
    one.raft.log.compact(6, 0)
    one.lead()
    one.hear("n2", AppendReply(2, False, 9, 2, 1, 0, True, 0))
    found = 0
    for _ in range(9):
        told = one.beat(50)
        one.answers("n3", only(Heartbeat, told, "n3").round)
        found += ReadEntries("n2", 2, 9, limits.PROBE_BYTES_MAX) in one.effects
    assert found == 0
    one.beat(50)
    assert [x for x in one.effects if not isinstance(x, Tell)] == []


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
