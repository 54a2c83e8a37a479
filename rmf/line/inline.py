"""The line at work: a Batch in, Executed out.

In the glove box (R19), or in the node's own process, in a replay or in a test. Order: expired cells
first, then the packets, slot by slot; each sees what the ones before it changed (R11). A slot that
fails is rolled back alone: nothing of it is applied before all of it is checked, and its Outcome
says why (R20, R22):

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
from contextlib import redirect_stderr, redirect_stdout
from types import TracebackType
from typing import Any, Final, TextIO, cast

from rmf import limits
from rmf.core.bag import Evidence, clip, evidence_of
from rmf.core.effects import Batch, ExpiredCell, FrameGroup
from rmf.core.events import Executed
from rmf.core.outcome import INHERIT, Outcome
from rmf.core.packet import PAYLOAD, Row
from rmf.line.changes import KEEP, SPANS_BYTES_MAX, STORED, Changes, KnownKeys
from rmf.line.glovebox.marker import BATCH, NO_SLOT, OVERTIME, SLOT, Mark, Overtime, fresh_mark
from rmf.line.line import Handler, Line
from rmf.line.payload import PayloadInvalid, decode_all, decode_alone
from rmf.line.printing import Prints
from rmf.line.view import CellView, Packet, WorldView, looked_at, reads_of

__all__ = ["Inline", "OutOfMemory"]

_ALONE: Final = object()  # stands for a payload that has to be decoded alone
_NOTHING_YET: Final = object()  # stands for the result of a handler that has not returned

_Failure = tuple[str, Evidence]  # why a slot is bagged


class OutOfMemory(Exception):
    """A slot ran out of memory where that costs the process its life: another box is to judge."""

    def __init__(self, slot: int, evidence: Evidence) -> None:
        super().__init__(slot)
        self.slot = slot
        self.evidence = evidence


class Inline:
    """Runs the batches of one Line. Raises LineError for a line that cannot be run.

    `mark` holds what is on the bench. With `dies`, a slot that runs out of memory ends the batch
    by OutOfMemory: what this process has left of it is no base for a verdict (R20). `prints` takes
    what handlers print, where the process's own streams might make them wait or fail.
    """

    def __init__(
        self,
        line: Line,
        mark: Mark | None = None,
        *,
        dies: bool = False,
        prints: Prints | None = None,
    ) -> None:
        line.check()
        self.line = line
        self.dies = dies
        self.mark = fresh_mark() if mark is None else mark
        self.keys = KnownKeys()
        self._prints = cast("TextIO | None", prints)

    def run(self, batch: Batch) -> Executed:
        """Run a batch; never raises for what a packet, a payload or a handler does, but OutOfMemory
        where that is asked for."""
        if self._prints is None:
            return self.run_on(batch, Changes(self.keys, batch.groups))
        with redirect_stdout(self._prints), redirect_stderr(self._prints):
            return self.run_on(batch, Changes(self.keys, batch.groups))

    def run_on(self, batch: Batch, changes: Changes) -> Executed:
        """Run a batch as `run` does; what it changed is left in `changes`."""
        world = WorldView(batch, changes, self.line.name)
        self.mark[BATCH] = batch.number
        self.mark[OVERTIME] = NO_SLOT
        bench = _RunningBatch(self, batch, world, changes)
        done = bench.run()
        cut_short = self.mark[OVERTIME] != NO_SLOT
        said = changes.listed, changes.encode(), bench.outcomes
        return Executed(batch.number, done, *said, cut_short, changes.spans())


class _RunningBatch:
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
        self._room_bytes = limits.BATCH_BYTES_MAX - batch.verbatim * SPANS_BYTES_MAX

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
        self._seen.clear()
        mark = self._mark
        result: Any = _NOTHING_YET
        failure = checked = None
        try:
            mark[SLOT] = slot
            try:
                result = handler.function(self._world, CellView.of_expired(expired))
                if result is not None:
                    checked = self._changes.check(slot, result, KEEP)
            except BaseException as exc:  # noqa: BLE001, ASYNC103 SystemExit is a bag, too (R20)
                failure = self._failure(exc, handler, returned=result is not _NOTHING_YET)
            result = None  # noqa: ASYNC104 handlers are not async: no cancellation comes here
            mark[SLOT] = NO_SLOT
        except Overtime:
            pass  # it came behind the handler's end, in what the handler left behind
        if failure is not None or mark[OVERTIME] >= 0:
            result = None
            self._conclude(slot, failure, handler)
        elif checked is not None:
            self._room_bytes -= self._changes.apply(checked)

    def _run_group(self, group: FrameGroup) -> int | None:
        """Run the packets of one group; return the slot behind the last one if the Tick closes.

        The hot loop of the line: it keeps to locals. Whatever a handler made (packet, payload,
        result, exception) is dropped before the marker says that no slot is at work: its
        finalizers are the slot's own, within its budget. Changes are applied after that, when no
        interrupt can come any more. A short payload of bytes that is stored as it came is seen
        here, although Changes.check_packet would say so, too: a topic that it does not know yet as
        a key costs it a check, a third of what a lone packet takes here.
        """
        line, world, mark, changes = self._line, self._world, self._mark, self._changes
        check, check_packet, says_stored = changes.check, changes.check_packet, self._batch.verbatim
        apply, store, seen = changes.apply, changes.stored.append, self._seen
        known = line.by_topic.get
        packet = payload = result = checked = failure = None
        for slot, row, decoded in zip(*_decoded(group), strict=True):
            topic: str = row[0]
            if seen:
                seen.clear()
            handler = known(topic) or line.handler_of(topic)
            if handler is None:
                self._bag(slot, "no_handler", self._unwanted("on", line.filters))
                if self._room_bytes < 0:
                    return slot + 1
                continue
            try:
                mark[SLOT] = slot
                result = _NOTHING_YET
                try:
                    if decoded is _ALONE or handler.structure is not None:
                        payload = _structured(handler, row, decoded)
                    else:
                        payload = decoded
                    packet = Packet(topic, payload, row, group, world, slot)
                    result = handler.function(world, packet)
                    if result is None:
                        checked = None
                    elif not says_stored:
                        checked = check(slot, result, INHERIT)
                    elif (
                        type(payload) is bytes
                        and type(result) is dict
                        and len(result) == 1
                        and next(iter(result)) is topic
                        and result[topic] is payload
                        and (size := len(payload)) < 256
                        and len(row[PAYLOAD]) == size + 1 + (size > 23)
                    ):
                        checked = STORED
                    else:
                        checked = check_packet(slot, result, row)
                except BaseException as exc:  # noqa: BLE001, ASYNC103 as above
                    failure = self._failure(exc, handler, returned=result is not _NOTHING_YET)
                packet = payload = result = None  # noqa: ASYNC104 as above
                mark[SLOT] = NO_SLOT
            except Overtime:
                pass  # as above
            is_overtime = mark[OVERTIME] >= 0
            if failure is not None or is_overtime:
                packet = payload = result = None
                self._conclude(slot, failure, handler)
                failure = None
            elif checked is STORED:
                store(slot)
            elif checked is not None:
                self._room_bytes -= apply(checked)
            if self._room_bytes < 0 or is_overtime:
                return slot + 1
        return None

    def _failure(self, exc: BaseException, handler: Handler, *, returned: bool) -> "_Failure":
        """Return reason and evidence of what a handler raised, or of why what it `returned` cannot
        become changes. That runs foreign code once more, within the slot's budget."""
        try:
            if returned:
                memory = isinstance(exc, MemoryError)
                reason = "handler_memory" if memory else "result_invalid"
                return reason, _refused(exc, handler)
            if isinstance(exc, PayloadInvalid):
                return "payload_invalid", _worded(exc)
            reason = "handler_memory" if isinstance(exc, MemoryError) else "handler_error"
            return reason, _sealed(exc)
        except Overtime:  # there is one interrupt a slot: it is not raised again
            return "handler_timeout", Evidence("", "", "")

    def _conclude(self, slot: int, failure: "_Failure | None", handler: Handler) -> None:
        """Bag a slot that failed or used up its time: whatever it returned is not applied then."""
        self._mark[SLOT] = NO_SLOT
        if self._mark[OVERTIME] >= 0:
            if failure is None:
                text = "its time was used up; it went on when it was interrupted, and returned"
                evidence = Evidence("", text, f"  {handler.where}\n")
            else:
                text = "its time was used up; it was interrupted here"
                evidence = Evidence("", text, failure[1].traceback)
            self._bag(slot, "handler_timeout", evidence)
        elif failure is not None:
            reason, evidence = failure
            if reason == "handler_memory" and self._dies:
                raise OutOfMemory(slot, evidence)
            self._bag(slot, reason, evidence)

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


def _decoded(group: FrameGroup) -> tuple[Sequence[int], Sequence[Row], Sequence[Any]]:
    """Return slots and rows of the packets to run, and their payloads, decoded together if they all
    can be."""
    rows = group.rows
    slots: Sequence[int] = range(group.first_slot, group.first_slot + len(rows))
    if group.verdicts:
        positions = [at for at in range(len(rows)) if at not in group.verdicts]
        rows, slots = [rows[at] for at in positions], [slots[at] for at in positions]
    payloads = decode_all([row[PAYLOAD] for row in rows])
    return slots, rows, [_ALONE] * len(rows) if payloads is None else payloads


def _structured(handler: Handler, row: Row, payload: Any) -> Any:
    """Return the payload as the handler wants it. Raises PayloadInvalid."""
    if payload is _ALONE:
        payload = decode_alone(row[PAYLOAD])
    return payload if handler.structure is None else handler.structure(payload)


def _refused(exc: BaseException, handler: Handler) -> Evidence:
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
