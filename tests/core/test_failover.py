"""Exactly once across reigns: every seq has one outcome, every letter is there once, on every node
(R1, R11, R32, R33, R34, R39)."""

import pytest

from rmf.core import messages as m
from tests.core.cluster import NAMES, Cluster
from tests.core.surroundings import Producer


@pytest.fixture
def play() -> Cluster:
    return Cluster()


def hold_all_but(play: Cluster, king: str) -> None:
    """From now on nothing that this king writes is committed."""
    for name in NAMES:
        if name != king:
            play[name].disk.hold()


def one_history(play: Cluster) -> None:
    """All nodes that live have the same state, and the same letters, each once."""
    alive = [node for node in play.nodes.values() if node.alive]
    assert len({node.core.committed.index for node in alive}) == 1
    assert len({node.core.committed.digest() for node in alive}) == 1
    assert len({tuple(sorted(node.world.items())) for node in alive}) == 1
    state = alive[0].core.committed
    assert state.latched == state.applied + state.bagged


def ids(play: Cluster) -> dict[str, list[str]]:
    return {name: [letter.id for letter in node.letters] for name, node in play.nodes.items()}


def counted(play: Cluster, king: str) -> int:
    found = play[king].world["count/c"]
    assert type(found) is int
    return found


def test_what_was_acked_is_answered_from_the_table_with_its_stamp(play: Cluster) -> None:
    probe = play["n1"].join("probe")
    probe.send(1, 2, topic="count/c")
    probe.send(3, topic="poison")
    play.advance(50)
    play.kill("n1")
    again = play.crown("n2").join("probe")
    assert again.last_seq == 3
    again.send(1, 2, topic="count/c")
    again.send(3, topic="poison")
    assert again.outcomes == probe.outcomes
    assert again.duplicates == [1, 2, 3]
    assert counted(play, "n2") == 2
    assert play["n2"].status["packets"]["duplicate"] == 3


def test_what_was_on_its_way_is_applied_once_whether_or_not_its_king_lived(play: Cluster) -> None:
    """An Entry of the dead king that a majority had is committed by the next one; a resend is a
    duplicate of it."""
    probe = play["n1"].join("probe")
    probe.send(1, topic="count/c")
    hold_all_but(play, "n1")
    probe.send(2, topic="count/c")
    assert probe.told == {1: "applied"}
    latched_at = play["n1"].disk.entries[-1][1].tick
    play.kill("n1")
    play.sync("n2", "n3")
    again = play.crown("n2").join("probe")
    assert again.last_seq == 2
    again.send(2, topic="count/c")
    again.send(3, topic="count/c")
    assert again.duplicates == [2]
    stamp = again.outcomes[2].stamp
    assert stamp is not None
    assert stamp[1] == latched_at
    assert counted(play, "n2") == 3


def test_what_no_majority_had_is_applied_once_by_its_resend(play: Cluster) -> None:
    probe = play["n1"].join("probe")
    probe.send(1, topic="count/c")
    play.cut("n1")
    probe.send(2, topic="count/c")
    again = play.crown("n2").join("probe")
    assert again.last_seq == 1
    again.send(2, topic="count/c")
    assert again.told == {2: "applied"}
    assert again.duplicates == []
    play.heal("n1")
    play.advance(500)
    assert counted(play, "n1") == counted(play, "n2") == 2
    one_history(play)


def test_a_seq_that_one_king_refused_is_taken_by_the_next(play: Cluster) -> None:
    """Whoever heard `not_leader` sends the same seq elsewhere; nothing is skipped."""
    follower = play["n2"]
    refused = follower.join("probe")
    (refusal,) = [x for x in refused.heard if isinstance(x, m.Refuse)]
    assert (refusal.code, refusal.leader) == ("not_leader", "n1:7410")
    probe = play["n1"].join("probe")
    probe.send(1)
    assert probe.told == {1: "applied"}


def test_an_older_connection_is_void_in_the_next_reign(play: Cluster) -> None:
    """A king that was paused, a producer that went elsewhere, and came back to it (R32)."""
    n1 = play["n1"]
    zombie = n1.join("probe")
    zombie.send(1, topic="count/c")
    play.advance(50)
    play["n1"].ask("admin.transfer", node="n2")
    other = play.crown("n2").join("probe")
    other.send(2, topic="count/c")
    play["n2"].ask("admin.transfer", node="n1")
    play.crown("n1")
    zombie.send(2, topic="count/c")
    assert zombie.errors == ["superseded"]
    assert zombie.closed
    assert counted(play, "n1") == 2


