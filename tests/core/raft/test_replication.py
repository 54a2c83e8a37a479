"""What a peer is sent: what `cases` does not ask."""

from rmf import limits
from rmf.core.effects import ReadEntries, Tell
from rmf.core.events import EntriesRead
from rmf.core.raft.peer_messages import Append, AppendReply, Heartbeat
from tests.core.raft.entries_kit import log_of, place_of, wire_of
from tests.core.raft.one_kit import One, of, only


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
    told = only(Append, one.do(lambda raft: raft.disk_read(found, one.now_ns)), "n2")
    assert (told.prev_index, len(told.entries)) == (2, 3)
    one.acks("n2", 5)
    assert ReadEntries("n2", 5, 9) in one.effects
    stale = EntriesRead("n2", *place_of(log[1]), [])
    one.do(lambda raft: raft.disk_read(stale, one.now_ns))
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
