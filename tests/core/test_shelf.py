"""The shelf (R9): whatever is written, removed and voided, no expiry is missed or said early; and
what it holds and what a look costs does not grow with the World (R45)."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rmf import limits
from rmf.core.shelf import Shelf, due_tick
from rmf.core.world import Cell, World, mark_of

KEYS = [f"k{i}" for i in range(6)]


def cell_of(key: str, *, expires: int, tick: int = 1) -> Cell:
    return Cell(
        b"\0", 1, tick, 0, "p", 0, expires, mark_of(key, b"\0", 1, tick, 0, "p", 0, expires)
    )


def world_of(expiries: dict[str, int]) -> World:
    return World.of({key: cell_of(key, expires=expires) for key, expires in expiries.items()})


def look(shelf: Shelf, tick: int, world: World, void_before: int = 0) -> list[str]:
    """What is due, however many turns it takes: most need one, many are allowed."""
    found = shelf.due(tick, world, void_before)
    while (at := shelf.next_tick()) is not None and at <= tick:
        found += shelf.due(tick, world, void_before)
    return found


def test_what_is_due_comes_in_the_order_of_expiry_then_key() -> None:
    """R11: expiries first, by (expires, key)."""
    world = world_of({"b": 7, "a": 9, "d": 7, "c": 8, "later": 10})
    assert Shelf.of(world, 0).due(9, world, 0) == ["b", "d", "c", "a"]


def test_a_cell_is_due_from_its_expiry_on_and_not_before() -> None:
    world = world_of({"a": 7})
    shelf = Shelf.of(world, 0)
    assert shelf.due(6, world, 0) == []
    assert shelf.due(7, world, 0) == ["a"]
    assert shelf.due(8, world, 0) == []


def test_what_never_expires_is_not_on_the_shelf() -> None:
    shelf = Shelf.of(world_of({"a": 0}), 0)
    assert shelf.next_tick() is None
    assert not shelf.may_hold_any


def test_the_next_tick_is_the_earliest_that_is_armed() -> None:
    """Wherever the others lie: a node with nothing to do sleeps until then."""
    shelf = Shelf.of(world_of({"a": 9, "b": 7, "far": 10_000_000}), 0)
    assert shelf.next_tick() == 7
    shelf.arm("c", 3)
    assert shelf.next_tick() == 3
    for key in "abc":
        shelf.disarm(key)
    assert shelf.next_tick() == 10_000_000


def test_a_cell_that_lives_longer_now_is_armed_again_when_its_old_time_comes() -> None:
    shelf = Shelf.of(world_of({"a": 7}), 0)
    longer = world_of({"a": 20})
    assert shelf.due(7, longer, 0) == []
    assert shelf.next_tick() == 20
    assert shelf.due(20, longer, 0) == ["a"]


def test_a_cell_that_lives_shorter_now_is_due_once() -> None:
    shorter = world_of({"a": 7})
    shelf = Shelf.of(world_of({"a": 20}), 0)
    shelf.arm("a", 7)
    assert shelf.due(7, shorter, 0) == ["a"]
    assert shelf.due(30, world_of({}), 0) == []


def test_a_voided_cell_is_due_whatever_its_expiry_says() -> None:
    """R6: ages are unknown; what is stamped later is not concerned, nor what never expires."""
    world = World.of(
        {
            "old": cell_of("old", expires=900, tick=10),
            "new": cell_of("new", expires=900, tick=50),
            "kept": cell_of("kept", expires=0, tick=10),
        }
    )
    shelf = Shelf.of(world, 0)
    shelf.look_through()
    assert look(shelf, 51, world, 50) == ["old"]
    assert shelf.next_tick() == 900


def test_a_shelf_that_is_loaded_knows_which_cells_were_voided() -> None:
    """R6: a Checkpoint may fall between the accession that voids and the Ticks that remove."""
    world = World.of({"old": cell_of("old", expires=900, tick=10)})
    shelf = Shelf.of(world, 50)
    assert shelf.due(51, world, 50) == ["old"]


# --- In slices (R45) ------------------------------------------------------------------------------


@pytest.mark.parametrize("expires", [7, 7_000_000])
def test_a_tick_removes_its_bound_of_cells_and_the_rest_waits_in_order(expires: int) -> None:
    """R43, R11: over the Ticks, too, they go by (expires, key)."""
    most = limits.TICK_EXPIRIES_MAX
    names = [f"{i:05}" for i in range(2 * most + 5)]
    cells = {name: expires + i % 3 for i, name in enumerate(names)}
    world = world_of(cells)
    shelf = Shelf.of(world, 0)
    taken: list[list[str]] = []
    while (at := shelf.next_tick()) is not None and at <= expires + 8:
        taken.append(shelf.due(expires + 8, world, 0))
    assert max(map(len, taken)) <= most
    assert [key for keys in taken for key in keys] == sorted(names, key=lambda x: (cells[x], x))


def test_a_tick_removes_a_mebibyte_of_keys_at_most() -> None:
    """R43: an Entry must hold them, at four bytes a character."""
    world = world_of({f"{i:04}" + "x" * 1000: 7 for i in range(400)})
    keys = Shelf.of(world, 0).due(8, world, 0)
    assert 4 * sum(map(len, keys[1:])) <= limits.TICK_BYTES_MAX
    assert len(keys) > 200


class CountedCells:
    """Cells that count how often they are looked at."""

    def __init__(self, world: World) -> None:
        self.cells, self.index, self.looks = self, world.index, 0
        self._cells = world.cells

    def get(self, key: str) -> Cell | None:
        self.looks += 1
        return self._cells.get(key)


def count_looks(shelf: Shelf, tick: int, world: World, void_before: int = 0) -> tuple[int, int]:
    """Look until nothing is due: how many cells each turn looked at at most, what was found."""
    most = found = 0
    while (at := shelf.next_tick()) is not None and at <= tick:
        counted: Any = CountedCells(world)
        found += len(shelf.due(tick, counted, void_before))
        most = max(most, counted.looks)
    return most, found


COUNT = 3 * limits.SHELF_LOOKS


def test_no_turn_looks_at_more_cells_than_its_bound_when_all_are_voided() -> None:
    """C1: after a power cut all cells are of unknown age at once; no step may cost the World."""
    world = world_of({f"{i:05}": 1_000_000 for i in range(COUNT)})
    shelf = Shelf.of(world, 0)
    shelf.look_through()
    most, found = count_looks(shelf, 600, world, 500)
    assert found == COUNT
    assert most <= limits.SHELF_LOOKS


def test_no_turn_looks_at_more_cells_than_its_bound_when_all_alarms_are_false() -> None:
    """C2: what was written again since must not hold packets up."""
    shelf = Shelf()
    for i in range(COUNT):
        shelf.arm(f"{i:05}", 500)
    world = world_of({f"{i:05}": 1_000_000 for i in range(COUNT)})
    most, found = count_looks(shelf, 600, world)
    assert found == 0
    assert most <= limits.SHELF_LOOKS
    assert shelf.entries == len(shelf.armed) == COUNT


def test_a_loaded_shelf_is_filled_slice_by_slice() -> None:
    world = world_of({f"{i:05}": 1_000_000 + i for i in range(COUNT)})
    shelf = Shelf.of(world, 0)
    assert len(shelf.armed) <= limits.SHELF_LOOKS
    assert shelf.may_hold_any
    assert count_looks(shelf, 600, world) == (limits.SHELF_LOOKS // 2, 0)
    assert shelf.next_tick() in {1_000_000, 1_000_000 // 256 * 256}
    assert len(shelf.armed) == shelf.entries == COUNT


# --- The law of memory ----------------------------------------------------------------------------


def test_what_lives_now_long_now_short_leaves_nothing_behind() -> None:
    """M1: a cell written with a second, then with a month, left an entry each time."""
    shelf = Shelf()
    for tick in range(0, 100_000, 1000):
        for expires in (tick + 10, tick + 300_000_000):
            if expires == tick + 10:  # shorter than before; else the old time comes first
                shelf.arm("a", expires)
        assert shelf.due(tick + 500, world_of({"a": tick + 300_000_000}), 0) == []
        assert shelf.entries == 1


def test_a_node_that_follows_keeps_its_shelf_in_order() -> None:
    """C2: nobody takes anything from it; what is rewritten is armed anew all the same."""
    shelf = Shelf()
    for i in range(100):
        shelf.arm(f"{i:02}", 10)
    world = world_of({f"{i:02}": 10 if i < 5 else 9000 for i in range(100)})
    for _ in range(10):
        shelf.tend(20, world, 0, looks=20)
    assert {shelf.armed[key] for key in shelf.armed} == {10, 9000}
    assert shelf.entries <= 2 * 100
    assert shelf.due(20, world, 0) == ["00", "01", "02", "03", "04"]  # it reigns now
    assert shelf.next_tick() == 9000 // 256 * 256  # so many of them are looked at together


def test_what_a_reign_removes_is_off_the_shelf_of_who_follows() -> None:
    shelf = Shelf()
    world = world_of(dict.fromkeys("abc", 10))
    for key in "abc":
        shelf.arm(key, 10)
    shelf.tend(20, world, 0, looks=20)
    for key in "abc":
        shelf.disarm(key)
    assert (shelf.entries, shelf.next_tick()) == (0, None)


class ShelfMachine(RuleBasedStateMachine):
    """A shelf that is armed as core/state does it, against a dict of expiries."""

    def __init__(self) -> None:
        super().__init__()
        self.tick = 10
        self.void_before = 0
        self.cells: dict[str, Cell] = {}
        self.shelf = Shelf()

    @rule(key=st.sampled_from(KEYS), ticks=st.one_of(st.integers(1, 12), st.integers(200, 600)))
    def write(self, key: str, ticks: int) -> None:
        expires, old = self.tick + ticks, self.cells.get(key)
        self.cells[key] = cell_of(key, expires=expires, tick=self.tick)
        if old is None or not 0 < old.expires <= expires:
            self.shelf.arm(key, expires)

    @rule(key=st.sampled_from(KEYS))
    def keep(self, key: str) -> None:
        self.cells[key] = cell_of(key, expires=0, tick=self.tick)

    @rule(key=st.sampled_from(KEYS))
    def remove(self, key: str) -> None:
        if self.cells.pop(key, None) is not None:
            self.shelf.disarm(key)

    @rule()
    def void(self) -> None:
        self.tick += 1
        self.void_before = self.tick
        self.shelf.look_through()

    @rule()
    def load(self) -> None:
        self.shelf = Shelf.of(World.of(self.cells), self.void_before)

    @rule(looks=st.integers(0, 5))
    def follow(self, looks: int) -> None:
        """Another node reigns for a while; this one sees to its shelf."""
        self.shelf.tend(self.tick, World.of(self.cells), self.void_before, looks)

    @rule(ticks=st.one_of(st.integers(1, 8), st.integers(200, 600)), postponed=st.booleans())
    def turn(self, ticks: int, postponed: bool) -> None:
        self.tick += ticks
        expected = sorted(
            (cell.expires, key) for key, cell in self.cells.items() if self.is_stale(cell)
        )
        found = look(self.shelf, self.tick, World.of(self.cells), self.void_before)
        assert sorted((self.cells[key].expires, key) for key in found) == expected
        if postponed and found:
            key = found.pop()
            self.shelf.arm(key, due_tick(self.cells[key], self.void_before))
        for key in found:
            del self.cells[key]

    def is_stale(self, cell: Cell) -> bool:
        return bool(cell.expires) and (cell.expires <= self.tick or cell.tick < self.void_before)

    @invariant()
    def the_next_tick_is_not_too_late(self) -> None:
        due: list[Any] = [
            max(self.void_before, cell.tick) if self.is_stale(cell) else cell.expires
            for cell in self.cells.values()
            if cell.expires
        ]
        if due:
            armed = self.shelf.next_tick()
            assert armed is not None
            assert armed <= max(min(due), self.tick)

    @invariant()
    def nothing_is_held_for_keys_that_are_gone(self) -> None:
        assert set(self.shelf.armed) <= self.cells.keys()


TestShelf = ShelfMachine.TestCase
TestShelf.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
