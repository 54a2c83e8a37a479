"""Dry runs: what the line would do with a packet, asked before a letter is sent again (R40).

It takes batches of one packet from the dry_runs door, has them run apart from the bench, and tells
the Arbiter what came of each. What runs them is opened when a question comes, and closed when none
has come for a while. Nothing that it runs is applied anywhere.

Errors: a runner that fails, hangs or cannot be had costs the question its answer, and is said in
it. Shutdown: cancel it.
"""

from collections.abc import Callable

import trio

from rmf import limits
from rmf.core.effects import DryRun
from rmf.core.events import DryRunDone, Executed
from rmf.floor import log
from rmf.floor.boxes.audit import AuditRunner
from rmf.floor.boxes.box_keeper import first_leaf
from rmf.floor.doors import Doors
from rmf.floor.supervisor import InProgress

__all__ = ["DryRunTask", "Open"]

Open = Callable[[trio.Nursery], AuditRunner]  # what serves the runner is started in the nursery


class DryRunTask:
    """The task and the question at work."""

    def __init__(self, doors: Doors, open_runner: Open) -> None:
        self._doors = doors
        self._open = open_runner
        self._asked: DryRun | None = None

    async def run(self, in_progress: InProgress) -> None:
        """Serve the dry_runs door until cancelled."""
        in_progress.free()  # what it runs is in a letter already
        async for first in self._doors.dry_runs_out:
            self._asked = first
            try:
                await self._serve()
            except Exception as exc:  # noqa: BLE001 no box can be had, or it failed: it is said
                leaf = first_leaf(exc)
                why = f"{type(leaf).__name__}: {leaf}"
                log.note("error", "dry_run_failed", error=why)
                await self._tell(None, why)

    async def _serve(self) -> None:
        """Answer questions with one runner until none comes any more."""
        async with trio.open_nursery() as nursery:
            runner = self._open(nursery)
            while self._asked is not None:
                await self._answer(runner, self._asked)
                with trio.move_on_after(limits.DRY_RUN_IDLE_S):
                    self._asked = await self._doors.dry_runs_out.receive()
            nursery.cancel_scope.cancel()

    async def _answer(self, runner: AuditRunner, asked: DryRun) -> None:
        executed = None
        with trio.move_on_after(limits.DRY_RUN_S_MAX):
            executed = await runner.run(asked.batch)
        await self._tell(executed, f"nothing came of it in {limits.DRY_RUN_S_MAX:g} s")

    async def _tell(self, executed: Executed | None, why: str) -> None:
        asked, self._asked = self._asked, None
        if asked is None:
            return
        world = asked.batch.world
        world.index.unpin(asked.pin)
        why = "" if executed is not None else why
        done = DryRunDone(asked.connection, asked.request, world, executed, why)
        await self._doors.events.send(done)
