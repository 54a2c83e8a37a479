"""Where clients reach the members, and who called (R28, R29)."""

import pytest

from rmf.core import events as ev
from rmf.core.entry_kinds import CLUSTER_VERSION
from tests.core.cluster import Cluster


@pytest.fixture
def play() -> Cluster:
    return Cluster()


def test_clients_find_a_member_where_it_says_itself_else_where_the_ledger_says(
    play: Cluster,
) -> None:
    core = play["n2"].core
    assert core.book.address_of("n2") == "n2:7410"
    assert core.book.address_of("n1") == "n1:7410"
    core.book.met.clear()
    assert core.book.address_of("n1") == "n1:7410"  # from the membership
    play["n2"].happen(ev.PeerMet("n1", b"n1/1............", "gate.example:9", CLUSTER_VERSION))
    assert core.book.address_of("n1") == "gate.example:9"
    assert core.book.address_of("n9") is None
    assert core.book.address_of(None) is None


def test_who_only_knocks_under_a_members_name_takes_nothing_of_it(play: Cluster) -> None:
    """Not its voice, not where clients find it; but an operator may let it in."""
    n1 = play["n1"]
    wiped = ev.PeerMet("n2", b"n2/9............", "elsewhere:9", 1, linked=False)
    n1.happen(wiped)
    assert n1.core.book.address_of("n2") == "n2:7410"
    assert n1.core.book.met["n2"].version == CLUSTER_VERSION
    play.kill("n3")
    probe = n1.join("probe")
    probe.send(1)
    assert probe.told == {1: "applied"}, "n2 is heard as before"
    play.start("n3")
    play.advance(500)
    n1.ask("admin.add", node="n2", peer_address="n2:7510")
    member = n1.core.raft.membership.member("n2")
    assert member is not None
    assert (member.incarnation, member.voter) == (wiped.incarnation, False)


def test_who_has_met_many_forgets_some_and_never_the_newest(play: Cluster) -> None:
    core = play["n1"].core
    for i in range(100):
        play["n1"].happen(ev.PeerMet(f"stranger-{i}", b"i" * 16, "", CLUSTER_VERSION))
    assert f"stranger-{99}" in core.book.met
    assert len(core.book.met) < 30
