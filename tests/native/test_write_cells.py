"""Changes to cells: the compiled loop against its twin in Python."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import native
from rmf.core.cell_writes import WriteCells, write_cells_in_python, write_changes
from rmf.core.entry import Entry, Frame, TickBooks
from rmf.core.shelf import Shelf
from rmf.core.world import Cell, World
from tests import strategies as own

pytestmark = pytest.mark.skipif(not native.COMPILED, reason="the compiled piece is not built here")


class Noted(Shelf):
    """A shelf that says what was armed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, int]] = []

    def arm(self, key: str, tick: int) -> None:
        self.said.append((key, tick))
        super().arm(key, tick)


def written(before: World, books: TickBooks, term: int, tick: int, by: WriteCells | None) -> Any:
    """All that comes of it: the World, its digest and its index, what was armed, keys gone."""
    draft, shelf, removed = before.apart().draft(), Noted(), dict[str, str]()
    entry = Entry(tick, -77, b"", books)
    changed = write_changes(draft, shelf, removed, entry, books, term, 10**8, "li\u00f1e", by)
    world = draft.done()
    cells = dict(world.cells.items())
    assert {type(cell) for cell in cells.values()} <= {Cell}
    return cells, world.total, list(world.scan()), shelf.said, removed, changed


@settings(deadline=None, max_examples=300)
@given(st.lists(own.tick_books(), min_size=1, max_size=3), st.integers(1, 2**40))
def test_both_write_the_same_cells(life: list[TickBooks], term: int) -> None:
    world = World.empty()
    for at, books in enumerate(life):
        tick = 2000 + at
        assert written(world, books, term, tick, None) == written(
            world, books, term, tick, write_cells_in_python
        )
        draft = world.draft()
        write_changes(draft, Shelf(), {}, Entry(tick, 0, b"", books), books, term, 10**8, "x")
        world = draft.done()


def one_frame(rows: Any, changes: Any) -> TickBooks:
    frame = Frame("p", 1, "id", 1990, 0, 1, 0, len(rows), b"", rows)
    return TickBooks(1, [], [], [], [frame], changes, b"", [])


ROW: list[Any] = ["a", 1, 5, 500, b"\x01"]
NO_BOOKS: dict[str, tuple[Any, Any, type[Exception]]] = {
    "a slot that has no packet": ([ROW], [(0, "a", b"x", -1), (7, "b", b"x", -1)], Exception),
    "a slot that is no number": ([ROW], [("0", "a", b"x", -1)], TypeError),
    "a slot below all": ([ROW], [(-1, "a", b"x", -1)], Exception),
    "a key that is no text": ([ROW], [(0, b"a", b"x", -1)], Exception),
    "a key that is no UTF-8": ([ROW], [(0, "\ud800", b"x", -1)], UnicodeEncodeError),
    "a value that is text": ([ROW], [(0, "a", "x", -1)], TypeError),
    "a shelf life that is none": ([ROW], [(0, "a", b"x", "1")], TypeError),
    "a change that is too short": ([ROW], [(0, "a")], Exception),
    "a row that is too short": ([["a"]], [(0, "a", b"x", -1)], IndexError),
}


@pytest.mark.parametrize("what", NO_BOOKS)
def test_what_is_no_tick_is_an_exception_in_both(what: str) -> None:
    rows, changes, kind = NO_BOOKS[what]
    books = one_frame(rows, changes)
    with pytest.raises(kind):
        written(World.empty(), books, 1, 2000, None)
    with pytest.raises(kind):
        written(World.empty(), books, 1, 2000, write_cells_in_python)


def test_a_lost_exception_of_what_it_calls_is_none() -> None:
    class Refusing(Shelf):
        def arm(self, key: str, tick: int) -> None:
            raise KeyError(key, tick)

    books = one_frame([ROW], [(0, "a", b"x", -1)])
    entry = Entry(2000, 0, b"", books)
    with pytest.raises(KeyError, match="a"):
        write_changes(World.empty().draft(), Refusing(), {}, entry, books, 1, 10**8, "x")


LEAKS = """
import gc, resource, sys
sys.argv = ["x"]
from tests.native.test_write_cells import NO_BOOKS, one_frame, written
from rmf.core.world import World
import contextlib

rows = [[f"k/{i}", 1 + i, 2**40 + i, 500, b"x" * 200] for i in range(200)]
good = one_frame(rows, [(i, f"k/{i}", b"y" * 300, -1) for i in range(200)])

def all_of_them():
    written(World.empty(), good, 2**50, 2**45, None)
    for rows, changes, _ in NO_BOOKS.values():
        with contextlib.suppress(Exception):
            written(World.empty(), one_frame(rows, changes), 1, 2000, None)

for _ in range(60):
    all_of_them()
gc.collect()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(300):
    all_of_them()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_it_keeps_nothing_of_what_it_was_given() -> None:
    command = [sys.executable, "-c", LEAKS]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert int(done.stdout) < 2_000  # KiB; each round makes 150 KiB of cells
