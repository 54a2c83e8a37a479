"""The task of dry runs: what it runs is told, and what goes wrong is said in the answer."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from rmf import limits
from rmf.core.effects import Batch, DryRun
from rmf.core.events import DryRunDone, Executed
from rmf.core.world import World
from rmf.floor.boxes.dry_run_task import DryRunTask
from tests.floor.kit import bench

Run = Callable[[Batch], Awaitable[Executed]]


class Runner:
    """Runs as a test says."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def run(self, batch: Batch) -> Executed:
        return await self._run(batch)

    def where(self, topic: str, *, expired: bool) -> str:
        return f"{topic} {expired}"


class Opening:
    """Counts how often a runner was opened."""

    def __init__(self, run: Run) -> None:
        self.opened = 0
        self._run = run

    def __call__(self, _nursery: trio.Nursery) -> Runner:
        self.opened += 1
        return Runner(self._run)


def question(world: World, request: int = 7) -> DryRun:
    batch = Batch(0, 1, 5, world, frozenset(), [], [], 1)
    return DryRun(1, request, batch, world.index.pin())


async def well(batch: Batch) -> Executed:
    return Executed(batch.number, 1, [(0, "a", b"\x01", 0)], b"", [])


async def fails(_batch: Batch) -> Executed:
    raise ValueError("no box")


async def hangs(_batch: Batch) -> Executed:
    await trio.sleep_forever()
    raise AssertionError


async def answer_of(alone: Any, asked: DryRun) -> DryRunDone:
    alone.doors.dry_runs.send_nowait(asked)
    event = await alone.doors.events_out.receive()
    assert isinstance(event, DryRunDone)
    assert event.request == asked.request
    return event


@pytest.mark.parametrize(
    ("run", "why"), [(well, ""), (fails, "ValueError: no box"), (hangs, "nothing came of it")]
)
async def test_each_question_is_answered_and_its_world_let_go(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, run: Run, why: str
) -> None:
    world = World.empty()
    with bench(tmp_path) as alone:
        runs = DryRunTask(alone.doors, Opening(run))
        async with alone.supervised("dry_run", runs.run):
            for request in (7, 8):
                found = await answer_of(alone, question(world, request))
                assert (found.executed is None) == bool(why)
                assert found.why.startswith(why)
    world.index.add("a")
    world.index.discard("a")  # nothing pins it any more
    assert "a" not in world.index


async def test_a_runner_serves_until_no_question_came_for_a_while(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    opening = Opening(well)
    with bench(tmp_path) as alone:
        async with alone.supervised("dry_run", DryRunTask(alone.doors, opening).run):
            for _ in range(3):
                await answer_of(alone, question(World.empty()))
            assert opening.opened == 1
            await trio.sleep(limits.DRY_RUN_IDLE_S + 1)
            await answer_of(alone, question(World.empty()))
            assert opening.opened == 2
