"""Step 5 of 6 · before: core/arbiter (latched and stamped) · next: floor/publisher (the Snapshot).

The line at work: a Batch in, Executed out; in the glove box (R19), or in the node's own process,
in a replay or in a test. Order: expired cells first, then the packets, slot by slot; each
sees what the ones before it changed (R11). A slot that fails is rolled back alone: nothing of it is
applied before all of it is checked, and its Outcome says why (R20, R22):

    no_handler         no filter of the line matches the topic
    payload_invalid    no CBOR, or not the class that the handler declared
    handler_error      the handler raised: anything at all, SystemExit and KeyboardInterrupt too
    handler_memory     it ran out of memory
    handler_timeout    it was interrupted, because its time was used up: the Tick closes with it
    result_invalid     what it returned cannot become changes

It keeps nothing from one batch to the next but caches, so the same batch gives the same Executed.
It knows no clock, no disk and no peers, and it does not limit time or memory: only another process
can. The marker (glovebox/marker) says which slot's user code runs; who watches it may interrupt.
"""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final

from rmf import limits
from rmf.core.bag import Evidence, clip, evidence_of
from rmf.core.effects import Batch, ExpiredCell, Group
from rmf.core.events import Executed, Outcome
from rmf.core.packet import PAYLOAD, Row
from rmf.line.changes import INHERIT, KEEP, Changes, KnownKeys
from rmf.line.glovebox.marker import BATCH, NOBODY, OVERTIME, SLOT, Mark, Overtime, fresh_mark
from rmf.line.line import Handler, Line
from rmf.line.payload import PayloadInvalid, decode_all, decode_alone
from rmf.line.view import CellView, Packet, WorldView, looked_at, reads_of

__all__ = ["Inline", "OutOfMemory"]

_ALONE: Final = object()  # stands for a payload that has to be decoded alone


class OutOfMemory(Exception):
    """A slot ran out of memory where that costs the process its life: another box is to judge."""

    def __init__(self, slot: int, evidence: Evidence) -> None:
        super().__init__(slot)
        self.slot = slot
        self.evidence = evidence


class Inline:
    """Runs the batches of one Line. Raises LineError for a line that cannot be run.

    `mark` is told what is on the bench. With `dies`, a slot that runs out of memory ends the batch
    by OutOfMemory: what this process has left of it is no base for a verdict (R20).
    """

    def __init__(self, line: Line, mark: Mark | None = None, *, dies: bool = False) -> None:
        line.check()
        self.line = line
        self.dies = dies
        self.mark = fresh_mark() if mark is None else mark
        self.keys = KnownKeys()

    def run(self, batch: Batch) -> Executed:
        """Run a batch; never raises for what a packet, a payload or a handler does, but OutOfMemory
        where that is asked for."""
        return self.run_on(batch, Changes(self.keys))

    def run_on(self, batch: Batch, changes: Changes) -> Executed:
        """Run a batch as `run` does; what it changed is left in `changes`."""
        world = WorldView(batch, changes, self.line.name)
        self.mark[BATCH] = batch.number
        self.mark[OVERTIME] = NOBODY
        bench = _Bench(self, batch, world, changes)
        done = bench.run()
        cut_short = self.mark[OVERTIME] != NOBODY
        return Executed(
            batch.number, done, changes.all, changes.encode(), bench.outcomes, cut_short
        )


