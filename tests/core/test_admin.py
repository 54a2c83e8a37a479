"""What an operator may ask for, and what a leader does by itself (R17, R28, R30)."""

from typing import Any

import pytest

from rmf import limits
from rmf.core import admin
from rmf.core import events as ev
from rmf.core.admin import Denied
from rmf.core.effects import Reload
from rmf.core.entry import Members, Version
from rmf.core.entry_kinds import CLUSTER_VERSION
from tests.core.cluster import Cluster
from tests.core.cluster_node import member
from tests.core.surroundings import row_of


@pytest.fixture
def play() -> Cluster:
    return Cluster()


def met(*names: str, version: int = CLUSTER_VERSION, incarnation: int = 1) -> dict[str, ev.PeerMet]:
    found = [member(name, incarnation) for name in names]
    return {x.name: ev.PeerMet(x.name, x.incarnation, x.client_address, version) for x in found}


def add(name: str = "n4", **more: Any) -> dict[str, Any]:
    return {"node": name, "peer_address": f"{name}:7510", **more}


def now_of(play: Cluster) -> int:
    """The boot time by the clock of the node that leads."""
    return play["n1"].now().boot_ns


# --- What is possible -----------------------------------------------------------------------------


def test_who_is_added_learns_first(play: Cluster) -> None:
    raft = play["n1"].core.raft
    found = admin.added(raft, add(), met("n4"), now_of(play))
    assert isinstance(found, Members)
    assert found.members[:3] == list(raft.members)
    assert found.members[3] == member("n4", voter=False)
    assert found.why == "n4 joins as a learner"
    elsewhere = admin.added(raft, add(client_address="gate:1"), met("n4"), now_of(play))
    assert isinstance(elsewhere, Members)
    assert elsewhere.members[3].client_address == "gate:1"


def test_who_is_there_already_is_not_added_twice(play: Cluster) -> None:
    raft = play["n1"].core.raft
    found = admin.added(raft, add("n2"), met("n2"), now_of(play))
    assert isinstance(found, Members)
    assert found.members == list(raft.members)


def test_a_wiped_node_comes_back_as_a_learner_in_the_place_of_the_old_one(play: Cluster) -> None:
    found = admin.added(play["n1"].core.raft, add("n2"), met("n2", incarnation=2), now_of(play))
    assert isinstance(found, Members)
    assert [x.name for x in found.members] == ["n1", "n3", "n2"]
    assert found.members[2] == member("n2", 2, voter=False)
    assert found.why == "n2 comes back as a learner"


@pytest.mark.parametrize(
    ("args", "names", "code", "words"),
    [
        ({"node": 4, "peer_address": "n4:1"}, ["n4"], "wrong_shape", "both text"),
        ({"node": "n4"}, ["n4"], "wrong_shape", "both text"),
        (add(), [], "not_ready", "has not called on this one yet"),
    ],
)
def test_an_addition_that_is_not_possible_is_denied_in_words(
    play: Cluster, args: dict[str, Any], names: list[str], code: str, words: str
) -> None:
    denied = admin.added(play["n1"].core.raft, args, met(*names), now_of(play))
    assert isinstance(denied, Denied)
    assert denied.code == code
    assert words in denied.text


def test_a_cluster_has_a_bound(play: Cluster) -> None:
    raft = play["n1"].core.raft
    more = [member(f"m{i}") for i in range(limits.MEMBERS_MAX - 3)]
    raft.membership.current = (*raft.members, *more)
    denied = admin.added(raft, add(), met("n4"), now_of(play))
    assert isinstance(denied, Denied)
    assert denied.code == "not_possible"


def test_one_change_at_a_time(play: Cluster) -> None:
    play["n2"].disk.hold()
    play["n3"].disk.hold()
    n1 = play["n1"]
    n1.ask("admin.remove", node="n3")
    for denied in (
        admin.added(n1.core.raft, add(), met("n4"), now_of(play)),
        admin.removed(n1.core.raft, {"node": "n2"}, now_of(play)),
    ):
        assert isinstance(denied, Denied)
        assert denied.code == "change_pending"


def test_who_is_removed_is_gone_and_the_last_voter_stays(play: Cluster) -> None:
    raft = play["n1"].core.raft
    found = admin.removed(raft, {"node": "n2"}, now_of(play))
    assert isinstance(found, Members)
    assert [x.name for x in found.members] == ["n1", "n3"]
    for args in ({"node": "n9"}, {}, {"node": 7}):
        denied = admin.removed(raft, args, now_of(play))
        assert isinstance(denied, Denied)
        assert denied.code == "no_such_member"
    raft.membership.current = (member("n1"), member("n2", voter=False))
    last = admin.removed(raft, {"node": "n1"}, now_of(play))
    assert isinstance(last, Denied)
    assert last.code == "not_possible"


