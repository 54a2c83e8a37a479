"""What a Tick's changes make of the World: the same as all of them, one after the other."""

import attrs
import pytest
from hypothesis import given, settings

from rmf.core.cell_writes import write_changes
from rmf.core.entry import Entry, Frame, TickBooks
from rmf.core.packet import Row
from rmf.core.shelf import Shelf
from rmf.core.world import Cell, World
from tests import strategies as own

PERIOD_NS = 100_000_000
INHERIT = -1


def applied(
    books: TickBooks, before: World | None = None
) -> tuple[dict[str, Cell], int, set[str], dict[str, str]]:
    """Cells, digest, keys written, keys removed, after a Tick of these books."""
    draft = (before or World.empty()).draft()
    removed: dict[str, str] = {}
    entry = Entry(500, 77, b"", books)
    changed = write_changes(draft, Shelf(), removed, entry, books, 3, PERIOD_NS, "board")
    world = draft.done()
    return dict(world.cells.items()), world.total, set(changed), removed


def one_by_one(books: TickBooks) -> tuple[dict[str, Cell], int, set[str], dict[str, str]]:
    """The same, a Tick per change: of each key, its last change is what is left of it."""
    world, written, gone = World.empty(), set[str](), dict[str, str]()
    for change in books.changes:
        one = attrs.evolve(books, listed=[change], verbatim=[])
        draft = world.draft()
        entry = Entry(500, 77, b"", one)
        removed: dict[str, str] = {}
        changed = write_changes(draft, Shelf(), removed, entry, one, 3, PERIOD_NS, "board")
        world = draft.done()
        written = (written | changed) - removed.keys()
        gone = {key: why for key, why in (gone | removed).items() if key not in changed}
    return dict(world.cells.items()), world.total, written, gone


@settings(deadline=None, max_examples=150)
@given(own.tick_books())
def test_a_tick_leaves_what_its_changes_would_leave_one_by_one(books: TickBooks) -> None:
    assert applied(books) == one_by_one(books)


@settings(deadline=None, max_examples=100)
@given(own.tick_books())
def test_a_span_says_what_the_changes_of_its_slots_would(books: TickBooks) -> None:
    """A Tick of an older cluster lists them: nothing else may come of it (R30)."""
    listed = attrs.evolve(books, listed=books.changes, verbatim=[])
    assert applied(books) == applied(listed)
    assert books.touched == listed.touched


def tick_of(*topics: str, **more: object) -> TickBooks:
    rows: list[Row] = [[t, 1 + i, 9, 500, b"%c" % i] for i, t in enumerate(topics)]
    frame = Frame("p", 1, "id", 495, 0, 1, 0, len(rows), b"", rows)
    return attrs.evolve(TickBooks(1, [], [], [], [frame], [], b"", []), **more)  # type: ignore[arg-type]


def test_the_last_packet_of_a_key_is_its_cell_with_its_own_stamp() -> None:
    cells, _, changed, _ = applied(tick_of("a", "b", "a", verbatim=[[0, 3]]))
    assert {key: (cell.slot, cell.value) for key, cell in cells.items()} == {
        "a": (2, b"\x02"),
        "b": (1, b"\x01"),
    }
    assert changed == {"a", "b"}


@pytest.mark.parametrize(
    ("listed", "spans", "value"),
    [([(1, "a", b"\x09", 0)], [[0, 1]], b"\x09"), ([(0, "a", b"\x09", 0)], [[1, 1]], b"\x01")],
)
def test_listed_or_in_a_span_the_later_slot_has_the_last_word(
    listed: list[object], spans: list[object], value: bytes
) -> None:
    cells, *_ = applied(tick_of("a", "a", listed=listed, verbatim=spans))
    assert cells["a"].value == value


def test_what_is_written_and_removed_within_a_tick_is_said_to_be_removed() -> None:
    """R37: a later reader of the Entry alone, without the World before it, says so too."""
    books = tick_of("a", "x", listed=[(1, "a", None, 0), (1, "never", None, 0)], verbatim=[[0, 1]])
    cells, total, changed, removed = applied(books)
    assert (cells, total, changed) == ({}, 0, set())
    assert removed == {"a": "removed"}
