"""The keeper of a glove box: batches go in, what came of them comes out (R19, R20).

It speaks with one box at a time over its pipe, answers what the box wants to know of the World, and
watches how long a slot takes. When a box dies the spare takes over, and the trial (line/glovebox)
says what of the batch is to be run again. It decides nothing about packets itself, and does not
know where batches come from.
"""

import time
from collections.abc import Callable
from contextlib import suppress

import attrs
import trio

from rmf import limits
from rmf.core.effects import Batch
from rmf.core.entry import LineId
from rmf.core.events import Executed
from rmf.floor import log
from rmf.floor.boxes.spare_box import NoBox, SpareBox, gone, hang_up_once_dead, let_go
from rmf.floor.instruments import Durations
from rmf.line.glovebox import pipe
from rmf.line.glovebox.bench_watch import BenchWatch
from rmf.line.glovebox.cells_along import CellsAlong
from rmf.line.glovebox.handle import BoxHandle, BoxSettings, LineFacts
from rmf.line.glovebox.hearing import answer, end_of
from rmf.line.glovebox.pipe import BoxBroken
from rmf.line.glovebox.trial import Death, Memory, Order, Trial, cut

__all__ = ["BoxKeeper", "BoxState", "first_leaf"]


class BoxState:
    """What outlives the task: the first box, started with the node, and what is remembered
    of packets. `budget_s` is what one of them may take. Where the `line` is known already, boxes
    are started when they are wanted, and no spare `ahead` of that."""

    def __init__(
        self,
        settings: BoxSettings,
        budget_s: float,
        *,
        line: LineId | None = None,
        first: BoxHandle | None = None,
    ) -> None:
        self.first = first or (BoxHandle(settings) if line is None else None)
        self.settings = settings
        self.line = line or LineId("", 0, b"")
        self.ahead = line is None
        self.budget_s = budget_s
        self.memory = Memory()
        self.trial: Trial | None = None
        self.waiting: Batch | None = None  # the next one, once this one has ended
        self.restarts = 0

    def wait_ready(self) -> LineFacts:
        """Wait until the first box has loaded the line, blocking. Raises LineError."""
        assert self.first is not None
        facts = self.first.wait_ready()
        self.line = facts.identity
        return facts

    def close(self) -> None:
        """Close a box that no task has taken over."""
        if self.first is not None:
            self.first.close()
            self.first = None


@attrs.define
class _Run:
    """What a box is working on: `batch` is cut to what was ordered."""

    number: int
    order: Order
    batch: Batch
    began_s: float
    overdue: int | None = None  # the slot for which its box is killed


