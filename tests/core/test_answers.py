"""What the Arbiter tells of itself (R9, R34, R36): from what is committed, and no stale cell."""

from rmf.core import codec
from rmf.core import events as ev
from rmf.core import messages as m
from tests.core.kit import Playbook
from tests.core.surroundings import CLUSTER, PERIOD_NS, Producer


def asked(play: Playbook, probe: Producer, subject: str, key: str = "") -> m.Message:
    play.happen(ev.Asked(probe.connection, 7, subject, key, linearizable=True))
    return probe.heard[-1]


def test_a_welcome_names_the_node_the_cluster_and_all_limits() -> None:
    play = Playbook()
    probe = play.join("p")
    welcome = probe.heard[0]
    assert isinstance(welcome, m.Welcome)
    assert welcome.facts == {
        "version": 1,
        "node": "n1",
        "cluster": CLUSTER,
        "agent": "rmf/test",
        "term": 1,
        "tick": 3,
        "period_ns": PERIOD_NS,
        "leader": "here:1",
        "nodes": ["here:1"],
        "limits": codec.announced_limits(),
        "epoch": 3,
        "last_seq": 0,
        "ephemeral": False,
    }


def test_a_display_is_welcomed_without_epoch_and_seq() -> None:
    play = Playbook()
    effects = play.core.step([ev.Asked(1, 0, "welcome")], play.now())
    (welcome,) = [message for effect in effects for message in getattr(effect, "messages", [])]
    assert {"epoch", "last_seq"} & welcome.facts.keys() == set()


def test_who_does_not_reign_names_no_leader() -> None:
    play = Playbook()
    play.happen(ev.Struck("admin", "x"))
    effects = play.core.step([ev.Asked(1, 0, "welcome")], play.now())
    (welcome,) = [message for effect in effects for message in getattr(effect, "messages", [])]
    assert welcome.facts["leader"] is None


def test_a_pong_brings_the_token_back_with_term_and_tick() -> None:
    play = Playbook()
    probe = play.join("p")
    assert asked(play, probe, "ping") == m.Pong(7, 1, play.tick)


def test_a_pong_and_a_welcome_say_the_present_tick_though_nothing_happens() -> None:
    """So that a client can tell the age of what it holds (D2): Ticks stand still, time does not."""
    play = Playbook()
    probe = play.join("p")
    play.advance(60_000)
    pong = asked(play, probe, "ping")
    assert isinstance(pong, m.Pong)
    assert pong.tick - play.tick >= 59_000_000_000 // PERIOD_NS
    effects = play.core.step([ev.Asked(9, 0, "welcome")], play.now())
    (welcome,) = [message for effect in effects for message in getattr(effect, "messages", [])]
    assert welcome.facts["tick"] == pong.tick


def test_a_value_is_a_cell_of_what_is_committed() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send(1)
    value = asked(play, probe, "get", "cell/a")
    assert isinstance(value, m.Value)
    assert value[:5] == (7, 1, play.tick, play.core.committed.index, True)
    assert value.cell is not None
    assert (value.cell.key, value.cell.value, value.cell.producer) == ("cell/a", b"\x01", "p")
    play.disk.hold()
    probe.send(2)
    again = asked(play, probe, "get", "cell/a")
    assert again == value


def test_a_key_without_a_cell_has_none() -> None:
    play = Playbook()
    value = asked(play, play.join("p"), "get", "nowhere")
    assert isinstance(value, m.Value)
    assert value.cell is None


def test_a_cell_that_never_expires_says_so() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send(1, topic="keep/a")
    value = asked(play, probe, "get", "keep/a")
    assert isinstance(value, m.Value)
    assert value.cell is not None
    assert value.cell.expires is None


def test_a_cell_of_unknown_age_is_not_shown_though_it_is_not_yet_removed() -> None:
    """R6, R9: between the accession and the Tick that removes it."""
    play = Playbook()
    play.join("p").send(1)
    disk = play.disk.copied()
    disk.hold()
    again = Playbook(disk=disk)
    again.sync(1)
    again.sync(1)
    assert set(again.world) == {"cell/a"}
    effects = again.core.step([ev.Asked(1, 7, "get", "cell/a")], again.now())
    (value,) = [message for effect in effects for message in getattr(effect, "messages", [])]
    assert value.cell is None


def test_the_status_counts_and_the_sum_is_right() -> None:
    """R34: latched = applied + bagged."""
    play = Playbook()
    probe = play.join("p")
    probe.send(1, 2)
    probe.send(3, topic="poison")
    probe.send(3)
    play.advance(1500)
    facts = play.status
    assert facts["packets"] == {"latched": 3, "applied": 2, "bagged": 1, "duplicate": 1}
    assert facts["world"] == {"cells": 1}
    assert facts["digest"] == play.published[-1].digest
    assert facts["uptime_s"] == 1.5
    assert facts["interpreter"] == ""  # the floor says which it is, if there is one
    line = {"name": "shop", "version": 7, "digest": play.line.digest.hex()}
    assert (facts["producers"], facts["line"]) == (1, {**line, "ledger": line})
    assert (facts["line_behind"], facts["line_mismatch"]) == (False, False)
    assert facts["members"] == [
        {
            "node": "n1",
            "address": "here:1",
            "peer_address": None,
            "role": "leader",
            "match": facts["commit"],
            "voter": True,
        }
    ]


def test_the_status_tells_what_is_committed_from_what_is_proposed() -> None:
    play = Playbook()
    probe = play.join("p")
    play.disk.hold()
    probe.send(1)
    facts = play.status
    assert facts["index"] == facts["commit"] + 1
    assert facts["packets"]["latched"] == 0
    play.runner.held = True
    probe.send(2)
    probe.send(3, 4)
    assert play.status["ingest"] == {"depth": 2, "capacity": play.depth}
