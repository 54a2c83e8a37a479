"""Live means that the picture is fresh (R36): a node shows what the factory shows by now; when it
does not, it says so, by itself and with the reason."""

from typing import Any

import pytest

from rmf import limits
from rmf.core import events as ev
from rmf.core.clock import TickClock
from rmf.core.raft import peer_messages as pm
from rmf.line import Inline
from tests.core.cluster import Cluster
from tests.core.cluster_node import Node
from tests.core.kit import Playbook
from tests.core.surroundings import PERIOD_NS

LIVE_MS = limits.LIVE_NS // limits.MS
PATIENCE_MS = limits.ELECTION_NS_MAX // limits.MS


@pytest.fixture
def play() -> Cluster:
    return Cluster()


def plain_get(node: Node, key: str) -> Any:
    """What a GET that may be answered by any node is answered."""
    asking = node._ask(ev.Asked(900, 1, "get", key, linearizable=False))
    return asking.heard[-1]


# --- A node that follows --------------------------------------------------------------------------


def test_a_node_that_follows_is_live_while_it_keeps_up(play: Cluster) -> None:
    probe = play["n1"].join("probe")
    for seq in range(1, 20):
        probe.send(seq)
        play.advance(100)
        assert all(play[name].live and play[name].status["live"] for name in play.nodes)
    assert play["n2"].status["live_why"] is None


def test_a_node_whose_disk_hangs_is_live_no_more(play: Cluster) -> None:
    """C3a: it answers heartbeats, applies nothing, and would show an old value for ever."""
    probe = play["n1"].join("probe")
    probe.send(1, ttl_ms=300)
    play.advance(50)
    play["n2"].disk.hold()
    probe.send(2, topic="cell/b")
    play.advance(PATIENCE_MS + 10)
    n2 = play["n2"]
    assert n2.core.strike is None
    assert not n2.live
    assert "disk has not finished a write for 0.4 s" in n2.status["live_why"]
    play.sync("n2")
    play.advance(60)
    assert n2.live


def test_a_value_is_gone_when_the_factorys_clock_says_so(play: Cluster) -> None:
    """C3: the last Entry that this node applied is from before that."""
    probe = play["n1"].join("probe")
    probe.send(1, ttl_ms=300)
    play.advance(50)
    play["n2"].disk.hold()
    play.advance(240)
    assert plain_get(play["n2"], "cell/a").cell is not None
    play.advance(20)
    value = plain_get(play["n2"], "cell/a")
    assert (value.cell, "cell/a" in play["n2"].world) == (None, True)


def test_a_node_that_catches_up_is_not_live_before_it_has(play: Cluster) -> None:
    """C3b: heartbeats come, Entries do not; it shows the World of a while ago."""
    probe = play["n1"].join("probe")
    probe.send(1)
    play.advance(60)
    play.loses["n2"] = (pm.Append, pm.Chunk)
    probe.send(2)
    play.advance(LIVE_MS - 60)
    assert play["n2"].live
    play.advance(70)
    n2 = play["n2"]
    assert (n2.core.strike, n2.live, n2.world) == (None, False, {"cell/a": 1})
    why = f"it is catching up: it has applied Entry {n2.core.committed.index} of "
    assert n2.status["live_why"].startswith(why)
    assert not plain_get(n2, "cell/a").live
    del play.loses["n2"]
    play.advance(600)
    assert (n2.live, n2.world) == (True, {"cell/a": 2})


def test_it_turns_by_time_alone_and_the_last_picture_says_so(play: Cluster) -> None:
    """Nothing comes that would make anybody look."""
    play["n1"].join("probe").send(1)
    play.advance(60)
    before = len(play["n2"].published)
    for name in ("n1", "n3"):
        play.pause(name)
    play.advance(PATIENCE_MS + 1)
    assert [x.live for x in play["n2"].published[before:]] == [False]


def test_an_old_heartbeat_makes_nothing_fresh(play: Cluster) -> None:
    """It waited two seconds behind bulk: what it names was all there was two seconds ago."""
    play["n1"].join("probe").send(1)
    play.advance(60)
    n2 = play["n2"]
    raft = n2.core.raft
    late = pm.Heartbeat(raft.term, 0, 0, raft.pace.tick_at(n2.now().boot_ns), True, 9, 0, 0)
    play.loses["n2"] = (pm.Heartbeat,)
    play.advance(300)
    n2.happen(ev.Heard("n1", late))
    play.advance(300)
    assert not n2.live


