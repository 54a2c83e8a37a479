"""Members as the log says them: the newest Entry counts, and goes back with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmf.core.entry import Entry, Genesis, encode_entry
from rmf.core.raft.membership import Membership, members_in, one_change_apart
from tests.core.raft.entries_kit import CLUSTER, body_of, member, members_body, members_of


def test_entries_that_name_members_are_a_genesis_and_a_change() -> None:
    some = members_of("n1 n2?")
    genesis = encode_entry(Entry(1, 0, bytes(16), Genesis(CLUSTER, 1, list(some))))
    assert members_in(genesis) == some
    assert members_in(members_body(some)) == some
    assert members_in(body_of("n1")) is None


@given(st.data())
def test_rolling_back_gives_what_the_log_said_before(data: st.DataObject) -> None:
    membership = Membership(3, members_of("n1"))
    said: list[tuple[int, tuple[str, ...]]] = [(3, ("n1",))]
    settled = 3
    for number in range(data.draw(st.integers(0, 12))):
        if data.draw(st.booleans()):
            index = said[-1][0] + data.draw(st.integers(1, 4))
            names = ("n1", f"x{number}")
            assert membership.take(index, members_body(members_of(" ".join(names))))
            said.append((index, names))
        elif data.draw(st.booleans()):
            last = data.draw(st.integers(settled, 40))
            membership.roll_back(last)
            said = [x for x in said if x[0] <= last]
        else:
            settled = data.draw(st.integers(settled, max(settled, said[-1][0])))
            membership.settle(settled)
        assert (membership.index, tuple(x.name for x in membership.current)) == said[-1]


def test_other_entries_change_nothing() -> None:
    membership = Membership(0, members_of("n1 n2"))
    assert not membership.take(1, body_of("n1"))
    assert membership.index == 0


def test_a_change_does_not_go_back_in_the_log() -> None:
    membership = Membership(5, members_of("n1 n2"))
    with pytest.raises(AssertionError):
        membership.take(5, members_body(members_of("n1")))


def test_learners_are_members_and_no_voters() -> None:
    membership = Membership(0, members_of("n3 n1 n2?"))
    assert membership.voters == ("n1", "n3")
    assert membership.others("n1") == ["n2", "n3"]
    assert (membership.is_voter("n1"), membership.is_voter("n2")) == (True, False)
    assert membership.member("n2") == member("n2", voter=False)
    assert membership.member("n9") is None


@pytest.mark.parametrize(
    ("before", "after", "apart"),
    [
        ("n1 n2", "n1 n2 n3", True),
        ("n1 n2", "n1 n2 n3? n4?", True),
        ("n1 n2 n3?", "n1 n2 n3", True),
        ("n1 n2", "n1 n3", False),
        ("n1", "n1 n2 n3", False),
        ("n1 n2", "n1", True),
    ],
)
def test_one_change_is_of_one_voter(before: str, after: str, *, apart: bool) -> None:
    assert one_change_apart(members_of(before), members_of(after)) is apart


def test_another_incarnation_is_another_voter() -> None:
    """It is removed, added as a learner and promoted: three changes, none of which loses a vote."""
    wiped = member("n2")._replace(incarnation=b"new")
    assert not one_change_apart((member("n1"), member("n2")), (member("n1"), wiped))


def test_whom_a_change_made_no_member_is_let_in_until_it_is_committed() -> None:
    """A leader that removes itself leads on until then (raft-cases 61)."""
    membership = Membership(0, members_of("n1 n2 n3"))
    membership.take(1, members_body(members_of("n2 n3")))
    assert membership.current == members_of("n2 n3")
    assert set(membership.admitted) == set(members_of("n1 n2 n3"))
    membership.settle(1)
    assert membership.admitted == members_of("n2 n3")
