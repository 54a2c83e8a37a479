"""The Arbiter (R2, R25, R32, R33): what it lets out, and when."""

import cbor2
import pytest

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.effects import (
    Close,
    Effect,
    Execute,
    Note,
    Persist,
    Publish,
    StoreLetters,
    WriteCheckpoint,
)
from rmf.core.state import state_of
from rmf.core.world import KeyIndex
from tests.core.kit import Playbook
from tests.core.surroundings import BOOT_NS, Disk, row_of


def kinds(effects: list[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects if not isinstance(effect, Note)]


# --- Durability (R2) --------------------------------------------------------------------------


def test_nothing_leaves_before_it_is_on_the_disk() -> None:
    play = Playbook()
    probe = play.join("p")
    play.disk.hold()
    since = len(play.effects)
    probe.send_rows([row_of(1), row_of(2, topic="poison")])
    assert kinds(play.effects[since:]) == ["Execute", "Persist"]
    play.sync()
    assert kinds(play.effects[since:]) == [
        "Execute",
        "Persist",
        "Answer",
        "StoreLetters",
        "Publish",
    ]
    assert probe.told == {1: "applied", 2: "handler_error"}


def test_entries_are_let_out_one_by_one_as_the_disk_has_them() -> None:
    play = Playbook()
    probe = play.join("p")
    play.disk.hold()
    for seq in (1, 2, 3):
        probe.send(seq)
    for seq in (1, 2, 3):
        assert set(probe.told) == set(range(1, seq))
        play.sync(1)
        assert play.world == {"cell/a": seq}
    assert set(probe.told) == {1, 2, 3}


def test_one_fsync_lets_out_all_it_covers_in_order() -> None:
    play = Playbook()
    probe = play.join("p")
    play.disk.hold()
    for seq in (1, 2, 3):
        probe.send(seq)
    events = [play.disk.write_one(0) for _ in range(3)]
    effects = play.core.step([events[-1]], play.now())
    indexes = [effect.index for effect in effects if isinstance(effect, Publish)]
    assert indexes == sorted(indexes)
    assert len(indexes) == 3


def test_the_vote_is_durable_before_anything_is_proposed() -> None:
    play = Playbook(disk=Disk.that_holds_back())
    assert kinds(play.effects) == ["LinkPeers", "Persist"]
    assert play.core.raft.role == "candidate"
    play.sync(1)
    assert play.core.raft.role == "leader"
    kinds_then = ["LinkPeers", "Persist", "LinkPeers", "Persist", "Persist"]
    assert kinds(play.effects) == kinds_then  # Genesis names the same members as an Entry does
    assert play.published == []
    play.sync()
    assert play.published[-1].live


def test_a_welcome_follows_the_commit_of_its_epoch() -> None:
    """R32."""
    play = Playbook()
    play.disk.hold()
    probe = play.join("p")
    assert probe.heard == []
    play.sync()
    assert (probe.epoch, probe.last_seq) == (play.tick, 0)


def test_acks_of_one_connection_come_in_one_message_a_tick() -> None:
    play = Playbook()
    probe = play.join("p")
    with play.together():
        probe.send(1, 2)
        probe.send(3)
    acks = [message for message in probe.heard if isinstance(message, m.Ack)]
    assert [[run.seq for run in ack.runs] for ack in acks] == [[1, 3]]


def test_an_ack_names_the_stamp_and_the_letter() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send_rows([row_of(1), row_of(2, topic="poison"), row_of(3)])
    tick = play.tick
    letter = f"1.{tick}.1"
    ack = probe.heard[-1]
    assert isinstance(ack, m.Ack)
    assert ack.runs == [
        m.Run(1, 1, m.APPLIED, False, 1, tick, 0, None, None),
        m.Run(2, 1, m.BAGGED, False, 1, tick, 1, "handler_error", letter),
        m.Run(3, 1, m.APPLIED, False, 1, tick, 2, None, None),
    ]
    assert [letter.id for letter in play.letters] == [letter]


# --- Producers (R32) ---------------------------------------------------------------------------


def test_a_connection_that_was_lost_receives_nothing_more() -> None:
    play = Playbook()
    old = play.join("p")
    play.happen(ev.Lost(old.connection))
    play.join("p")
    assert play.seen(Close) == []


def test_a_connection_lost_before_its_welcome_leaves_nothing_behind() -> None:
    play = Playbook()
    play.disk.hold()
    gone = play.join("p")
    play.happen(ev.Lost(gone.connection))
    play.sync()
    assert gone.heard == []
    assert play.join("p").epoch is None
    play.sync()
    assert play.seen(Close) == []
    assert play.core.committed.producers.get("p") is not None


def test_a_producer_that_is_back_goes_on_after_its_last_seq() -> None:
    play = Playbook()
    first = play.join("p")
    first.send(1, 2, 3)
    back = play.restart().join("p")
    assert first.epoch is not None
    assert (back.epoch, back.last_seq) == (first.epoch + 1, 3)
    back.send(2, 3, 4)
    assert back.told == {2: "applied", 3: "applied", 4: "applied"}
    assert back.duplicates == [2, 3]


def test_the_hello_of_a_newer_connection_includes_what_the_older_one_has_in_flight() -> None:
    play = Playbook()
    old = play.join("p")
    play.disk.hold()
    old.send(1, 2)
    new = play.join("p")
    play.sync()
    assert old.told == {1: "applied", 2: "applied"}
    assert old.epoch is not None
    assert (new.epoch, new.last_seq) == (old.epoch + 1, 2)


def test_what_was_resent_too_late_is_unknown_and_not_applied_again() -> None:
    """R33: beyond the announced window."""
    play = Playbook()
    probe = play.join("p")
    for seq in range(1, limits.OUTCOME_RUNS_KEPT + 2):
        probe.send(seq, topic="count/x")
        play.advance(1)
    back = play.join("p")
    back.send(1, 2, topic="count/x")
    assert back.told == {1: "unknown", 2: "applied"}
    assert play.world == {"count/x": limits.OUTCOME_RUNS_KEPT + 1}


# --- Checkpoints (R25) --------------------------------------------------------------------------


def test_a_checkpoint_holds_what_is_committed_and_where_it_stands() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send(1, 2)
    committed = play.core.committed
    play.disk.hold()
    probe.send(3)
    play.happen(ev.CheckpointAsked())
    (wish,) = play.seen(WriteCheckpoint)
    head = cbor2.loads(cbor2.dumps(wish.head))
    assert (wish.index, head["index"], head["digest"]) == (
        committed.index,
        committed.index,
        committed.digest(),
    )
    last = play.disk.entries[-1][0]
    assert (head["chain"], head["serial"]) == (last.chain, len(play.disk.records))
    assert head["clock"] == [1, BOOT_NS]
    restored = state_of(head, wish.producers, dict(wish.world.cells.items()))
    assert restored.digest() == committed.digest()


def test_letters_up_to_a_checkpoint_are_on_their_way_before_it() -> None:
    """R39: the DLQ's cursor may follow, and unpins the ledger."""
    play = Playbook()
    play.join("p").send(1)
    play.happen(ev.CheckpointAsked())
    stored, wish = [
        effect for effect in play.effects if isinstance(effect, (StoreLetters, WriteCheckpoint))
    ][-2:]
    assert isinstance(stored, StoreLetters)
    assert (stored.index, stored.letters) == (wish.index, [])


def test_there_is_one_checkpoint_at_a_time() -> None:
    play = Playbook()
    play.happen(ev.CheckpointAsked(), ev.CheckpointAsked())
    play.happen(ev.CheckpointAsked())
    (wish,) = play.seen(WriteCheckpoint)
    play.happen(ev.CheckpointEnded(wish.index - 1, None))  # of a core that ended
    assert len(play.seen(WriteCheckpoint)) == 1
    play.happen(ev.CheckpointEnded(wish.index, None))
    play.join("p")
    assert len(play.seen(WriteCheckpoint)) == 2


def test_no_checkpoint_is_asked_for_without_a_reign() -> None:
    play = Playbook(disk=Disk.that_holds_back())
    play.happen(ev.CheckpointAsked())
    assert play.seen(WriteCheckpoint) == []


@pytest.mark.slow
def test_so_much_ledger_asks_for_a_checkpoint() -> None:
    """CHECKPOINT_LEDGER_BYTES. The core alone: a Playbook would remember all of it."""
    play = Playbook()
    probe = play.join("p")
    assert probe.epoch is not None
    core, frame, asked = play.core, bytes(limits.FRAME_BYTES_MAX), []
    enough = limits.CHECKPOINT_LEDGER_BYTES // len(frame)
    for seq in range(1, enough + 3):
        play.boot_ns += limits.MS
        offered = ev.Offered(1, "p", probe.epoch, frame, [row_of(seq)], 0, {}, play.boot_ns)
        (execute,) = core.step([offered], play.now())
        assert isinstance(execute, Execute)
        done = ev.Executed(execute.batch.number, 1, [], b"\x80", [])
        (persist,) = core.step([done], play.now())
        assert isinstance(persist, Persist)
        effects = core.step([ev.Persisted(persist.ticket, persist.ticket)], play.now())
        for wish in (effect for effect in effects if isinstance(effect, WriteCheckpoint)):
            asked.append(seq)
            core.step([ev.CheckpointEnded(wish.index, None)], play.now())
    assert asked == [enough]


# --- Keys that are gone (R45) ---------------------------------------------------------------------


def with_keys_held(count: int) -> tuple[Playbook, KeyIndex, int]:
    """So many keys are removed that somebody still reads; the pin is returned."""
    play = Playbook()
    probe = play.join("p")
    keys = [f"cell/{i}" for i in range(count)]
    for seq, key in enumerate(keys, 1):
        probe.send(seq, topic=key)
    index = play.core.committed.world.index
    pin = index.pin()
    probe.send(count + 1, topic="remove", payload=keys)
    probe.send(count + 2, topic="cell/left")
    play.advance(3_000)
    assert len(index) > count
    assert not play.core.has_more  # what is held is nothing to work on
    return play, index, pin


def test_keys_that_a_checkpoint_held_are_forgotten_after_it_though_nothing_goes_any_more() -> None:
    play, index, pin = with_keys_held(5 * limits.INDEX_SLICE_KEYS)
    index.unpin(pin)
    assert len(index) > 4 * limits.INDEX_SLICE_KEYS  # not in one piece
    play.happen(ev.CheckpointEnded(1, None))
    assert list(index.walk()) == ["cell/left"]


def test_keys_that_any_reader_held_are_forgotten_at_rest() -> None:
    """A display that has read its picture tells the core nothing."""
    play, index, pin = with_keys_held(5 * limits.INDEX_SLICE_KEYS)
    index.unpin(pin)
    play.advance(limits.INDEX_LOOK_NS / limits.MS)
    assert list(index.walk()) == ["cell/left"]
    assert play.core.settled.next_due_ns() is None  # nor does it look again


def test_no_step_forgets_more_than_a_slice_of_keys() -> None:
    play, index, pin = with_keys_held(5 * limits.INDEX_SLICE_KEYS)
    index.unpin(pin)
    before = len(index)
    play.core.step([ev.Beat()], play.now())
    assert len(index) == before - limits.INDEX_SLICE_KEYS
    assert play.core.has_more
