"""A logging node's subscription: every tick, from the ledger, and gaps declared (R37)."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.feed import Feed
from rmf.floor.displays.feeder import Feeder
from rmf.floor.displays.published_world import PublishedWorld
from rmf.floor.doors import connection_doors
from tests.floor.chronicle import Chronicle, chronicle
from tests.floor.display import Display, values


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Chronicle]:
    with chronicle(tmp_path / "n1") as made:
        yield made


@asynccontextmanager
async def logging(told: Chronicle, *filters: str, **options: Any) -> AsyncIterator[Display]:
    """A logging node: every tick, from the ledger."""
    _, _, pages, pages_out = connection_doors()
    subscribe = m.Subscribe(1, list(filters), {"every_tick": True, **options})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(told.picture.run)
        nursery.start_soon(Feeder(told.picture, told.history(), subscribe, pages).run)
        yield Display(pages_out)
        nursery.cancel_scope.cancel()


async def test_every_tick_is_sent_and_none_is_conflated(told: Chronicle) -> None:
    told.tick("cell/a", 0)
    async with logging(told, "cell/#") as display:
        full = await display.next()
        assert (full.kind, values(full)) == (m.FULL, {"cell/a": 0})
        for i in range(1, 40):
            told.tick("cell/a", i)
            told.tick("count")
        heard = [await display.change() for _ in range(1, 40)]
        assert [values(x) for x in heard] == [{"cell/a": i} for i in range(1, 40)]
        assert {(x.kind, x.skipped, x.more) for x in heard} == {(m.DELTA, 0, False)}
        turns = [turn for turn in told.turns if any(c.key == "cell/a" for c in turn.cells)][1:]
        assert [(x.tick, x.entry_index, x.digest) for x in heard] == [
            (turn.tick, turn.index, turn.digest) for turn in turns
        ]


async def test_every_tick_from_any_retained_tick_on(told: Chronicle) -> None:
    ticks = [told.tick("cell/a", i).tick for i in range(20)]
    async with logging(told, "#", from_tick=ticks[4]) as display:
        heard = [await display.change() for _ in range(15)]
        assert [x.tick for x in heard] == ticks[5:]
        told.tick("cell/a", "live")
        assert values(await display.change()) == {"cell/a": "live"}


async def test_expiries_are_sent_too(told: Chronicle) -> None:
    async with logging(told, "#", from_tick=0) as display:
        told.tick("cell/brief", 1, ttl_ms=1)
        assert values(await display.change()) == {"cell/brief": 1}
        told.pass_ms(5)
        assert (await display.change()).removed == [["cell/brief", "expired"]]


def shed(told: Chronicle) -> None:
    """Make history and lose the older half of it."""
    while len(told.ledger.segments) < 4:
        told.tick("count")
    for path in told.ledger.segments[:2]:
        path.unlink()


async def gap_of(display: Display) -> m.Gap:
    gap = codec.decode((await display.page())[4:])
    assert isinstance(gap, m.Gap)
    assert gap.number == 1
    return gap


async def test_behind_a_gap_every_tick_that_is_retained_is_sent_and_a_full_picture_follows(
    told: Chronicle,
) -> None:
    shed(told)
    async with logging(told, "#", from_tick=0) as display:
        gap = await gap_of(display)
        heard = [await display.change()]
        while heard[-1].kind == m.DELTA:
            heard.append(await display.change())
        retained = [turn.tick for turn in told.changes if turn.tick >= gap.oldest]
        assert [x.tick for x in heard] == retained
        assert gap.oldest == retained[0]
        assert len(retained) > 10
        assert values(heard[-1]) == {"count": values(heard[-2])["count"] + 1}
        told.tick("cell/a", 1)
        assert values(await display.change()) == {"cell/a": 1}


async def test_the_full_picture_behind_a_gap_says_what_its_tick_removed(told: Chronicle) -> None:
    """It stands for that Tick, of which nothing may be left out."""
    shed(told)
    told.tick("cell/a", 1)
    told.tick("remove", ["cell/a"])
    async with logging(told, "cell/#", from_tick=0) as display:
        await gap_of(display)
        delta, full = await display.change(), await display.change()
        assert (delta.kind, values(delta)) == (m.DELTA, {"cell/a": 1})
        assert (full.kind, full.cells) == (m.FULL, [])
        assert full.removed == [["cell/a", "removed"]]


async def test_where_nothing_is_retained_a_gap_comes_before_the_full_picture(
    told: Chronicle,
) -> None:
    told.tick("cell/a", 1)
    for path in told.ledger.segments:
        path.unlink()
    async with logging(told, "#", from_tick=0) as display:
        gap = await gap_of(display)
        full = await display.change()
        assert (full.kind, gap.oldest) == (m.FULL, full.tick)
        assert values(full) == {"cell/a": 1}


async def test_keepalives_of_a_logging_node_name_what_was_told(
    told: Chronicle, autojump_clock: trio.testing.MockClock
) -> None:
    """Never the newest picture, if it has not been told: a resume from there would miss it."""
    told.tick("cell/a", 0)
    async with logging(told, "#") as display:
        last = await display.next()
        for i in range(1, 20):
            await trio.sleep(limits.KEEPALIVE_S - 1e-9)  # it is about to be due
            told.tick("cell/a", i)
            heard = await display.next()
            if heard.kind == m.KEEPALIVE:
                assert (heard.tick, heard.digest) == (last.tick, last.digest)
                heard = await display.next()
            assert values(heard) == {"cell/a": i}
            last = heard


async def test_a_logging_node_hears_where_it_stood(
    told: Chronicle,
) -> None:
    """From the feed, or from the ledger where the feed begins later."""
    ticks = [told.tick("cell/a", i) for i in range(5)]
    elsewhere = attrs.evolve(ticks[-1], world=ticks[-1].world)
    for picture in (told.picture, PublishedWorld(Feed())):
        told.picture = picture
        picture.take([elsewhere])
        async with logging(told, "#", from_tick=ticks[2].tick) as display:
            stood = await display.next()
            assert (stood.kind, stood.tick) == (m.KEEPALIVE, ticks[2].tick)
            assert (stood.entry_index, stood.digest) == (ticks[2].index, ticks[2].digest)
            assert [(await display.next()).tick for _ in range(2)] == [x.tick for x in ticks[3:]]


async def test_all_every_tick_displays_share_one_decoded_tail(
    told: Chronicle, autojump_clock: trio.testing.MockClock
) -> None:
    """Nobody reads the ledger for what the feed still holds."""
    told.tick("cell/a", 0)
    async with logging(told, "#") as one, logging(told, "cell/#") as other:
        await one.next()
        await other.next()
        for path in told.ledger.segments:
            path.unlink()
        for i in range(1, 5):
            told.tick("cell/a", i)
            assert values(await one.change()) == values(await other.change()) == {"cell/a": i}


async def test_beyond_the_tail_a_slow_logging_node_reads_the_ledger(
    told: Chronicle,
) -> None:
    newest = told.picture.newest
    told.picture = PublishedWorld(Feed(tail_bytes_max=1000))
    told.picture.take([newest])
    told.tick("cell/a", 0)
    async with logging(told, "cell/a") as display:
        await display.next()
        for i in range(1, 40):
            told.tick("cell/a", i)
            told.tick("count")
        heard = [await display.change() for _ in range(1, 40)]
        assert [values(x) for x in heard] == [{"cell/a": i} for i in range(1, 40)]
        told.tick("cell/a", 40)
        assert values(await display.change()) == {"cell/a": 40}


async def test_a_logging_node_of_a_quiet_line_is_kept_awake(
    told: Chronicle, autojump_clock: trio.testing.MockClock
) -> None:
    told.tick("cell/a", 0)
    async with logging(told, "#") as display:
        await display.next()
        for _ in range(3):
            began = trio.current_time()
            assert (await display.next()).kind == m.KEEPALIVE
            assert trio.current_time() - began == pytest.approx(limits.KEEPALIVE_S, abs=0.1)
