"""The replicated state (R1, R26): every node makes the same of an Entry, and a digest says so."""

import math
from collections.abc import Callable
from random import Random
from typing import Any

import attrs
import cbor2
import pytest
from hypothesis import Phase, find, given, settings

from rmf import limits
from rmf.core.entry import (
    Accession,
    Books,
    Entry,
    Expiry,
    Genesis,
    LineId,
    Member,
    Members,
    TickBooks,
    Version,
)
from rmf.core.entry_kinds import CLUSTER_VERSION
from rmf.core.producer_table import Table
from rmf.core.shelf import Shelf
from rmf.core.state import State, apply, expiries_of, genesis_state, head_of, state_of
from rmf.core.table_slices import slices_of, table_in
from rmf.core.world import World
from tests.core.kit import Playbook
from tests.core.lives import Step, live, lives
from tests.core.surroundings import CLUSTER, PERIOD_NS, replay, row_of

MS = 1_000_000


def versions(play: Playbook) -> list[tuple[State, Entry, State, Any]]:
    """Each durable Entry with the states before and after it, and what it did."""
    state, shelf, found = genesis_state(CLUSTER), Shelf(), []
    for record, entry in play.disk.entries:
        after, applied = apply(state, entry, record.term, record.index, shelf)
        found.append((state, entry, after, applied))
        state = after
    assert found  # an empty history would show whatever one likes
    return found


# What the lives below must contain, some of them, for the laws over all of them to mean something.
MET: dict[str, Callable[[TickBooks], object]] = {
    "cells that end": lambda books: books.expiries,
    "changes": lambda books: books.changes,
    "removals": lambda books: [change for change in books.changes if change[2] is None],
    "bags": lambda books: books.bags,
    "frames of packets": lambda books: books.frames,
}


@pytest.mark.parametrize("what", MET)
def test_lives_meet_what_the_laws_are_about(what: str) -> None:
    def meets(life: list[Step]) -> bool:
        entries = [entry for _, entry, _, _ in versions(live(life))]
        return any(MET[what](x.books) for x in entries if isinstance(x.books, TickBooks))

    few = settings(phases=[Phase.generate], max_examples=200, database=None, deadline=None)
    assert find(lives, meets, settings=few, random=Random(1)) is not None


def everything(state: State) -> Any:
    """All of a state as plain values."""
    return head_of(state), state.producers.rows, dict(state.world.cells.items())


# --- Replay ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(lives)
def test_applying_what_was_written_down_gives_what_the_leader_had(life: list[Step]) -> None:
    """R1, R27: the leader applied its own Entry, the replay one that was encoded and decoded."""
    play = live(life)
    assert everything(replay(play.disk).state) == everything(play.core.committed)


@settings(deadline=None, max_examples=40)
@given(lives, lives)
def test_a_node_goes_on_after_a_restart_as_if_nothing_had_been(
    life: list[Step], then: list[Step]
) -> None:
    play = live(then, live(life).restart())
    assert everything(replay(play.disk).state) == everything(play.core.committed)


@settings(deadline=None, max_examples=60)
@given(lives)
def test_the_state_is_what_a_naive_reading_of_the_entries_says(life: list[Step]) -> None:
    """R1, R8, R9: changes per slot, shelf lives inherited, kept or fresh, expiries."""
    play = live(life)
    cells: dict[str, tuple[Any, ...]] = {}
    for record, entry in play.disk.entries:
        if isinstance(entry.books, TickBooks):
            read_tick(cells, entry, entry.books, record.term)
    state = play.core.committed
    assert {key: tuple(cell)[:7] for key, cell in state.world.cells.items()} == cells
    frames = [frame for _, books in play.ticks for frame in books.frames]
    assert state.latched == sum(frame.packets for frame in frames)


def read_tick(cells: dict[str, tuple[Any, ...]], entry: Entry, books: TickBooks, term: int) -> None:
    for expiry in books.expiries:
        assert cells.pop(expiry.key)[6] <= entry.tick
    for slot, key, value, shelf in books.changes:
        cells.pop(key, None)
        if value is None:
            continue
        producer, harvested_at, ttl_ms, since = "line:shop", entry.wall_ns, shelf, entry.tick
        for frame in books.frames:
            if frame.first_slot <= slot < frame.first_slot + frame.packets:
                row = frame.rows[slot - frame.first_slot]
                producer, harvested_at = frame.producer, row[2]
                if shelf == -1:
                    ttl_ms, since = row[3], frame.intake_tick
        expires = since + math.ceil(ttl_ms * MS / PERIOD_NS) if shelf else 0
        cells[key] = (value, term, entry.tick, slot, producer, harvested_at, expires)