def woken(node: Node) -> None:
    """It stood still, and goes on: it looks at the clock, then hears one by one what waited."""
    node.paused = False
    mail = list(node.mail)
    node.mail.clear()
    for event in [ev.Beat(), *mail]:
        node.happen(event)


def test_what_waited_for_a_node_that_stood_still_makes_nothing_fresh(play: Cluster) -> None:
    """It gave its leader up, and then hears it again, as it spoke three seconds ago."""
    play["n1"].join("probe").send(1, ttl_ms=1_000)
    play.advance(60)
    n2 = play["n2"]
    play.pause("n2")
    play.advance(300)
    for name in ("n1", "n3"):
        play.pause(name)
    play.advance(3_000)
    woken(n2)
    assert (n2.core.raft.voting.leader, n2.live) == ("n1", False)
    assert plain_get(n2, "cell/a").cell is None


def test_what_a_reign_said_at_last_shows_how_old_its_first_word_was(play: Cluster) -> None:
    """n2 heard nothing of that reign before: its first word sets the clock, three seconds late.
    What was behind it in the socket was said when no majority answered any more."""
    play["n1"].join("probe").send(1)
    play.advance(60)
    n2 = play["n2"]
    play.cut("n2")
    play.advance(3_000)
    raft, index = n2.core.raft, n2.core.committed.index
    term, tick = raft.term + 1, raft.pace.tick_at(n2.now().boot_ns - 3 * limits.SECOND)
    n2.happen(ev.Heard("n3", pm.Heartbeat(term, index, index, tick, True, 1, index, 0)))
    tick += limits.SECOND // PERIOD_NS
    n2.happen(ev.Heard("n3", pm.Heartbeat(term, index, index, tick, True, 2, pm.INDEX_MAX, 0)))
    assert (raft.voting.leader, n2.live) == ("n3", False)


# --- A node that leads ----------------------------------------------------------------------------


