"""Shelf lives in a reign (R6, R9, R11): expiries by Entries, ages over a restart or a power cut."""

import pytest

from rmf import limits
from rmf.core.effects import Note
from rmf.core.entry import Accession, Expiry
from rmf.core.record import ENTRY
from tests.core.kit import Playbook
from tests.core.surroundings import BOOT_NS, PERIOD_NS, replay, row_of

# --- Expiries (R9) -----------------------------------------------------------------------------


def test_an_expiry_makes_an_entry_even_if_nothing_arrives() -> None:
    play = Playbook()
    play.join("p").send(1, topic="cell/a", ttl_ms=5)
    born = play.tick
    assert play.core.next_due_ns() == BOOT_NS + (born - 1 + 50) * PERIOD_NS
    play.advance(6)
    entry, books = play.ticks[-1]
    assert (entry.tick, books.frames) == (born + 50, [])
    assert books.expiries == [Expiry("cell/a", "expired", None)]
    assert play.published[-1].removed == {"cell/a": "expired"}
    assert play.world == {}


def test_the_line_hears_of_an_expiry_in_a_slot_of_its_own() -> None:
    play = Playbook()
    play.join("p").send(1, topic="cell/loud/a", ttl_ms=5, payload="x")
    play.advance(6)
    _, books = play.ticks[-1]
    assert books.expiries == [Expiry("cell/loud/a", "expired", 0)]
    assert play.world == {"lost/cell/loud/a": ["x", "expired"]}
    cell = play.core.committed.world.get("lost/cell/loud/a")
    assert cell is not None
    assert (cell.producer, cell.slot, cell.expires) == ("line:shop", 0, 0)


def test_a_handler_that_fails_does_not_keep_the_cell() -> None:
    play = Playbook()
    play.join("p").send(1, topic="cell/cursed/a", ttl_ms=5)
    play.advance(6)
    assert play.world == {}
    assert [letter.reason for letter in play.letters] == ["handler_error"]
    assert play.facts["packets"]["bagged"] == 0


def test_expiries_come_first_in_a_tick_by_expiry_and_key() -> None:
    """R11; and the packets of the Tick do not see the stale cells any more."""
    play = Playbook()
    probe = play.join("p")
    probe.send(1, topic="cell/loud/c", ttl_ms=5)
    probe.send(2, topic="cell/loud/b", ttl_ms=6)
    with play.together():
        probe.send(3, topic="cell/loud/d", ttl_ms=5)
        probe.send(4, topic="cell/loud/a", ttl_ms=5)
    play.boot_ns += 10 * limits.MS
    probe.send(5, topic="see", payload="cell/loud/a")
    _, books = play.ticks[-1]
    assert [expiry.key[-1] for expiry in books.expiries] == ["c", "a", "d", "b"]
    assert [expiry.slot for expiry in books.expiries] == [0, 1, 2, 3]
    assert books.frames[0].first_slot == 4
    assert play.world["seen"] == "nothing"


def test_a_cell_written_again_in_time_does_not_expire() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send(1, ttl_ms=5)
    play.advance(4)
    probe.send(2, ttl_ms=50)
    play.advance(6)
    assert play.world == {"cell/a": 2}
    play.advance(50)
    assert play.world == {}


def test_a_cell_written_again_with_a_shorter_life_expires_by_that() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send(1, ttl_ms=500)
    probe.send(2, ttl_ms=5)
    play.advance(6)
    assert play.world == {}
    play.advance(600)
    assert [len(books.expiries) for _, books in play.ticks].count(1) == 1


def fill(play: Playbook, cells: int) -> None:
    """So many cells with a shelf life of 500 ms, made in a few Ticks."""
    filler = play.join("filler")
    step = limits.TICK_PACKETS_MAX
    for first in range(1, cells + 1, step):
        seqs = range(first, min(first + step, cells + 1))
        rows = [row_of(seq, topic=f"cell/{seq:05}", ttl_ms=500, payload=0) for seq in seqs]
        filler.send_rows(rows)


