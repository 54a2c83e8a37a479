"""Exactly once across reigns: every seq has one outcome, every letter is there once, on every node
(R1, R11, R32, R33, R34, R39)."""

import pytest

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.effects import Execute
from rmf.core.raft.peer_messages import VoteAsk
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
    """Raft-cases 67."""
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
    """A king that was paused, a producer that went elsewhere, and came back to it (R32,
    raft-cases 68)."""
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
        epochs.append(play.crown(king).join("probe").epoch or 0)
    assert epochs == [epochs[0] + i for i in range(4)]


def test_a_letter_is_on_every_node_once(play: Cluster) -> None:
    probe = play["n1"].join("probe")
    probe.send(1, topic="poison")
    hold_all_but(play, "n1")
    probe.send(2, topic="poison")
    play.advance(10)  # followers write first and apply then, but wait for no hung disk
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


def test_an_expired_packet_is_bagged_once_and_a_resend_learns_it(play: Cluster) -> None:
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


# --- What is not committed ------------------------------------------------------------------------


def test_what_is_not_committed_is_bounded_and_the_next_accession_fits_all_the_same(
    play: Cluster,
) -> None:
    """Raft-cases 32: while no majority writes, what comes beyond ENTRIES_IN_FLIGHT waits in the
    queue, and the edge is left waiting once that is full (R16)."""
    n1 = play["n1"]
    n1.core.sessions.queue.depth_packets_max = 10
    probe = n1.join("probe")
    hold_all_but(play, "n1")
    committed = n1.core.committed.index
    sent = limits.ENTRIES_IN_FLIGHT + 10
    for seq in range(1, sent + 1):
        assert n1.core.takes_in
        probe.send(seq, topic="count/c")
        play.advance(20)
    assert n1.core.reigns
    assert n1.core.raft.log.last.index == committed + limits.ENTRIES_IN_FLIGHT
    assert n1.core.sessions.queue.packets == 10
    assert not n1.core.takes_in
    play.advance(300)
    assert n1.core.raft.log.last.index == committed + limits.ENTRIES_IN_FLIGHT
    assert (n1.core.committed.index, probe.told) == (committed, {})
    for name in NAMES:
        play.kill(name)  # the tail is on one disk, as long as it may be
    for name in NAMES:
        play.start(name)
    again = play.crown("n1").join("probe")
    assert again.last_seq == limits.ENTRIES_IN_FLIGHT
    again.send(*range(1, sent + 1), topic="count/c")
    assert again.duplicates == list(range(1, limits.ENTRIES_IN_FLIGHT + 1))
    assert counted(play, "n1") == sent


def test_after_a_majority_is_back_what_waited_is_latched(play: Cluster) -> None:
    """Raft-cases 32: nothing that waited is lost."""
    probe = play["n1"].join("probe")
    hold_all_but(play, "n1")
    for seq in range(1, 21):
        probe.send(seq, topic="count/c")
        play.advance(10)
    play.sync("n2", "n3")
    play.advance(200)
    assert probe.told == dict.fromkeys(range(1, 21), "applied")
    assert counted(play, "n1") == 20


def test_what_a_reign_counted_in_vain_is_counted_again(play: Cluster) -> None:
    """Raft-cases 70: epochs, seqs, cells, letters and batches go on from what is committed, in the
    next reign as in the next one of the same node."""
    n1 = play["n1"]
    probe = n1.join("probe")
    probe.send(1, topic="count/c")
    play.advance(50)
    before, digest = n1.core.committed, n1.core.committed.digest()
    play.cut("n1")
    assert probe.epoch is not None
    probe.send(2, topic="count/c")
    probe.send(3, topic="poison")
    n1.join("probe")
    n1.join("newcomer")
    n1.join("newcomer")
    assert n1.core.raft.log.last.index > before.index
    n2 = play.crown("n2")
    play.advance(1_000)
    assert (n1.core.reigns, n1.core.committed, n1.core.committed.digest()) == (
        False,
        before,
        digest,
    )
    began = len(n2.seen(Execute))
    newcomer = n2.join("newcomer")
    assert newcomer.epoch is not None
    again = n2.join("probe")
    assert (again.epoch, again.last_seq) == (probe.epoch + 1, 1)
    again.send(2, topic="count/c")
    assert again.told == {2: "applied"}
    assert (
        n2.seen(Execute)[began].batch.number & 0xFFFF <= 4
    )  # HELLOs, and nothing of another reign
    play.heal("n1")
    play.advance(500)
    one_history(play)
    assert counted(play, "n1") == 2
    n2.ask("admin.transfer", node="n1")
    began = len(n1.seen(Execute))
    third = play.crown("n1").join("probe")
    assert (third.epoch, third.last_seq) == (probe.epoch + 2, 2)
    assert n1.join("newcomer").epoch == newcomer.epoch + 1
    third.send(3, topic="poison")
    assert third.told == {3: "handler_error"}
    assert n1.core.committed.bagged == 1
    assert n1.seen(Execute)[began].batch.number & 0xFFFF <= 3
    play.advance(50)
    one_history(play)


# --- A node that was cut off ----------------------------------------------------------------------


@pytest.mark.parametrize("away_ms", [250, 5_000])
def test_a_node_that_asked_for_votes_while_cut_off_interrupts_no_producer(
    play: Cluster, away_ms: int
) -> None:
    """Raft-cases 69: it asked only whether it would get votes, so its term is what it was."""
    n1, n3 = play["n1"], play["n3"]
    probe = n1.join("probe")
    term = n1.core.raft.term
    play.cut("n3")
    play.advance(away_ms)
    probe.send(1, topic="count/c")
    play.heal("n3")
    for seq in range(2, 52):
        probe.send(seq, topic="count/c")
        assert probe.told[seq] == "applied"  # at once, each of them
        play.advance(10)
    assert (n1.core.reigns, n1.core.raft.term, n3.core.raft.term) == (True, term, term)
    assert [x for x in probe.heard if isinstance(x, m.Refuse | m.Goaway | m.Error)] == []
    one_history(play)


def test_a_node_in_a_higher_term_that_was_cut_off_locks_no_producer_out(play: Cluster) -> None:
    """Raft-cases 69: it promised its vote in a far term to somebody who was not heard any more; the
    next election takes the others there, and the producer goes on from its last seq."""
    n1, n3 = play["n1"], play["n3"]
    probe = n1.join("probe")
    probe.send(1, topic="count/c")
    play.advance(50)
    play.cut("n3")
    play.advance(1_000)
    last, far = n3.core.raft.log.last, n3.core.raft.term + 7
    n3.happen(ev.Heard("n2", VoteAsk(far, last.index, last.term, False, False)))
    assert n3.core.raft.term == far
    probe.send(2, topic="count/c")
    assert probe.told == {1: "applied", 2: "applied"}
    play.heal("n3")
    play.advance(1_000)
    (king,) = play.reigning()
    assert king.core.raft.term > far
    assert {node.core.raft.term for node in play.nodes.values()} == {king.core.raft.term}
    again = king.join("probe")
    assert again.last_seq == 2
    again.send(2, 3, topic="count/c")
    assert (again.told, again.duplicates) == ({2: "applied", 3: "applied"}, [2])
    play.advance(1_000)
    assert king.core.reigns  # for good
    one_history(play)
    assert counted(play, king.name) == 3


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
