from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmf import limits
from rmf.core.events import Executed
from rmf.core.packet import PresetVerdict
from rmf.core.world import World
from rmf.line.glovebox.cells_along import CellsAlong, keys_of, known, page_of
from rmf.line.glovebox.pipe import BatchDone, BoxBroken
from tests.line.bench import batch, cell, row, world

NOTHING = Executed(7, 0, [], b"\x80", [])
READS = BatchDone(NOTHING, reads=True, own=False)
OWN = BatchDone(NOTHING, reads=True, own=True)


def told(key: str, before: World) -> Any:
    found = before.get(key)
    return key, None if found is None else tuple(found)[:-1]


# --- What goes along unasked ---------------------------------------------------------------------


def test_nothing_goes_along_to_a_line_that_reads_nothing() -> None:
    along = CellsAlong()
    told = batch(row("a"), before=world(a=1, b=2))
    assert along.cells(told) == ()
    along.learn(BatchDone(NOTHING, reads=False, own=False))
    assert along.cells(told) == ()


def test_the_cells_of_the_topics_of_a_small_batch_go_along() -> None:
    before = world(a=1, b=2)
    along = CellsAlong(0)
    along.learn(OWN)
    assert sorted(along.cells(batch(row("a"), row("none"), row("a"), before=before))) == [
        told("a", before),
        ("none", None),
    ]
    along.learn(READS)  # it has ceased to read them
    assert list(along.cells(batch(row("a"), before=before))) == []
    along.learn(OWN)
    rows = [row(f"t/{i}") for i in range(limits.BOX_CELLS_ALONG + 1)]
    assert list(along.cells(batch(*rows, before=before))) == []
    assert len(along.cells(batch(*rows[1:], before=before))) == limits.BOX_CELLS_ALONG


@pytest.mark.parametrize("bad", [[[1], 2], [{"x": 1}, 2], [7, 2], [None, 2], ["ok", 2]])
def test_what_the_latch_has_bagged_has_no_topic(bad: list[Any]) -> None:
    along = CellsAlong(0)
    along.learn(OWN)
    rows = batch(row("a"), bad, before=world(a=1), verdicts={1: PresetVerdict("label_invalid", "")})
    assert [key for key, _ in along.cells(rows)] == ["a"]


def test_all_others_go_along_bit_by_bit_until_half_of_what_it_may_know() -> None:
    before = World.of({f"c/{i:04}": cell(i) for i in range(1000)})
    along = CellsAlong(2 * 300 * limits.BOX_CELL_BYTES * limits.BOX_CACHE_SHARE)
    along.learn(READS)
    found = [along.cells(batch(row("t"), before=before)) for _ in range(20)]
    assert [len(cells) for cells in found] == [128, 128, 128, *[0] * 17]
    keys = [key for cells in found for key, _ in cells]
    assert len(set(keys)) == len(keys)
    assert all(one == told(one[0], before) for cells in found for one in cells)


def test_a_small_world_goes_along_once() -> None:
    along = CellsAlong()
    along.learn(READS)
    before = world(a=1, b=2)
    assert sorted(along.cells(batch(row("t"), before=before))) == [
        told("a", before),
        told("b", before),
    ]
    assert list(along.cells(batch(row("t"), before=before))) == []


def test_large_cells_do_not_go_along_by_the_dozen() -> None:
    before = World.of({f"c/{i:02}": cell("x" * 100_000) for i in range(50)})
    along = CellsAlong()
    along.learn(READS)
    found = [len(along.cells(batch(row("t"), before=before))) for _ in range(20)]
    assert max(found) == 3
    assert sum(found) == 50  # none is left out


# --- What a box asks for -------------------------------------------------------------------------


def test_missing_cells_are_sent_in_order() -> None:
    before = world(a=1, b=2)
    assert known(["b", "none", "a"], before) == [
        told("b", before),
        ("none", None),
        told("a", before),
    ]


def test_the_first_is_sent_however_large_it_is_and_others_up_to_a_page() -> None:
    large = cell("x" * limits.BOX_PAGE_BYTES)
    before = World.of({"large": large, "a": cell(1)})
    assert [key for key, _ in known(["large", "a"], before)] == ["large"]
    assert [key for key, _ in known(["a", "large", "a"], before)] == ["a", "large"]


@pytest.mark.parametrize("found", [None, [], {}, "a", [1], ["a", None], [["a"]]])
def test_a_need_that_names_no_keys_is_broken(found: Any) -> None:
    with pytest.raises(BoxBroken, match="NEED"):
        keys_of(found)


def test_a_need_names_keys() -> None:
    assert keys_of(["a", "b"]) == ["a", "b"]


# --- Scans ---------------------------------------------------------------------------------------


@given(
    st.dictionaries(st.text("ab/", max_size=3), st.integers(1, limits.BOX_PAGE_BYTES), max_size=9),
    st.text("ab/", max_size=2),
)
def test_the_pages_of_a_scan_are_the_scan(sizes: dict[str, int], prefix: str) -> None:
    before = World.of({key: cell(b"x" * size) for key, size in sizes.items()})
    found, after, more = [], None, True
    while more:
        page, more = page_of([prefix, after], before)
        assert page or not more
        assert sum(len(fields[0]) for _, fields in page[:-1] if fields) < limits.BOX_PAGE_BYTES
        found += page
        after = page[-1][0] if page else None
    assert found == [told(key, before) for key, _ in before.scan(prefix)]


def test_a_page_holds_so_many_cells() -> None:
    before = World.of({f"{i:05}": cell(i) for i in range(limits.BOX_PAGE_CELLS + 1)})
    page, more = page_of(["", None], before)
    assert (len(page), more) == (limits.BOX_PAGE_CELLS, True)
    rest, more = page_of(["", page[-1][0]], before)
    assert (len(rest), more) == (1, False)


@pytest.mark.parametrize("found", [None, [], ["a"], [1, None], ["a", 1], ["a", None, 1], {}])
def test_a_scan_that_names_no_prefix_is_broken(found: Any) -> None:
    with pytest.raises(BoxBroken, match="SCAN"):
        page_of(found, World.empty())
