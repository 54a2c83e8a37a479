"""The Feed (R35): a delta is the difference of two Worlds, a selection a filter over all keys."""

from typing import Any

import attrs
import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core import topics
from rmf.core.answers import wire_cell
from rmf.core.delta import DeltaChanges
from rmf.core.effects import Publish
from rmf.core.feed import Feed
from rmf.core.messages import WireCell
from rmf.core.selection import pages_of_selection, selection, spans_of
from rmf.core.selector import Selector
from rmf.core.world import Cell, World
from tests import strategies as own
from tests.calls import calls_of
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


def brought_up_to_date(picture: dict[str, WireCell], delta: DeltaChanges) -> dict[str, WireCell]:
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
    delta = feed.changes(selector, old.tick)
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
    delta = feed.changes(wanted, old.tick)
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


def test_of_two_reasons_the_newest_is_sent() -> None:
    feed = Feed()
    feed.publish(publication(1))
    feed.publish(publication(2, removed={"a": "expired"}))
    feed.publish(publication(3, "a"))
    feed.publish(publication(4, removed={"a": "removed"}))
    assert feed.changes(feed.selector(("#",)), 10) == DeltaChanges([], [["a", "removed"]], 3)


def test_nothing_changed_since_the_newest_tick() -> None:
    feed = Feed()
    feed.publish(publication(1, "a"))
    assert feed.changes(feed.selector(("#",)), 10) == DeltaChanges([], [], 0)


def test_the_first_publication_is_where_deltas_begin() -> None:
    feed = Feed()
    feed.publish(publication(5, "a"))
    assert feed.since_tick == 50
    assert feed.changes(feed.selector(("#",)), 49) is None


def test_no_delta_reaches_across_ticks_that_are_missing() -> None:
    """A Feed outlives a core that is loaded again: what was committed meanwhile it never saw."""
    feed = Feed()
    feed.publish(publication(5, "a"))
    feed.publish(publication(6, "b"))
    feed.publish(publication(8, "c"))
    feed.publish(publication(9, removed={"d": "expired"}))
    selector = feed.selector(("#",))
    assert feed.changes(selector, 60) is None
    assert feed.changes(selector, 80) == DeltaChanges([], [["d", "expired"]], 1)


def test_a_core_that_was_read_again_does_not_know_what_its_last_entry_changed() -> None:
    """It may be the next one, of which the Feed never saw the changes: no delta reaches across."""
    feed = Feed()
    feed.publish(publication(5, "a"))
    selector = feed.selector(("#",))
    feed.publish(publication(6, world=World.of({"a": Cell(b"\x01", 1, 60, 0, "probe", 0, 0, 7)})))
    assert feed.changes(selector, 50) is None
    feed.publish(publication(7, world=World.of({"a": Cell(b"\x01", 1, 60, 0, "probe", 0, 0, 7)})))
    assert feed.changes(selector, 60) == DeltaChanges([], [], 0), "an Entry that changed nothing"


def test_the_same_entry_again_only_says_whether_it_is_live() -> None:
    """R36: a strike shows the last Snapshot once more, marked stale."""
    feed = Feed()
    feed.publish(publication(5, "a"))
    feed.publish(publication(5))
    assert feed.changes(feed.selector(("#",)), 50) == DeltaChanges([], [], 0)


def test_the_ring_holds_so_many_ticks() -> None:
    feed = Feed()
    for index in range(1, limits.CHANGED_TICKS_KEPT + 4):
        feed.publish(publication(index, "a"))
    selector = feed.selector(("#",))
    assert feed.since_tick == 30
    assert feed.changes(selector, 29) is None
    delta = feed.changes(selector, 30)
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


def test_the_ring_holds_so_many_matches() -> None:
    """Whatever filters there are: what belongs to whom takes memory, too."""
    feed = Feed(matches_max=100)
    selectors = [feed.selector((f"+/{i}", "+/x")) for i in range(10)]
    feed.publish(publication(1))
    for index in range(2, 14):
        feed.publish(publication(index, "a/x"))
    assert feed.since_tick == 30
    assert feed.changes(selectors[0], 29) is None
    assert feed.changes(selectors[0], 30) == DeltaChanges([], [["a/x", "removed"]], 10)
    feed.publish(publication(14, *[f"{i}/x" for i in range(11)]))  # too much for one ring
    assert feed.since_tick == 140
    assert [len(x.turns) for x in selectors] == [0] * 10


def test_a_quiet_selection_outlasts_the_ring() -> None:
    """Nothing of it has changed: nobody need be shown the whole of it for what others do."""
    feed = Feed()
    quiet = feed.selector(("quiet",))
    feed.publish(publication(1, "quiet"))
    for index in range(2, 10 + limits.CHANGED_TICKS_KEPT):
        feed.publish(publication(index, "loud"))
    assert feed.since_tick > 20
    assert feed.changes(quiet, 10) == DeltaChanges([], [], 0)


