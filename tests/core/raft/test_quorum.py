"""The arithmetic of majorities against a model that tries every value (raft-cases 30)."""

from hypothesis import given
from hypothesis import strategies as st

from rmf.core.raft.quorum import has_majority, majority, quorum_value

NAMES = st.sampled_from([f"n{i}" for i in range(9)])
VOTERS = st.sets(NAMES)
KNOWN = st.dictionaries(NAMES, st.integers(0, 20))


@given(KNOWN, VOTERS)
def test_case_30_the_quorum_value_is_the_highest_that_more_than_half_have_reached(
    known: dict[str, int], voters: set[str]
) -> None:
    def reached(value: int) -> int:
        return sum(known.get(name, -1) >= value for name in voters)

    values = [x for x in range(21) if 2 * reached(x) > len(voters)]
    assert quorum_value(known, voters) == (max(values) if values else None)


@given(VOTERS, st.sets(NAMES))
def test_a_majority_is_more_than_half_of_the_voters_whatever_else_agrees(
    voters: set[str], agreed: set[str]
) -> None:
    assert has_majority(agreed, voters) == (2 * len(voters & agreed) > len(voters))


@given(st.integers(1, 50))
def test_two_majorities_share_a_voter_and_no_smaller_groups_do(voters: int) -> None:
    assert 2 * majority(voters) > voters
    assert 2 * (majority(voters) - 1) <= voters


def test_without_voters_nothing_is_decided() -> None:
    assert quorum_value({"n1": 5}, []) is None
    assert not has_majority(["n1"], [])
