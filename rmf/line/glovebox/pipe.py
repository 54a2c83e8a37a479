"""What a node and its glove box say to each other, over a socket pair (R19).

A frame is u32 length of the body (little-endian), u8 kind, body.

    node → box    RUN     a Batch, with cells that the box will want
                  CELLS   the answer to NEED and SCAN
    box → node    HELLO   who the line is, or why it cannot be loaded; once
                  NEED    keys whose cells the box does not know; CELLS follows
                  SCAN    prefix, and the key behind which to go on; CELLS follows
                  DONE    what came of the batch
                  MEMORY  a slot ran out of memory: the box is about to end

What the node says is marshalled: both sides are the same Python, and it costs a third of CBOR. What
a box says is CBOR, and its shape is checked: in there runs foreign code. Any fault in it is a
BoxBroken, as if the box had died.
"""

import marshal
import os
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import cbor2

from rmf import limits
from rmf.core.bag import Evidence
from rmf.core.effects import Batch, ExpiredCell, FrameGroup
from rmf.core.events import Executed
from rmf.core.outcome import Outcome
from rmf.core.packet import PresetVerdict, Row
from rmf.core.profile import NO_TAGS
from rmf.core.send_frames import rows_of
from rmf.core.world import Cell
from rmf.errors import RmfError
from rmf.line.glovebox.done_check import are_texts, fault_of_done
from rmf.native import COMPILED, plain_values

if TYPE_CHECKING:
    from rmf.core.world import World

__all__ = [
    "CELLS",
    "DONE",
    "HEAD",
    "HELLO",
    "MEMORY",
    "NEED",
    "RUN",
    "SCAN",
    "BatchDone",
    "BoxBroken",
    "KnownCell",
    "Splitter",
    "cells_body",
    "decode_done",
    "decode_memory",
    "decode_run",
    "encode_done",
    "encode_run",
    "frame",
    "read_cells",
    "read_item",
]

HEAD: Final = struct.Struct("<IB")
RUN, CELLS, HELLO, NEED, SCAN, DONE, MEMORY = range(1, 8)

# A key, and what its cell holds but for the last field (its mark), None where there is no cell.
KnownCell = tuple[str, tuple[Any, ...] | None]

_UNSEEN: Final[list[Any]] = []  # stands for a packet that the latch has bagged: it is not looked at
_END: Final = os.urandom(16)  # stands behind what is to be one item: cbor2 ignores a rest
_NO_VERDICT: Final = PresetVerdict("", "")


class BoxBroken(RmfError):
    """A glove box said what no glove box says: it is not to be trusted any more."""


class BatchDone(NamedTuple):
    """What came of a batch. `reads`: the line has read cells; `own`: the cells of its topics."""

    executed: Executed
    reads: bool
    own: bool


def frame(kind: int, body: bytes) -> bytes:
    """Return a frame."""
    return HEAD.pack(len(body), kind) + body


class Splitter:
    """Parts what a box says into frames. Raises BoxBroken for one that is too long."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the frames that are complete with these bytes: (kind, body)."""
        buffer = self._buffer
        buffer += data
        found = []
        at = 0
        while len(buffer) - at >= HEAD.size:
            size, kind = HEAD.unpack_from(buffer, at)
            if size > limits.BOX_FRAME_BYTES_MAX:
                raise BoxBroken(
                    f"a frame of {size} bytes, at most {limits.BOX_FRAME_BYTES_MAX} are taken"
                )
            end = at + HEAD.size + size
            if len(buffer) < end:
                break
            found.append((kind, bytes(buffer[at + HEAD.size : end])))
            at = end
        del buffer[:at]
        return found


# --- A batch ------------------------------------------------------------------------------------


def encode_run(batch: Batch, cells: Sequence[KnownCell]) -> bytes:
    """Return the body of RUN: the batch without its World, and cells of that World."""
    groups: list[Any] = [
        (x.producer, x.epoch, x.first_slot, x.intake_tick, _to_run(x), list(x.verdicts))
        for x in batch.groups
    ]
    expired: list[Any] = [(x.slot, x.key, tuple(x.cell), x.reason) for x in batch.expired]
    fields: list[Any] = [
        batch.number,
        batch.term,
        batch.tick,
        list(batch.gone),
        expired,
        groups,
        batch.slots,
        batch.period_ns,
        batch.wall_ns,
        batch.void_before,
        list(cells),
        batch.verbatim,
    ]
    return marshal.dumps(fields)


