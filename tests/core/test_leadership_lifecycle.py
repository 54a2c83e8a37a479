"""Reigns that begin and end: what is dropped, what goes on, who is told what (R3, R6, R17, R18)."""

from collections.abc import Callable

import pytest

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.effects import LinkPeers, Reload
from rmf.core.entry import Accession, TickBooks
from rmf.core.raft.peer_messages import Heartbeat
from tests.core.cluster import Cluster
from tests.core.cluster_node import Node


@pytest.fixture
def play() -> Cluster:
    return Cluster()


def heartbeat_of_a_new_leader(node: Node, leader: str) -> ev.Heard:
    """What a node hears first of a leader whose election it missed."""
    last = node.core.raft.log.last.index
    return ev.Heard(leader, Heartbeat(node.core.raft.term + 1, 0, last, 0, False, 1, last, 0))


def first_entry_of(node: Node) -> Accession:
    """The Accession of the present term, as it is on this node's disk."""
    found = [x.books for d, x in node.disk.entries if d.term == node.core.raft.term]
    assert isinstance(found[0], Accession)
    return found[0]


def accession_tick(node: Node) -> int:
    return next(x.tick for d, x in node.disk.entries if d.term == node.core.raft.term)


# --- What is dropped ------------------------------------------------------------------------------


def test_a_reign_that_ends_drops_all_that_was_not_committed(play: Cluster) -> None:
    n1 = play["n1"]
    probe = n1.join("probe")
    probe.send(1, topic="count/c")
    before = n1.core.committed
    play["n2"].disk.hold()
    play["n3"].disk.hold()
    probe.send(2, topic="count/c")
    probe.send(3, topic="cell/new")
    n1.join("newcomer")
    assert n1.core.raft.log.last.index > before.index
    n1.happen(heartbeat_of_a_new_leader(n1, "n2"))
    assert not n1.core.reigns
    state = n1.core.committed
    assert state is before
    assert n1.status["tick"] == before.tick
    assert (n1.status["packets"]["latched"], n1.status["ingest"]["depth"]) == (1, 0)
    assert state.producers.get("newcomer") is None
    assert list(state.world.index.walk("")) == ["count/c"]
    assert probe.told == {1: "applied"}


def test_whose_packets_were_latched_in_vain_learns_who_reigns(play: Cluster) -> None:
    """Raft-cases 34."""
    n1 = play["n1"]
    probe, other = n1.join("probe"), n1.join("other")
    probe.send(1)
    play["n2"].disk.hold()
    play["n3"].disk.hold()
    probe.send(2, 3)
    other.send(1)
    n1.happen(heartbeat_of_a_new_leader(n1, "n2"))
    for producer, seq in ((probe, 2), (other, 1)):
        (refusal,) = [x for x in producer.heard if isinstance(x, m.Refuse)]
        assert (refusal.seq, refusal.code, refusal.expected) == (seq, "not_leader", seq)
        assert refusal.leader == "n2:7410"


def test_who_waits_for_welcome_is_sent_to_who_reigns(play: Cluster) -> None:
    n1 = play["n1"]
    play["n2"].disk.hold()
    play["n3"].disk.hold()
    probe = n1.join("probe")
    assert probe.heard == []
    n1.happen(heartbeat_of_a_new_leader(n1, "n2"))
    again = n1.join("again")
    for producer in (probe, again):
        (refusal,) = [x for x in producer.heard if isinstance(x, m.Refuse)]
        assert (refusal.code, refusal.leader) == ("not_leader", "n2:7410")
        assert producer.closed