def test_a_reign_that_no_majority_answers_is_not_live_and_names_nothing(play: Cluster) -> None:
    """Its followers must not take its word for it, either: another one may reign by now."""
    play["n1"].join("probe").send(1)
    play.advance(60)
    n1 = play["n1"]
    for name in ("n2", "n3"):
        play.loses[name] = (pm.Append,)
    play.cut("n1")
    play.advance(limits.ELECTION_NS_MIN // limits.MS + 60)
    assert not n1.live
    leads = n1.core.raft.leadership
    assert leads is None or leads.acked(n1.now().boot_ns) == pm.INDEX_MAX


def test_before_its_first_commit_a_reign_names_its_first_entry(play: Cluster) -> None:
    """What an older reign acked may be behind what this one knows to be committed."""
    play["n1"].join("probe").send(1)
    play.advance(60)
    n1 = play["n1"]
    leads = n1.core.raft.leadership
    assert leads is not None
    assert leads.acked(n1.now().boot_ns) == n1.core.raft.log.commit
    assert not leads.has_committed or leads.acked(n1.now().boot_ns) >= leads.first_index


# --- Ends that are late ---------------------------------------------------------------------------


def test_a_node_that_was_frozen_is_not_live_while_it_works_off_what_ended() -> None:
    """P33: the first picture after five seconds would show what ended four seconds ago."""
    play = Playbook()
    probe = play.join("p")
    probe.send(1, ttl_ms=1000)
    play.advance(10)
    assert play.published[-1].live
    play.disk.hold()
    play.boot_ns += 5 * limits.SECOND
    play.happen(ev.Beat())
    assert (play.published[-1].live, set(play.world)) == (False, {"cell/a"})
    assert "shelf life is over" in play.status["live_why"]
    play.sync()
    play.disk.held = False
    play.advance(20)
    assert (play.published[-1].live, set(play.world)) == (True, set())


def test_ends_that_come_in_time_cost_no_node_its_liveness(play: Cluster) -> None:
    probe = play["n1"].join("probe")
    for seq in range(1, 50):
        probe.send(seq, topic=f"cell/{seq}", ttl_ms=30)
        play.advance(20)
        assert all(node.live for node in play.nodes.values())


def test_an_end_that_its_handler_holds_up_is_late_everywhere(play: Cluster) -> None:
    """It is on the bench: off the shelf, and not in any Entry."""
    n1 = play["n1"]
    n1.join("probe").send(1, topic="cell/loud/a", ttl_ms=100)
    play.advance(60)
    n1.runner.held = True
    play.advance(100 + limits.OWED_LATE_NS // limits.MS + LIVE_MS)
    assert [node.live for node in play.nodes.values()] == [False] * 3
    n1.run()
    play.advance(60)
    assert [node.live for node in play.nodes.values()] == [True] * 3


def test_what_was_over_before_it_came_off_the_bench_is_live_nowhere_for_long(play: Cluster) -> None:
    """All the while the Entry before it was named; and what takes it off is on the bench again."""
    n1 = play["n1"]
    n1.runner.held = True
    n1.join("probe").send(1, topic="cell/loud/a", ttl_ms=5)
    play.advance(400)
    assert n1.batch is not None
    n1.happen(Inline(n1.line).run(n1.batch))
    play.advance(20)
    shown = [(node.live, set(node.world)) for node in play.nodes.values()]
    assert shown == [(True, {"cell/loud/a"})] * 3
    play.advance(5 + limits.OWED_LATE_NS // limits.MS + LIVE_MS - 420 + 5)
    shown = [(node.live, set(node.world)) for node in play.nodes.values()]
    assert shown == [(False, {"cell/loud/a"})] * 3
    n1.run()
    play.advance(60)
    assert [node.live for node in play.nodes.values()] == [True] * 3


def test_a_slow_line_whose_cells_live_long_costs_no_liveness(play: Cluster) -> None:
    """What is shown is what the factory shows: the rest is on the bench, and nobody was told."""
    n1 = play["n1"]
    n1.runner.held = True
    n1.join("probe").send(1, ttl_ms=60_000)
    play.advance(2_000)
    before = [len(node.published) for node in play.nodes.values()]
    assert len(before) == 3
    n1.run()
    play.advance(60)
    for node, count in zip(play.nodes.values(), before, strict=True):
        assert node.world == {"cell/a": 1}
        assert {picture.live for picture in node.published[count:]} == {True}


# --- Letters --------------------------------------------------------------------------------------


def test_a_node_whose_letters_are_not_taken_is_live_no_more() -> None:
    """R36: it will have to stop applying, sooner or later."""
    play = Playbook()
    probe = play.join("p")
    play.dlq.held = True
    probe.send(1, topic="poison")
    play.advance(PATIENCE_MS - 1)
    shown = [play.published[-1].live]
    play.advance(1)
    shown.append(play.published[-1].live)
    assert "dead letters have not been stored for 0.4 s" in play.status["live_why"]
    play.happen(ev.LettersStored(1, play.core.committed.index, {}))
    assert [*shown, play.published[-1].live] == [True, False, True]


# --- The clock that is shown ----------------------------------------------------------------------


def test_a_picture_carries_the_factorys_clock(play: Cluster) -> None:
    play["n1"].join("probe").send(1)
    play.advance(5_000)
    ticks = []
    for node in play.nodes.values():
        clock = node.published[-1].clock
        assert clock is not None
        ticks.append(clock.tick_at(node.now().boot_ns))
    assert max(ticks) - min(ticks) <= 1
    assert min(ticks) >= 5_000 * limits.MS // PERIOD_NS


def test_a_clock_that_was_set_again_is_shown_again(play: Cluster) -> None:
    """Nothing changes for days: a crystal goes wrong all the same."""
    play["n1"].join("probe").send(1)
    play.advance(60)
    n2 = play["n2"]
    pace, now_ns = n2.core.raft.pace, n2.now().boot_ns
    pace.clock = TickClock(PERIOD_NS, pace.tick_at(now_ns) + 300, now_ns)
    before = len(n2.published)
    play.advance(5_000)
    assert 0 < len(n2.published) - before <= 3
    clock = n2.published[-1].clock
    leader = play["n1"].core.raft.pace.tick_at(play["n1"].now().boot_ns)
    assert clock is not None
    assert abs(clock.tick_at(n2.now().boot_ns) - leader) <= limits.CLOCK_SHOWN_NS // PERIOD_NS


def test_where_the_time_is_unknown_no_clock_is_shown() -> None:
    play = Playbook()
    play.join("p").send(1)
    play.happen(ev.DiskFault("fsync: Input/output error"))
    assert play.published[-1].clock is not None  # this reign knew it
    again = Playbook(disk=play.disk.copied())
    assert again.core.raft.pace.bridged  # it reigns, and begins anew behind the last Tick