def test_an_epoch_rises_across_reigns(play: Cluster) -> None:
    epochs = []
    for king in ("n1", "n2", "n3", "n1"):
        if not play[king].core.reigns:
            play.reigning()[0].ask("admin.transfer", node=king)
        epochs.append(play.crown(king).join("probe").epoch)
    assert epochs == [1, 2, 3, 4]


def test_a_letter_is_on_every_node_once(play: Cluster) -> None:
    probe = play["n1"].join("probe")
    probe.send(1, topic="poison")
    hold_all_but(play, "n1")
    probe.send(2, topic="poison")
    assert ids(play)["n2"] == ids(play)["n1"] != []
    play.kill("n1")
    play.sync("n2", "n3")
    again = play.crown("n2").join("probe")
    again.send(2, 3, topic="poison")
    play.advance(50)
    letters = ids(play)
    assert letters["n2"] == letters["n3"]
    assert len(set(letters["n2"])) == len(letters["n2"]) == 3
    assert [x.seq for x in play["n2"].letters] == [1, 2, 3]
    told = [again.outcomes[seq].letter or letters["n2"][0] for seq in (2, 3)]
    assert told == letters["n2"][1:]
    play.start("n1")
    play.advance(200)
    # What it applies again after its restart it tells again: the same ids, for a store that counts
    # each id once.
    assert set(ids(play)["n1"]) <= set(letters["n2"])
    assert ids(play)["n1"][-1] == letters["n2"][-1]


def test_a_letter_that_no_majority_had_is_nowhere(play: Cluster) -> None:
    probe = play["n1"].join("probe")
    play.cut("n1")
    probe.send(1, topic="poison")
    play.crown("n2")
    play.heal("n1")
    play.advance(500)
    assert ids(play) == {"n1": [], "n2": [], "n3": []}
    assert play["n2"].core.committed.bagged == 0


def test_an_expired_packet_is_bagged_once_and_a_resend_is_told_so(play: Cluster) -> None:
    """What was applied in time is not bagged when it comes again too late (R11)."""
    probe = play["n1"].join("probe")
    probe.send(1, ttl_ms=100)
    play.advance(50)
    play.kill("n1")
    again = play.crown("n2").join("probe")
    play.advance(1_000)
    again.send(1, ttl_ms=100)
    assert again.told == {1: "applied"}
    assert again.duplicates == [1]
    assert play["n2"].core.committed.bagged == 0


def test_a_fence_holds_across_reigns(play: Cluster) -> None:
    term = play["n1"].core.raft.term
    probe = play["n1"].join("probe")
    probe.send(1, fence=term)
    assert probe.told == {1: "applied"}
    play.kill("n1")
    again = play.crown("n2").join("probe")
    again.send(2, fence=term)
    again.send(3, fence=play["n2"].core.raft.term)
    assert again.told == {2: "stale_term", 3: "applied"}


@pytest.mark.parametrize("seed", range(6))
def test_through_many_reigns_every_seq_has_one_outcome(play: Cluster, seed: int) -> None:
    """Kings die, are cut off, hand over, and are back, while a producer goes on from last seq."""
    told: dict[int, object] = {}
    last = 0
    for reign in range(6):
        king = NAMES[(seed + reign) % 3]
        others = [name for name in NAMES if name != king]
        former = play.reigning()[0].name
        if former != king:
            play[former].ask("admin.transfer", node=king)
        probe: Producer = play.crown(king).join("probe")
        assert probe.last_seq is not None
        assert probe.last_seq <= last
        last = probe.last_seq
        topics = ("count/c", "poison", "count/c")
        for topic in topics:
            last += 1
            probe.send(last, topic=topic)
        hold_all_but(play, king)
        last += 1
        probe.send(last, topic="count/c")
        for seq, outcome in probe.outcomes.items():
            assert told.setdefault(seq, outcome) == outcome
        match (seed + reign) % 3:
            case 0:
                play.kill(king)
                play.sync(*others)
                play.crown(others[0])
                play.start(king)
            case 1:
                play.cut(king)
                for name in others:
                    play.restart(name)
                play.crown(others[0])
                play.heal(king)
            case _:
                play.sync(*others)
        play.advance(500)
        one_history(play)
    state = play.reigning()[0].core.committed
    row = state.producers.get("probe")
    assert row is not None
    assert state.latched == row.last_seq
    assert counted(play, play.reigning()[0].name) == state.applied
