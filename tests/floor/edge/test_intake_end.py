"""The intake door as a connection sees it."""

import trio
import trio.testing

from rmf import limits
from rmf.core import events as ev
from rmf.floor.doors import Doors
from rmf.floor.edge.intake_end import IntakeDoor


async def test_who_offers_waits_while_the_door_is_full_and_the_arbiter_is_awake_by_then() -> None:
    doors = Doors()
    intake = IntakeDoor(doors)
    for number in range(limits.INTAKE_FRAMES):
        await intake.offer(ev.Left(number, "probe", 1))
    assert doors.events.statistics().current_buffer_used == 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(intake.offer, ev.Left(99, "probe", 1))
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        assert doors.intake_out.receive_nowait() == ev.Left(0, "probe", 1)


async def test_what_there_is_room_for_is_taken_at_once_and_wakes_the_arbiter_once() -> None:
    doors = Doors()
    intake = IntakeDoor(doors)
    with trio.testing.assert_no_checkpoints():
        taken = [intake.takes(ev.Left(n, "probe", 1)) for n in range(limits.INTAKE_FRAMES + 1)]
    assert taken == [True] * limits.INTAKE_FRAMES + [False]
    assert doors.events.statistics().current_buffer_used == 1
    assert doors.intake_out.statistics().current_buffer_used == limits.INTAKE_FRAMES
