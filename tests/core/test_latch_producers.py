"""The latch and the producers' table (R32, R33): epochs, and who leaves."""

import pytest

from rmf import limits
from rmf.core.entry import Leaver, TickBooks
from rmf.core.events import Joined
from tests.core.kit import Playbook


def books(play: Playbook) -> TickBooks:
    """The newest Tick."""
    return play.ticks[-1][1]


# --- Epochs (R32) -------------------------------------------------------------------------------


def test_the_newer_connection_supersedes_the_older() -> None:
    play = Playbook()
    old = play.join("a")
    old.send(1)
    new = play.join("a")
    assert (old.errors, old.closed) == (["superseded"], True)
    assert (new.epoch, new.last_seq) == (2, 1)
    new.send(2)
    assert new.told == {2: "applied"}


def test_packets_of_a_lower_epoch_are_refused_at_the_latch() -> None:
    """R32: a zombie can't write, not even what was in the queue when the newer one came."""
    play = Playbook()
    old = play.join("a")
    play.bench_held = True
    old.send(1)
    old.send(2)
    new = play.join("a")
    play.run()
    assert old.told == {1: "applied"}
    assert old.errors[0] == "superseded"
    assert (new.epoch, new.last_seq) == (2, 1)


def test_a_producer_that_joins_is_judged_by_the_next_tick() -> None:
    play = Playbook()
    old = play.join("a")
    with play.together():
        play.join("a")
        old.send(1)
    assert old.told == {}
    assert old.closed


def test_two_hellos_in_one_tick_are_two_epochs() -> None:
    play = Playbook()
    with play.together():
        one, two = play.join("a"), play.join("a")
    assert (one.epoch, two.epoch) == (1, 2)
    assert (one.closed, two.closed) == (True, False)


# --- Leaving (R33) --------------------------------------------------------------------------------


def test_an_ephemeral_producer_leaves_the_table_with_bye() -> None:
    play = Playbook()
    a = play.join("a", ephemeral=True)
    with play.together():
        a.send(1)
        a.bye()
    assert a.told == {1: "applied"}
    assert books(play).leavers == [Leaver("a", "bye")]
    assert play.core.committed.producers.get("a") is None


def test_a_producer_with_a_name_stays_in_the_table() -> None:
    play = Playbook()
    a = play.join("a")
    a.send(1)
    a.bye()
    assert play.join("a").last_seq == 1


def test_the_bye_of_an_older_epoch_moves_nobody_out() -> None:
    play = Playbook()
    old = play.join("a", ephemeral=True)
    play.join("a", ephemeral=True)
    old.bye()
    assert play.core.committed.producers.get("a") is not None


def test_who_left_the_table_must_say_hello_again() -> None:
    play = Playbook()
    a = play.join("a", ephemeral=True)
    a.bye()
    a.send(1)
    assert (a.errors, a.closed) == (["forgotten"], True)


def test_who_was_silent_for_seven_days_leaves() -> None:
    """R33: by an Entry; who was heard of meanwhile stays."""
    play = Playbook()
    idle, busy = play.join("idle"), play.join("busy")
    play.advance(limits.PRODUCER_IDLE_S_MAX * 500)
    busy.send(1)
    play.advance(limits.PRODUCER_IDLE_S_MAX * 500)
    play.advance(limits.PRODUCER_IDLE_CHECK_S * 1000)
    assert books(play).leavers == [Leaver("idle", "idle")]
    idle.send(1)
    assert idle.errors == ["forgotten"]
    busy.send(2)
    assert busy.told == {1: "applied", 2: "applied"}


@pytest.fixture(name="crowd", scope="module")
def crowded() -> Playbook:
    """A node whose producers' table is full; p00000 was silent longest, then p00001."""
    play = Playbook()
    with play.together():
        for i in range(limits.PRODUCERS_MAX):
            play.happen(Joined(0, f"p{i:05}", "", ephemeral=False))
    return play


def in_a_copy(play: Playbook) -> Playbook:
    return play.restart()


def test_at_the_bound_the_idlest_leaves_for_a_newcomer(crowd: Playbook) -> None:
    """R33: a cap."""
    play = in_a_copy(crowd)
    newcomer = play.join("newcomer")
    assert newcomer.epoch == 1
    assert books(play).leavers == [Leaver("p00000", "crowded")]
    assert len(play.core.committed.producers.rows) == limits.PRODUCERS_MAX


def test_newcomers_in_a_crowd_come_one_a_tick(crowd: Playbook) -> None:
    play = in_a_copy(crowd)
    with play.together():
        people = [play.join(f"new{i}") for i in range(3)]
    assert [x.leavers for _, x in play.ticks[-3:]] == [
        [Leaver(f"p0000{i}", "crowded")] for i in range(3)
    ]
    assert [newcomer.epoch for newcomer in people] == [1, 1, 1]


def test_who_says_hello_in_a_crowd_is_not_the_one_to_leave(crowd: Playbook) -> None:
    """R32: what it is told of its last seq must stay true."""
    play = in_a_copy(crowd)
    with play.together():
        back, newcomer = play.join("p00000"), play.join("newcomer")
    assert (back.epoch, newcomer.epoch) == (2, 1)
    assert [x for _, tick in play.ticks for x in tick.leavers] == [Leaver("p00001", "crowded")]
    assert len(play.core.committed.producers.rows) == limits.PRODUCERS_MAX
