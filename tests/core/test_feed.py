"""The Feed (R35): a delta is the difference of two Worlds, a selection a filter over all keys."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core import topics
from rmf.core.answers import wire_cell
from rmf.core.effects import Publish
from rmf.core.feed import Delta, Feed, Selector
from rmf.core.messages import WireCell
from rmf.core.world import Cell, World
from tests import strategies as own
from tests.core.kit import Playbook
from tests.core.lives import Step, live, lives

FILTERS = st.lists(
    st.sampled_from(
        ["#", "cell/#", "cell/+", "+/a", "cell/a", "keep/a", "lost/#", "cell", "no", "cell/+/x"]
    ),
    min_size=1,
    max_size=3,
).map(tuple)


def publication(
    index: int, *changed: str, removed: dict[str, str] | None = None, world: World | None = None
) -> Publish:
    base = World.empty() if world is None else world
    return Publish(1, index * 10, index, b"", True, base, frozenset(changed), removed or {})


def shown(world: World, wanted: Any) -> dict[str, WireCell]:
    """What a display has of a World."""
    return {key: wire_cell(key, cell) for key, cell in world.cells.items() if wanted(key)}


def brought_up_to_date(picture: dict[str, WireCell], delta: Delta) -> dict[str, WireCell]:
    """What a display makes of a delta."""
    gone = {key for key, _ in delta.removed}
    kept = {key: cell for key, cell in picture.items() if key not in gone}
    return kept | {cell.key: cell for cell in delta.cells}


def fed(play: Playbook) -> Feed:
    feed = Feed()
    for published in play.published:
        feed.publish(published)
    return feed


# --- Deltas -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(lives, FILTERS, st.data())
def test_a_delta_brings_any_older_picture_up_to_date(
    life: list[Step], filters: tuple[str, ...], data: st.DataObject
) -> None:
    play = live(life)
    feed, old = fed(play), data.draw(st.sampled_from(play.published))
    selector = feed.selector(filters)
    delta = feed.delta(selector, old.tick)
    assert delta is not None
    newest = shown(play.published[-1].world, selector)
    assert brought_up_to_date(shown(old.world, selector), delta) == newest


@settings(deadline=None, max_examples=60)
@given(lives, FILTERS, st.data())
def test_a_delta_holds_what_changed_and_no_more(
    life: list[Step], filters: tuple[str, ...], data: st.DataObject
) -> None:
    """In key order; a key that came and went meanwhile is told as gone."""
    play = live(life)
    feed, old = fed(play), data.draw(st.sampled_from(play.published))
    later = [x for x in play.published if x.tick > old.tick]
    wanted = feed.selector(filters)
    delta = feed.delta(wanted, old.tick)
    assert delta is not None
    touched = {key for x in later for key in x.changed | x.removed.keys() if wanted(key)}
    assert [*sorted(touched)] == sorted(
        [cell.key for cell in delta.cells] + [key for key, _ in delta.removed]
    )
    assert [cell.key for cell in delta.cells] == sorted(cell.key for cell in delta.cells)
    assert [key for key, _ in delta.removed] == sorted(key for key, _ in delta.removed)
    reasons: dict[str, str] = {}
    for published in later:
        reasons |= published.removed
    assert all(reasons[key] == why for key, why in delta.removed)
    assert delta.ticks == sum(
        any(map(wanted, published.changed | published.removed.keys())) for published in later
    )


def test_of_two_reasons_the_newest_is_told() -> None:
    feed = Feed()
    feed.publish(publication(1))
    feed.publish(publication(2, removed={"a": "expired"}))
    feed.publish(publication(3, "a"))
    feed.publish(publication(4, removed={"a": "removed"}))
    assert feed.delta(feed.selector(("#",)), 10) == Delta([], [["a", "removed"]], 3)


def test_nothing_changed_since_the_newest_tick() -> None:
    feed = Feed()
    feed.publish(publication(1, "a"))
    assert feed.delta(feed.selector(("#",)), 10) == Delta([], [], 0)


def test_the_first_publication_is_where_deltas_begin() -> None:
    feed = Feed()
    feed.publish(publication(5, "a"))
    assert feed.since_tick == 50
    assert feed.delta(feed.selector(("#",)), 49) is None


def test_no_delta_reaches_across_ticks_that_are_missing() -> None:
    """A Feed outlives a core that is loaded again: what was committed meanwhile it never saw."""
    feed = Feed()
    feed.publish(publication(5, "a"))
    feed.publish(publication(6, "b"))
    feed.publish(publication(8, "c"))
    feed.publish(publication(9, removed={"d": "expired"}))
    selector = feed.selector(("#",))
    assert feed.delta(selector, 60) is None
    assert feed.delta(selector, 80) == Delta([], [["d", "expired"]], 1)


def test_the_same_entry_again_only_says_whether_it_is_live() -> None:
    """R36: a strike shows the last Snapshot once more, marked stale."""
    feed = Feed()
    feed.publish(publication(5, "a"))
    feed.publish(publication(5))
    assert feed.delta(feed.selector(("#",)), 50) == Delta([], [], 0)


def test_the_ring_holds_so_many_ticks() -> None:
    feed = Feed()
    for index in range(1, limits.CHANGED_TICKS_KEPT + 4):
        feed.publish(publication(index, "a"))
    selector = feed.selector(("#",))
    assert feed.since_tick == 30
    assert feed.delta(selector, 29) is None
    delta = feed.delta(selector, 30)
    assert delta is not None
    assert delta.ticks == limits.CHANGED_TICKS_KEPT


def test_the_ring_holds_so_many_keys() -> None:
    feed = Feed()
    half = [f"{i}" for i in range(limits.CHANGED_KEYS_KEPT // 2)]
    for index in range(1, 5):
        feed.publish(publication(index, *half))
    assert feed.since_tick == 20
    feed.publish(publication(5, *half, *[f"x{key}" for key in half], "one more"))
    assert feed.since_tick == 50


# --- Selections -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(own.worlds(most=12), FILTERS)
def test_a_selection_is_a_filter_over_all_cells(
    cells: dict[str, Cell], filters: tuple[str, ...]
) -> None:
    named = ["cell/a", "cell/b", "cell", "cell/x/x", "cells", "keep/a", "lost", "lost/cell/a"]
    some = dict(zip(named, cells.values(), strict=False))
    world = World.of(cells | some)
    found = [cell for slice_ in Feed.select(world, Selector(filters)) for cell in slice_]
    wanted = [key for key in world.cells if any(topics.matcher(x)(key) for x in filters)]
    assert found == [wire_cell(key, world.cells[key]) for key in sorted(wanted)]


@pytest.mark.parametrize("filters", [("#",), ("cell/#",), ("+/0001", "cell/0002"), ("x/+",)])
def test_a_selection_is_the_same_whatever_the_slices(filters: tuple[str, ...]) -> None:
    cell = Cell(b"\0", 1, 1, 0, "p", 0, 0, 1)
    count = 2 * limits.SCAN_SLICE_KEYS
    world = World.of({f"{top}/{i:04}": cell for top in ("cell", "d", "x") for i in range(count)})
    slices = list(Feed.select(world, Selector(filters)))
    found = [cell.key for slice_ in slices for cell in slice_]
    assert found == sorted(filter(Selector(filters), world.cells))
    assert all(len(slice_) <= limits.SCAN_SLICE_KEYS for slice_ in slices)


def test_a_selection_lets_others_run_between_slices_even_if_nothing_matches() -> None:
    """Slices count keys that were looked at, not those that matched."""
    cell = Cell(b"\0", 1, 1, 0, "p", 0, 0, 1)
    world = World.of({f"a/{i}": cell for i in range(3 * limits.SCAN_SLICE_KEYS)})
    slices = list(Feed.select(world, Selector(("+/none",))))
    assert [len(slice_) for slice_ in slices] == [0] * len(slices)
    assert len(slices) >= 3


def test_a_selection_may_be_walked_while_the_world_goes_on() -> None:
    """The caller pins the index; the version that is walked stays what it was."""
    play = Playbook()
    probe = play.join("p")
    count = limits.SCAN_SLICE_KEYS + 10
    probe.send_rows(rows(count))
    world = play.published[-1].world
    pin = world.index.pin()
    walk = Feed.select(world, Selector(("cell/#",)))
    found = next(walk)
    keys = [f"cell/{i:05}" for i in range(count)]
    probe.send(count + 1, topic="remove", payload=keys)
    probe.send(count + 2, topic="cell/00000x")
    found += [cell for slice_ in walk for cell in slice_]
    world.index.unpin(pin)
    assert [cell.key for cell in found] == keys
    assert [key for key, _ in play.published[-1].world.scan()] == ["cell/00000x"]
    world.index.tidy(count)
    assert len(world.index) == 1


def rows(count: int) -> list[list[Any]]:
    return [[f"cell/{i:05}", i + 1, 0, 60_000, b"\0"] for i in range(count)]


# --- Selectors ------------------------------------------------------------------------------------


def test_equal_filters_share_one_selector() -> None:
    """R35: one encoding serves all subscribers of a filter."""
    feed = Feed()
    assert feed.selector(("a", "b/#")) is feed.selector(("a", "b/#"))
    assert feed.selector(("a",)) is not feed.selector(("b",))


def test_selectors_are_bounded() -> None:
    feed = Feed()
    first = feed.selector(("first",))
    for i in range(limits.CONNECTIONS_MAX):
        feed.selector((f"{i}",))
    assert feed.selector(("first",)) is not first


def test_filters_that_name_one_key_each_are_looked_up() -> None:
    assert Selector(("b", "a", "b")).exact_keys == ["a", "b"]
    assert Selector(("a", "b/+")).exact_keys is None


def test_what_a_selector_remembers_is_bounded_and_right() -> None:
    selector = Selector(("a/+",))
    for i in range(limits.HANDLER_CACHE_TOPICS + 5):
        assert selector(f"a/{i}")
    assert not selector("b/1")