@pytest.mark.slow
def test_more_than_ten_thousand_expiries_take_several_ticks_before_any_packet() -> None:
    """R43, R11."""
    play = Playbook()
    fill(play, 12_000)
    probe = play.join("p")
    play.boot_ns += 600 * limits.MS
    before = len(play.ticks)
    probe.send(1, topic="keep/x")
    counts = [(len(books.expiries), len(books.frames)) for _, books in play.ticks[before:]]
    assert counts == [(10_000, 0), (2_000, 1)]
    assert play.world == {"keep/x": 1}
    assert replay(play.disk).state.digest() == play.published[-1].digest


# --- Restart: bridged or not (R6) ---------------------------------------------------------------


def with_cells() -> Playbook:
    play = Playbook()
    probe = play.join("p")
    probe.send(1, topic="cell/a", ttl_ms=5000)
    probe.send(2, topic="cell/loud/b", ttl_ms=5000)
    probe.send(3, topic="keep/c")
    return play


def test_a_restart_that_is_bridged_counts_the_time_it_took() -> None:
    play = with_cells()
    again = play.restart(after_ms=4000)
    assert again.tick - play.tick == 4000 * 10
    assert set(again.world) == {"cell/a", "cell/loud/b", "keep/c"}
    again.advance(1001)
    assert set(again.world) == {"keep/c", "lost/cell/loud/b"}


def test_what_went_stale_while_the_node_was_down_goes_at_once() -> None:
    again = with_cells().restart(after_ms=6000)
    assert set(again.world) == {"keep/c", "lost/cell/loud/b"}
    assert again.world["lost/cell/loud/b"] == [2, "expired"]


def test_where_nobody_can_bridge_every_age_is_unknown() -> None:
    """R6: nothing comes back fresh that may be old, not even for one packet."""
    play = with_cells()
    play.disk.hold()
    again = play.restart(bridged=False)
    assert [note.fields["age_unknown"] for note in again.seen(Note)] == [True]
    accession, tick = (entry.books for _, entry in again.disk.entries[-2:])
    assert isinstance(accession, Accession)
    assert accession.age_unknown
    assert tick == again.ticks[-1][1]
    assert again.ticks[-1][1].expiries == [
        Expiry("cell/a", "age_unknown", None),
        Expiry("cell/loud/b", "age_unknown", 0),
    ]
    assert again.world["lost/cell/loud/b"] == [2, "age_unknown"]


@pytest.mark.slow
def test_all_of_unknown_age_goes_before_the_first_packet() -> None:
    play = Playbook()
    fill(play, 12_000)
    again = play.restart(bridged=False)
    probe = again.join("p")
    probe.send(1, topic="see", payload="cell/00001")
    assert again.world == {"seen": "nothing"}
    counts = [len(books.expiries) for _, books in again.ticks if books.expiries]
    assert counts == [10_000, 2_000]


def test_a_crash_amid_the_removal_of_what_is_too_old_forgets_nothing_of_it() -> None:
    """The accession is durable, the removals are not; the next start is bridged."""
    play = with_cells().restart(bridged=False)
    records = [x for x in play.disk.durable if x[0].kind == ENTRY]
    at = max(i for i, x in enumerate(play.disk.durable) if x is records[-2])
    del play.disk.durable[at + 1 :]
    again = play.restart()
    assert set(again.world) == {"keep/c", "lost/cell/loud/b"}
    assert again.world["lost/cell/loud/b"] == [2, "age_unknown"]


def test_without_cells_that_can_expire_there_is_nothing_unknown() -> None:
    play = Playbook()
    play.join("p").send(1, topic="keep/c")
    again = play.restart(bridged=False)
    assert [note.fields["age_unknown"] for note in again.seen(Note)] == [False]