def test_no_node_leaves_that_the_others_need_to_commit_anything(play: Cluster) -> None:
    """A voter that is away must be back before one that is here may go: else nobody commits."""
    play.kill("n3")
    play.advance(1000)
    raft = play["n1"].core.raft
    denied = admin.removed(raft, {"node": "n2"}, now_of(play))
    assert isinstance(denied, Denied)
    assert (denied.code, "n3 must be back" in denied.text) == ("not_ready", True)
    assert isinstance(admin.removed(raft, {"node": "n3"}, now_of(play)), Members)
    again = admin.added(raft, add("n2"), met("n2", incarnation=2), now_of(play))
    assert isinstance(again, Denied)
    assert again.code == "not_ready"


def test_a_successor_votes(play: Cluster) -> None:
    raft = play["n1"].core.raft
    assert admin.successor(raft, {"node": "n2"}) == "n2"
    assert admin.successor(raft, {}) in {"n2", "n3"}
    denied = admin.successor(raft, {"node": "n9"})
    assert isinstance(denied, Denied)
    assert denied.code == "no_such_member"


# --- Chores ---------------------------------------------------------------------------------------


def test_the_version_rises_once_every_member_knows_it(play: Cluster) -> None:
    raft = play["n1"].core.raft
    assert admin.has_chores(raft, 1)
    assert admin.chores(raft, 1, met("n2"), "rmf 0.2") is None  # of n3 nobody knows
    old = met("n2") | met("n3", version=1)
    assert admin.chores(raft, 1, old, "rmf 0.2") is None
    found = admin.chores(raft, 1, met("n2", "n3"), "rmf 0.2")
    assert found == Version(CLUSTER_VERSION, "rmf 0.2")
    assert not admin.has_chores(raft, CLUSTER_VERSION)
    assert admin.chores(raft, CLUSTER_VERSION, met("n2", "n3"), "rmf 0.2") is None
    assert admin.chores(play["n2"].core.raft, 1, met("n1", "n3"), "rmf 0.2") is None


def test_an_older_cluster_is_raised_by_its_leader(play: Cluster) -> None:
    play = Cluster(version=1)
    play["n1"].join("probe").send(1)
    play.advance(100)
    assert len(play.nodes) == 3
    for node in play.nodes.values():
        assert node.core.committed.version == CLUSTER_VERSION
        versions = [x.books for _, x in node.disk.entries if isinstance(x.books, Version)]
        assert versions == [Version(CLUSTER_VERSION, "rmf/test")]


def test_a_learner_votes_once_it_has_caught_up(play: Cluster) -> None:
    n1 = play["n1"]
    n1.join("probe").send(1)
    play.join("n4").disk.hold()
    n1.ask("admin.add", node="n4", peer_address="n4:7510")
    play.advance(20)
    raft, leads = n1.core.raft, n1.core.raft.leadership
    assert leads is not None
    peer = leads.peers["n4"]
    peer.state, peer.match = "replicate", raft.log.commit - 1
    assert admin.chores(raft, CLUSTER_VERSION, {}, "") is None
    peer.match, peer.whole = raft.log.commit, False
    assert admin.chores(raft, CLUSTER_VERSION, {}, "") is None
    peer.whole = True
    found = admin.chores(raft, CLUSTER_VERSION, {}, "")
    assert isinstance(found, Members)
    assert found.members == [*raft.members[:3], member("n4")]
    assert found.why == "n4 has caught up and votes"


# --- Orders, in a cluster -------------------------------------------------------------------------


def test_a_node_that_is_added_catches_up_and_votes(play: Cluster) -> None:
    n1 = play["n1"]
    probe = n1.join("probe")
    probe.send(1, 2, topic="count/c")
    n4 = play.join("n4")
    asking = n1.ask("admin.add", node="n4", peer_address="n4:7510")
    assert asking.code is None
    assert [x["node"] for x in asking.item["members"]] == ["n1", "n2", "n3", "n4"]
    play.advance(500)
    assert [x["voter"] for x in n1.status["members"]] == [True] * 4
    assert n4.world == {"count/c": 2}
    assert n4.core.committed.digest() == n1.core.committed.digest()
    assert n4.core.raft.role == "follower"
    play.kill("n2")  # four vote: with two of them nothing is committed
    play.pause("n3")
    probe.send(3)
    assert 3 not in probe.told
    play.resume("n3")
    assert probe.told[3] == "applied"


def test_a_learner_counts_for_nothing(play: Cluster) -> None:
    n1 = play["n1"]
    probe = n1.join("probe")
    n4 = play.join("n4")
    n4.disk.hold()  # so that it does not catch up
    assert n1.ask("admin.add", node="n4", peer_address="n4:7510").code is None
    play.advance(300)
    assert [x["role"] for x in n1.status["members"] if x["node"] == "n4"] == ["learner"]
    play.pause("n3")
    probe.send(1)
    assert probe.told == {1: "applied"}  # two of three


def test_a_node_that_is_removed_counts_no_more(play: Cluster) -> None:
    n1 = play["n1"]
    probe = n1.join("probe")
    asking = n1.ask("admin.remove", node="n3")
    assert [x["node"] for x in asking.item["members"]] == ["n1", "n2"]
    play.kill("n3")
    probe.send(1)
    assert probe.told == {1: "applied"}
    play.advance(1_000)
    assert n1.core.reigns
    play.start("n3")
    play.advance(2_000)
    assert n1.core.reigns  # and it disturbs nobody
    play.pause("n2")
    probe.send(2)
    assert 2 not in probe.told