@pytest.mark.parametrize("how", ["deposed", "strike", "no majority"])
def test_no_client_waits_for_a_reign_that_is_over(play: Cluster, how: str) -> None:
    """Raft-cases 34: a packet in flight, one on the bench, one in the queue, a resend, a HELLO, a
    read, a transfer and an act that waits for the bench: each is answered."""
    n1 = play["n1"]
    flying, benched, queued = (n1.join(name) for name in ("flying", "benched", "queued"))
    play["n2"].disk.hold()
    play["n3"].disk.hold()
    flying.send(1, 2)
    flying.send(2)  # a resend of what is not committed
    n1.runner.held = True
    play.advance(20)
    benched.send(1)
    queued.send(1)
    greeting = n1.join("greeting")
    for name in ("n2", "n3"):
        play.pause(name)
    asked = [n1.get("cell/a"), n1.ask("admin.remove", node="n3")]
    asked.append(n1.ask("admin.transfer", node="n2"))
    assert [x.heard for x in asked] == [[], [], []]
    assert [x.refusals for x in (flying, benched, queued, greeting)] == [[], [], [], []]
    match how:
        case "deposed":
            n1.happen(heartbeat_of_a_new_leader(n1, "n2"))
        case "strike":
            n1.happen(ev.DiskFault("no room"))
        case _:
            play.advance(2_000)
    assert not n1.core.reigns
    code = {"deposed": "not_leader", "strike": "strike"}.get(how, "no_reign")
    assert [x.refusals for x in (benched, queued)] == [[(1, code, 1)], [(1, code, 1)]]
    assert flying.refusals == [(1, code, 1), (2, code, 1)]
    assert (greeting.refusals, greeting.closed) == ([(0, code, 0)], True)
    if how == "no majority":
        play.advance(limits.TRANSFER_NS_MAX / limits.MS)  # nobody leads any more
    codes = {"deposed": None, "strike": "strike", "no majority": "not_ready"}
    assert "waits" not in [x.code for x in asked[:2]]
    assert asked[2].code == codes[how]


def test_a_key_whose_last_removal_was_dropped_is_still_found(play: Cluster) -> None:
    """Of a removal, a new value and another removal in flight, the last is not committed."""
    n1, n2 = play["n1"], play["n2"]
    probe = n1.join("probe")
    probe.send(1)
    n2.disk.hold()
    play["n3"].disk.hold()
    probe.send(2, topic="remove", payload=["cell/a"])
    probe.send(3)
    probe.send(4, topic="remove", payload=["cell/a"])
    for _ in range(2):
        n2.happen(n2.disk.write_one(n2.now().boot_ns))
    n1.happen(heartbeat_of_a_new_leader(n1, "n2"))
    assert not n1.core.reigns
    assert probe.told == {1: "applied", 2: "applied", 3: "applied"}
    assert n1.world == {"cell/a": 3}


def test_the_line_never_sees_again_what_was_dropped(play: Cluster) -> None:
    """Of two counts only the committed one is there; a key that was dropped comes back as new."""
    n1 = play["n1"]
    probe = n1.join("probe")
    probe.send(1, topic="count/c")
    play.cut("n1")
    probe.send(2, topic="count/c")
    probe.send(3, topic="cell/new")
    probe_at_n2 = play.crown("n2").join("probe")
    assert probe_at_n2.last_seq == 1
    play.heal("n1")
    play.advance(500)
    probe_at_n2.send(2, topic="count/c")
    probe_at_n2.send(3, topic="cell/other")
    play.advance(50)
    for node in play.nodes.values():
        assert node.world == {"count/c": 2, "cell/other": 3}
        assert list(node.core.committed.world.index.walk("")) == ["cell/other", "count/c"]
        assert node.core.committed.digest() == n1.core.committed.digest()


def test_an_expiry_that_was_dropped_is_due_again(play: Cluster) -> None:
    n1 = play["n1"]
    n1.join("probe").send(1, ttl_ms=120)
    cell = n1.core.committed.world.get("cell/a")
    assert cell is not None
    play.advance(100)
    play["n2"].disk.hold()
    play["n3"].disk.hold()
    play.advance(25)
    books = n1.disk.entries[-1][1].books
    assert isinstance(books, TickBooks)
    assert [x.key for x in books.expiries] == ["cell/a"]
    play.cut("n1")
    play.restart("n2")
    play.restart("n3")
    n2 = play.crown("n2")
    play.advance(1_100)
    assert n1.core.settled.shelf.next_tick() == cell.expires  # its own reign is over, too
    play.heal("n1")
    play.advance(500)
    for node in (n1, n2, play["n3"]):
        assert node.world == {}
        removed = [x.removed for x in node.published if x.removed]
        assert removed == [{"cell/a": "expired"}]


