"""Rounds of contact: numbers that only rise, and when each was begun (raft-cases 65, 66)."""

from hypothesis import given
from hypothesis import strategies as st

from rmf import limits
from rmf.core.raft.contact import Majority, Rounds, silence_text


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


def test_the_report_names_who_was_silent_for_how_long_the_longest_first() -> None:
    contacts = {"n2": 700 * limits.MS, "n3": 0, "n4": 0}
    told = silence_text(contacts, ("n1", "n2", "n3"), limits.SECOND)
    assert told == "n3 1000 ms, n2 300 ms"


def test_a_majority_that_was_asked_in_vain_is_silent_from_the_first_round_on() -> None:
    majority = Majority()
    majority.answered(0)
    for now_ns in (100, 200, 300):
        majority.asked(now_ns)
    assert not majority.is_silent(1100, 1000)
    assert majority.is_silent(1101, 1000)
    majority.answered(100)
    assert not majority.is_silent(9000, 1000)


def test_a_node_that_is_a_majority_by_itself_is_never_silent() -> None:
    """A lone voter lost its reign each second while a learner of it was away."""
    majority = Majority()
    majority.answered(2**62)
    majority.asked(100)
    assert not majority.is_silent(2**61, 1000)
    majority.answered(50)  # now another one votes, too
    majority.asked(200)
    assert majority.is_silent(1201, 1000)
