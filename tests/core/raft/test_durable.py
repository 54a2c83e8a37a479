"""What a node owes to its disk: the order of records, and what each of them states."""

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.effects import Effect, Persist, RecordDraft, Tell
from rmf.core.raft.durable import Durable, OwnVote
from rmf.core.raft.peer_messages import CampaignNow
from rmf.core.raft.raft_log import Accepted, RaftLog
from rmf.core.raft.raft_values import HardState, LogEntry, Standing
from rmf.core.record import ENTRY, HARD
from rmf.testing.held_disk import HeldDisk
from rmf.testing.meter import Meter
from tests.core.raft.disk_kit import START, standing_of
from tests.core.raft.entries_kit import CLUSTER, log_of, place_of, wire_of

THING = Tell("n2", CampaignNow(1))


def durable(*terms: int) -> tuple[Durable, RaftLog]:
    tail = tuple(log_of(terms))
    serials = tuple(range(11, 11 + len(tail)))
    standing = Standing(HardState(3, None), START, 10, tail, serials)
    log = RaftLog(CLUSTER, START, tail)
    return Durable(standing, log), log


def records(effects: list[Effect]) -> list[RecordDraft]:
    return [x for persist in effects if isinstance(persist, Persist) for x in persist.records]


def test_the_hard_state_is_written_once_and_before_entries() -> None:
    kept, log = durable()
    kept.enter(4, "n2")
    entry = log.append(4, b"body")
    found = records(kept.persist([entry], 0))
    assert [(x.kind, x.index, x.term) for x in found] == [(HARD, 0, 4), (ENTRY, 1, 4)]
    assert cbor2.loads(found[0].body) == [4, "n2"]
    assert kept.persist([], 0) == []


def test_a_vote_is_given_once_a_term() -> None:
    kept, _ = durable()
    kept.vote("n2")
    kept.vote("n2")
    with pytest.raises(AssertionError):
        kept.vote("n3")
    kept.enter(4)
    kept.vote("n3")
    with pytest.raises(AssertionError):
        kept.enter(4)


def test_what_depends_on_the_disk_waits_for_all_that_was_written() -> None:
    kept, log = durable()
    out: list[Effect] = []
    kept.after(THING, out)
    assert out == [THING]
    (one,) = kept.persist([log.append(3, b"1")], 0)
    (two,) = kept.persist([log.append(3, b"2")], 0)
    out = []
    kept.after(THING, out)
    assert isinstance(one, Persist)
    assert isinstance(two, Persist)
    assert (out, kept.done(one.ticket, 11), kept.done(two.ticket, 12)) == ([], [], [THING])


def test_a_vote_in_a_term_that_is_durable_already_is_written_all_the_same() -> None:
    kept, _ = durable()
    kept.vote("n2")
    (found,) = records(kept.persist([], 0))
    assert cbor2.loads(found.body) == [3, "n2"]


def test_behind_a_disk_that_hangs_only_so_many_messages_wait() -> None:
    kept, log = durable()
    kept.enter(4, "n1")
    kept.persist([log.append(4, b"1")], 0)
    kept.await_own_vote()
    for _ in range(limits.WAITING_FOR_DISK_MAX + 5):
        kept.after(THING, [])
        kept.after_hard(THING, [])
    assert len(kept.done(1, 12)) == limits.WAITING_FOR_DISK_MAX


def test_what_depends_on_the_term_alone_waits_for_no_entry() -> None:
    kept, log = durable()
    kept.persist([log.append(3, b"1")], 0)
    out: list[Effect] = []
    kept.after_hard(THING, out)
    assert out == [THING]
    kept.enter(4)
    kept.persist([], 0)
    kept.after_hard(THING, out)
    assert out == [THING]
    assert kept.done(2, 12) == [THING]


def test_the_own_vote_comes_back_when_it_is_durable() -> None:
    kept, _ = durable()
    kept.enter(4, "n1")
    kept.persist([], 0)
    kept.await_own_vote()
    (found,) = kept.done(1, 11)
    assert isinstance(found, OwnVote)
    assert found == 4


