"""The latch of HELLOs and the producers' table (R32, R33): epochs, and who leaves."""

from collections.abc import Iterator

import pytest

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.effects import Note
from rmf.core.entry import Leaver, TickBooks
from rmf.testing.knobs import bounds
from tests.core.cluster import Cluster
from tests.core.kit import Playbook
from tests.core.surroundings import Producer


def books(play: Playbook) -> TickBooks:
    """The newest Tick."""
    return play.ticks[-1][1]


def epoch_of(producer: Producer) -> int:
    assert producer.epoch is not None
    return producer.epoch


def hang_up(play: Playbook, *people: Producer) -> None:
    """Their connections break."""
    play.happen(*(ev.Lost(x.connection) for x in people))


# --- Epochs (R32) -------------------------------------------------------------------------------


def test_a_new_name_begins_with_the_number_of_its_tick() -> None:
    play = Playbook()
    play.advance(5)
    assert play.join("a").epoch == play.tick


def test_each_hello_raises_the_epoch_of_a_known_name_by_one() -> None:
    """So a client can count whether somebody else speaks under its name."""
    play = Playbook()
    first = epoch_of(play.join("a"))
    play.advance(1_000)
    assert [play.join("a").epoch for _ in range(3)] == [first + 1, first + 2, first + 3]


def test_the_newer_connection_supersedes_the_older() -> None:
    play = Playbook()
    old = play.join("a")
    old.send(1)
    new = play.join("a")
    assert (old.errors, old.closed) == (["superseded"], True)
    assert (new.epoch, new.last_seq) == (epoch_of(old) + 1, 1)
    new.send(2)
    assert new.told == {2: "applied"}


def test_packets_of_a_lower_epoch_are_refused_at_the_latch() -> None:
    """R32: a zombie can't write, not even what was in the queue when the newer one came."""
    play = Playbook()
    old = play.join("a")
    play.runner.held = True
    old.send(1)
    old.send(2)
    new = play.join("a")
    play.run()
    assert old.told == {1: "applied"}
    assert old.errors[0] == "superseded"
    assert (new.epoch, new.last_seq) == (epoch_of(old) + 1, 1)


def test_a_producer_that_joins_is_judged_by_the_next_tick() -> None:
    play = Playbook()
    old = play.join("a")
    with play.together():
        play.join("a")
        old.send(1)
    assert old.told == {}
    assert old.closed


def test_of_several_hellos_of_a_name_in_one_tick_the_last_one_counts() -> None:
    """So an epoch never rises above the Tick that gave it."""
    play = Playbook()
    with play.together():
        people = [play.join("a") for _ in range(3)]
    assert [x.errors for x in people] == [["superseded"], ["superseded"], []]
    assert [x.closed for x in people] == [True, True, False]
    assert people[-1].epoch == play.tick
    assert len(books(play).registers) == 1


def test_a_forgotten_name_begins_above_every_epoch_it_ever_had() -> None:
    """H9: a zombie of before cannot write under it."""
    play = Playbook()
    people = [play.join("a", ephemeral=True) for _ in range(5)]
    zombie = people[-1]
    zombie.bye()
    back = play.join("a", ephemeral=True)
    assert back.last_seq == 0
    assert epoch_of(back) > max(map(epoch_of, people))
    zombie.send(1)
    assert zombie.errors == ["superseded"]
    assert zombie.told == {}


# --- Who comes back (R32) -----------------------------------------------------------------------


def test_who_comes_back_and_is_known_is_welcomed() -> None:
    play = Playbook()
    old = play.join("a")
    old.send(1)
    back = play.join("a", epoch=epoch_of(old))
    assert (back.epoch, back.last_seq) == (epoch_of(old) + 1, 1)


def test_who_comes_back_to_a_table_that_forgot_it_learns_it() -> None:
    """H9: its name is not made anew: it would send its packets again."""
    play = Playbook()
    old = play.join("a", ephemeral=True)
    old.bye()
    back = play.join("a", epoch=epoch_of(old))
    assert (back.errors, back.closed) == (["forgotten"], True)
    assert play.core.committed.producers.get("a") is None


def test_who_comes_back_to_a_table_that_went_back_learns_it() -> None:
    """P9: a copy of before its last HELLO was restored; the name stays as it was."""
    play = Playbook()
    old = play.join("a")
    back = play.join("a", epoch=epoch_of(old) + 1)
    assert (back.errors, back.closed) == (["forgotten"], True)
    assert not old.closed
    old.send(1)
    assert old.told == {1: "applied"}


def test_that_a_name_is_forgotten_is_said_once_it_is_committed() -> None:
    play = Playbook()
    old = play.join("a", ephemeral=True)
    play.disk.hold()
    old.bye()
    back = play.join("a", epoch=epoch_of(old))
    assert back.heard == []
    play.sync()
    assert back.errors == ["forgotten"]


