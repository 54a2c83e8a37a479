"""The beats: when something is due, regular at least, never in the way of somebody busy."""

import trio
import trio.testing

from rmf import limits
from rmf.core.events import Asked, Beat
from rmf.floor.arbiter import beats
from rmf.floor.doors import Doors
from rmf.floor.node_clock import now
from rmf.floor.supervisor import InProgress


async def test_an_idle_arbiter_gets_a_beat_each_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    doors = Doors()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(beats.run, doors, InProgress())
        began = trio.current_time()
        for _ in range(50):
            assert await doors.events_out.receive() == Beat()
        assert trio.current_time() - began <= 51 * limits.BEAT_S
        nursery.cancel_scope.cancel()


async def test_a_busy_one_needs_none(autojump_clock: trio.testing.MockClock) -> None:
    doors = Doors()
    doors.events.send_nowait(Asked(1, 1, "ping"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(beats.run, doors, InProgress())
        await trio.sleep(100 * limits.BEAT_S)
        assert doors.events.statistics().current_buffer_used == 1
        assert await doors.events_out.receive() == Asked(1, 1, "ping")
        assert await doors.events_out.receive() == Beat()
        nursery.cancel_scope.cancel()


async def test_a_beat_comes_when_it_is_due(autojump_clock: trio.testing.MockClock) -> None:
    doors = Doors()
    due_ns = now().boot_ns + 20 * limits.MS
    async with trio.open_nursery() as nursery:
        doors.due.put(due_ns)
        nursery.start_soon(beats.run, doors, InProgress())
        began = trio.current_time()
        await doors.events_out.receive()
        assert trio.current_time() - began <= 0.02
        nursery.cancel_scope.cancel()


async def test_what_is_overdue_does_not_make_the_beats_spin(
    autojump_clock: trio.testing.MockClock,
) -> None:
    doors = Doors()
    async with trio.open_nursery() as nursery:
        doors.due.put(0)
        nursery.start_soon(beats.run, doors, InProgress())
        began = trio.current_time()
        for _ in range(10):
            await doors.events_out.receive()
            doors.due.put(0)
        assert trio.current_time() - began >= 9 * limits.BEAT_S_MIN
        nursery.cancel_scope.cancel()


async def test_what_becomes_due_suddenly_is_heard_before_its_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    doors = Doors()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(beats.run, doors, InProgress())
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        doors.due.put(now().boot_ns)
        await doors.events_out.receive()
        assert trio.current_time() - began <= limits.BEAT_S_MIN
        nursery.cancel_scope.cancel()