# --- What is taken over, in slices (R45) ----------------------------------------------------------


def with_a_long_tail(play: Cluster) -> Node:
    """n1 has Entries that nobody else has, and is about to be the only candidate."""
    n1 = play["n1"]
    probe = n1.join("probe")
    probe.send(1)
    for name in ("n2", "n3"):
        play[name].disk.hold()
    for seq in range(2, 2 + limits.ENTRIES_IN_FLIGHT):
        probe.send(seq, topic=f"cell/{seq}", payload=bytes(limits.APPLIED_A_STEP_BYTES))
    for name in ("n1", "n2", "n3"):
        play.kill(name)
    for name in ("n2", "n1"):
        play.start(name)
    return play["n1"]


def watch(node: Node, also: Callable[[], None] = lambda: None) -> list[tuple[bool, bool]]:
    """After each step: whether it leads, and whether it reigns. `also` is called at each."""
    seen: list[tuple[bool, bool]] = []
    step = node.step

    def watched(events: list[ev.Event]) -> None:
        step(events)
        seen.append((node.core.raft.leadership is not None, node.core.reigns))
        also()

    node.step = watched  # type: ignore[method-assign]
    return seen


def test_what_is_not_committed_is_taken_over_a_slice_a_step(play: Cluster) -> None:
    """A node that won the election speaks to its peers between two slices, whatever it has to
    apply before it reigns."""
    n1 = with_a_long_tail(play)
    beyond: set[str] = set()

    def look() -> None:
        beyond.update(set(n1.core.settled.shelf.armed) - set(n1.core.newest.world.cells))

    seen = watch(n1, look)
    assert play.crown("n1") is n1
    assert not beyond, "the shelf stands where the newest state does, in the middle of it, too"
    assert seen.count((True, False)) >= limits.ENTRIES_IN_FLIGHT - 1
    assert {f"cell/{seq}" for seq in range(2, 2 + limits.ENTRIES_IN_FLIGHT)} < set(n1.world)


def test_what_was_taken_over_in_part_is_dropped_with_the_reign_that_did_not_begin(
    play: Cluster,
) -> None:
    n1 = with_a_long_tail(play)

    def strike() -> None:
        if seen.count((True, False)) == 2:
            n1.core.step([ev.Struck("admin", "an operator says so")], n1.now())

    seen = watch(n1, strike)
    play.advance(2_000)
    assert seen.count((True, False)) == 2
    committed = n1.core.committed.world
    assert list(committed.index.walk()) == [key for key, _ in committed.scan()]
    assert set(n1.core.settled.shelf.armed) <= set(committed.index.walk())


# --- What goes on ---------------------------------------------------------------------------------


def test_ticks_go_on_above_all_that_the_majority_knows(play: Cluster) -> None:
    n1 = play["n1"]
    probe = n1.join("probe")
    for reign, king in enumerate(("n2", "n3", "n1"), start=1):
        play.advance(777)
        former = play.reigning()[0]
        known = former.core.raft.pace.tick_at(former.now().boot_ns)
        uncommitted = former.core.raft.log.last.index
        former.ask("admin.transfer", node=king)
        node = play.crown(king)
        assert accession_tick(node) >= known
        assert node.core.raft.log.last.index > uncommitted
        assert not first_entry_of(node).age_unknown
        probe = node.join("probe")
        probe.send(reign)
        stamp = probe.outcomes[reign].stamp
        assert stamp is not None
        assert stamp > (former.core.committed.term, known, 0) or former is node


def test_ticks_that_were_not_committed_are_not_used_twice(play: Cluster) -> None:
    """A reign that ran ahead of the clock dies; whoever heard of its ticks begins above them."""
    n1 = play["n1"]
    probe = n1.join("probe")
    for seq in range(1, 300):  # faster than the clock: a Tick for each
        probe.send(seq)
    highest = n1.core.committed.tick
    assert highest > n1.core.raft.pace.clock.tick_at(n1.now().boot_ns)  # type: ignore[union-attr]
    play.kill("n1")
    n2 = play.crown("n2")
    assert accession_tick(n2) > highest