@pytest.mark.parametrize("name", ["a", "new"])
def test_a_king_that_is_cut_off_says_of_no_producer_that_it_is_forgotten(name: str) -> None:
    """Another reigns, and has welcomed it since: the table of this one is only old."""
    play = Cluster()
    play["n1"].join("a").send(1)
    play.advance(50)
    play.cut("n1")
    elsewhere = play.crown("n2").join(name)
    assert play["n1"].core.reigns
    back = play["n1"].join(name, epoch=epoch_of(elsewhere))
    assert back.heard == []
    play.advance(2_000)
    assert (back.refusals, back.errors, back.closed) == ([(0, "no_reign", 0)], [], True)
    assert play["n2"].join(name, epoch=epoch_of(elsewhere)).errors == []


def test_that_a_name_is_forgotten_needs_the_commit_of_what_is_written_afterwards() -> None:
    """What is in flight is no proof: a majority may have had it before another reigned."""
    play = Playbook()
    other = play.join("other")
    play.disk.hold()
    other.send(1)
    back = play.join("a", epoch=1)
    play.sync(1)
    assert other.told == {1: "applied"}
    assert back.heard == []
    play.sync()
    assert back.errors == ["forgotten"]


def test_that_a_name_is_forgotten_is_said_by_an_idle_factory_too() -> None:
    """There is a Tick that says nothing else, and the table is as it was."""
    play = Playbook()
    other = play.join("other")
    digest = play.core.committed.digest()
    back = play.join("a", epoch=1)
    assert back.errors == ["forgotten"]
    assert (books(play).registers, books(play).leavers, books(play).frames) == ([], [], [])
    assert play.core.committed.digest() == digest
    other.send(1)
    assert other.told == {1: "applied"}


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


def test_the_bye_of_an_older_epoch_moves_no_producer_out() -> None:
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


@pytest.mark.parametrize("together", [False, True])
def test_a_name_that_is_kept_never_becomes_ephemeral(together: bool) -> None:
    """S7: one HELLO and BYE by whomever, and its packets would be applied again."""
    play = Playbook()
    if together:
        with play.together():
            play.join("a")
            stranger = play.join("a", ephemeral=True)
    else:
        play.join("a").send(1)
        stranger = play.join("a", ephemeral=True)
    assert welcome_of(stranger)["ephemeral"] is False
    stranger.bye()
    assert play.core.committed.producers.get("a") is not None


def test_an_ephemeral_name_may_come_to_stay() -> None:
    play = Playbook()
    assert welcome_of(play.join("a", ephemeral=True))["ephemeral"] is True
    stays = play.join("a")
    assert welcome_of(stays)["ephemeral"] is False
    stays.bye()
    assert play.core.committed.producers.get("a") is not None


def welcome_of(producer: Producer) -> dict[str, object]:
    (welcome,) = [x for x in producer.heard if isinstance(x, m.Welcome)]
    return welcome.facts


# --- The idle (R33) -------------------------------------------------------------------------------


WEEK_MS = limits.PRODUCER_IDLE_S_MAX * 1000
CHECK_MS = limits.PRODUCER_IDLE_CHECK_S * 1000