class _Bench:
    """One batch being run."""

    def __init__(self, inline: Inline, batch: Batch, world: WorldView, changes: Changes) -> None:
        self.outcomes: list[Outcome] = []
        self._line = inline.line
        self._dies = inline.dies
        self._mark = inline.mark
        self._batch = batch
        self._world = world
        self._seen = looked_at(world)  # what the slot on the bench has read, for its bag (R40)
        self._changes = changes
        self._room_bytes = limits.BATCH_BYTES_MAX

    def run(self) -> int:
        """Run slot by slot; return the slot up to which (exclusive) everything is done.

        The slot that uses up the room is the last one: the Tick closes, the rest waits (R43). So
        does the one that used up its time (R20).
        """
        for expired in self._batch.expired:
            self._run_expired(expired)
            if self._room_bytes < 0 or self._mark[OVERTIME] >= 0:
                return expired.slot + 1
        for group in self._batch.groups:
            done = self._run_group(group)
            if done is not None:
                return done
        return self._batch.slots

    def _run_expired(self, expired: ExpiredCell) -> None:
        slot = expired.slot
        handler = self._line.expired_handler_of(expired.key)
        if handler is None:
            self._bag(slot, "no_handler", self._unwanted("on_expired", self._line.expired_filters))
            return
        cell = CellView.of_expired(expired)
        self._seen.clear()
        mark = self._mark
        try:
            mark[SLOT] = slot
            result = handler.function(self._world, cell)
            mark[SLOT] = NOBODY
        except BaseException as exc:  # noqa: BLE001, ASYNC103 SystemExit is a bag, too (R20)
            self._fail(slot, exc)
            return  # noqa: ASYNC104 handlers are not async: no cancellation comes here
        self._conclude(slot, result, handler, KEEP)

    def _run_group(self, group: Group) -> int | None:
        """Run the packets of one group; return the slot behind the last one if the Tick closes.

        The hot loop of the line: it keeps to locals.
        """
        positions, payloads = _decoded(group)
        line, world, mark, conclude = self._line, self._world, self._mark, self._conclude
        rows, first_slot, known_handler = group.rows, group.first_slot, self._line.by_topic.get
        take, seen = self._changes.take, self._seen
        for position, payload in zip(positions, payloads, strict=True):
            row = rows[position]
            topic: str = row[0]
            slot = first_slot + position
            if seen:
                seen.clear()
            handler = known_handler(topic) or line.handler_of(topic)
            if handler is None:
                self._bag(slot, "no_handler", self._unwanted("on", line.filters))
            else:
                try:
                    mark[SLOT] = slot
                    if payload is _ALONE or handler.structure is not None:
                        payload = _structured(handler, row, payload)  # noqa: PLW2901
                    packet = Packet(topic, payload, row, group, world, slot)
                    result = handler.function(world, packet)
                    mark[SLOT] = NOBODY
                except BaseException as exc:  # noqa: BLE001, ASYNC103 as above
                    self._fail(slot, exc)
                else:
                    if mark[OVERTIME] >= 0:
                        conclude(slot, result, handler, INHERIT)
                    elif result is not None:
                        try:
                            self._room_bytes -= take(slot, result, INHERIT)
                        except Exception as exc:  # noqa: BLE001, ASYNC103, ASYNC104 see _refused
                            self._refuse(slot, exc, handler)
            if self._room_bytes < 0 or mark[OVERTIME] >= 0:
                return slot + 1
        return None

    def _conclude(self, slot: int, result: Any, handler: Handler, plain_shelf: int) -> None:
        """Apply what a handler returned, unless it was interrupted and would not have it."""
        if self._mark[OVERTIME] >= 0:
            text = "its time was used up; it went on when it was interrupted, and returned"
            self._bag(slot, "handler_timeout", Evidence("", text, f"  {handler.where}\n"))
            return
        if result is None:
            return
        try:
            self._room_bytes -= self._changes.take(slot, result, plain_shelf)
        except Exception as exc:  # noqa: BLE001, ASYNC103, ASYNC104 see _refused
            self._refuse(slot, exc, handler)

    def _refuse(self, slot: int, exc: Exception, handler: Handler) -> None:
        """Bag a slot whose result cannot become changes, or was too large to be made into them."""
        if isinstance(exc, MemoryError):
            self._starve(slot, _refused(exc, handler))
        else:
            self._bag(slot, "result_invalid", _refused(exc, handler))

    def _starve(self, slot: int, evidence: Evidence) -> None:
        if self._dies:
            raise OutOfMemory(slot, evidence)
        self._bag(slot, "handler_memory", evidence)

    def _fail(self, slot: int, exc: BaseException) -> None:
        """Bag a slot whose user code raised. Making evidence of it runs foreign code once more, so
        the marker stays where it is until that is done."""
        try:
            evidence = _worded(exc) if isinstance(exc, PayloadInvalid) else _sealed(exc)
            self._mark[SLOT] = NOBODY
        except Overtime:  # there is one interrupt a slot: it is not raised again below
            self._mark[SLOT] = NOBODY
            evidence = Evidence("", "", "")
        if self._mark[OVERTIME] >= 0:
            text = "its time was used up; it was interrupted here"
            self._bag(slot, "handler_timeout", Evidence("", text, evidence.traceback))
        elif isinstance(exc, PayloadInvalid):
            self._bag(slot, "payload_invalid", evidence)
        elif isinstance(exc, MemoryError):
            self._starve(slot, evidence)
        else:
            self._bag(slot, "handler_error", evidence)

    def _bag(self, slot: int, reason: str, evidence: Evidence) -> None:
        if self._seen:
            evidence = evidence._replace(reads=reads_of(self._world))
        self.outcomes.append(Outcome(slot, reason, "line", evidence))
        texts = (*evidence[:3], *(read.key for read in evidence.reads))
        heads = limits.OUTCOME_HEADS_BYTES_MAX * (1 + len(evidence.reads))
        self._room_bytes -= sum(len(text.encode()) for text in texts) + heads

    def _unwanted(self, kind: str, filters: Sequence[str]) -> Evidence:
        shown = ", ".join(filters[: limits.FILTERS_SHOWN_MAX]) or "none"
        more = len(filters) - limits.FILTERS_SHOWN_MAX
        rest = f" and {more} more" if more > 0 else ""
        text = (
            f"line {self._line.name!r} has no handler for this topic; @line.{kind}: {shown}{rest}"
        )
        return Evidence("", clip(text, limits.EVIDENCE_TEXT_BYTES_MAX), "")


