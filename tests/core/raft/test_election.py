"""One attempt: what is asked, whose votes count, and when a vote is given."""

import pytest

from rmf.core.raft.election import Campaign, is_up_to_date
from rmf.core.raft.messages import VoteAsk
from rmf.core.raft.values import Place

MINE = Place(7, 3, b"")


def campaign(*voters: str) -> Campaign:
    return Campaign(5, voters, pre=True, transfer=False)


def test_it_asks_with_the_end_of_the_log() -> None:
    assert campaign("n1").ask(MINE) == VoteAsk(5, 7, 3, pre=True, transfer=False)


@pytest.mark.parametrize(("voters", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_it_is_won_with_a_majority_of_the_voters(voters: int, needed: int) -> None:
    names = [f"n{i}" for i in range(voters)]
    attempt = campaign(*names)
    for count, name in enumerate(names, start=1):
        attempt.hear("a stranger")
        attempt.hear(name)
        attempt.hear(name)
        assert attempt.won == (count >= needed)


@pytest.mark.parametrize(
    ("term", "index", "good"),
    [(3, 7, True), (3, 8, True), (3, 6, False), (4, 0, True), (2, 99, False)],
)
def test_a_vote_is_given_to_a_log_that_ends_no_earlier(
    term: int, index: int, *, good: bool
) -> None:
    ask = VoteAsk(9, index, term, pre=False, transfer=False)
    assert is_up_to_date(ask, MINE) is good
