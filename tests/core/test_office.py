"""What a node knows of itself and the others, and what follows from that (R17, R29, R31)."""

import pytest

from rmf.core import events as ev
from rmf.core.arbiter import Arbiter
from rmf.core.entry import CLUSTER_VERSION
from rmf.core.surroundings import NOTHING_HEARD, Surroundings
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


def test_a_core_begins_with_what_the_one_before_knew_of_its_surroundings(play: Cluster) -> None:
    """R15: it is told of changes only; the disk is as full as before."""
    n2 = play["n2"]
    assert n2.core.surroundings == NOTHING_HEARD
    n2.happen(ev.Disk("hard", 0), ev.BoxLost(3), ev.LettersStored(0, 0, {"letters": 7}))
    known = n2.core.surroundings
    assert known == Surroundings("hard", {"letters": 7}, 3)
    state, raft = n2.core.committed, n2.core.raft
    again = Arbiter(
        n2.core.identity,
        state,
        n2.core.settled.shelf,
        raft,
        listens=lambda _: False,
        depth_packets_max=1,
        around=known,
    )
    assert again.surroundings == known
    assert again.surroundings.mark == "hard"


def test_the_newest_state_is_what_shelf_and_key_index_belong_to(play: Cluster) -> None:
    """R3: with an Entry in flight it is ahead of what is committed, and so are these two, which all
    versions share. Where no reign is, it is the committed one."""
    n1 = play["n1"]
    core, probe = n1.core, n1.join("probe")
    for name in ("n2", "n3"):
        play[name].disk.hold()
    probe.send(1, topic="cell/x", ttl_ms=60_000)
    assert "cell/x" not in core.committed.world.cells
    assert set(core.settled.shelf.armed) == {"cell/x"} == set(core.newest.world.cells)
    n1.happen(ev.Struck("admin", "an operator says so"))
    assert core.newest is core.committed
    assert not set(core.settled.shelf.armed)
    assert play["n2"].core.newest is play["n2"].core.committed


def test_a_follower_names_the_king_and_refuses(play: Cluster) -> None:
    n2 = play["n2"]
    assert (n2.core.strike, n2.core.reigns, n2.core.has_acceded) == (None, False, False)
    assert n2.status["leader"] == "n1"
    newcomer = n2.join("newcomer")
    assert newcomer.refusals == [(0, "not_leader", 0)]


def test_the_status_names_strike_role_and_what_is_missing(play: Cluster) -> None:
    status = play["n1"].status
    assert (status["role"], status["strike"], status["whole"]) == ("leader", None, True)
    assert (status["version"], len(status["cluster"])) == (CLUSTER_VERSION, 32)
    assert [x["match"] for x in status["members"]] == [status["commit"]] * 3
    assert [x["role"] for x in status["members"]] == ["leader", "follower", "follower"]
    assert play["n2"].status["members"][2]["match"] is None  # that only the king knows


def test_before_a_cluster_there_is_no_reign_and_the_status_says_why(play: Cluster) -> None:
    alone = play.join("n4")
    assert alone.status["strike"]["kind"] == "no_reign"
    alone.happen(ev.Unfounded("n2 does not answer"))
    assert "n2 does not answer" in alone.status["strike"]["why"]
    assert alone.join("probe").refusals == [(0, "no_reign", 0)]


def test_a_strike_outlasts_what_it_could_have_been(play: Cluster) -> None:
    n2 = play["n2"]
    n2.happen(ev.Struck("state", "first"), ev.Struck("admin", "second"), ev.DiskFault("third"))
    assert n2.core.strike == ("state", "first")
    play.advance(1_000)
    assert n2.core.strike == ("state", "first")
    assert n2.core.next_due_ns() is None  # it has nothing to do any more


def test_a_core_that_is_on_strike_from_the_start_only_answers(play: Cluster) -> None:
    play.kill("n2")
    node = play["n2"]
    node.begin(bridged=True)
    node.core.strike_for("state", "restarts are spent")
    node.perform(node.core.start(node.now))
    assert node.core.next_due_ns() is None
    assert node.join("probe").refusals == [(0, "strike", 0)]
    assert node.status["strike"] == {"kind": "state", "why": "restarts are spent"}
    assert node.get("cell/a").code == "strike"