class Lookups:
    """The keys that a Feed looks up in its tree of filters."""

    def __init__(self, feed: Feed) -> None:
        self.keys: list[str] = []
        self._match = feed._tree.match
        feed._tree.match = self._counted  # type: ignore[method-assign]

    def _counted(self, key: str) -> set[Selector]:
        self.keys.append(key)
        return self._match(key)


def test_each_changed_key_is_looked_up_once_whatever_filters_there_are() -> None:
    feed = Feed()
    feed.publish(publication(1))
    lookups = Lookups(feed)
    for i in range(50):
        feed.selector((f"plant/{i}/#", f"+/{i}/x"))
    changed = [f"plant/{i}/y" for i in range(20)]
    feed.publish(publication(2, *changed))
    assert sorted(lookups.keys) == sorted(changed)
    feed.publish(publication(3, *changed))
    assert len(lookups.keys) == 20  # and what was found is remembered


def test_a_display_of_single_keys_or_everything_pays_for_no_other_key() -> None:
    feed = Feed()
    feed.publish(publication(1))
    one, everything = feed.selector(("a", "b")), feed.selector(("#",))
    lookups = Lookups(feed)
    others = [f"c/{i}" for i in range(1000)]
    feed.publish(publication(2, "a", *others, removed={"b": "expired"}))
    found, all_of_it = feed.changes(one, 10), feed.changes(everything, 10)
    assert sorted(lookups.keys) == ["a", "b"]
    assert found == DeltaChanges([], [["a", "removed"], ["b", "expired"]], 1)
    assert all_of_it is not None
    assert len(all_of_it.removed) == 1002


# --- A core that was read anew --------------------------------------------------------------------


def test_what_is_older_than_what_was_shown_only_says_whether_it_is_live() -> None:
    """Ticks only rise (R6, R35): a core that was read anew knows of less for a moment."""
    feed = Feed()
    for index in (8, 9, 10):
        feed.publish(publication(index, "a"))
    newest, selector = feed.newest, feed.selector(("#",))
    assert newest is not None
    for index in (8, 9):
        feed.publish(attrs.evolve(publication(index, "a"), live=False))
        assert feed.newest == attrs.evolve(newest, live=False)
    feed.publish(publication(10, "a"))
    assert feed.changes(selector, 100) == DeltaChanges([], [], 0)
    feed.publish(publication(11, "b"))
    assert selector.since.tick == 110
    assert feed.changes(selector, 100) is None  # a whole picture comes, when it has passed
    feed.publish(publication(12, "c"))
    assert feed.changes(selector, 110) == DeltaChanges([], [["c", "removed"]], 1)


def test_the_keys_of_what_is_shown_stay_in_their_index() -> None:
    """A removal may be committed before it is published: a full picture that begins in between
    shows the World before it, whole (R36)."""
    play = Playbook()
    probe = play.join("p")
    probe.send(1, topic="cell/a")
    feed = fed(play)
    probe.send(2, topic="remove", payload=["cell/a"])
    assert feed.newest is not None
    found = [cell.key for cells in selection(feed.newest.world, Selector(("#",))) for cell in cells]
    assert found == ["cell/a"]
    index = feed.newest.world.index
    for published in play.published[-2:]:
        feed.publish(published)
    assert len(index) == 0


def test_a_removal_between_a_publication_and_its_showing_takes_no_key_from_it() -> None:
    """The pin that came with a publication holds it, not one that is taken later: a Tick may be
    committed while the one before it is on its way."""
    play = Playbook()
    probe = play.join("p")
    feed = fed(play)
    probe.send(1, topic="cell/a")
    on_its_way, pin = play.published[-1], play.published[-1].world.index.pin()
    probe.send(2, topic="remove", payload=["cell/a"])
    for _ in feed.take(on_its_way, pin):
        pass
    found = [cell.key for step in selection(on_its_way.world, Selector(("#",))) for cell in step]
    assert found == ["cell/a"]
    feed.publish(play.published[-1])
    assert len(on_its_way.world.index) == 0


def test_a_reader_that_begins_with_what_is_shown_keeps_its_keys_though_the_feed_goes_on() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send(1, topic="cell/a")
    feed = fed(play)
    probe.send(2, topic="remove", payload=["cell/a"])  # committed, and on its way
    at, pin = feed.hold()
    feed.publish(play.published[-1])
    found = [cell.key for step in selection(at.world, Selector(("#",))) for cell in step]
    assert found == ["cell/a"]
    at.world.index.unpin(pin)
    assert len(at.world.index) == 0


