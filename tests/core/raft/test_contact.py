"""Rounds of contact: numbers that only rise, and when each was begun (raft-cases 65, 66)."""

from hypothesis import given
from hypothesis import strategies as st

from rmf import limits
from rmf.core.raft.contact import Rounds, silence_text


@given(st.lists(st.integers(0, 30 * limits.MS), max_size=300))
def test_a_round_was_begun_then_or_a_little_earlier_never_later(gaps: list[int]) -> None:
    rounds, now_ns, begun = Rounds(), 0, {}
    for gap in gaps:
        now_ns += gap
        begun[rounds.begin(now_ns)] = now_ns
    for number, exact in begun.items():
        known = rounds.begun_ns(number)
        if now_ns - exact < limits.QUORUM_NS_MAX:
            assert known is not None
        if known is not None:
            assert exact - limits.ROUND_GRAIN_NS < known <= exact


def test_numbers_rise_from_one() -> None:
    rounds = Rounds()
    assert [rounds.begin(0) for _ in range(3)] == [1, 2, 3]
    assert rounds.newest == 3


def test_a_round_that_was_never_begun_proves_nothing() -> None:
    rounds = Rounds()
    assert rounds.begun_ns(0) is None
    rounds.begin(5)
    assert rounds.begun_ns(0) is None
    assert rounds.begun_ns(1) == 5
    assert rounds.begun_ns(2) is None


def test_it_remembers_no_more_than_it_needs() -> None:
    rounds = Rounds()
    for i in range(10_000):
        rounds.begin(i * limits.MS)
    assert rounds.begun_ns(1) is None
    assert len(rounds._numbers) <= 2 * limits.QUORUM_NS_MAX // limits.ROUND_GRAIN_NS


def test_people_are_told_who_was_silent_for_how_long_the_longest_first() -> None:
    contacts = {"n2": 700 * limits.MS, "n3": 0, "n4": 0}
    told = silence_text(contacts, ("n1", "n2", "n3"), limits.SECOND)
    assert told == "n3 1000 ms, n2 300 ms"
