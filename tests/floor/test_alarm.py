"""The alarm: who waits is woken by a ring, or by the time."""

import trio
import trio.testing

from rmf.floor.alarm import Alarm


async def test_a_ring_wakes_whoever_waits(autojump_clock: trio.testing.MockClock) -> None:
    alarm = Alarm()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alarm.wait, 100)
        await trio.testing.wait_all_tasks_blocked()
        alarm.ring()
    assert trio.current_time() < 1


async def test_without_a_ring_the_time_does(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    await Alarm().wait(3)
    assert trio.current_time() - began == 3


async def test_a_ring_with_nobody_waiting_is_lost(autojump_clock: trio.testing.MockClock) -> None:
    alarm = Alarm()
    alarm.ring()
    began = trio.current_time()
    await alarm.wait(3)
    assert trio.current_time() - began == 3
