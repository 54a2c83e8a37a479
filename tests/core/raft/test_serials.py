"""The numbers of records, kept in runs: against a plain dict."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmf.core.raft.serials import SerialRun, Serials


@given(st.data())
def test_they_are_what_was_added_last_of_each_entry(data: st.DataObject) -> None:
    serials = Serials([SerialRun(0, 10, 1)])
    model, end, serial, below = {0: 10}, 1, 11, 0
    for _ in range(data.draw(st.integers(0, 12))):
        first = data.draw(st.integers(below + 1, end))
        count = data.draw(st.integers(1, 4))
        serial += data.draw(st.integers(0, 1))  # a hard state stands between, or does not
        serials.add(SerialRun(first, serial, count))
        model = {i: x for i, x in model.items() if i < first}
        model |= {first + i: serial + i for i in range(count)}
        end, serial = first + count, serial + count
        below = data.draw(st.integers(below, end - 1))
        serials.forget(below)
        assert [serials.of(i) for i in range(below, end + 2)] == [
            model.get(i) for i in range(below, end + 2)
        ]
        assert serials.of(-1) is None


def test_entries_that_follow_one_another_make_one_run() -> None:
    serials = Serials([SerialRun(0, 10, 1)])
    for index in range(1, 100):
        serials.add(SerialRun(index, 10 + index, 1))
    assert (len(serials), serials.of(99), serials.of(100)) == (1, 109, None)


def test_runs_below_what_is_still_asked_for_are_forgotten() -> None:
    serials = Serials(
        [SerialRun(0, 10, 1), SerialRun(1, 12, 2), SerialRun(3, 15, 2), SerialRun(5, 18, 1)]
    )
    serials.forget(4)
    assert (len(serials), serials.of(2), serials.of(3), serials.of(4)) == (2, None, 15, 16)
    serials.forget(9)
    assert (len(serials), serials.of(5)) == (1, 18)


def test_a_later_record_has_a_higher_number() -> None:
    serials = Serials([SerialRun(1, 10, 3)])
    with pytest.raises(AssertionError, match="lower number"):
        serials.add(SerialRun(4, 9, 1))
