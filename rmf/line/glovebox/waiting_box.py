"""A glove box for tools: `run` waits until the batch is done (R20, R27).

For tools that run an untried line over history: what hangs is interrupted or killed,
what dies is tried once more, and each is bagged, by the very rules of a node. Synchronous; the
keeper of a node's box (floor/box_keeper) does the same in trio, with a spare.
"""

import select
import time
from contextlib import suppress

import attrs

from rmf import limits
from rmf.core.effects import Batch
from rmf.core.events import Executed
from rmf.line.glovebox import pipe
from rmf.line.glovebox.bench_watch import BenchWatch
from rmf.line.glovebox.cells_along import CellsAlong
from rmf.line.glovebox.handle import BoxHandle, BoxSettings
from rmf.line.glovebox.hearing import answer, end_of
from rmf.line.glovebox.pipe import BoxBroken
from rmf.line.glovebox.trial import Death, Memory, Order, Overdue, Trial, cut

__all__ = ["WaitingBox"]


class WaitingBox:
    """Runs batches, each over a World of its own. Close it at the end. Raises LineError where the
    line cannot be loaded, at the start and after a death."""

    def __init__(
        self, settings: BoxSettings, budget_s: float = limits.HANDLER_NS / limits.SECOND
    ) -> None:
        self._settings = settings
        self._budget_s = budget_s
        self._memory = Memory()
        self._number = 0
        self._runs = 0
        self._box: BoxHandle | None = None
        self._along = CellsAlong(settings.memory_bytes)
        self._open()

    def close(self) -> None:
        """Close the process."""
        if self._box is not None:
            self._box.close()
            self._box = None

    def run(self, batch: Batch) -> Executed:
        """Run a batch; see rmf/line/inline. It may end before the last slot, as there."""
        # Each is of a World of its own: what the box knows of another one must not be believed.
        self._number += 1 << 32
        trial = Trial(attrs.evolve(batch, number=self._number), self._memory)
        while True:
            executed = trial.nothing_to_run()
            if executed is None:
                order = trial.order()
                end = self._try(order, cut(trial.batch, order.stop))
                if not isinstance(end, Executed):
                    trial.ended(order, end)
                    continue
                executed = trial.ran(order, end)
            return attrs.evolve(executed, batch=batch.number)

    def _open(self) -> BoxHandle:
        if self._box is None:
            self._box = BoxHandle(self._settings)
            try:
                self._box.wait_ready()
            except BaseException:
                self.close()
                raise
            self._along = CellsAlong(self._settings.memory_bytes)
        return self._box

    def _try(self, order: Order, batch: Batch) -> Executed | Death | Overdue:
        """Run what was ordered; return what came of it, or how its box ended."""
        if order.fresh and self._box is not None and not self._box.fresh:
            self.close()
        box = self._open()
        box.fresh = False
        box.clear()
        self._runs += 1
        self._say(box, pipe.frame(pipe.RUN, pipe.encode_run(batch, self._along.cells(batch))))
        watch = BenchWatch(self._budget_s)
        before, overdue = time.monotonic(), None
        death: Death | None = None
        while True:
            ready, _, _ = select.select([box.fileno(), box.pidfd], [], [], limits.BOX_WATCH_S)
            if box.pidfd in ready:
                box.hang_up()
            try:
                frames = box.receive() if ready else []
                for kind, body in frames or ():
                    if kind == pipe.DONE:
                        done = pipe.decode_done(body, batch)
                        self._along.learn(done)
                        return done.executed
                    answered = answer(kind, body, batch)
                    if isinstance(answered, Death):
                        death = answered
                    else:
                        self._say(box, answered)
            except BoxBroken:
                box.kill()
                return self._bury(box, batch, None, overdue, death)
            if frames is None:
                return self._bury(box, batch, box.slot_of(batch.number), overdue, death)
            now = time.monotonic()
            slot = box.slot_of(batch.number)
            step = watch.look(self._runs, slot, now - before)
            before = now
            if step == "interrupt" and slot is not None:
                box.interrupt(slot)
            elif step == "kill":
                overdue = slot
                box.ask_for_stack()
                time.sleep(limits.BOX_STACK_S)
                if box.slot_of(batch.number) == slot:
                    box.kill()  # else it ended just now, and another would be killed for it

    @staticmethod
    def _say(box: BoxHandle, data: bytes) -> None:
        view = memoryview(data)
        with suppress(OSError):  # it is dead: that is read next
            while view:
                _, ready, _ = select.select([box.pidfd], [box.fileno()], [])
                if not ready:
                    return
                view = view[box.socket.send(view) :]

    def _bury(
        self,
        box: BoxHandle,
        batch: Batch,
        slot: int | None,
        overdue: int | None,
        death: Death | None,
    ) -> Death | Overdue:
        end = end_of(
            box,
            box.end(),
            batch,
            slot=slot,
            overdue=overdue,
            announced=death,
            budget_s=self._budget_s,
        )
        self.close()
        return end
