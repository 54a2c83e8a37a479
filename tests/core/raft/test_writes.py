"""Writes under way: what waits for what, in which order things come back (raft-cases 37, 38)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmf.core.effects import RecordDraft
from rmf.core.raft.serials import SerialRun
from rmf.core.raft.writes import Writes
from rmf.core.record import ENTRY, HARD


def entry(index: int, term: int = 1) -> RecordDraft:
    return RecordDraft(ENTRY, index, term, b"", b"", 0)


HARD_ONE = RecordDraft(HARD, 0, 1, b"", b"", 0)


@given(st.lists(st.sampled_from(["write", "wait", "done"]), max_size=60), st.data())
def test_a_thing_comes_back_once_all_that_was_written_before_it_is_durable(
    steps: list[str], data: st.DataObject
) -> None:
    writes: Writes[int] = Writes()
    due: list[tuple[int, int]] = []  # thing, the ticket it waits for
    done = things = 0
    for step in steps:
        if step == "write":
            writes.begin([entry(1)], 0)
        elif step == "wait":
            things += 1
            if writes.wait(things):
                due.append((things, writes.ticket))
            else:
                assert done == writes.ticket
        elif writes.ticket:
            ticket = data.draw(st.integers(1, writes.ticket))
            _, released = writes.done(ticket, ticket)
            done = max(done, ticket)
            assert released == [thing for thing, waits in due if waits <= done]
            due = [pair for pair in due if pair[1] > done]
            assert writes.idle == (done == writes.ticket)


def test_serials_count_back_over_the_writes_of_one_fsync() -> None:
    writes: Writes[int] = Writes()
    writes.begin([HARD_ONE, entry(5), entry(6)], 0)
    writes.begin([entry(7)], 0)
    writes.begin([HARD_ONE], 0)
    done, _ = writes.done(3, 44)
    assert [x.run for x in done] == [SerialRun(5, 41, 2), SerialRun(7, 43, 1), None]
    assert [x.last for x in done] == [(6, 1), (7, 1), None]


def test_what_was_overwritten_meanwhile_is_durable_no_more() -> None:
    writes: Writes[int] = Writes()
    writes.begin([entry(5), entry(6), entry(7)], 0)
    writes.begin([entry(8)], 0)
    writes.void(6)
    writes.begin([entry(6, term=2)], 0)
    writes.void(7)  # nothing to overwrite: the lower bound stands
    done, _ = writes.done(3, 5)
    assert [x.last for x in done] == [(5, 1), None, (6, 2)]
    assert [x.run for x in done] == [SerialRun(5, 1, 1), None, SerialRun(6, 5, 1)]


def test_the_oldest_write_says_how_long_the_disk_takes() -> None:
    writes: Writes[int] = Writes()
    assert writes.oldest_ns() is None
    writes.begin([entry(1)], 10)
    writes.begin([entry(2)], 20)
    assert writes.oldest_ns() == 10
    writes.done(1, 1)
    assert writes.oldest_ns() == 20


def test_what_the_core_before_wrote_says_nothing_of_this_one() -> None:
    """A core that is loaded anew in the same process may still hear of the older one's writes."""
    writes: Writes[str] = Writes(ticket=1000)
    assert writes.begin([entry(5)], 0).ticket == 1001
    writes.wait("reply")
    assert writes.done(7, 44) == ([], [])
    assert not writes.idle
    done, released = writes.done(1001, 45)
    assert (len(done), released) == (1, ["reply"])


# --- Faults of this node's own --------------------------------------------------------------------


def test_the_disk_has_nothing_that_it_was_not_given() -> None:
    writes: Writes[int] = Writes()
    writes.begin([entry(1)], 0)
    with pytest.raises(AssertionError, match="never given"):
        writes.done(2, 2)


def test_no_two_records_have_one_number() -> None:
    writes: Writes[int] = Writes()
    writes.begin([entry(1), entry(2)], 0)
    writes.done(1, 7)
    writes.begin([entry(3), entry(4)], 0)
    with pytest.raises(AssertionError, match="one number"):
        writes.done(2, 8)


def test_the_entries_of_a_write_follow_one_another() -> None:
    writes: Writes[int] = Writes()
    writes.begin([entry(1), entry(3)], 0)
    with pytest.raises(AssertionError, match="follow one another"):
        writes.done(1, 2)
