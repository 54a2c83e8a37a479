"""The wheel: alarms ring when they are due, however often they were put off."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from rmf.floor.wheel import Alarm, Wheel


class Rung:
    """A wheel that turns, and when its alarms rang."""

    def __init__(self) -> None:
        self.wheel = Wheel()
        self.at_s: list[tuple[str, float]] = []
        self._began_s = trio.current_time()

    def alarm(self, name: str) -> Alarm:
        return Alarm(self.wheel, lambda: self.at_s.append((name, trio.current_time())))

    def in_s(self, seconds: float) -> float:
        return self._began_s + seconds

    @property
    def told(self) -> list[tuple[str, float]]:
        """Who rang, and after how many seconds."""
        return [(name, round(at_s - self._began_s, 6)) for name, at_s in self.at_s]


@asynccontextmanager
async def turning() -> AsyncIterator[Rung]:
    rung = Rung()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rung.wheel.run)
        yield rung
        nursery.cancel_scope.cancel()


async def test_each_rings_once_when_it_is_due(autojump_clock: trio.testing.MockClock) -> None:
    async with turning() as rung:
        for name, due_s in (("late", 5.0), ("soon", 1.0), ("now", 0.0)):
            rung.alarm(name).set(rung.in_s(due_s))
        await trio.sleep(10)
        assert rung.told == [("now", 0), ("soon", 1), ("late", 5)]


async def test_one_that_is_put_off_rings_later(autojump_clock: trio.testing.MockClock) -> None:
    async with turning() as rung:
        alarm = rung.alarm("one")
        for second in range(10):
            alarm.set(rung.in_s(second + 5))
            await trio.sleep(1)
        await trio.sleep(10)
        assert rung.told == [("one", 14)]


async def test_one_may_be_set_earlier_and_off(autojump_clock: trio.testing.MockClock) -> None:
    async with turning() as rung:
        one, other = rung.alarm("one"), rung.alarm("other")
        one.set(rung.in_s(60))
        other.set(rung.in_s(3))
        await trio.sleep(1)
        one.set(rung.in_s(2))
        other.set(math.inf)
        await trio.sleep(100)
        assert rung.told == [("one", 2)]


async def test_one_may_be_set_again_as_it_rings(autojump_clock: trio.testing.MockClock) -> None:
    async with turning() as rung:

        def ring() -> None:
            rung.at_s.append(("again", trio.current_time()))
            alarm.set(trio.current_time() + 1)

        alarm = Alarm(rung.wheel, ring)
        alarm.set(rung.in_s(1))
        await trio.sleep(3.5)
        assert rung.told == [("again", 1), ("again", 2), ("again", 3)]


async def test_to_put_one_off_costs_no_room() -> None:
    rung = Rung()
    alarm = rung.alarm("one")
    for second in range(1000):
        alarm.set(rung.in_s(60 + second))
    assert len(rung.wheel) == 1