def test_serials_of_entries_are_known_until_they_are_forgotten() -> None:
    kept, log = durable(1, 1)
    assert [kept.serials.of(i) for i in range(4)] == [10, 11, 12, None]
    kept.enter(4)
    kept.persist([log.append(4, b"x")], 0)
    kept.done(1, 14)
    assert (log.durable, kept.serials.of(3)) == (3, 14)
    kept.serials.forget(3)  # a hard state stands between
    assert [kept.serials.of(i) for i in range(4)] == [None, None, None, 14]


def test_what_a_disk_gives_back_at_once_costs_by_its_writes_and_not_by_its_entries() -> None:
    """A disk that hung while a node caught up has a window full of small Entries (R45)."""
    meter, costs = Meter(), list[list[int]]()
    for entries in (1, 1_000):
        kept, log = durable()
        kept.persist([log.append(3, b"x") for _ in range(entries)], 0)
        meter.run(kept.done, 1, 10 + entries)
        costs.append([meter.calls])
        meter.run(kept.serials.forget, entries)
        costs[-1].append(meter.calls)
        assert (log.durable, kept.serials.of(entries)) == (entries, 10 + entries)
    assert costs[0] == costs[1]


def test_a_write_hangs_after_its_time() -> None:
    kept, log = durable()
    assert not kept.hangs(99, 10)
    kept.persist([log.append(3, b"1")], 100)
    assert not kept.hangs(109, 10)
    assert kept.hangs(110, 10)


@settings(deadline=None)
@given(st.data())
def test_wherever_a_crash_cuts_recovery_applies_only_what_was_committed(
    data: st.DataObject,
) -> None:
    """Leaders come and go and overwrite what is not committed; their commits are true."""
    kept, log = durable()
    written: list[RecordDraft] = []
    mine: list[LogEntry] = []
    committed: list[LogEntry] = []
    for term in range(4, 4 + data.draw(st.integers(1, 5))):
        keep = data.draw(st.integers(len(committed), len(mine)))
        theirs = log_of([x.term for x in mine[:keep]] + [term] * data.draw(st.integers(0, 3)))
        prev = data.draw(st.integers(log.base.index, keep))
        before = place_of(theirs[prev - 1]) if prev else START
        if data.draw(st.booleans()):
            kept.enter(term)
        found = log.accept(before, wire_of(theirs[prev:]))
        assert isinstance(found, Accepted)
        log.commit_to(data.draw(st.integers(log.commit, max(log.commit, len(theirs)))))
        if found.news:
            mine = theirs
        committed = mine[: log.commit]
        written += records(kept.persist(list(found.news), 0))
    for cut in range(len(written) + 1):
        disk = HeldDisk(CLUSTER, b"n1")
        disk.take(Persist(1, written))
        disk.end(cut)
        standing = standing_of(disk, ()).standing
        applied = standing.place.index
        assert applied == 0 or place_of(committed[applied - 1]) == standing.place


# --- Faults of this node's own --------------------------------------------------------------------


def test_entries_go_to_the_disk_without_a_hole() -> None:
    kept, log = durable(1)
    log.append(3, b"left out")
    with pytest.raises(AssertionError, match="a hole on the way to the disk"):
        kept.persist([log.append(3, b"written")], 0)


def test_what_the_log_takes_goes_to_the_disk_at_once() -> None:
    kept, log = durable(1)
    entry = log.append(3, b"written")
    log.append(3, b"forgotten")
    with pytest.raises(AssertionError, match="not given all of the log"):
        kept.persist([entry], 0)


def test_a_vote_that_was_handed_to_the_disk_is_not_taken_back() -> None:
    kept, _ = durable()
    kept.enter(4, "n2")
    kept.persist([], 0)
    with pytest.raises(AssertionError, match="a second vote"):
        kept.vote("n3")
    kept.voted_for = None  # the planted fault: it forgets, and votes again
    kept.vote("n3")
    with pytest.raises(AssertionError, match="the hard state goes back"):
        kept.persist([], 0)
