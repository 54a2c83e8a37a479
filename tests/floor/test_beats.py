"""The beats: regular, never in the way of somebody busy."""

import trio
import trio.testing

from rmf import limits
from rmf.core.events import Asked, Beat
from rmf.floor import beats
from rmf.floor.doors import Doors
from rmf.floor.supervisor import Hands


async def test_an_idle_arbiter_gets_a_beat_each_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    doors = Doors()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(beats.run, doors, Hands())
        began = trio.current_time()
        for _ in range(50):
            assert await doors.events_out.receive() == Beat()
        assert trio.current_time() - began <= 51 * limits.BEAT_S
        nursery.cancel_scope.cancel()


async def test_a_busy_one_needs_none(autojump_clock: trio.testing.MockClock) -> None:
    doors = Doors()
    doors.events.send_nowait(Asked(1, 1, "ping"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(beats.run, doors, Hands())
        await trio.sleep(100 * limits.BEAT_S)
        assert doors.events.statistics().current_buffer_used == 1
        assert await doors.events_out.receive() == Asked(1, 1, "ping")
        assert await doors.events_out.receive() == Beat()
        nursery.cancel_scope.cancel()
