"""The shelf (R9): whatever is written, removed and voided, no expiry is missed or said early."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rmf import limits
from rmf.core.shelf import Shelf
from rmf.core.world import Cell, World, mark_of

KEYS = [f"k{i}" for i in range(6)]


def cell_of(key: str, *, expires: int, tick: int = 1) -> Cell:
    return Cell(
        b"\0", 1, tick, 0, "p", 0, expires, mark_of(key, b"\0", 1, tick, 0, "p", 0, expires)
    )


def world_of(expiries: dict[str, int]) -> World:
    return World.of({key: cell_of(key, expires=expires) for key, expires in expiries.items()})


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


def test_the_next_tick_is_the_earliest_that_is_armed() -> None:
    assert Shelf.of(world_of({"a": 9, "b": 7}), 0).next_tick() == 7


def test_a_cell_that_lives_longer_now_is_armed_anew_when_its_old_time_comes() -> None:
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
    shelf.void(world, 50)
    assert shelf.next_tick() == 50
    assert shelf.due(51, world, 50) == ["old"]
    assert shelf.next_tick() == 900


def test_a_shelf_that_is_loaded_knows_which_cells_were_voided() -> None:
    """R6: a Checkpoint may fall between the accession that voids and the Ticks that remove."""
    world = World.of({"old": cell_of("old", expires=900, tick=10)})
    shelf = Shelf.of(world, 50)
    assert shelf.due(51, world, 50) == ["old"]


def test_a_tick_removes_ten_thousand_cells_and_the_rest_waits() -> None:
    """R43: TICK_EXPIRIES_MAX."""
    most = limits.TICK_EXPIRIES_MAX
    names = [f"{i:05}" for i in range(2 * most + 5)]
    world = world_of(dict.fromkeys(names, 7))
    shelf = Shelf.of(world, 0)
    taken = [shelf.due(8, world, 0) for _ in range(4)]
    assert [len(keys) for keys in taken] == [most, most, 5, 0]
    assert sorted(key for keys in taken for key in keys) == names


def test_a_tick_removes_a_mebibyte_of_keys_at_most() -> None:
    """R43: an Entry must hold them, at four bytes a character."""
    world = world_of({f"{i:04}" + "x" * 1000: 7 for i in range(400)})
    keys = Shelf.of(world, 0).due(8, world, 0)
    assert 4 * sum(map(len, keys[1:])) <= limits.TICK_BYTES_MAX
    assert len(keys) > 200


class ShelfMachine(RuleBasedStateMachine):
    """A shelf that is armed as core/state does it, against a dict of expiries."""

    def __init__(self) -> None:
        super().__init__()
        self.tick = 10
        self.void_before = 0
        self.cells: dict[str, Cell] = {}
        self.shelf = Shelf()

    @rule(key=st.sampled_from(KEYS), ticks=st.integers(1, 12))
    def write(self, key: str, ticks: int) -> None:
        expires = self.tick + ticks
        self.cells[key] = cell_of(key, expires=expires, tick=self.tick)
        at = self.shelf.armed.get(key)
        if at is None or expires < at:
            self.shelf.arm(key, expires)

    @rule(key=st.sampled_from(KEYS))
    def keep(self, key: str) -> None:
        self.cells[key] = cell_of(key, expires=0, tick=self.tick)

    @rule(key=st.sampled_from(KEYS))
    def remove(self, key: str) -> None:
        self.cells.pop(key, None)

    @rule()
    def void(self) -> None:
        self.tick += 1
        self.void_before = self.tick
        self.shelf.void(World.of(self.cells), self.tick)

    @rule()
    def load(self) -> None:
        self.shelf = Shelf.of(World.of(self.cells), self.void_before)

    @rule(ticks=st.integers(1, 8), postponed=st.booleans())
    def turn(self, ticks: int, postponed: bool) -> None:
        self.tick += ticks
        expected = sorted(
            (cell.expires, key) for key, cell in self.cells.items() if self.is_stale(cell)
        )
        found = self.shelf.due(self.tick, World.of(self.cells), self.void_before)
        assert found == [key for _, key in expected]
        if postponed and found:
            self.shelf.arm(found.pop(), self.tick)
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


TestShelf = ShelfMachine.TestCase
TestShelf.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
