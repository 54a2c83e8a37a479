"""Step 5 of 6 · before: core/arbiter (latched and stamped) · next: floor/publisher (the Snapshot).

The line, run in the node's own process: a Batch in, Executed out. With the glove box (R19) another
runner stands behind the same pair. Order: expired cells first, then the packets, slot by slot; each
sees what the ones before it changed (R11). A slot that fails is rolled back alone: nothing of it is
applied before all of it is checked, and its Outcome says why (R20, R22):

    no_handler         no filter of the line matches the topic
    payload_invalid    no CBOR, or not the class that the handler declared
    handler_error      the handler raised: anything at all, SystemExit and KeyboardInterrupt too
    result_invalid     what it returned cannot become changes

It keeps nothing from one batch to the next but caches, so the same batch gives the same Executed.
It knows no clock, no disk and no peers, and it does not limit time or memory: only another process
can.
"""

import sys
from collections.abc import Sequence
from typing import Any, Final

from rmf import limits
from rmf.core.bag import Evidence, clip, evidence_of
from rmf.core.effects import Batch, ExpiredCell, Group
from rmf.core.events import Executed, Outcome
from rmf.core.packet import PAYLOAD, Row
from rmf.line.changes import INHERIT, KEEP, Changes, KnownKeys
from rmf.line.line import Handler, Line
from rmf.line.payload import PayloadInvalid, decode_all, decode_alone
from rmf.line.view import CellView, Packet, WorldView

__all__ = ["Inline"]

_ALONE: Final = object()  # stands for a payload that has to be decoded alone


class Inline:
    """Runs the batches of one Line. Raises LineError for a line that cannot be run."""

    def __init__(self, line: Line) -> None:
        line.check()
        self.line = line
        self._keys = KnownKeys()

    def run(self, batch: Batch) -> Executed:
        """Run a batch; never raises for what a packet, a payload or a handler does."""
        changes = Changes(self._keys)
        world = WorldView(batch, changes, self.line.name)
        bench = _Bench(self.line, batch, world, changes)
        done = bench.run()
        return Executed(batch.number, done, changes.all, changes.encode(), bench.outcomes)


class _Bench:
    """One batch being run."""

    def __init__(self, line: Line, batch: Batch, world: WorldView, changes: Changes) -> None:
        self.outcomes: list[Outcome] = []
        self._line = line
        self._batch = batch
        self._world = world
        self._changes = changes
        self._room_bytes = limits.BATCH_BYTES_MAX

    def run(self) -> int:
        """Run slot by slot; return the slot up to which (exclusive) everything is done.

        The slot that uses up the room is the last one: the Tick closes, the rest waits (R43).
        """
        for expired in self._batch.expired:
            self._run_expired(expired)
            if self._room_bytes < 0:
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
        try:
            result = handler.function(self._world, cell)
        except BaseException as exc:  # noqa: BLE001, ASYNC103 SystemExit is a bag, too (R20)
            self._bag(slot, "handler_error", _sealed(exc))
            return  # noqa: ASYNC104 handlers are not async: no cancellation comes here
        if result is None:
            return
        try:
            self._room_bytes -= self._changes.take(slot, result, KEEP)
        except Exception as exc:  # noqa: BLE001, ASYNC103, ASYNC104 see _refused
            self._bag(slot, "result_invalid", _refused(exc, handler))

    def _run_group(self, group: Group) -> int | None:
        """Run the packets of one group; return the slot behind the last one if the room ended.

        The hot loop of the line: it keeps to locals.
        """
        positions, payloads = _decoded(group)
        line, world, take = self._line, self._world, self._changes.take
        rows, first_slot, known_handler = group.rows, group.first_slot, self._line.by_topic.get
        for position, payload in zip(positions, payloads, strict=True):
            row = rows[position]
            topic: str = row[0]
            slot = first_slot + position
            handler = known_handler(topic) or line.handler_of(topic)
            if handler is None:
                self._bag(slot, "no_handler", self._unwanted("on", line.filters))
            else:
                if payload is _ALONE or handler.structure is not None:
                    try:
                        payload = _structured(handler, row, payload)  # noqa: PLW2901
                    except PayloadInvalid as exc:
                        self._bag(slot, "payload_invalid", _worded(exc))
                        if self._room_bytes < 0:
                            return slot + 1
                        continue
                packet = Packet(topic, payload, row, group, world, slot)
                try:
                    result = handler.function(world, packet)
                except BaseException as exc:  # noqa: BLE001, ASYNC103 as above
                    self._bag(slot, "handler_error", _sealed(exc))
                else:
                    if result is not None:
                        try:
                            self._room_bytes -= take(slot, result, INHERIT)
                        except Exception as exc:  # noqa: BLE001, ASYNC103, ASYNC104 see _refused
                            self._bag(slot, "result_invalid", _refused(exc, handler))
            if self._room_bytes < 0:
                return slot + 1
        return None

    def _bag(self, slot: int, reason: str, evidence: Evidence) -> None:
        self.outcomes.append(Outcome(slot, reason, "line", evidence))
        size = sum(len(text.encode()) for text in evidence)
        self._room_bytes -= size + limits.OUTCOME_HEADS_BYTES_MAX

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


def _sealed(exc: BaseException) -> Evidence:
    """Return the evidence of what a handler raised, its traceback beginning at the handler.

    Nothing is kept of the exception: its tracebacks hold frames, and these its packet and itself.
    """
    raised_at = sys.exc_info()[2]
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
