"""Whether a node is on strike, in touch with a reign, and live (R17, R36)."""

import pytest

from rmf import limits
from rmf.core import events as ev
from rmf.core.effects import Note
from rmf.core.entry_kinds import CLUSTER_VERSION
from rmf.core.raft.peer_messages import HeartbeatReply
from tests.core.cluster import Cluster


@pytest.fixture
def play() -> Cluster:
    return Cluster()


def test_a_picture_is_live_where_a_king_is_known(play: Cluster) -> None:
    n1, n2, n3 = play["n1"], play["n2"], play["n3"]
    n1.join("probe").send(1)
    play.advance(50)
    assert [node.live for node in (n1, n2, n3)] == [True, True, True]
    play.cut("n1")
    play.crown("n2")
    play.advance(100)
    assert (n1.live, n2.live, n3.live) == (False, True, True)
    assert n1.status["strike"]["kind"] == "no_reign"
    assert n1.world == {"cell/a": 1}  # stale, and said to be
    play.heal("n1")
    play.advance(400)
    assert n1.live
    assert (n1.status["strike"], n1.status["leader"]) == (None, "n2")


def test_a_follower_that_is_cut_off_says_so_and_harms_no_other(play: Cluster) -> None:
    n1, n3 = play["n1"], play["n3"]
    n1.join("probe").send(1)
    term = n1.core.raft.term
    play.cut("n3")
    play.advance(5_000)
    assert (n3.live, n3.status["strike"]["kind"]) == (False, "no_reign")
    play.heal("n3")
    play.advance(1_000)
    assert (n3.live, n1.core.reigns) == (True, True)
    assert {x.core.raft.term for x in play.nodes.values()} == {term}  # nobody deposed anybody


def test_a_lone_king_of_three_does_not_reign_on(play: Cluster) -> None:
    n1 = play["n1"]
    probe = n1.join("probe")
    play.kill("n2")
    play.kill("n3")
    play.advance(1_100)
    assert not n1.core.reigns
    n1.happen(ev.PeerLost("n2"), ev.PeerLost("n3"))
    assert "1 of 3 voters are here, 2 needed" in str(n1.core.strike)
    (over,) = [x for x in n1.seen(Note) if x.event == "reign_over"]
    assert "no majority answered" in over.fields["why"]
    probe.send(1)
    assert probe.refusals == [(1, "no_reign", 1)]
    newcomer = n1.join("newcomer")
    assert (newcomer.refusals, newcomer.closed) == ([(0, "no_reign", 0)], True)


def test_what_came_while_a_king_was_busy_counts_before_it_gives_up(play: Cluster) -> None:
    """A step of its own took long; the answers lie in its hand, and they are read first."""
    n1 = play["n1"]
    term, leads = n1.core.raft.term, n1.core.raft.leadership
    assert leads is not None
    play.pause("n2")
    play.pause("n3")
    play.advance(950)
    play.boot_ns += 200 * limits.MS
    answer = HeartbeatReply(term, leads.contact.rounds.newest, whole=True)
    n1.happen(ev.Heard("n2", answer))
    assert n1.core.reigns
    play.advance(1_300)
    assert not n1.core.reigns


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
    node.load(bridged=True)
    node.core.strike_for("state", "restarts are spent")
    node.perform(node.core.start(node.now()))
    assert node.core.next_due_ns() is None
    assert node.join("probe").refusals == [(0, "strike", 0)]
    assert node.status["strike"] == {"kind": "state", "why": "restarts are spent"}
    assert node.get("cell/a").code == "strike"
