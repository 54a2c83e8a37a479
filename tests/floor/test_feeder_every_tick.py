"""A logging node's subscription: every tick, from the ledger, and gaps declared (R37)."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.floor.doors import connection_doors
from rmf.floor.feeder import Feeder
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
        nursery.start_soon(Feeder(told.picture, told.history(), subscribe, pages).run)
        yield Display(pages_out)
        nursery.cancel_scope.cancel()


async def test_every_tick_is_told_and_none_is_conflated(told: Chronicle) -> None:
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


async def test_expiries_are_told_too(told: Chronicle) -> None:
    async with logging(told, "#", from_tick=0) as display:
        told.tick("cell/brief", 1, ttl_ms=1)
        assert values(await display.change()) == {"cell/brief": 1}
        told.pass_ms(5)
        assert (await display.change()).removed == [["cell/brief", "expired"]]


async def test_a_gap_is_declared_and_a_full_picture_follows_it(told: Chronicle) -> None:
    while len(told.ledger.segments) < 4:
        told.tick("count")
    for path in told.ledger.segments[:2]:
        path.unlink()
    async with logging(told, "#", from_tick=0) as display:
        gap = codec.decode((await display.page())[4:])
        assert isinstance(gap, m.Gap)
        assert gap.number == 1
        full = await display.change()
        assert (full.kind, full.tick) == (m.FULL, told.turns[-1].tick)
        assert gap.oldest <= full.tick
        told.tick("cell/a", 1)
        assert values(await display.change()) == {"cell/a": 1}


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