def _to_run(group: FrameGroup) -> list[Row] | tuple[bytes, int, int]:
    """Return the packets of a group: their frame, which is opened again in the box at less cost
    than to write and read its pieces; or rows, without what the latch has bagged: that may hold
    anything."""
    if not group.verdicts:
        if group.frame and COMPILED:
            return group.frame, group.skip, len(group.rows)
        return group.rows
    return [_UNSEEN if at in group.verdicts else row for at, row in enumerate(group.rows)]


def decode_run(body: bytes, world: object) -> tuple[Batch, Sequence[KnownCell]]:
    """Return the batch, over the World that the box has instead, and the cells sent along."""
    number, term, tick, gone, expired, groups, slots, period, wall, void_before, cells, verbatim = (
        marshal.loads(body)  # noqa: S302 the node's own words
    )
    batch = Batch(
        number=number,
        term=term,
        tick=tick,
        world=cast("World", world),  # as much of one as a view of it needs
        gone=frozenset(gone),
        expired=[ExpiredCell(slot, key, Cell(*cell), why) for slot, key, cell, why in expired],
        groups=[
            FrameGroup(name, epoch, first, intake, _rows(run), dict.fromkeys(decided, _NO_VERDICT))
            for name, epoch, first, intake, run, decided in groups
        ],
        slots=slots,
        period_ns=period,
        wall_ns=wall,
        void_before=void_before,
        verbatim=verbatim,
    )
    return batch, cells


def _rows(run: list[Row] | tuple[bytes, int, int]) -> list[Row]:
    return run if isinstance(run, list) else rows_of(*run)


def cells_body(cells: Iterable[KnownCell], *, more: bool = False) -> bytes:
    """Return the body of CELLS; `more`: a scan goes on behind the last of them."""
    return marshal.dumps((list(cells), more))


def read_cells(body: bytes) -> tuple[list[KnownCell], bool]:
    """Return the cells, and whether there are more."""
    cells, more = marshal.loads(body)  # noqa: S302 the node's own words
    return cells, more


# --- What a box says ----------------------------------------------------------------------------


def encode_done(executed: Executed, *, reads: bool, own: bool) -> bytes:
    """Return the body of DONE."""
    bags = [[bag.slot, bag.reason, *bag.error.fields()] for bag in executed.outcomes]
    fields = [executed.batch, executed.done, executed.encoded, bags, executed.cut_short]
    return cbor2.dumps([*fields, executed.verbatim, reads, own])


_DECODE_ERRORS = (cbor2.CBORError, ValueError, RecursionError)


def _loads(data: bytes) -> Any:
    return cbor2.loads(data, allow_indefinite=False, semantic_decoders=NO_TAGS)


def read_item(body: bytes) -> Any:
    """Return what a frame of a box holds. Raises BoxBroken."""
    try:
        return _loads(body)
    except _DECODE_ERRORS as exc:
        raise BoxBroken(f"a frame that is no CBOR: {exc}") from exc


def decode_done(body: bytes, batch: Batch) -> BatchDone:
    """Return what came of this batch. Raises BoxBroken for what cannot have come of it."""
    try:
        number, done, encoded, bags, cut_short, verbatim, reads, own = read_item(body)
        plain = plain_values([encoded])
        if plain is None:
            changes, *rest = _loads(b"".join((b"\x82", encoded, b"\x50", _END)))
        else:
            changes, *rest = *plain, _END
        outcomes = [
            Outcome(slot, reason, "line", Evidence.of_fields(*error))
            for slot, reason, *error in bags
        ]
    except (*_DECODE_ERRORS, TypeError) as exc:
        raise BoxBroken(f"DONE cannot be read: {exc}") from exc
    if rest != [_END]:
        raise BoxBroken("DONE cannot be read: its changes are not one item")
    fault = fault_of_done(batch, number, done, changes, verbatim, outcomes)
    if fault is not None:
        raise BoxBroken(f"DONE of batch {batch.number}: {fault}")
    executed = Executed(number, done, changes, encoded, outcomes, cut_short is True, verbatim)
    return BatchDone(executed, reads is True, own is True)


def decode_memory(body: bytes, batch: Batch) -> tuple[int, Evidence]:
    """Return which slot of this batch ran out of memory, and the evidence. Raises BoxBroken."""
    found = read_item(body)
    if type(found) is not list or len(found) != 4:
        raise BoxBroken("MEMORY cannot be read")
    slot, *error = found
    if type(slot) is not int or not 0 <= slot < batch.slots or not are_texts(error):
        raise BoxBroken(f"MEMORY of batch {batch.number} names slot {slot!r}")
    return slot, Evidence(*error)