@settings(deadline=None, max_examples=60)
@given(lives)
def test_what_an_entry_did_is_the_difference_of_the_worlds(life: list[Step]) -> None:
    for before, _, after, applied in versions(live(life)):
        old, new = before.world.cells, after.world.cells
        assert applied.changed == {key for key in new if old.get(key) != new[key]}
        gone = {key for key in old if key not in new}
        assert gone <= applied.removed.keys()
        assert not applied.removed.keys() & new.keys()


@settings(deadline=None, max_examples=60)
@given(lives)
def test_no_tick_leaves_a_stale_cell_behind(life: list[Step]) -> None:
    """R9: as long as there are no more of them than one Tick may remove."""
    for _, entry, after, _ in versions(live(life)):
        expiries = {cell.expires for cell in after.world.cells.values()} - {0}
        assert not expiries or min(expiries) > entry.tick


@settings(deadline=None, max_examples=60)
@given(lives)
def test_latched_is_applied_and_bagged_after_every_entry(life: list[Step]) -> None:
    """R34: and the bags of `on_expired` handlers are no packets."""
    for before, entry, after, applied in versions(live(life)):
        assert after.latched == after.applied + after.bagged
        assert after.bagged - before.bagged == sum(len(run.bags) for run in applied.runs)
        if isinstance(entry.books, TickBooks):
            slots = {bag.slot for bag in entry.books.bags}
            expired = {expiry.slot for expiry in entry.books.expiries}
            assert after.bagged - before.bagged == len(slots - expired)


def test_a_state_knows_which_entry_names_its_members_and_a_checkpoint_keeps_it() -> None:
    """Who knows newer members is decided by that index: the Checkpoint's own would say too much."""
    state, named = genesis_state(b"c" * 16), []
    books: list[Books] = [
        Genesis(b"c" * 16, 100_000, [Member("n1", b"1")]),
        Accession("n1", LineId("board", 1, b""), age_unknown=False),
        Members([Member("n1", b"1"), Member("n2", b"2", voter=False)], "n2 joins"),
        Version(CLUSTER_VERSION, "9"),
    ]
    for index, book in enumerate(books, start=1):
        state, _ = apply(state, Entry(index, 0, b"", book), 1, index, Shelf())
        head = cbor2.loads(cbor2.dumps(head_of(state)))
        named.append(state_of(head, Table.of({}), {}).membership)
    assert named == [1, 1, 3, 3]
    old = head_of(state)
    assert state.election_ms == tuple(old["election_ms"]) == limits.ELECTION_MS
    del old["membership"], old["election_ms"]
    assert state_of(old, Table.of({}), {}).election_ms == (200, 400), "what they waited for"
    assert state_of(old, Table.of({}), {}).membership == 4, "what older releases took for it"


# --- Fingerprint and Checkpoint -----------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(lives)
def test_the_digest_is_that_of_a_state_made_from_scratch(life: list[Step]) -> None:
    """R26: kept incrementally, and equal to the sum over cells and rows."""
    for _, entry, after, _ in versions(live(life)):
        world = World.of(dict(after.world.cells.items()))
        table = Table.of(dict(after.producers.rows.items()))
        total = (world.total + table.total) % 2**128
        assert after.digest() == total.to_bytes(16, "big") == entry.digest


@settings(deadline=None, max_examples=40)
@given(lives, lives)
def test_a_checkpoint_is_the_state_and_life_goes_on_from_it(
    life: list[Step], then: list[Step]
) -> None:
    """R25: head, producers and cells through CBOR, then the Entries behind it."""
    play = live(life)
    state = play.core.committed
    head = cbor2.loads(cbor2.dumps(head_of(state)))
    table = table_in(cbor2.loads(cbor2.dumps(list(slices_of(state.producers, 3)))))
    restored = state_of(head, table, dict(state.world.cells.items()))
    assert restored.digest() == state.digest() == head["digest"]
    assert everything(restored) == everything(state)
    later = live(then, play.restart())
    shelf = Shelf.of(restored.world, restored.void_before)
    for record, entry in later.disk.entries[state.index :]:
        restored, _ = apply(restored, entry, record.term, record.index, shelf)
        assert restored.digest() == entry.digest
    assert everything(restored) == everything(later.core.committed)


