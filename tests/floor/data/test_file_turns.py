"""Turns to move files of the ledger: one at a time, in order, and none is lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from rmf.floor import stand_ins
from rmf.floor.asking import NoTurn, file_turn
from rmf.floor.data.file_turns import FileTurns
from rmf.floor.doors import Doors
from rmf.floor.supervisor import InProgress
from tests.floor.wire import PATIENCE_S


@asynccontextmanager
async def given() -> AsyncIterator[Doors]:
    doors = Doors()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(FileTurns(doors).run, InProgress())
        yield doors
        nursery.cancel_scope.cancel()


async def test_one_has_the_turn_at_a_time_in_order() -> None:
    had: list[int] = []
    at_work = 0

    async def work(number: int) -> None:
        nonlocal at_work
        async with file_turn(doors.file_turns):
            at_work += 1
            assert at_work == 1
            await wait_all_tasks_blocked()
            had.append(number)
            at_work -= 1

    async with given() as doors, trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(work, number)
            await trio.lowlevel.checkpoint()
    assert sorted(had) == list(range(20))


async def test_a_turn_ends_however_its_task_ends() -> None:
    async with given() as doors:
        with pytest.raises(LookupError):
            async with file_turn(doors.file_turns):
                raise LookupError
        with trio.CancelScope() as scope:
            async with file_turn(doors.file_turns):
                scope.cancel()
                await trio.sleep_forever()
        async with file_turn(doors.file_turns):
            pass


async def test_who_gives_up_waiting_holds_no_other_up() -> None:
    async with given() as doors:
        async with file_turn(doors.file_turns):
            with trio.move_on_after(0.01) as patience:
                async with file_turn(doors.file_turns):
                    pytest.fail("it was not its turn")
            assert patience.cancelled_caught
        async with file_turn(doors.file_turns):
            pass


async def test_a_task_that_failed_and_is_back_gives_no_turn_twice() -> None:
    doors = Doors()
    turns = FileTurns(doors)
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as first:
            nursery.start_soon(turns.run, InProgress())
            async with file_turn(doors.file_turns):
                nursery.cancel_scope.cancel()
                first.cancel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run, InProgress())
        async with file_turn(doors.file_turns):
            pass
        nursery.cancel_scope.cancel()


async def test_where_it_is_given_up_no_turn_is_given() -> None:
    doors = Doors()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stand_ins.give_no_turn, doors, "it failed 11 times")
        with trio.fail_after(PATIENCE_S), pytest.raises(NoTurn):
            async with file_turn(doors.file_turns):
                pytest.fail("none is given")
        nursery.cancel_scope.cancel()
