"""The way out: finish the Tick, hand over, say goaway, be done (R18)."""

import pytest

from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.effects import Broadcast, Persist, Stopped, Tell
from tests.core.cluster import Cluster
from tests.core.kit import Playbook


@pytest.fixture
def play() -> Cluster:
    return Cluster()


def test_a_king_that_stops_finishes_hands_over_and_says_where_to_go(play: Cluster) -> None:
    n1 = play["n1"]
    probe = n1.join("probe")
    play["n2"].disk.hold()
    play["n3"].disk.hold()
    probe.send(1)
    n1.happen(ev.StopAsked())
    probe.send(2)
    assert probe.refusals == [(2, "stopping", 1)]
    assert not n1.seen(Stopped)  # packet 1 is not committed
    began_ns = play.boot_ns
    play.sync("n2", "n3")
    assert probe.told == {1: "applied"}
    assert n1.seen(Stopped)
    (king,) = play.reigning()
    assert play.boot_ns == began_ns  # no election had to time out
    (goaway,) = [x for x in probe.heard if isinstance(x, m.Goaway)]
    assert goaway.code == "stopping"
    assert goaway.alternatives[0] == f"{king.name}:7410"
    assert set(goaway.alternatives) == {"n2:7410", "n3:7410"}
    again = king.join("probe")
    assert again.last_seq == 1


def test_a_king_whose_successor_does_not_come_stops_all_the_same(play: Cluster) -> None:
    n1 = play["n1"]
    play.pause("n2")
    play.pause("n3")
    n1.happen(ev.StopAsked())
    play.advance(2_000)
    assert n1.seen(Stopped)


def test_a_follower_that_stops_says_goaway_and_is_gone(play: Cluster) -> None:
    n2 = play["n2"]
    n2.happen(ev.StopAsked())
    assert n2.seen(Stopped)
    play.advance(1_000)
    assert play["n1"].core.reigns


def test_who_is_elected_while_it_stops_hands_over_before_it_says_goaway(play: Cluster) -> None:
    """Its clients would go elsewhere, and find no leader yet."""
    n2, n3 = play["n2"], play["n3"]
    play.kill("n1")
    n3.disk.hold()
    while not n3.disk.waiting:
        play.advance(10)
    play.pause("n2")
    play.sync("n3")  # its vote is on the way
    play.start("n1")
    n2.happen(ev.StopAsked())
    before = len(n2.effects)
    play.resume("n2")
    told = [type(x) for x in n2.effects[before:] if isinstance(x, Persist | Tell | Broadcast)]
    assert told.index(Broadcast) > told.index(Persist), "it reigned first"
    assert (len(n2.seen(Broadcast)), len(n2.seen(Stopped))) == (1, 1)
    assert play.crown("n3", within_ms=100) is n3


# --- Alone ----------------------------------------------------------------------------------------


def test_a_stop_refuses_new_intake_finishes_the_tick_and_says_goodbye() -> None:
    play = Playbook()
    probe = play.join("p")
    play.disk.hold()
    probe.send(1)
    play.runner.held = True
    probe.send(2)
    probe.send(3)
    play.happen(ev.StopAsked())
    (goaway,) = play.seen(Broadcast)
    assert (goaway.message.code, goaway.message.hold_off_ms) == ("stopping", 200)
    assert probe.refusals == [(3, "stopping", 1)]
    assert play.seen(Stopped) == []
    play.run()
    play.sync(1)
    assert play.seen(Stopped) == []
    play.sync()
    assert probe.told == {1: "applied", 2: "applied"}
    assert len(play.seen(Stopped)) == 1


def test_an_idle_node_stops_at_once_and_once() -> None:
    play = Playbook()
    play.happen(ev.StopAsked())
    play.happen(ev.Beat())
    assert len(play.seen(Stopped)) == 1


def test_a_stopping_node_takes_no_client_in() -> None:
    play = Playbook()
    probe = play.join("p")
    play.disk.hold()
    probe.send(1)
    play.happen(ev.StopAsked())
    late = play.join("late")
    assert (late.refusals, late.closed) == ([(0, "stopping", 0)], True)
    probe.send(2)
    assert probe.refusals == [(2, "stopping", 1)]


def test_a_disk_that_fails_while_stopping_stops_it_all_the_same() -> None:
    play = Playbook()
    probe = play.join("p")
    play.disk.hold()
    probe.send(1)
    play.happen(ev.StopAsked())
    play.happen(ev.DiskFault("no space"))
    assert len(play.seen(Stopped)) == 1
    assert probe.told == {}
