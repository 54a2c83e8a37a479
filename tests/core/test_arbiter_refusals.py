"""When the Arbiter refuses (R16 to R18, R38): no reign, a full queue, a disk that fails, a stop."""

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.arbiter import NodeIdentity
from rmf.core.effects import (
    Answer,
    Effect,
    Note,
    Publish,
)
from rmf.core.entry import LineId
from rmf.testing.drifting_clock import WALL_NS
from tests.core.kit import Playbook
from tests.core.surroundings import BOOT_NS, Disk, Producer, core_of, row_of, shop


def kinds(effects: list[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects if not isinstance(effect, Note)]


# --- Before the reign, and the way in (R16, R17, R38) ---------------------------------------


def test_without_a_reign_nothing_is_taken_in() -> None:
    """R17: `no_reign` ends by itself."""
    play = Playbook(disk=Disk.that_holds_back())
    probe = play.join("p")
    assert probe.refusals == [(0, "no_reign", 0)]
    assert probe.closed
    assert play.status["strike"]["kind"] == "no_reign"
    play.sync()  # the vote
    assert play.status["strike"]["kind"] == "no_reign"
    play.sync()  # the first Entries of the reign: only now it is known what was acked before
    assert play.status["strike"] is None
    assert play.join("p").closed is False


def test_a_node_without_a_cluster_says_what_it_waits_for() -> None:
    """R29: for people who look at its status."""
    play = Playbook(disk=Disk.that_holds_back())
    play.core.step([ev.Unfounded("no answer yet from n3")], play.now())
    assert play.status["strike"] == {"kind": "no_reign", "why": "no answer yet from n3"}


def test_an_offer_without_a_reign_is_refused_and_the_expected_seq_named() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send(1, 2)
    probe.send(3)  # its record says that the two before it are committed
    disk = play.disk.copied()
    disk.hold()
    waiting = Playbook(disk=disk)
    offered = ev.Offered(9, "p", 1, b"", [row_of(7)], 0, {}, BOOT_NS)
    (answer,) = waiting.core.step([offered], waiting.now())
    assert isinstance(answer, Answer)
    (refusal,) = answer.messages
    assert isinstance(refusal, m.Refuse)
    assert (refusal.seq, refusal.code, refusal.expected) == (7, "no_reign", 3)


def test_a_full_queue_makes_the_edge_wait_and_refuses_nothing() -> None:
    """R16."""
    play = Playbook(depth=3)
    probe = play.join("p")
    play.runner.held = True
    waits = [play.core.takes_in]
    probe.send(1)
    probe.send(2, 3, 4)
    waits.append(play.core.takes_in)
    play.run()
    waits.append(play.core.takes_in)
    assert waits == [True, False, True]
    play.run()
    assert set(probe.told) == {1, 2, 3, 4}
    assert probe.refusals == []


def test_a_disk_at_its_hard_mark_is_busy_for_packets_only() -> None:
    """R38: expiries go on, HELLOs too."""
    play = Playbook()
    probe = play.join("p")
    probe.send(1, ttl_ms=5)
    play.happen(ev.DiskMark("hard", 7))
    probe.send(2)
    assert probe.refusals == [(2, "busy", 2)]
    play.advance(6)
    assert play.world == {}
    assert play.join("q").epoch == play.tick
    assert play.status["disk"] == "hard"
    play.happen(ev.DiskMark("soft", 7))
    probe.send(3)
    assert probe.refusals[1:] == [(3, "seq_gap", 2)]
    probe.send(2)
    assert probe.told == {1: "applied", 2: "applied"}


def test_letters_that_are_not_stored_stop_the_latch_and_no_packet_is_lost() -> None:
    """R38: the DLQ is never dropped from; LETTERS_IN_FLIGHT_MAX."""
    play = Playbook()
    play.dlq.held = True
    probe = play.join("p")
    tick, most = limits.TICK_PACKETS_MAX, 2 * limits.TICK_PACKETS_MAX
    probe.send(*range(1, tick + 1), topic="poison")
    probe.send(*range(tick + 1, most + 1), topic="poison")
    probe.send(most + 1)
    assert len(probe.told) == most
    assert play.core.next_due_ns() == BOOT_NS + limits.ELECTION_NS_MAX  # to be live no more
    play.happen(ev.LettersStored(most, play.published[-1].index, {"letters": most}))
    assert probe.told[most + 1] == "applied"
    assert play.status["dlq"] == {"letters": most}


# --- Strike (R17) -----------------------------------------------------------------------------


def struck(event: ev.Event) -> tuple[Playbook, Producer]:
    """A node with one Entry in flight and one packet in the queue, that is struck."""
    play = Playbook()
    probe, other = play.join("p"), play.join("o")
    probe.send(1)
    play.disk.hold()
    probe.send(2)
    play.runner.held = True
    other.send(1)
    probe.send(3)
    play.happen(event)
    return play, probe


def test_a_disk_fault_is_a_strike_and_nothing_is_acked_after_it() -> None:
    play, probe = struck(ev.DiskFault("fsync: Input/output error"))
    assert probe.refusals == [(2, "strike", 2), (3, "strike", 2)]  # nobody waits in vain
    play.sync()
    play.run()
    assert probe.told == {1: "applied"}
    assert not play.core.reigns
    assert play.status["strike"] == {"kind": "disk", "why": "fsync: Input/output error"}
    assert (play.status["role"], play.status["leader"]) == ("follower", None)
    assert play.core.next_due_ns() is None


def test_the_last_picture_of_a_strike_is_stale_and_what_was_committed() -> None:
    play, _ = struck(ev.DiskFault("no space"))
    newest = play.published[-1]
    assert newest.live is False
    assert play.world == {"cell/a": 1}
    assert (newest.changed, newest.removed) == (frozenset(), {})


def test_a_disk_that_fails_twice_strikes_once() -> None:
    play, _ = struck(ev.DiskFault("first"))
    play.happen(ev.DiskFault("second"), ev.Struck("state", "third"))
    assert play.status["strike"]["why"] == "first"
    assert [note.event for note in play.seen(Note)].count("strike") == 1


def test_a_node_on_strike_refuses_and_keeps_answering() -> None:
    play, probe = struck(ev.Struck("admin", "maintenance"))
    late = play.join("late")
    assert late.refusals == [(0, "strike", 0)]
    assert late.closed
    probe.send(2)
    assert probe.refusals[-1] == (2, "strike", 2)
    refusal = probe.heard[-1]
    assert isinstance(refusal, m.Refuse)
    assert refusal.text == "maintenance"
    play.happen(ev.Asked(probe.connection, 5, "get", "cell/a"))
    value = probe.heard[-1]
    assert isinstance(value, m.Value)
    assert (value.live, value.cell is not None) == (False, True)


def test_a_strike_before_the_reign_lets_none_begin() -> None:
    play = Playbook(disk=Disk.that_holds_back())
    play.happen(ev.Struck("state", "diverged"))
    play.sync()
    assert not play.core.reigns


def test_what_is_acked_survives_a_strike() -> None:
    play, _ = struck(ev.DiskFault("fsync"))
    again = play.restart()
    assert again.world == {"cell/a": 1}
    assert again.join("p").last_seq == 1


def test_a_node_that_starts_on_strike_shows_what_it_has() -> None:
    line = LineId("shop", 7, b"")
    identity = NodeIdentity("n1", b"i", line, 100_000, "here:1", "rmf/test")
    core = core_of(Playbook().disk, identity, shop(), bridged=False)
    core.strike_for("state", "a digest differs")
    effects = core.start(ev.Now(BOOT_NS, WALL_NS))
    assert kinds(effects) == ["Publish"]
    assert isinstance(effects[0], Publish)
    assert not effects[0].live