def test_what_comes_at_once_is_held_by_what_was_shown_before_until_the_last_of_it() -> None:
    """The Ticks of one step were all committed before the first of them could be pinned."""
    play = Playbook()
    probe = play.join("p")
    feed = fed(play)
    known = len(play.published)
    probe.send(1, topic="cell/a")
    probe.send(2, topic="remove", payload=["cell/a"])
    one, other = play.published[known:]
    pin = other.world.index.pin()
    for _ in feed.take(one):
        pass
    found = [cell.key for step in selection(one.world, Selector(("#",))) for cell in step]
    assert found == ["cell/a"]
    for _ in feed.take(other, pin):
        pass
    assert len(one.world.index) == 0


# --- Who is told every Tick -----------------------------------------------------------------------


def test_the_tail_holds_cells_as_they_were_while_a_display_gets_every_tick() -> None:
    play = Playbook()
    probe = play.join("p")
    feed = fed(play)
    newest = feed.newest
    assert newest is not None
    logger, other = feed.selector(("cell/#",), every_tick=True), feed.selector(("keep/#",))
    for seq, topic in enumerate(["cell/a", "keep/a", "cell/a"], start=1):
        probe.send(seq, topic=topic, payload=seq)
    for published in play.published[-3:]:
        feed.publish(published)
    found = feed.tail(logger, newest.index)
    assert found is not None
    values = [cbor2.loads(cbor2.loads(x.encoded["cell/a"])[1]) for x, _ in found if x.encoded]
    assert values == [1, 3]
    assert feed.tail(logger, found[0][0].mark.entry_index) == found[1:]
    assert feed.tail(logger, newest.index - 1) is None  # before it began: the ledger has it
    assert feed.tail(other, newest.index) is None  # nothing was kept for it
    feed.release(logger, every_tick=True)
    probe.send(4, topic="cell/a")
    feed.publish(play.published[-1])
    assert not feed._selectors.get(("cell/#",))


def test_the_tail_is_bounded_in_bytes() -> None:
    play = Playbook()
    probe = play.join("p")
    feed = Feed(tail_bytes_max=200)
    feed.publish(play.published[-1])
    logger = feed.selector(("#",), every_tick=True)
    for seq in range(1, 30):
        probe.send(seq, topic="cell/a", payload=seq)
        feed.publish(play.published[-1])
    held = [x.mark.entry_index for x, _ in logger.turns if x.encoded is not None]
    assert held == list(range(held[0], play.published[-1].index + 1))
    assert 1 < len(held) < 10
    assert feed.tail(logger, held[0] - 1) is not None
    assert feed.tail(logger, held[0] - 2) is None


# --- Selections -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(own.worlds(most=12), FILTERS)
def test_a_selection_is_a_filter_over_all_cells(
    cells: dict[str, Cell], filters: tuple[str, ...]
) -> None:
    named = ["cell/a", "cell/b", "cell", "cell/x/x", "cells", "keep/a", "lost", "lost/cell/a"]
    some = dict(zip(named, cells.values(), strict=False))
    world = World.of(cells | some)
    found = [cell for slice_ in selection(world, Selector(filters)) for cell in slice_]
    wanted = [key for key in world.cells if any(topics.matcher(x)(key) for x in filters)]
    assert found == [wire_cell(key, world.cells[key]) for key in sorted(wanted)]


@pytest.mark.parametrize("filters", [("#",), ("cell/#",), ("+/0001", "cell/0002"), ("x/+",)])
def test_a_selection_is_the_same_whatever_the_steps(filters: tuple[str, ...]) -> None:
    cell = Cell(b"\0", 1, 1, 0, "p", 0, 0, 1)
    count = 5 * limits.FEED_STEP_KEYS
    world = World.of({f"{top}/{i:04}": cell for top in ("cell", "d", "x") for i in range(count)})
    steps = list(selection(world, Selector(filters)))
    found = [cell.key for step in steps for cell in step]
    assert found == sorted(filter(Selector(filters), world.cells))
    assert all(len(step) <= limits.FEED_STEP_KEYS for step in steps)


@pytest.mark.parametrize("filters", [("#",), ("a/#",), ("a/b/#", "a/#")])
def test_a_whole_picture_takes_few_calls_a_cell(filters: tuple[str, ...]) -> None:
    """What it costs is a node's time: it took 17 calls a cell, and 18 more to match a filter."""

    def work(count: int) -> int:
        cell = Cell(b"\0", 1, 1, 0, "p", 0, 0, 1)
        world = World.of({f"a/{i:06}": cell for i in range(count)})
        return calls_of(lambda: list(pages_of_selection(world, Selector(filters))))

    assert work(2000) - work(400) <= 5 * 1600


@pytest.mark.parametrize("size", [1, 10_000, 40_000])
def test_pages_hold_what_a_selection_gives_and_fit_a_frame(size: int) -> None:
    world = World.of({f"{i:03}": Cell(bytes(size), 1, 1, 0, "p", 0, i % 2, 1) for i in range(99)})
    made = [x for x in pages_of_selection(world, Selector(("#",)), [("gone", "expired")]) if x]
    assert [more for _, more in made] == [*[True] * (len(made) - 1), False]
    opened = [cbor2.loads(b"\x82" + page) for page, _ in made]
    cells = [cell for step in selection(world, Selector(("#",))) for cell in step]
    assert [WireCell(*row) for rows, _ in opened for row in rows] == cells
    assert [pair for _, removed in opened for pair in removed] == [["gone", "expired"]]
    assert all(len(page) < 2 * limits.SNAPSHOT_CHUNK_BYTES for page, _ in made)


def test_a_selection_lets_others_run_between_steps_even_if_nothing_matches() -> None:
    """Steps count keys that were looked at, not those that matched."""
    cell = Cell(b"\0", 1, 1, 0, "p", 0, 0, 1)
    world = World.of({f"a/{i}": cell for i in range(3 * limits.FEED_STEP_KEYS)})
    steps = list(selection(world, Selector(("+/none",))))
    assert [len(step) for step in steps] == [0] * len(steps)
    assert len(steps) >= 3


def test_a_selection_looks_through_no_more_than_its_filters_can_match() -> None:
    assert spans_of(("a/b/#", "a/#", "c", "a", "ab/+", "x/+/y", "x/z")) == [
        ("a", False),
        ("c", True),
        ("x/", False),
    ]
    assert spans_of(("+/a", "b")) == [("", False)]
    assert spans_of(("ab", "a/+")) == [("a/", False), ("ab", True)]


def test_a_selection_may_be_walked_while_the_world_goes_on() -> None:
    """The caller pins the index; the version that is walked stays what it was."""
    play = Playbook()
    probe = play.join("p")
    count = limits.FEED_STEP_KEYS + 10
    probe.send_rows(rows(count))
    world = play.published[-1].world
    pin = world.index.pin()
    walk = selection(world, Selector(("cell/#",)))
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


def test_filters_in_another_order_are_the_same() -> None:
    feed = Feed()
    assert feed.selector(("a", "b/#", "a")) is feed.selector(("b/#", "a"))


def test_what_no_display_watches_is_forgotten() -> None:
    feed = Feed()
    feed.publish(publication(1))
    mine, again = feed.selector(("a/+", "b")), feed.selector(("a/+", "b"))
    feed.publish(publication(2, "a/x"))
    feed.release(mine)
    assert feed.changes(again, 10) is not None
    feed.release(again)
    assert (len(mine.turns), feed._matches, len(feed._selectors)) == (0, 0, 0)
    feed.publish(publication(3, "a/x", "b"))
    assert not mine.turns
    assert feed.selector(("a/+", "b")) is not mine


@settings(deadline=None, max_examples=60)
@given(lives, FILTERS, st.data())
def test_a_selection_that_came_later_looks_through_the_ring(
    life: list[Step], filters: tuple[str, ...], data: st.DataObject
) -> None:
    """A display that resumes finds the same as one that was there all along."""
    play = live(life)
    feed, late = Feed(), Feed()
    there = feed.selector(filters)
    for published in play.published:
        feed.publish(published)
        late.publish(published)
    since = data.draw(st.sampled_from(play.published)).tick
    assert late.changes(late.selector(filters), since) == feed.changes(there, since)


def test_two_that_look_through_the_ring_share_the_work() -> None:
    feed = Feed()
    for index in range(1, 20):
        feed.publish(publication(index, "a", f"b/{index}"))
    selector = feed.selector(("b/+",))
    one, other = feed.delta(selector, 10), feed.delta(selector, 50)
    assert one is not None
    assert other is not None
    steps = one.gather(), other.gather()
    while any(next(step, 0) is None for step in steps):
        pass
    assert (one.ticks, other.ticks) == (18, 14)
    assert len(selector.turns) == 18


def test_a_delta_whose_ticks_leave_the_ring_before_it_is_gathered_is_lost() -> None:
    feed = Feed()
    for index in range(1, 20):
        feed.publish(publication(index, f"b/{index}"))
    delta = feed.delta(feed.selector(("b/+",)), 10)
    assert delta is not None
    steps = delta.gather()
    next(steps)
    for index in range(20, 30 + limits.CHANGED_TICKS_KEPT):
        feed.publish(publication(index))
    list(steps)
    assert delta.is_lost


def test_filters_that_name_one_key_each_are_looked_up() -> None:
    assert Selector(("b", "a", "b")).exact_keys == ["a", "b"]
    assert Selector(("a", "b/+")).exact_keys is None
