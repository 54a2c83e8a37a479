"""Pages: what one frame holds, encoded as it is filled (R35)."""

import cbor2
import pytest

from rmf import limits
from rmf.core import profile
from rmf.core.codec import encode_snapshot
from rmf.core.messages import DELTA, WireCell
from rmf.core.page import EMPTY_PAGE, Page, pages_of


def cell(key: str, size: int = 1) -> WireCell:
    return WireCell(key, b"\0" * size, 1, 2, 3, "p", 4, None)


def opened(page: bytes) -> list[list[list[object]]]:
    arrays: list[list[list[object]]] = cbor2.loads(b"\x82" + page)
    return arrays


@pytest.mark.parametrize("count", [0, 1, 23, 24, 255, 256, 70_000])
def test_a_page_says_how_much_it_holds(count: int) -> None:
    page = Page()
    for i in range(count):
        page.add_removal(f"{i}", "expired")
    cells, removed = opened(page.cut())
    assert cells == []
    assert removed == [[f"{i}", "expired"] for i in range(count)]
    assert page.cut() == EMPTY_PAGE


def test_cells_may_come_encoded() -> None:
    encoded = cbor2.dumps(cell("a"))
    assert pages_of([encoded, cell("b")], []) == pages_of([cell("a"), cell("b")], [])


def test_a_page_is_cut_once_it_is_full() -> None:
    big = limits.SNAPSHOT_CHUNK_BYTES // 2
    pages = pages_of([cell(f"{i}", big) for i in range(5)], [["x", "removed"]])
    found = [opened(page) for page in pages]
    assert [len(cells) for cells, _ in found] == [2, 2, 1]
    assert [removed for _, removed in found] == [[], [], [["x", "removed"]]]


def test_a_page_of_small_cells_has_no_more_items_than_a_frame_may_have() -> None:
    """RMF-6 binds nodes, too: a client that is as strict would close the connection."""
    pages = pages_of([cell("a")] * 10_000, [["a", "removed"]] * 30_000)
    for page in pages:
        head = [2**40, 2**40, 2**40, b"\0" * 16, True, 2**40]
        profile.scan(encode_snapshot(2**40, DELTA, head, page, more=True, now=2**40)[4:])
    found = [opened(page) for page in pages]
    assert sum(len(cells) for cells, _ in found) == 10_000
    assert sum(len(removed) for _, removed in found) == 30_000


def test_there_is_one_page_at_least() -> None:
    assert pages_of([], []) == [EMPTY_PAGE]