# --- Shelf lives (R8, R9) -------------------------------------------------------------------------


def expires_of(topic: str, *, ttl_ms: int, payload: Any = 0) -> tuple[int, int]:
    """Ticks that a cell lives from the Tick that wrote it, and of what it was written."""
    play = Playbook()
    play.join("p").send(1, topic=topic, ttl_ms=ttl_ms, payload=payload)
    cell = play.core.committed.world.get(topic)
    assert cell is not None
    return (cell.expires - cell.tick if cell.expires else 0), cell.slot


def test_a_cell_inherits_the_shelf_life_of_its_packet() -> None:
    assert expires_of("cell/a", ttl_ms=7) == (70, 0)


def test_keep_has_no_expiry_and_fresh_its_own() -> None:
    assert expires_of("keep/a", ttl_ms=7) == (0, 0)
    assert expires_of("fresh/a", ttl_ms=7, payload=3) == (30, 0)


def test_a_cell_that_waited_as_packet_lives_the_rest_of_its_shelf_life() -> None:
    """R8: from the intake tick, not from the Tick; Fresh counts from the Tick."""
    play = Playbook()
    probe, other = play.join("probe"), play.join("other")
    play.runner.held = True
    other.send(1)
    rows = [row_of(1, topic="cell/x", ttl_ms=9), row_of(2, topic="fresh/x", payload=9)]
    probe.send_rows(rows)
    play.boot_ns += 4 * MS
    play.run()
    play.run()
    cells = {key: play.core.committed.world.get(key) for key in ("cell/x", "fresh/x")}
    lives_on = {key: cell.expires - cell.tick for key, cell in cells.items() if cell is not None}
    assert lives_on == {"cell/x": 50, "fresh/x": 90}


# --- Single Entries -------------------------------------------------------------------------------


def test_an_accession_with_unknown_ages_voids_what_can_expire() -> None:
    """R6: and what is kept stays."""
    play = Playbook()
    probe = play.join("p")
    probe.send(1, topic="cell/a")
    probe.send(2, topic="keep/a")
    state, shelf = play.core.committed, Shelf()
    accession = Accession("n1", state.line, age_unknown=True)
    entry = Entry(state.tick + 9, 0, b"", accession)
    after, _ = apply(state, entry, 2, state.index + 1, shelf)
    assert (after.void_before, after.term, after.tick) == (state.tick + 9, 2, state.tick + 9)
    keys = shelf.due(after.tick + 1, after.world, after.void_before)
    assert keys == ["cell/a"]
    assert expiries_of(keys, after, lambda _: False) == [Expiry("cell/a", "age_unknown", None)]


def test_expiries_take_slots_only_where_the_line_listens() -> None:
    play = Playbook()
    probe = play.join("p")
    for seq, topic in enumerate(["cell/a", "cell/loud/a", "cell/b", "cell/loud/b"], start=1):
        probe.send(seq, topic=topic)
    keys = ["cell/a", "cell/loud/a", "cell/b", "cell/loud/b"]
    found = expiries_of(keys, play.core.committed, lambda key: "loud" in key)
    assert [expiry.slot for expiry in found] == [None, 0, None, 1]


def test_entries_come_in_order_or_it_is_our_bug() -> None:
    state = Playbook().core.committed
    books = Accession("n1", state.line, age_unknown=False)
    with pytest.raises(AssertionError):
        apply(state, Entry(state.tick + 1, 0, b"", books), 1, state.index + 2, Shelf())


def test_a_tick_that_goes_back_is_our_bug() -> None:
    play = Playbook()
    play.join("p").send(1)
    (entry, _) = play.ticks[-1]
    state = play.core.committed
    with pytest.raises(AssertionError):
        apply(state, attrs.evolve(entry, tick=state.tick), 1, state.index + 1, Shelf())


def test_a_key_that_is_written_and_removed_in_one_tick_is_gone() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send_rows([row_of(1), row_of(2, topic="remove", payload=["cell/a"])])
    assert play.world == {}
    assert play.published[-1].removed == {"cell/a": "removed"}
    probe.send_rows([row_of(3), row_of(4, topic="remove", payload=["cell/a"]), row_of(5)])
    assert play.world == {"cell/a": 5}
    assert play.published[-1].changed == {"cell/a"}
    assert play.published[-1].removed == {}
