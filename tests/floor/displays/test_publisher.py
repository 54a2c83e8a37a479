"""The publisher: who watches gets pictures, each for themselves; a failure is told, not hidden."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.feed import Feed
from rmf.floor.displays import publisher
from rmf.floor.displays.history import History
from rmf.floor.displays.news import News, Unwatch, Watched
from rmf.floor.doors import Doors, connection_doors
from rmf.floor.instruments import Pulse
from rmf.floor.items import EdgeLetter
from rmf.floor.stand_ins import refuse_watches
from rmf.floor.supervisor import InProgress
from tests.floor.kit import Bench, Pictures, bench
from tests.floor.wire import PATIENCE_S, snapshot_in


class Display:
    """A connection that subscribes, played by the test."""

    def __init__(self, doors: Doors, connection: int = 1) -> None:
        self.doors = doors
        self.connection = connection
        _, _, self.pages, self.pages_out = connection_doors()

    async def watch(self, number: int = 1, *filters: str, **options: Any) -> None:
        subscribe = m.Subscribe(number, list(filters or ["#"]), options)
        await self.doors.watches.send(Watched(self.connection, subscribe, self.pages.clone()))

    async def unwatch(self, number: int | None = 1) -> None:
        unsubscribe = m.Unsubscribe(number) if number is not None else None
        await self.doors.watches.send(Unwatch(self.connection, unsubscribe))

    async def next(self) -> m.Message:
        with trio.fail_after(PATIENCE_S):
            page = await self.pages_out.receive()
        return codec.decode(page[4:])

    async def snapshot(self) -> m.Snapshot:
        with trio.fail_after(PATIENCE_S):
            return snapshot_in(await self.pages_out.receive())


def task(alone: Bench, feed: Feed | None = None) -> Any:
    facts = (limits.TICK_PERIOD_NS, "shop")
    history = History(alone.directory.ledgers, lambda: alone.directory.cluster, lambda: facts)
    return partial(
        publisher.run, alone.doors, feed if feed is not None else Feed(), history, Pulse()
    )


@pytest.fixture
def pictures() -> Pictures:
    return Pictures()


async def test_pictures_reach_all_who_watch_each_its_own_selection(
    tmp_path: Path, pictures: Pictures
) -> None:
    with bench(tmp_path) as alone:
        async with alone.supervised("publisher", task(alone)):
            News.of([pictures.next({"a": 1, "b": 1})]).put_into(alone.doors.publications)
            one, other = Display(alone.doors), Display(alone.doors, 2)
            await one.watch(1, "a", rate_hz=1000)
            await other.watch(1, "b", rate_hz=1000)
            assert [x.key for x in (await one.snapshot()).cells] == ["a"]
            assert [x.key for x in (await other.snapshot()).cells] == ["b"]
            News.of([pictures.next({"b": 2})]).put_into(alone.doors.publications)
            assert [x.key for x in (await other.snapshot()).cells] == ["b"]


async def test_one_connection_may_watch_several_things(tmp_path: Path, pictures: Pictures) -> None:
    with bench(tmp_path) as alone:
        async with alone.supervised("publisher", task(alone)):
            News.of([pictures.next({"a": 1, "b": 1})]).put_into(alone.doors.publications)
            display = Display(alone.doors)
            await display.watch(1, "a")
            await display.watch(7, "b")
            heard = [await display.snapshot() for _ in range(2)]
            shown = {x.number: [cell.key for cell in x.cells] for x in heard}
            assert shown == {1: ["a"], 7: ["b"]}


async def test_unsubscribing_is_answered_by_end_and_nothing_follows(
    tmp_path: Path, pictures: Pictures, autojump_clock: trio.testing.MockClock
) -> None:
    with bench(tmp_path) as alone:
        async with alone.supervised("publisher", task(alone)):
            News.of([pictures.next({"a": 1})]).put_into(alone.doors.publications)
            display = Display(alone.doors)
            await display.watch(1)
            await display.watch(2)
            await display.snapshot()
            await display.snapshot()
            await display.unwatch(1)
            await display.unwatch(9)  # there is none: it had its END
            ended = False
            for _ in range(20):
                message = await display.next()
                if isinstance(message, m.End):
                    assert message == m.End(1, None, None)
                    ended = True
                else:
                    assert isinstance(message, m.Snapshot)
                    assert not (ended and message.number == 1)
            assert ended


async def test_a_connection_that_is_gone_ends_all_its_subscriptions(
    tmp_path: Path, pictures: Pictures
) -> None:
    with bench(tmp_path) as alone:
        async with alone.supervised("publisher", task(alone)):
            News.of([pictures.next({"a": 1})]).put_into(alone.doors.publications)
            display, other = Display(alone.doors), Display(alone.doors, 2)
            await display.watch(1)
            await display.watch(2)
            await other.watch(1)
            display.pages_out.close()
            await display.unwatch(None)
            assert (await other.snapshot()).kind == m.FULL
            News.of([pictures.next({"a": 2})]).put_into(alone.doors.publications)
            assert (await other.snapshot()).kind == m.DELTA
            await trio.testing.wait_all_tasks_blocked()
            assert display.pages.statistics().open_send_channels == 1  # the feeders' are closed
            assert alone.take_edge_letters() == []


async def test_a_feeder_that_fails_ends_its_subscription_alone(
    tmp_path: Path, pictures: Pictures
) -> None:
    with bench(tmp_path) as alone:
        async with alone.supervised("publisher", task(alone)):
            News.of([pictures.next({"a": 1})]).put_into(alone.doors.publications)
            broken, sound = Display(alone.doors), Display(alone.doors, 2)
            subscribe = m.Subscribe(1, [7], {})  # type: ignore[list-item]  # no filter at all
            await alone.doors.watches.send(Watched(1, subscribe, broken.pages.clone()))
            await sound.watch(1)
            end = await broken.next()
            assert isinstance(end, m.End)
            assert (end.request, end.code) == (1, "internal")
            assert (await sound.snapshot()).kind == m.FULL


async def test_a_failure_ends_all_subscriptions_audibly_and_the_feed_outlives_it(
    tmp_path: Path, pictures: Pictures
) -> None:
    with bench(tmp_path) as alone:
        async with alone.supervised("publisher", task(alone, Feed())):
            News.of([pictures.next({"a": 1})]).put_into(alone.doors.publications)
            display = Display(alone.doors)
            await display.watch(1)
            await display.snapshot()
            alone.doors.publications.put(object())  # type: ignore[arg-type]
            end = await display.next()
            assert isinstance(end, m.End)
            assert (end.request, end.code) == (1, "internal")
            item = await alone.doors.letters_out.receive()
            assert isinstance(item, EdgeLetter)
            assert (item.letter.reason, item.letter.packet) == ("task_failed", b"")
            await display.watch(1)
            full = await display.snapshot()  # nobody published meanwhile
            assert (full.kind, [x.key for x in full.cells]) == (m.FULL, ["a"])


async def test_a_display_that_does_not_read_holds_up_no_restart(
    tmp_path: Path, pictures: Pictures, autojump_clock: trio.testing.MockClock
) -> None:
    with bench(tmp_path) as alone:
        async with alone.supervised("publisher", task(alone, Feed())):
            News.of([pictures.next({"a": 1})]).put_into(alone.doors.publications)
            deaf, other = Display(alone.doors), Display(alone.doors, 2)
            await deaf.watch(1)
            await trio.testing.wait_all_tasks_blocked()
            began = trio.current_time()
            alone.doors.publications.put(object())  # type: ignore[arg-type]
            await other.watch(1)
            while isinstance(await other.next(), m.End):  # it came before the failure was met
                await other.watch(1)
            assert trio.current_time() - began < 2 * limits.GOODBYE_S_MAX


async def test_once_it_is_given_up_a_subscriber_learns_it_and_none_waits(
    tmp_path: Path, pictures: Pictures
) -> None:
    """F6: connections must be able to close, and a node on strike to be reached and stopped."""
    with bench(tmp_path) as alone:
        doors, display = alone.doors, Display(alone.doors)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refuse_watches, doors, "it failed 11 times")
            await display.watch(3)
            end = await display.next()
            assert isinstance(end, m.End)
            assert (end.request, end.code) == (3, "internal")
            assert "it failed 11 times" in (end.text or "")
            news = pictures.next({"a": 1})
            News.of([news]).put_into(doors.publications)
            with trio.fail_after(PATIENCE_S):
                for _ in range(3 * limits.CONNECTIONS_MAX):
                    await display.unwatch(None)
            await trio.testing.wait_all_tasks_blocked()
            assert not news.world.index._pins
            nursery.cancel_scope.cancel()


async def test_cancelling_it_says_nothing(tmp_path: Path, pictures: Pictures) -> None:
    with bench(tmp_path) as alone:
        display = Display(alone.doors)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(task(alone), InProgress())
            News.of([pictures.next({"a": 1})]).put_into(alone.doors.publications)
            await display.watch(1)
            await display.snapshot()
            nursery.cancel_scope.cancel()
        display.pages.close()
        with pytest.raises(trio.EndOfChannel):
            await display.pages_out.receive()