class BoxKeeper:
    """The keeper and the box it speaks with. `tell` is called with what came of each batch, `lost`
    after a death, with how many there were. `execute` measures. `nursery` is there while it serves.
    """

    nursery: trio.Nursery

    def __init__(
        self,
        bench: BoxState,
        execute: Durations,
        *,
        tell: Callable[[Executed], None],
        lost: Callable[[int], None],
    ) -> None:
        self._bench = bench
        self._spare = SpareBox(bench.settings, bench.line, ahead=bench.ahead)
        self._execute = execute
        self._tell_them = tell
        self._lost = lost
        self._box: BoxHandle | None = None
        self._run: _Run | None = None
        self._runs = 0
        self._unsent = b""
        self._to_write = trio.Event()
        self._at_work = trio.Event()
        self._work = trio.Event()  # a batch has come in vain
        self._death: Death | None = None
        self._along = CellsAlong(bench.settings.memory_bytes)

    async def serve(self, batches: "trio.MemoryReceiveChannel[Batch] | None" = None) -> None:
        """Serve until cancelled, what is `put` and what comes by `batches`; its boxes are killed
        then. Raises NoBox."""
        first_after_s = limits.BOX_SPARE_S if self._bench.first is not None else 0.0
        try:
            async with trio.open_nursery() as nursery:
                self.nursery = nursery
                nursery.start_soon(self._spare.keep, first_after_s)
                nursery.start_soon(self._write)
                nursery.start_soon(self._watch)
                if batches is not None:
                    nursery.start_soon(self._fetch, batches)
                await self._speak()
        except BaseExceptionGroup as group:
            missing, rest = group.split(NoBox)
            if missing is None or rest is not None:
                raise
            raise NoBox(str(first_leaf(missing))) from None
        finally:
            if self._box is not None:
                let_go(self._box)
                self._box = None
            self._bench.close()

    async def _fetch(self, batches: "trio.MemoryReceiveChannel[Batch]") -> None:
        async for batch in batches:
            self.put(batch)

    # --- Batches ----------------------------------------------------------------------------------

    def put(self, batch: Batch) -> None:
        """Put a batch on the bench, once it is free; the newest takes the place of one that waits,
        which is of an ended reign."""
        self._bench.waiting = batch
        self._work.set()
        self._take_waiting()

    def _begin(self, batch: Batch) -> None:
        self._bench.trial = Trial(batch, self._bench.memory)
        self._go_on()

    def _go_on(self) -> None:
        """Have the box run what is to be run now."""
        trial, box = self._bench.trial, self._box
        assert trial is not None
        assert box is not None
        settled = trial.nothing_to_run()
        if settled is not None:
            self._tell(settled)
            return
        order = trial.order()
        if order.fresh and not box.fresh:
            self._death = None
            self._run = None
            box.kill()  # a healthy one: its end is read as one, and the spare is next
            return
        box.fresh = False
        box.clear()
        batch = cut(trial.batch, order.stop)
        self._runs += 1
        self._run = _Run(self._runs, order, batch, time.perf_counter())
        self._send(pipe.frame(pipe.RUN, pipe.encode_run(batch, self._along.cells(batch))))
        self._at_work.set()

    def _tell(self, executed: Executed) -> None:
        """Tell what came of the batch; the bench is free, so take what waits."""
        self._bench.trial = None
        self._run = None
        self._tell_them(executed)
        self._take_waiting()

    def _take_waiting(self) -> None:
        if self._box is not None and self._bench.trial is None and self._bench.waiting is not None:
            batch, self._bench.waiting = self._bench.waiting, None
            self._begin(batch)

    # --- The box ----------------------------------------------------------------------------------

    async def _speak(self) -> None:
        """Speak with one box after another."""
        while True:
            if self._bench.first is not None:
                self._box, self._bench.first = self._bench.first, None
            else:
                if not self._bench.ahead and self._bench.trial is None:
                    await self._work.wait()
                self._box = await self._spare.take()
                self._work = trio.Event()
            self._unsent = b""
            self._along = CellsAlong(self._bench.settings.memory_bytes)
            if self._bench.trial is not None:
                self._go_on()
            self._take_waiting()
            fault = await self._serve(self._box)
            self._bury(self._box, fault)
            trial = self._bench.trial
            settled = trial.nothing_to_run() if trial is not None else None
            if settled is not None:  # no packet waits for the next box to hear a verdict
                self._tell(settled)

    async def _serve(self, box: BoxHandle) -> str | None:
        """Serve a box until it is dead; return what it did wrong, if it was that."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang_up_once_dead, box)
            fault = await self._listen(box)
            nursery.cancel_scope.cancel()
        await gone(box)
        return fault

    async def _listen(self, box: BoxHandle) -> str | None:
        """Serve a box until its end; return what it did wrong, if it was that."""
        while True:
            await trio.lowlevel.wait_readable(box.socket)
            try:
                frames = box.receive()
                if frames is None:
                    return None
                for kind, body in frames:
                    self._hear(kind, body)
            except BoxBroken as exc:
                box.kill()
                return str(exc)

    def _hear(self, kind: int, body: bytes) -> None:
        run, trial = self._run, self._bench.trial
        if run is None or trial is None:
            raise BoxBroken(f"a word of kind {kind} though nothing was asked")
        if kind == pipe.DONE:
            done = pipe.decode_done(body, run.batch)
            self._along.learn(done)
            self._execute.observe(time.perf_counter() - run.began_s)
            self._tell(trial.ran(run.order, done.executed))
            return
        answered = answer(kind, body, run.batch)
        if isinstance(answered, Death):
            self._death = answered
        else:
            self._send(answered)

    def _bury(self, box: BoxHandle, fault: str | None) -> None:
        """A box has ended: note why, and tell the trial."""
        how = box.end(0)
        run, trial = self._run, self._bench.trial
        self._box, self._run = None, None
        death, self._death = self._death, None
        if run is not None and trial is not None:
            slot = box.slot_of(run.batch.number) if fault is None else None
            end = end_of(
                box,
                how,
                run.batch,
                slot=slot,
                overdue=run.overdue,
                announced=death,
                budget_s=self._bench.budget_s,
            )
            trial.ended(run.order, end)
            self._bench.restarts += 1
            note = {"how": fault or how, "slot": slot, "restarts": self._bench.restarts}
            log.note("warning", "glovebox_died", **note)
            self._lost(self._bench.restarts)
        let_go(box)

    # --- Writing and watching -----------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        """Write what the pipe takes now; the rest follows by `write`."""
        assert self._box is not None
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._box.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it is dead: that is read soon
        if sent < len(data):
            self._unsent = data[sent:]
            self._to_write.set()

    async def _write(self) -> None:
        """Write what the pipe had no room for."""
        while True:
            await self._to_write.wait()
            self._to_write = trio.Event()
            while self._unsent and self._box is not None:
                box = self._box
                with suppress(trio.ClosedResourceError):
                    await trio.lowlevel.wait_writable(box.socket)
                if box is not self._box:
                    break
                try:
                    self._unsent = self._unsent[box.socket.send(self._unsent) :]
                except OSError:
                    break  # it is dead: that is read soon

    async def _watch(self) -> None:
        """Look at the bench while a slot runs there."""
        watch = BenchWatch(self._bench.budget_s)
        before = trio.current_time()
        while True:
            if self._run is None:
                self._at_work = trio.Event()
                await self._at_work.wait()
                before = trio.current_time()
            await trio.sleep(limits.BOX_WATCH_S)
            now = trio.current_time()
            box, run = self._box, self._run
            if box is not None and run is not None:
                slot = box.slot_of(run.batch.number)
                step = watch.look(run.number, slot, now - before)
                if step == "interrupt" and slot is not None:
                    box.interrupt(slot)
                elif step == "kill":
                    run.overdue = slot
                    box.ask_for_stack()
                    await trio.sleep(limits.BOX_STACK_S)
                    if box is self._box and box.slot_of(run.batch.number) == slot:
                        box.kill()  # else it ended just now, and another would be killed for it
            before = now


def first_leaf(exc: BaseException) -> BaseException:
    """Return the first exception of a group."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc
