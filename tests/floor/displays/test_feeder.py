"""One subscription: full, then deltas; conflation, rate, keepalive."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core import messages as m
from rmf.core.clock import TickClock
from rmf.core.feed import Feed
from rmf.floor.displays.feeder import Feeder
from rmf.floor.displays.history import History
from rmf.floor.displays.published_world import PublishedWorld
from rmf.floor.doors import connection_doors
from tests.floor.display import Display, keys, values
from tests.floor.kit import Pictures


class Scene:
    """Feeders over one picture; a test publishes and reads their pages."""

    def __init__(self, tmp_path: Path) -> None:
        self.pictures = Pictures()
        self.turning = True
        self.shown = 0  # displays: the first one brings along who does their work
        self.picture = PublishedWorld(Feed(), lambda: self.turning)
        facts = (limits.TICK_PERIOD_NS, "shop")
        self.history = History((tmp_path,), lambda: b"c" * 16, lambda: facts)

    def publish(self, cells: dict[str, Any] | None = None, **removed: str) -> None:
        """Publish the next Tick."""
        gone = {key.replace("_", "/"): why for key, why in removed.items()}
        self.picture.take([self.pictures.next(cells, gone)])

    @asynccontextmanager
    async def display(self, *filters: str, **options: Any) -> AsyncIterator["Display"]:
        """Subscribe; `dated` as a HELLO may say."""
        dated = options.pop("dated", False)
        _, _, pages, pages_out = connection_doors()
        subscribe = m.Subscribe(1, list(filters), options)
        feeder = Feeder(self.picture, self.history, subscribe, pages, dated=dated)
        async with trio.open_nursery() as nursery:
            if not self.shown:
                nursery.start_soon(self.picture.run)
            self.shown += 1
            nursery.start_soon(feeder.run)
            yield Display(pages_out)
            self.shown -= 1
            nursery.cancel_scope.cancel()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_it_begins_with_the_whole_selection_and_goes_on_with_deltas(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 1, "b": 1, "c": 1})
    async with scene.display("#") as display:
        full = await display.next()
        assert (full.kind, full.more, full.skipped) == (m.FULL, False, 0)
        assert values(full) == {"a": 1, "b": 1, "c": 1}
        scene.publish({"b": 2}, c="expired")
        delta = await display.change()
        assert (delta.kind, values(delta)) == (m.DELTA, {"b": 2})
        assert (delta.removed, delta.skipped) == ([["c", "expired"]], 0)
        newest = scene.picture.newest
        assert (delta.term, delta.tick, delta.entry_index) == (1, newest.tick, newest.index)
        assert delta.digest == newest.digest
        assert delta.live


async def test_full_mode_sends_whole_pictures(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 1, "b": 1})
    async with scene.display("#", mode="full") as display:
        await display.next()
        scene.publish({"b": 2})
        again = await display.change()
        assert (again.kind, values(again)) == (m.FULL, {"a": 1, "b": 2})


async def test_it_waits_for_a_first_picture(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    async with scene.display("#") as display, trio.open_nursery() as nursery:
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(_publish, scene)
        assert (await display.next()).kind == m.FULL


async def _publish(scene: Scene) -> None:
    scene.publish({"a": 1})


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["#"], ["a", "a/b", "a/b/c", "a/c", "ab", "b"]),
        (["a"], ["a"]),
        (["a/b"], ["a/b"]),
        (["nothing"], []),
        (["a/#"], ["a", "a/b", "a/b/c", "a/c"]),
        (["a/+"], ["a/b", "a/c"]),
        (["+/b"], ["a/b"]),
        (["+/b/#"], ["a/b", "a/b/c"]),
        (["+"], ["a", "ab", "b"]),
        (["b", "a/c", "b"], ["a/c", "b"]),
        (["a/+", "b"], ["a/b", "a/c", "b"]),
    ],
)
async def test_filters_select_exactly(
    scene: Scene,
    filters: list[str],
    expected: list[str],
    autojump_clock: trio.testing.MockClock,
) -> None:
    everything = ["b", "a/b/c", "a", "ab", "a/c", "a/b"]
    scene.publish(dict.fromkeys(everything, 1))
    async with scene.display(*filters) as display:
        assert keys(await display.next()) == expected
        scene.publish({"outside": 1} if filters not in (["#"], ["+"]) else {})
        scene.publish(dict.fromkeys(everything, 2))
        if expected:
            assert keys(await display.change()) == expected
        scene.publish({}, **{key.replace("/", "_"): "expired" for key in everything})
        if expected:
            assert [key for key, _ in (await display.change()).removed] == expected


async def test_a_fast_line_is_conflated_and_the_skipped_ticks_are_counted(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 0, "b": 0})
    async with scene.display("#") as display:
        await display.next()
        for i in range(1, 8):
            scene.publish({"a": i})
        scene.publish({"b": 1})
        delta = await display.change()
        assert (values(delta), delta.skipped) == ({"a": 7, "b": 1}, 7)
        scene.publish({"a": 8})
        assert (await display.change()).skipped == 0


async def test_ticks_that_change_nothing_of_the_selection_are_not_skipped_ones(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 0})
    async with scene.display("a") as display:
        await display.next()
        for i in range(5):
            scene.publish({"b": i})
        scene.publish({"a": 1})
        assert (await display.change()).skipped == 0


async def test_a_key_that_came_and_went_meanwhile_is_not_shown(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 0})
    async with scene.display("#") as display:
        await display.next()
        scene.publish({"b": 1})
        scene.publish(b="expired")
        scene.publish(a="removed")
        scene.publish({"a": 1})  # written again after it went
        delta = await display.change()
        assert (values(delta), delta.removed) == ({"a": 1}, [["b", "expired"]])


async def test_the_rate_is_kept(scene: Scene, autojump_clock: trio.testing.MockClock) -> None:
    scene.publish({"a": 0})
    async with scene.display("#", rate_hz=2) as display, trio.open_nursery() as nursery:
        await display.next()
        began = trio.current_time()
        nursery.start_soon(_publish_often, scene)
        shown = [await display.change() for _ in range(10)]
        assert trio.current_time() - began == pytest.approx(5, abs=0.2)
        assert sum(snapshot.skipped + 1 for snapshot in shown) == pytest.approx(500, abs=20)
        nursery.cancel_scope.cancel()


async def _publish_often(scene: Scene) -> None:
    for i in range(10_000):
        await trio.sleep(0.01)
        scene.publish({"a": i})


async def test_the_rate_has_a_default_and_a_ceiling(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 0})
    for options, least_s in (({}, 1 / limits.RATE_HZ_DEFAULT), ({"rate_hz": 1e8}, 0.001)):
        async with scene.display("#", **options) as display:
            await display.next()
            began = trio.current_time()
            scene.publish({"a": 1})
            await display.change()
            assert trio.current_time() - began == pytest.approx(least_s)


async def test_a_picture_that_does_not_change_is_dated_again(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 0})
    for options in ({}, {"rate_hz": 0.01}, {"mode": "full"}):
        async with scene.display("#", **options) as display:
            await display.next()
            for _ in range(3):
                began = trio.current_time()
                alive = await display.next()
                assert (alive.kind, alive.cells, alive.removed) == (m.KEEPALIVE, [], [])
                assert trio.current_time() - began == pytest.approx(limits.KEEPALIVE_S)


async def test_a_rate_below_the_keepalives_is_kept_and_keepalives_promise_nothing_untold(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 0})
    async with scene.display("#", rate_hz=0.2) as display:
        first = await display.next()
        scene.publish({"a": 1})
        began = trio.current_time()
        told = first.tick
        for _ in range(4):
            alive = await display.next()
            assert (alive.kind, alive.tick, alive.digest) == (m.KEEPALIVE, told, first.digest)
        delta = await display.change()
        assert trio.current_time() - began == pytest.approx(5)
        assert (values(delta), delta.skipped) == ({"a": 1}, 0)
        assert delta.tick > told


async def test_a_display_of_something_else_hears_that_time_goes_on(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 0})
    async with scene.display("a") as display, trio.open_nursery() as nursery:
        await display.next()
        nursery.start_soon(_publish_others, scene)
        began = trio.current_time()
        heard = [await display.next() for _ in range(5)]
        assert {snapshot.kind for snapshot in heard} == {m.KEEPALIVE}
        assert heard[-1].tick > heard[0].tick  # so that it can tell the age of its cells
        assert trio.current_time() - began <= 5.2 * limits.KEEPALIVE_S
        nursery.cancel_scope.cancel()


async def _publish_others(scene: Scene) -> None:
    for i in range(10_000):
        await trio.sleep(0.01)
        scene.publish({"b": i})


async def test_a_strike_is_shown_though_nothing_changed(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 0})
    async with scene.display("#") as display:
        assert (await display.next()).live
        scene.picture.take([attrs.evolve(scene.pictures.again(), live=False)])
        stale = await display.next()
        assert (stale.kind, stale.live) == (m.KEEPALIVE, False)


async def test_big_selections_come_in_chunks_of_one_tick(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    big = "x" * (limits.SNAPSHOT_CHUNK_BYTES // 3)
    scene.publish({f"cell/{i}": big for i in range(10)})
    async with scene.display("#") as display:
        for kind in (m.FULL, m.DELTA):
            chunks = [await display.change()]
            while chunks[-1].more:
                chunks.append(await display.change())
            assert len(chunks) >= 3
            assert {chunk.kind for chunk in chunks} == {kind}
            assert len({chunk.tick for chunk in chunks}) == 1
            assert [key for chunk in chunks for key in keys(chunk)] == [
                f"cell/{i}" for i in range(10)
            ]
            scene.publish({f"cell/{i}": big for i in range(10)})


async def test_a_world_that_changes_under_a_first_picture_does_not_tear_it(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    big = "x" * (limits.SNAPSHOT_CHUNK_BYTES // 2)
    scene.publish({f"cell/{i}": big for i in range(10)})
    tick = scene.pictures.tick
    async with scene.display("#") as display:
        chunk = await display.next()
        seen = keys(chunk)
        while chunk.more:
            scene.publish({"cell/0": "new", "cell/99": "new"})
            chunk = await display.next()
            seen += keys(chunk)
            assert chunk.tick == tick
        assert seen == [f"cell/{i}" for i in range(10)]
        delta = await display.change()
        assert values(delta) == {"cell/0": "new", "cell/99": "new"}


async def test_resuming_gets_only_what_changed_since(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 0, "b": 0})
    scene.publish({"a": 1})
    since, index = scene.pictures.tick, scene.pictures.index
    scene.publish({"b": 1})
    scene.publish({"c": 1})
    async with scene.display("#", from_tick=since) as display:
        known = await display.next()
        assert (known.kind, known.tick, known.entry_index) == (m.KEEPALIVE, since, index)
        delta = await display.next()
        assert (delta.kind, values(delta)) == (m.DELTA, {"b": 1, "c": 1})
        scene.publish({"a": 2})
        assert values(await display.change()) == {"a": 2}


async def test_a_display_hears_where_it_stood_before_it_hears_what_came_after(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """So that it notices another history: there it would be another Entry, or another digest."""
    scene.publish({"a": 0})
    scene.publish({"a": 1})
    at = scene.picture.newest
    for options in ({}, {"mode": "full"}):
        async with scene.display("#", from_tick=at.tick, **options) as display:
            began = trio.current_time()
            known = await display.next()
            assert (known.kind, known.tick) == (m.KEEPALIVE, at.tick)
            assert (known.entry_index, known.digest) == (at.index, at.digest)
            assert trio.current_time() == began
            again = await display.next()  # nothing is told twice: no empty delta, no picture
            assert (again.kind, again.tick) == (m.KEEPALIVE, at.tick)


async def test_where_a_display_stood_between_two_ticks_is_the_older_one(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 0})
    at = scene.picture.newest
    scene.pictures.tick += 10
    scene.publish({"a": 1})
    async with scene.display("#", from_tick=at.tick + 5) as display:
        known = await display.next()
        assert (known.tick, known.entry_index) == (at.tick + 5, at.index)
        assert values(await display.next()) == {"a": 1}


async def test_resuming_from_too_long_ago_gets_the_whole_picture(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 0, "b": 0})
    async with scene.display("#", from_tick=1) as display:
        full = await display.next()
        assert (full.kind, values(full)) == (m.FULL, {"a": 0, "b": 0})


async def test_a_node_that_lags_behind_the_tick_asked_for_waits(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """Its keepalives take no bookmark back: they name what was told, and no Entry (R35)."""
    scene.publish({"a": 0})
    asked = scene.pictures.tick + 3
    async with scene.display("#", from_tick=asked) as display:
        for i in range(1, 4):
            alive = await display.next()  # and says so meanwhile
            assert (alive.kind, alive.tick, alive.entry_index) == (m.KEEPALIVE, asked, 0)
            scene.publish({"a": i})
        there = await display.next()  # what it asked for is here, nothing behind it
        assert (there.kind, there.tick) == (m.KEEPALIVE, asked)
        assert there.entry_index == scene.pictures.index
        scene.publish({"a": 4})
        assert values(await display.change()) == {"a": 4}


async def test_a_node_without_any_entry_is_heard(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """RMF-32: each subscription hears once a second; what it hears of no Entry is no bookmark."""
    async with scene.display("#") as display:
        for _ in range(3):
            began = trio.current_time()
            alive = await display.next()
            assert (alive.kind, alive.tick, alive.entry_index) == (m.KEEPALIVE, 0, 0)
            assert not alive.live
            assert trio.current_time() - began == pytest.approx(limits.KEEPALIVE_S)
        scene.publish({"a": 1})
        assert (await display.next()).kind == m.FULL


async def test_a_slow_display_is_conflated_alone_and_never_cut_off(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 0})
    async with scene.display("#") as slow, scene.display("#") as quick:
        await slow.next()
        await quick.next()
        for i in range(1, 101):
            scene.publish({"a": i})
            assert values(await quick.change()) == {"a": i}
        await trio.sleep(3600)
        late = await slow.next()  # what it was about to be sent when it stopped reading
        newest = await slow.change()
        assert late.skipped + newest.skipped + 2 == 100 + (late.kind == m.KEEPALIVE)
        assert values(newest) == {"a": 100}


async def test_beyond_the_ring_a_slow_display_gets_a_whole_picture(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 0, "b": 0})
    async with scene.display("#") as slow:
        await slow.next()
        many = [scene.pictures.next({"a": i}) for i in range(limits.CHANGED_TICKS_KEPT + 10)]
        await trio.sleep(2 * limits.KEEPALIVE_S)  # it is busy with a page that nobody takes
        scene.picture.take(many)
        await slow.next()
        full = await slow.change()
        assert (full.kind, values(full)) == (m.FULL, {"a": 4105, "b": 0})


async def test_one_encoding_serves_all_displays_of_a_filter(scene: Scene) -> None:
    everything = scene.picture.feed.selector(["#"])
    scene.publish({"a": 0})
    since = scene.pictures.tick
    scene.publish({"a": 1})
    one, other = (scene.picture.delta(everything, since) for _ in range(2))
    assert one is not None
    assert one is other
    await scene.picture.desk.make(one.gather())
    page = await scene.picture.desk.make(one.page(0))
    assert page is await scene.picture.desk.make(one.page(0))
    scene.publish({"a": 2})
    assert scene.picture.delta(everything, since) is not one


async def test_keepalives_carry_the_present_tick_where_it_was_asked_for(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """So that an age can be computed from them, though the picture stands still (D2)."""
    clock = TickClock(100_000, scene.pictures.tick, 0)
    scene.picture = PublishedWorld(Feed(), boot_ns=lambda: int(trio.current_time() * 1e9))
    scene.picture.take([attrs.evolve(scene.pictures.next({"a": 1}), clock=clock)])
    tick = scene.pictures.tick
    async with scene.display("#", dated=True) as display:
        assert (await display.next()).now == tick  # a Tick may lead the clock a little
        for second in range(1, 4):
            alive = await display.next()
            assert (alive.kind, alive.tick) == (m.KEEPALIVE, tick)
            assert alive.now == pytest.approx(tick + 10_000 * second, abs=10)
    async with scene.display("#") as display:
        assert (await display.next()).now is None


async def test_where_the_time_is_unknown_no_frame_says_it(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    scene.publish({"a": 1})
    async with scene.display("#", dated=True) as display:
        assert (await display.next()).now is None


async def test_a_picture_is_not_live_while_the_arbiter_does_not_turn(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """R36: a process that was paused says so before its Arbiter has found out."""
    scene.publish({"a": 1})
    async with scene.display("#") as display:
        assert (await display.next()).live
        scene.turning = False
        assert not (await display.next()).live
        scene.turning = True
        assert (await display.next()).live


class Turns(trio.abc.Instrument):
    """Counts the turns of tasks of one name."""

    def __init__(self, name: str) -> None:
        self.turns = 0
        self._name = name

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.turns += self._name in task.name


async def test_to_look_on_costs_a_display_no_turn_of_its_own(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """Keepalives, and deltas of a page, are told in the rounds."""
    scene.publish({"a": 0})
    async with scene.display("#") as display:
        await display.next()
        await trio.testing.wait_all_tasks_blocked()
        turns = Turns("Feeder.run")
        trio.lowlevel.add_instrument(turns)
        for value in range(5):
            scene.publish({"a": value})
            assert values(await display.next()) == {"a": value}
            assert (await display.next()).kind == m.KEEPALIVE
        trio.lowlevel.remove_instrument(turns)
        assert turns.turns == 0


async def test_a_display_that_is_not_ready_is_told_once_it_is(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """The rounds do not wait for it: its task does."""
    scene.publish({"a": 0})
    async with scene.display("#") as slow, scene.display("#") as quick:
        await slow.next()
        await quick.next()
        scene.publish({"a": 1})
        assert values(await quick.change()) == {"a": 1}
        await trio.sleep(0.5)
        assert values(await slow.change()) == {"a": 1}