@pytest.mark.parametrize("failover_after_ms", [100, 800])
def test_a_cell_goes_on_ageing_while_no_node_reigns(play: Cluster, failover_after_ms: int) -> None:
    play["n1"].join("probe").send(1, ttl_ms=2_000)
    play.advance(failover_after_ms)
    began_ns = play.boot_ns
    play.kill("n1")
    n2 = play.crown("n2")
    assert play.boot_ns > began_ns
    elapsed_ms = failover_after_ms + (play.boot_ns - began_ns) / 1e6
    play.advance(1_980 - elapsed_ms)
    assert n2.world == {"cell/a": 1}
    play.advance(40)
    assert n2.world == {}
    assert n2.published[-1].removed == {"cell/a": "expired"}


def test_a_node_that_lost_its_power_learns_the_time_from_the_others(play: Cluster) -> None:
    play["n1"].join("probe").send(1, ttl_ms=60_000)
    play.advance(100)
    play.restart("n2", bridged=False)
    play.advance(100)
    play.kill("n1")
    n2 = play.crown("n2")
    assert not first_entry_of(n2).age_unknown
    assert n2.world == {"cell/a": 1}


def test_when_all_lost_their_power_nothing_comes_back_fresh(play: Cluster) -> None:
    probe = play["n1"].join("probe")
    probe.send(1)
    probe.send(2, topic="keep/b")
    play.advance(100)
    for name in ("n1", "n2", "n3"):
        play.kill(name)
    for name in ("n1", "n2", "n3"):
        play.start(name, bridged=False)
    n1 = play.crown("n1")
    assert first_entry_of(n1).age_unknown
    play.advance(100)
    for node in play.nodes.values():
        assert node.world == {"keep/b": 2}
        assert {"cell/a": "age_unknown"} in [x.removed for x in node.published]


# --- Strike ---------------------------------------------------------------------------------------


def test_a_king_whose_disk_fails_strikes_and_another_follows(play: Cluster) -> None:
    n1 = play["n1"]
    probe = n1.join("probe")
    probe.send(1)
    play.advance(50)
    n1.happen(ev.DiskFault("no room"))
    assert n1.status["strike"] == {"kind": "disk", "why": "no room"}
    assert n1.seen(LinkPeers)[-1].members == ()  # the others notice at once
    assert (n1.live, n1.world) == (False, {"cell/a": 1})
    probe.send(2)
    assert probe.refusals[-1][1:] == ("strike", 2)
    play.crown("n2").join("probe").send(2)
    play.advance(100)
    assert n1.world == {"cell/a": 1}  # it applies nothing any more


def test_who_is_on_strike_neither_votes_nor_answers(play: Cluster) -> None:
    n3 = play["n3"]
    n3.happen(ev.Struck("admin", "an operator says so"))
    play.kill("n2")
    play.advance(1_100)
    assert not play["n1"].core.reigns
    play.start("n2")
    play.crown("n1")
    assert n3.core.committed.index < play["n1"].core.committed.index


@pytest.mark.parametrize("kind", ["disk", "state"])
def test_only_a_strike_of_an_operator_ends_by_order(play: Cluster, kind: str) -> None:
    n2 = play["n2"]
    n2.happen(ev.Struck(kind, "why"))
    ended = n2.ask("admin.strike", end=True)
    assert ended.code == "not_possible"
    assert n2.seen(Reload) == []


def test_an_operator_strikes_a_node_and_ends_it_again(play: Cluster) -> None:
    n2 = play["n2"]
    struck = n2.ask("admin.strike", why="to look at it")
    assert (struck.item, struck.code) == (
        {"strike": {"kind": "admin", "why": "to look at it"}},
        None,
    )
    assert n2.status["strike"]["kind"] == "admin"
    ended = n2.ask("admin.strike", end=True)
    assert (ended.item, ended.code) == ({"strike": None}, None)
    (reload,) = n2.seen(Reload)
    assert reload.reason == "admin"
    play.restart("n2")
    play.advance(100)
    assert play["n2"].status["strike"] is None
    assert play["n2"].live


# --- What stands where the newest state does ------------------------------------------------------


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
