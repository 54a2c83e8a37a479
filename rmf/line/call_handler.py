"""One handler called by itself, outside the bench: for debuggers and tests.

The bench (line/inline) bags whatever a handler does; here it comes out as it is, with its frames.
Decides which handler a batch of one slot is for and what it is called with, exactly as the bench
does, and turns what it returns into readable values. It runs nothing by itself.
"""

from typing import Any

import attrs
import cbor2

from rmf.core.effects import Batch
from rmf.core.outcome import INHERIT
from rmf.core.packet import PAYLOAD, TOPIC
from rmf.errors import RmfError
from rmf.line.cell_values import REMOVE, Fresh, Keep
from rmf.line.changes import KEEP, Changes, KnownKeys
from rmf.line.line import Handler, Line
from rmf.line.payload import decode_alone
from rmf.line.view import CellView, Packet, WorldView

__all__ = ["Call", "NoHandler", "call_of"]


class NoHandler(RmfError):
    """No handler of the line wants the topic, or the expiry of the key."""


@attrs.frozen(eq=False)
class Call:
    """A handler and what it is called with; a new one for each run, for a handler may change its
    payload. `plain_shelf` is what a plain value gets."""

    handler: Handler
    world: WorldView
    argument: Packet | CellView
    slot: int
    plain_shelf: int

    def changes(self, result: Any) -> dict[str, Any]:
        """Return what a result changes, by key: a plain value that inherits, Keep, Fresh or REMOVE.
        Raises ResultInvalid."""
        if result is None:
            return {}
        changes = Changes(KnownKeys())
        changes.take(self.slot, result, self.plain_shelf)
        return {key: _value(encoded, shelf) for _, key, encoded, shelf in changes.listed}


def _value(encoded: bytes | None, shelf: int) -> Any:
    if encoded is None:
        return REMOVE
    value = cbor2.loads(encoded)
    if shelf == INHERIT:
        return value
    return Keep(value) if shelf == KEEP else Fresh(value, shelf)


def call_of(line: Line, batch: Batch) -> Call:
    """Return the call that a batch of one slot stands for. Raises NoHandler, PayloadInvalid."""
    world = WorldView(batch, Changes(KnownKeys()), line.name)
    if batch.expired:
        (expired,) = batch.expired
        handler = line.expired_handler_of(expired.key)
        if handler is None:
            raise NoHandler(f"line {line.name!r} does not listen to the expiry of {expired.key!r}")
        return Call(handler, world, CellView.of_expired(expired), expired.slot, KEEP)
    (group,) = batch.groups
    (row,) = group.rows
    topic = row[TOPIC]
    handler = line.handler_of(topic)
    if handler is None:
        raise NoHandler(f"line {line.name!r} has no handler for the topic {topic!r}")
    payload = decode_alone(row[PAYLOAD])
    if handler.structure is not None:
        payload = handler.structure(payload)
    packet = Packet(topic, payload, row, group, world, group.first_slot)
    return Call(handler, world, packet, group.first_slot, INHERIT)