def test_who_was_silent_for_seven_days_and_is_not_connected_leaves() -> None:
    """R33: by an Entry; who was heard of meanwhile stays, and who is connected."""
    play = Playbook()
    idle, busy, there = play.join("idle"), play.join("busy"), play.join("there")
    hang_up(play, idle, busy)
    play.advance(WEEK_MS // 2)
    busy.send(1)
    play.advance(WEEK_MS // 2)
    play.advance(CHECK_MS)
    assert books(play).leavers == [Leaver("idle", "idle")]
    assert play.status["producers_left"] == {"bye": 0, "idle": 1, "crowded": 0}
    there.send(1)
    assert there.told == {1: "applied"}


def test_a_new_reign_forgets_no_producer_before_producers_could_come_to_it() -> None:
    play = Playbook()
    play.join("a")
    play = play.restart(after_ms=WEEK_MS + 1)
    play.advance(CHECK_MS // 2)
    play.join("a")
    play.advance(CHECK_MS)
    assert play.core.committed.producers.get("a") is not None


def test_many_leave_a_ticks_worth_at_a_time() -> None:
    with bounds({"REGISTERS_A_TICK_MAX": 2}):
        play = Playbook()
        hang_up(play, *[play.join(name) for name in "abcde"])
        play.advance(WEEK_MS + CHECK_MS)
    left = [[x.producer for x in tick.leavers] for _, tick in play.ticks if tick.leavers]
    assert left == [["a", "b"], ["c", "d"], ["e"]]


# --- The crowd (R33) ------------------------------------------------------------------------------


@pytest.fixture(name="play")
def few_places() -> Iterator[Playbook]:
    """A node whose table holds four names."""
    with bounds({"PRODUCERS_MAX": 4}):
        yield Playbook()


def fill(play: Playbook, *names: str, sent: bool = True, ephemeral: bool = False) -> None:
    """These say HELLO one after another, send a packet, and hang up."""
    for name in names:
        producer = play.join(name, ephemeral=ephemeral)
        if sent:
            producer.send(1)
        hang_up(play, producer)


def crowded_out(play: Playbook) -> list[str]:
    return [x.producer for _, tick in play.ticks for x in tick.leavers if x.reason == "crowded"]


def test_at_the_bound_the_idlest_leaves_for_a_newcomer(play: Playbook) -> None:
    """R33: a cap."""
    fill(play, "a", "b", "c", "d")
    assert crowded_out(play) == []
    newcomer = play.join("newcomer")
    assert newcomer.epoch == play.tick
    assert crowded_out(play) == ["a"]
    assert len(play.core.committed.producers.rows) == limits.PRODUCERS_MAX


def test_names_that_never_sent_a_packet_go_first_then_the_ephemeral(play: Playbook) -> None:
    """S8: a flood of HELLOs evicts itself."""
    fill(play, "kept")
    fill(play, "brief", ephemeral=True)
    fill(play, "silent-2", "silent-1", sent=False)
    fill(play, "w", "x", sent=False)
    assert crowded_out(play) == ["silent-2", "silent-1"]
    fill(play, "y")
    assert crowded_out(play)[2:] == ["w"]
    fill(play, "z")
    assert crowded_out(play)[3:] == ["x"]
    fill(play, "q")
    assert crowded_out(play)[4:] == ["brief"]


def test_a_flood_of_hellos_leaves_those_alone_that_sent_something(play: Playbook) -> None:
    fill(play, "a", "b")
    for i in range(20):
        fill(play, f"flood-{i}", sent=False)
    assert set(play.core.committed.producers.rows) >= {"a", "b"}


def test_who_is_connected_stays_while_there_is_another(play: Playbook) -> None:
    there = play.join("there")
    fill(play, "a", "b", "c", "d", "e")
    assert crowded_out(play) == ["a", "b"]
    hang_up(play, there)
    fill(play, "f")
    assert crowded_out(play) == ["a", "b", "there"]


def test_if_all_are_connected_the_idlest_learns_it_at_its_next_word(play: Playbook) -> None:
    people = [play.join(name) for name in "abcd"]
    people[0].send(1)
    play.join("newcomer")
    assert crowded_out(play) == ["b"]
    people[1].send(1)
    assert (people[1].errors, people[1].closed) == (["forgotten"], True)


def test_newcomers_in_a_crowd_each_take_a_place(play: Playbook) -> None:
    fill(play, "a", "b", "c", "d")
    with play.together():
        people = [play.join(f"new{i}") for i in range(3)]
    assert [x.producer for x in books(play).leavers] == ["a", "b", "c"]
    assert {newcomer.epoch for newcomer in people} == {play.tick}
    assert len(play.core.committed.producers.rows) == limits.PRODUCERS_MAX


def test_who_says_hello_in_a_crowd_is_not_the_one_to_leave(play: Playbook) -> None:
    """R32: what it is told of its last seq must stay true."""
    fill(play, "a", "b", "c", "d")
    with play.together():
        back, newcomer = play.join("a"), play.join("newcomer")
    assert back.last_seq == 1
    assert newcomer.epoch == play.tick
    assert crowded_out(play) == ["b"]
    assert len(play.core.committed.producers.rows) == limits.PRODUCERS_MAX


def test_of_more_newcomers_than_places_some_wait_for_the_next_tick(play: Playbook) -> None:
    with play.together():
        people = [play.join(f"new{i}") for i in range(6)]
    assert all(newcomer.epoch for newcomer in people)
    assert crowded_out(play) == ["new0", "new1"]


def test_who_hung_up_before_its_hello_was_latched_has_its_place_in_the_order(
    play: Playbook,
) -> None:
    fill(play, "a", "b", "c", "d", "e")
    play.runner.held = True
    there = play.join("a")
    there.send(1)  # on the bench: what comes now waits
    hang_up(play, play.join("quick"))
    play.runner.held = False
    play.run()
    fill(play, "f")
    assert crowded_out(play)[-1] == "quick"


def test_who_was_crowded_out_is_said(play: Playbook) -> None:
    """P10: by name where something was lost; the others are counted."""
    fill(play, "silent", sent=False)
    fill(play, "a", "b", "c", "d")
    (note,) = [x for x in play.seen(Note) if x.event == "producers_crowded_out"]
    assert (note.level, note.fields["names"], note.fields["count"]) == ("warning", "", 1)
    fill(play, "e", "f")
    assert crowded_out(play) == ["silent", "a", "b"]
    play.advance(limits.CROWDED_SAID_S * 1000)
    fill(play, "g")
    *_, note = [x for x in play.seen(Note) if x.event == "producers_crowded_out"]
    assert (note.fields["names"], note.fields["count"]) == ("a, b, c", 3)
    assert play.status["producers_left"]["crowded"] == 4
