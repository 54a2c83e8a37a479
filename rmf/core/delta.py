"""A delta: what changed of a selection between two published Ticks, in pages (R35, R45).

It may be large: a display that looks once per second at a fast line is 100,000 keys behind. So it
is gathered in steps, put into key order in steps, and encoded page by page, each from any place on.
"""

from collections.abc import Collection, Generator
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import attrs

from rmf import limits
from rmf.core.answers import wire_cell
from rmf.core.effects import Publish
from rmf.core.messages import WireCell
from rmf.core.page import Page, pages_of
from rmf.core.selection import are_light, rows_of

if TYPE_CHECKING:
    from rmf.core.selector import TickChange

    Turns = list[tuple[TickChange, Collection[str]]]

__all__ = ["Delta", "DeltaChanges", "DeltaPage", "pages_of_tick"]


@attrs.frozen
class DeltaChanges:
    """A delta as values: cells written, keys gone with the reason, both in key order, and how many
    Ticks changed anything."""

    cells: list[WireCell]
    removed: list[list[str]]
    ticks: int


class DeltaPage(NamedTuple):
    """A page of a delta, and the number of keys told with it; it is the last if that is all."""

    body: bytes
    told: int


class Delta:
    """What changed up to the publication `at`. Once gathered: `keys` in key order, `ticks` how many
    Ticks changed any of them; `is_lost`: the ring went on before it could be gathered."""

    def __init__(self, at: Publish, turns: "Generator[None, None, Turns | None]") -> None:
        self.at = at
        self.keys: list[str] = []
        self.ticks = 0
        self.is_lost = False
        self._turns = turns
        self._reasons: dict[str, str] = {}

    def gather(self) -> Generator[None]:
        """Find the keys, in steps."""
        turns = yield from self._turns
        if turns is None:
            self.is_lost = True
            return
        touched: set[str] = set()
        for change, keys in turns:
            if change.removed:
                self._reasons.update({k: change.removed[k] for k in keys if k in change.removed})
            touched.update(keys)
            if len(keys) > limits.FEED_STEP_KEYS:
                yield
        self.ticks = len(turns)
        self.keys = yield from _in_order(touched)

    def piece(self, begin: int) -> Generator[DeltaPage | None]:
        """Encode the keys from this one on until a page is full: the last thing it yields."""
        page, told = Page(), begin
        while told < len(self.keys) and not page.is_full:
            if told > begin:
                yield None
            told = self._add_step(page, told)
        yield DeltaPage(page.cut(), told)

    def _add_step(self, page: Page, begin: int) -> int:
        """Encode the next keys in one piece, or one if they are large; return where it ends."""
        keys = self.keys[begin : begin + limits.FEED_STEP_KEYS]
        rows = rows_of(keys, self.at.world)
        if not are_light(rows):
            keys, rows = keys[:1], rows_of(keys[:1], self.at.world)
        page.add_rows(rows)
        if len(rows) < len(keys):
            here = {row[0] for row in rows}
            for key in keys:
                if key not in here:
                    page.add_removal(key, self._reasons.get(key, "removed"))
        return begin + len(keys)

    def whole(self) -> DeltaChanges | None:
        """Return all of it at once, as values."""
        for _ in self.gather():
            pass
        if self.is_lost:
            return None
        found = [(key, self.at.world.get(key)) for key in self.keys]
        return DeltaChanges(
            [wire_cell(key, cell) for key, cell in found if cell is not None],
            [[key, self._reasons.get(key, "removed")] for key, cell in found if cell is None],
            self.ticks,
        )


def pages_of_tick(change: "TickChange", keys: Collection[str]) -> Generator[list[bytes] | None]:
    """Put what of one Tick belongs to a selection into pages, from its cells as they were then:
    the last thing it yields. Nothing is yielded if they are not held any more."""
    cells = change.encoded
    own = yield from _in_order(keys)
    if cells is None:
        return
    encoded = [cells[key] for key in own if key in cells]
    yield None
    removed = [[key, change.removed[key]] for key in own if key in change.removed]
    yield pages_of(encoded, removed)


def _in_order(keys: Collection[str]) -> Generator[None, None, list[str]]:
    """Return the keys in their order, worked out in steps."""
    rest = iter(keys)
    runs: list[list[str]] = []
    while run := sorted(islice(rest, limits.FEED_SORT_KEYS)):
        runs.append(run)
        yield
    if len(runs) < 2:
        return runs[0] if runs else []
    merged, found = merge(*runs), list[str]()
    while some := list(islice(merged, limits.FEED_SORT_KEYS)):
        found += some
        yield
    return found