def _decoded(group: Group) -> tuple[Sequence[int], list[Any]]:
    """Return the positions of the packets to run, and their payloads, decoded together if they all
    can be."""
    rows = group.rows
    positions: Sequence[int] = range(len(rows))
    if group.verdicts:
        positions = [position for position in positions if position not in group.verdicts]
    payloads = decode_all([rows[position][PAYLOAD] for position in positions])
    return positions, [_ALONE] * len(positions) if payloads is None else payloads


def _structured(handler: Handler, row: Row, payload: Any) -> Any:
    """Return the payload as the handler wants it. Raises PayloadInvalid."""
    if payload is _ALONE:
        payload = decode_alone(row[PAYLOAD])
    return payload if handler.structure is None else handler.structure(payload)


def _refused(exc: Exception, handler: Handler) -> Evidence:
    """Return the evidence of a result that cannot become changes; it points to the handler.

    Beside ResultInvalid there is what a thread causes that the handler left behind and that changes
    the dict while it is looked at.
    """
    evidence = evidence_of(exc)
    return evidence._replace(traceback=f"  {handler.where}\n")


def _worded(exc: PayloadInvalid) -> Evidence:
    return Evidence("", clip(str(exc), limits.EVIDENCE_TEXT_BYTES_MAX), "")


# The descriptors themselves: a foreign class can put code of its own before them.
_traceback = vars(BaseException)["__traceback__"]
_links = (vars(BaseException)["__cause__"], vars(BaseException)["__context__"])
_members = vars(BaseExceptionGroup)["exceptions"]


def _drop_last(trace: TracebackType | None) -> None:
    """Cut the newest frame off a traceback."""
    while trace is not None and trace.tb_next is not None:
        if trace.tb_next.tb_next is None:
            trace.tb_next = None
        trace = trace.tb_next


def _sealed(exc: BaseException) -> Evidence:
    """Return the evidence of what a handler raised, its traceback beginning at the handler.

    Nothing is kept of the exception: its tracebacks hold frames, and these its packet and itself.
    """
    raised_at = sys.exc_info()[2]
    if type(exc) is Overtime:
        _drop_last(raised_at)  # the signal's own frame
    _traceback.__set__(exc, raised_at.tb_next if raised_at is not None else None)
    evidence = evidence_of(exc)
    waiting, seen = [exc], {id(exc)}
    while waiting and len(seen) < limits.CHAIN_EXCEPTIONS_MAX:
        one = waiting.pop()
        _traceback.__set__(one, None)
        linked = [link.__get__(one) for link in _links]
        if isinstance(one, BaseExceptionGroup):
            linked += _members.__get__(one)
        for other in linked:
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                waiting.append(other)
    return evidence
