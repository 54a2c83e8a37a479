"""Who is who: names prove nothing, incarnations do (R28)."""

from rmf import limits
from rmf.core.raft.membership import Membership
from rmf.core.raft.presence import Presence
from tests.core.raft.entries_kit import members_body, members_of


def test_a_peer_counts_while_the_one_is_linked_whom_the_members_name() -> None:
    presence = Presence("n1", b"n1", Membership(0, members_of("n1 n2 n3")))
    assert not presence.counts("n2"), "it was never met"
    presence.met("n2", b"n2 anew")
    assert not presence.counts("n2")
    presence.met("n2", b"n2")
    assert presence.counts("n2")
    presence.met("n9", b"n9")
    assert not presence.counts("n9")


def test_people_hear_how_many_voters_are_here_and_how_many_are_needed() -> None:
    presence = Presence("n1", b"n1", Membership(0, members_of("n1 n2 n3 n4?")))
    assert presence.turnout == "1 of 3 voters are here, 2 needed (not here: n2, n3)"
    presence.met("n3", b"n3 anew")
    presence.met("n2", b"n2")
    presence.met("n4", b"n4")
    assert presence.turnout == "2 of 3 voters are here, 2 needed (not here: n3)"
    presence.parted("n2")
    assert presence.turnout == "1 of 3 voters are here, 2 needed (not here: n2, n3)"
    assert presence.counts("n2"), "what it said on that link it said"


def test_strangers_are_forgotten_and_members_are_not() -> None:
    presence = Presence("n1", b"n1", Membership(0, members_of("n1 n2")))
    presence.met("n2", b"n2")
    for number in range(5 * limits.MEMBERS_MAX):
        presence.met(f"stranger-{number}", b"")
    assert presence.counts("n2")
    assert len(presence._linked) <= 2 * limits.MEMBERS_MAX


def test_who_was_replaced_or_removed_votes_no_more_but_may_have_to_lead_on() -> None:
    membership = Membership(0, members_of("n1 n2"))
    presence = Presence("n1", b"n1", membership)
    assert (presence.votes, presence.may_stand, presence.replaced) == (True, True, False)
    membership.take(1, members_body(members_of("n2")))
    assert (presence.votes, presence.may_stand, presence.replaced) == (False, True, False)
    membership.settle(1)
    assert (presence.votes, presence.may_stand, presence.replaced) == (False, False, False)
    assert Presence("n2", b"n2 of old", membership).replaced