def test_a_king_removes_itself_and_another_follows(play: Cluster) -> None:
    n1 = play["n1"]
    n1.join("probe").send(1)
    assert n1.ask("admin.remove", node="n1").code is None
    king = play.crown("n2")
    assert [x["node"] for x in king.status["members"]] == ["n2", "n3"]
    assert not n1.core.reigns


# --- Settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "code"),
    [
        (500, 1_000, None),
        (200, 250, None),
        (199, 1_000, "not_possible"),
        (500, 624, "not_possible"),
        (500, 60_001, "not_possible"),
        (500, None, "wrong_shape"),
        (0.5, 1, "wrong_shape"),
    ],
)
def test_election_time_outs_are_set_within_bounds(
    play: Cluster, low: Any, high: Any, code: str | None
) -> None:
    asking = play["n1"].ask("admin.set", election_min_ms=low, election_max_ms=high)
    play.advance(100)
    assert asking.code == code
    wanted = (low, high) if code is None else limits.ELECTION_MS
    for node in play.nodes.values():
        assert node.core.committed.election_ms == wanted
        assert node.status["election_ms"] == list(wanted)


def test_they_are_not_set_before_every_member_knows_of_it() -> None:
    play = Cluster(version=3, n3_knows=3)
    assert play["n1"].ask("admin.set", election_min_ms=500, election_max_ms=900).code == "not_ready"
    before = (limits.ELECTION_NS_MIN // limits.MS, limits.ELECTION_NS_MAX // limits.MS)
    assert play["n1"].core.committed.election_ms == before, "and what held before holds on"


def test_a_wiped_node_is_let_in_again_by_an_order_alone(play: Cluster) -> None:
    n1 = play["n1"]
    n1.join("probe").send(1, topic="keep/a")
    play.kill("n3")
    wiped = play.join("n3", incarnation=2)
    assert n1.ask("admin.add", node="n3", peer_address="n3:7510").code is None
    play.advance(500)
    assert wiped.world == {"keep/a": 1}
    assert [x["voter"] for x in n1.status["members"]] == [True] * 3


def test_a_transfer_is_answered_by_the_new_kings_name(play: Cluster) -> None:
    n1 = play["n1"]
    asking = n1.ask("admin.transfer", node="n3")
    play.advance(60)
    assert (asking.item, asking.code) == ({"leader": "n3"}, None)
    assert play["n3"].core.reigns
    again = play["n3"].ask("admin.transfer", node="n3")
    assert again.item == {"leader": "n3"}
    assert play["n3"].ask("admin.transfer", node="n9").code == "no_such_member"


def test_a_transfer_that_does_not_come_about_is_said(play: Cluster) -> None:
    n1 = play["n1"]
    play.pause("n2")
    asking = n1.ask("admin.transfer", node="n2")
    probe = n1.join("probe")
    play.advance(100)
    assert asking.heard == []
    assert probe.heard == []  # nothing is proposed meanwhile
    play.advance(1_000)
    assert asking.code == "not_ready"
    assert probe.epoch  # it reigns on


def test_orders_go_to_the_king(play: Cluster) -> None:
    for subject in ("admin.add", "admin.remove", "admin.transfer", "admin.what"):
        assert play["n2"].ask(subject, node="n3").code == "not_leader"
    assert play["n1"].ask("admin.what").code == "unknown_query"


def test_a_checkpoint_is_answered_with_its_index(play: Cluster) -> None:
    asking = play["n2"].ask("admin.checkpoint")
    assert asking.item == {"index": play["n2"].core.committed.index}
    empty = play.join("n4")
    assert empty.ask("admin.checkpoint").code == "not_ready"
    play["n3"].happen(ev.Struck("admin", "why"))
    assert play["n3"].ask("admin.checkpoint").code == "strike"
    assert play["n3"].seen(Reload) == []


def reads_of(play: Cluster) -> list[list[tuple[str, int]]]:
    """What the last letter of each node says of its reads."""
    letters = [node.letters[-1] for node in play.nodes.values()]
    return [[read[:2] for read in letter.error.reads] for letter in letters]


def test_reads_are_written_down_only_once_every_member_knows_them() -> None:
    """R30: before version 3 a member may be there that cannot read such a bag."""
    play = Cluster(version=2, n3_knows=2)
    n1 = play["n1"]
    probe = n1.join("probe")
    probe.send_rows([row_of(1, topic="count/a"), row_of(2, topic="nosy")])
    play.advance(50)
    assert n1.core.committed.version == 2
    assert reads_of(play) == [[]] * 3
    play.n3_knows = CLUSTER_VERSION
    play.restart("n3")
    play.advance(100)
    assert n1.core.committed.version == CLUSTER_VERSION
    probe.send_rows([row_of(3, topic="nosy")])
    play.advance(50)
    assert reads_of(play) == [[("count/a", 2)]] * 3
