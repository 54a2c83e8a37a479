"""A whole selection of one World, in key order, in steps: what a full picture holds (R35, R45).

It looks through no more of the World than the filters can match: single keys are looked up, and of
the rest only the keys that begin as a filter begins. The caller pins the key index meanwhile.
"""

from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from operator import itemgetter

from rmf import limits
from rmf.core.messages import WireCell
from rmf.core.page import Page, Row
from rmf.core.selector import Selector
from rmf.core.world import World

__all__ = ["are_light", "pages_of_selection", "rows_of", "selection", "spans_of"]

_value_of = itemgetter(1)


def selection(world: World, selector: Selector) -> Iterator[list[WireCell]]:
    """Give the cells in key order, those of FEED_STEP_KEYS keys at a time (empty lists, too)."""
    return (list(map(WireCell._make, rows)) for rows in _rows(world, selector))


def pages_of_selection(
    world: World, selector: Selector, removed: Iterable[tuple[str, str]] = ()
) -> Generator[tuple[bytes, bool] | None]:
    """Encode the selection, page by page, each with whether more follow; the last one comes when
    all was looked at, even if it is empty, and says what was `removed`."""
    page = Page()
    for rows in _rows(world, selector):
        for some in (rows,) if are_light(rows) else ([row] for row in rows):
            if page.is_full:
                yield page.cut(), True
            page.add_rows(some)
        yield None
    for key, why in removed:
        if page.is_full:
            yield page.cut(), True
        page.add_removal(key, why)
    yield page.cut(), False


def _rows(world: World, selector: Selector) -> Iterator[list[Row]]:
    """Give the cells as tuples of the fields that they have on the wire, step by step."""
    for prefix, is_key in spans_of(selector.filters):
        if is_key:
            yield rows_of([prefix], world)
            continue
        last: str | None = None
        while True:
            rows, last = _step(world, selector, prefix, last)
            yield rows
            if last is None:
                break


def _step(
    world: World, selector: Selector, prefix: str, after: str | None
) -> tuple[list[Row], str | None]:
    """Return the matching cells of the next keys, and the last key looked at; None: no more."""
    walk = world.index.walk(after or prefix, after=after is not None)
    keys = list(islice(walk, limits.FEED_STEP_KEYS))
    last = keys[-1] if keys else None
    if last is not None and not last.startswith(prefix):
        keys, last = [key for key in keys if key.startswith(prefix)], None
    return rows_of(keys if selector.takes_all else _own(keys, selector, prefix), world), last


def _own(keys: list[str], selector: Selector, prefix: str) -> list[str]:
    """Return those that the filters match. What lies below a filter `a/#` is not looked up."""
    below = f"{prefix}/"
    if f"{below}#" not in selector.filters:
        return list(filter(selector, keys))
    return [key for key in keys if key.startswith(below) or selector(key)]


def rows_of(keys: Iterable[str], world: World) -> list[Row]:
    """Return the cells of these keys, of those that are there, in the same order."""
    get = world.cells.get
    return [(key, *cell[:6], cell[6] or None) for key in keys if (cell := get(key)) is not None]


def are_light(rows: list[Row]) -> bool:
    """Whether these are little enough for a step."""
    return sum(map(len, map(_value_of, rows))) <= limits.FEED_STEP_BYTES


def spans_of(filters: tuple[str, ...]) -> list[tuple[str, bool]]:
    """Return what is to be looked through, in key order: texts that keys begin with, and (True)
    single keys. None of them lies within another."""
    spans: list[tuple[str, bool]] = []
    for text, is_key in sorted({_begin_of(pattern) for pattern in filters}):
        # In this order what holds a text stands right before it, and before its own key.
        if not spans or spans[-1][1] or not text.startswith(spans[-1][0]):
            spans.append((text, is_key))
    return spans


def _begin_of(pattern: str) -> tuple[str, bool]:
    """Return text that every matching key starts with, and whether it is the only one."""
    if "+" not in pattern and "#" not in pattern:
        return pattern, True
    levels: list[str] = []
    for level in pattern.split("/"):
        if level in {"+", "#"}:
            break
        levels.append(level)
    prefix = "/".join(levels)
    # `a/#` matches `a` itself, so the slash is no part of what all matches share.
    return (prefix, False) if pattern.endswith("#") or not prefix else (prefix + "/", False)
