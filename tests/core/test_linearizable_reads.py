"""Linearizable GETs: on the king, on a follower, and where nobody may answer (R28)."""

import pytest

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.raft.peer_messages import ReadAsk, ReadReply
from tests.core.cluster import Cluster


@pytest.fixture
def play() -> Cluster:
    return Cluster()


@pytest.mark.parametrize("name", ["n1", "n2", "n3"])
def test_it_misses_nothing_that_was_acked(play: Cluster, name: str) -> None:
    """At once after the ack, on a follower too, which has not heard yet that it is committed."""
    probe = play["n1"].join("probe")
    for seq in range(1, 6):
        probe.send(seq)
        assert probe.told[seq] == "applied"
        asking = play[name].get("cell/a")
        play.advance(60)  # a follower hears of a commit a little later
        assert asking.value == seq
    assert play[name].get("cell/none").value is None


def test_a_follower_answers_once_it_has_applied_so_much(play: Cluster) -> None:
    probe = play["n1"].join("probe")
    play["n2"].disk.hold()
    probe.send(1)
    assert probe.told == {1: "applied"}
    asking = play["n2"].get("cell/a")
    play.advance(300)
    assert asking.heard == []  # the Entry is not on its disk
    play.sync("n2")
    assert asking.value == 1


def test_it_waits_for_a_majority_and_for_no_more(play: Cluster) -> None:
    play["n1"].join("probe").send(1)
    play.pause("n2")
    assert play["n1"].get("cell/a").value == 1
    play.pause("n3")
    asking = play["n1"].get("cell/a")
    assert asking.heard == []
    play.resume("n3")
    assert asking.value == 1


def test_a_king_that_no_node_hears_any_more_does_not_answer(play: Cluster) -> None:
    n1 = play["n1"]
    n1.join("probe").send(1)
    play.cut("n1")
    asking = n1.get("cell/a")
    play.advance(1_100)
    assert asking.code == "not_leader"
    assert asking.value == "waits"
    assert n1.get("cell/a").code == "no_reign"


def test_a_king_that_was_paused_answers_nothing_stale(play: Cluster) -> None:
    """It wakes up with the question in its hand, and the others have another king."""
    n1 = play["n1"]
    n1.join("probe").send(1, topic="count/c")
    play.advance(50)
    play.pause("n1")
    asking, plain = n1.get("count/c"), n1.ask("get")
    other = play.crown("n2").join("probe")
    other.send(2, topic="count/c")
    play.resume("n1")
    play.advance(500)
    assert asking.value == "waits"
    assert asking.code in {"not_leader", "no_reign"}
    (value,) = [x for x in plain.heard if isinstance(x, m.Value)]
    assert not value.live  # what it says without a majority, it says as stale
    again = n1.get("count/c")
    play.advance(60)
    assert again.value == 2


def test_a_read_that_was_confirmed_before_a_pause_is_no_newer_than_it_says(play: Cluster) -> None:
    """A reply of an older round confirms nothing that was asked after it."""
    n1 = play["n1"]
    n1.join("probe").send(1)
    play.advance(55)
    play.pause("n2")
    play.pause("n3")
    asking = n1.get("cell/a")
    play.advance(10)
    assert asking.heard == []


def test_a_follower_asks_for_no_longer_than_an_election_takes(play: Cluster) -> None:
    play.pause("n1")
    asking = play["n2"].get("cell/a")
    play.pause("n3")
    play.advance(100)
    assert asking.heard == []
    play.advance(limits.ELECTION_NS_MAX / limits.MS)
    assert asking.code in {"no_reign", "not_leader"}


def test_a_read_that_is_confirmed_does_not_wait_for_ever_for_its_entries(play: Cluster) -> None:
    """Nor do too many of them: on a node whose disk hangs nothing is applied."""
    probe, n2 = play["n1"].join("probe"), play["n2"]
    n2.disk.hold()
    probe.send(1)
    asked = [n2.get("cell/a") for _ in range(limits.READS_WAITING_MAX + 1)]
    play.advance(50)
    assert asked[-1].code == "busy"
    assert [x.heard for x in asked[:-1]] == [[]] * limits.READS_WAITING_MAX
    play.advance(limits.READ_NS_MAX / limits.MS)
    assert {x.code for x in asked[:-1]} == {"not_ready"}


def test_a_node_on_strike_lets_no_read_wait(play: Cluster) -> None:
    """Its core may be replaced, and the connection goes on: nobody would answer it any more."""
    probe, n2 = play["n1"].join("probe"), play["n2"]
    n2.disk.hold()
    probe.send(1)
    confirmed = n2.get("cell/a")
    play.advance(50)
    play.pause("n1")
    asked = n2.get("cell/a")
    assert confirmed.heard == asked.heard == []
    n2.happen(ev.Struck("admin", "to look at it"))
    assert (confirmed.code, asked.code) == ("strike", "strike")


def test_a_node_that_knows_no_king_says_so_at_once(play: Cluster) -> None:
    play.cut("n3")
    play.advance(1_000)
    assert play["n3"].get("cell/a").code == "no_reign"


def test_a_follower_whose_king_fell_has_to_ask_again(play: Cluster) -> None:
    """The question reaches a node that is no king any more."""
    n2 = play["n2"]
    play.pause("n1")
    asking = n2.get("cell/a")
    play.crown("n2")
    play.resume("n1")
    play.advance(500)
    assert asking.code in {"not_leader", "no_reign"}


def test_a_new_king_answers_only_after_its_first_commit(play: Cluster) -> None:
    n1 = play["n1"]
    n1.join("probe").send(1)
    play.advance(50)
    play.kill("n1")
    n2, n3 = play["n2"], play["n3"]
    n3.disk.hold()
    while not n3.disk.waiting:
        play.advance(1)
    n3.happen(n3.disk.write_one(n3.now().boot_ns))  # its vote, and nothing of what comes then
    assert n2.core.reigns
    asking = n2.get("cell/a")
    play.advance(60)
    assert asking.heard == []
    play.sync("n3")
    play.advance(60)
    assert asking.value == 1


def test_too_many_reads_are_refused_and_none_is_lost(play: Cluster) -> None:
    n1 = play["n1"]
    n1.join("probe").send(1)
    play.pause("n2")
    play.pause("n3")
    many = [n1.get("cell/a") for _ in range(limits.READS_WAITING_MAX + 3)]
    assert [x.code for x in many[-3:]] == ["busy"] * 3
    play.resume("n2")
    play.advance(10)
    assert [x.value for x in many[:-3]] == [1] * limits.READS_WAITING_MAX


def test_a_reply_that_no_read_waits_for_is_passed_over(play: Cluster) -> None:
    n2 = play["n2"]
    term = n2.core.raft.term
    n2.happen(ev.Heard("n1", ReadReply(term, 77, 1)))
    n2.happen(ev.Heard("n3", ReadAsk(term, 5)))  # it leads nobody: the peer is told so
    assert n2.core.raft.term == term
