"""What a handler sees: the World as of now, the packet, and a cell (R9, R22).

The World of a Tick is three layers: what packets of this very Tick have changed already, then what
this Tick has removed because it expired, then the World before the Tick. A stale cell is invisible.
Iteration is in key order, never in hash order. Values are decoded afresh at each look, so that a
handler changes nothing by changing a value.

Nothing here decides anything; and a handler cannot reach the layers by way of the public names.
"""

import random
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from heapq import merge
from typing import Any

import attrs
import cbor2

from rmf import limits
from rmf.core.bag import MORE_READS, SCANNED, Read, clip
from rmf.core.clock import ticks_of_ms
from rmf.core.effects import Batch, ExpiredCell, FrameGroup
from rmf.core.outcome import Change
from rmf.core.packet import HARVESTED_AT, SEQ, TTL_MS, Row, Stamp
from rmf.line.cell_values import type_name
from rmf.line.changes import Changes

__all__ = ["CellView", "Packet", "WorldView", "looked_at", "reads_of"]

_loads = cbor2.loads


@attrs.frozen
class CellView:
    """A cell with its value decoded: who made it, when, and the first tick at which it is stale
    (`expires`, 0 for never). `reason` says why it went: "expired", "age_unknown", "" if it did not.

    What a handler for expired cells wrote was harvested at the wall time of its Tick.
    """

    key: str
    value: Any
    term: int
    tick: int
    slot: int
    producer: str
    harvested_at: int
    expires: int
    reason: str = ""

    @classmethod
    def of_expired(cls, expired: ExpiredCell) -> "CellView":
        """Return what a handler for expired cells gets to see."""
        cell = expired.cell
        return cls(expired.key, _loads(cell.value), *cell[1:7], reason=expired.reason)


class Packet:
    """One packet as its handler sees it. `payload` is decoded, or of the declared class."""

    __slots__ = ("_group", "_random", "_row", "_slot", "_world", "payload", "topic")

    def __init__(
        self, topic: str, payload: Any, row: Row, group: FrameGroup, world: "WorldView", slot: int
    ) -> None:
        self.topic = topic
        self.payload = payload
        self._row = row
        self._group = group
        self._world = world
        self._slot = slot
        self._random: random.Random | None = None

    @property
    def producer(self) -> str:
        """Who made it."""
        return self._group.producer

    @property
    def seq(self) -> int:
        """Its number among the packets of its producer."""
        seq: int = self._row[SEQ]
        return seq

    @property
    def harvested_at(self) -> int:
        """When it was made, in wall-clock ns since 1970: a reference, never compared (R7)."""
        harvested_at: int = self._row[HARVESTED_AT]
        return harvested_at

    @property
    def ttl_ms(self) -> int:
        """Its shelf life in ms, from the intake on (R8)."""
        ttl_ms: int = self._row[TTL_MS]
        return ttl_ms

    @property
    def stamp(self) -> Stamp:
        """Its official birthday: (term, tick, slot)."""
        return Stamp(self._world.term, self._world.tick, self._slot)

    @property
    def random(self) -> random.Random:
        """A source of random numbers that are the same wherever this packet is run: it is seeded
        by the Stamp. The same object each time, so that its numbers go on."""
        if self._random is None:
            # Text is seeded by way of SHA-512: neighbouring Stamps have nothing in common.
            term, tick, slot = self.stamp
            self._random = random.Random(f"{term}.{tick}.{slot}")  # noqa: S311 no secret
        return self._random


def looked_at(world: "WorldView") -> "deque[Any]":
    """Return what handlers looked at, for their runner to clear before each slot: keys, and
    prefixes each as (prefix,). No public method of the World: it is nothing for handlers."""
    return world._looked_at


def reads_of(world: "WorldView") -> tuple[Read, ...]:
    """Return the cells that were looked at in this slot, with their Stamps (R40): looked up again,
    now that it failed, for nothing of the slot is applied and so they are the same."""
    looks = list(world._looked_at)
    reads = list(dict.fromkeys(map(world._read, looks)))
    if len(reads) > limits.EVIDENCE_READS_MAX or len(looks) == limits.LOOKS_KEPT:
        reads[limits.EVIDENCE_READS_MAX :] = [Read("", MORE_READS, 0, 0)]
    return tuple(reads)


class WorldView:
    """The World of one Tick for handlers: what its earlier packets changed is there already.

    Reading is all there is to do; changes are returned by the handler.
    """

    __slots__ = (
        "_batch",
        "_cell",
        "_changed",
        "_changes",
        "_gone",
        "_line",
        "_looked_at",
        "_note",
        "_tick",
        "_void_before",
    )

    def __init__(self, batch: Batch, changes: Changes, line: str) -> None:
        self._batch = batch
        self._changes = changes
        self._changed = changes.of
        self._line = line
        self._tick = batch.tick
        self._gone = batch.gone
        self._void_before = batch.void_before
        self._cell = batch.world.cells.get
        self._looked_at: deque[Any] = deque(maxlen=limits.LOOKS_KEPT)
        self._note = self._looked_at.append

    @property
    def tick(self) -> int:
        """The factory's time: the number of this Tick (R6)."""
        return self._tick

    @property
    def term(self) -> int:
        """The Term of the reigning Arbiter."""
        return self._batch.term

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, decoded afresh, or `default` if there is no such cell; what
        is no text is the key of no cell."""
        value = self._encoded(key)
        return default if value is None else _loads(value)

    def __getitem__(self, key: str) -> Any:
        value = self._encoded(key)
        if value is None:
            raise KeyError(key)
        return _loads(value)

    def __contains__(self, key: str) -> bool:
        return self._encoded(key) is not None

    def scan(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Give (key, value) in key order for all keys that start with `prefix`. Raises TypeError
        for a prefix that is no text, whatever the World holds."""
        if type(prefix) is not str:
            raise TypeError(f"scan: expected text as prefix, found {type_name(prefix)}")
        keys: Iterator[str] = (key for key, _ in self._batch.world.scan(prefix))
        if self._changes:
            keys = merge(keys, self._changes.keys_from(prefix))
        last = None
        self._note((prefix,))
        for key in keys:
            if key != last:
                last = key
                value = self._encoded(key)
                if value is not None:
                    yield key, _loads(value)

    def cell(self, key: str) -> CellView | None:
        """Return the cell of a key with its Stamp, maker and shelf life, or None."""
        if type(key) is not str:
            return self.cell(str.__str__(key)) if issubclass(type(key), str) else None
        self._note(key)
        change = self._changed(key)
        if change is not None:
            return self._changed_cell(change)
        cell = self._cell(key)
        if cell is None or self._encoded(key) is None:
            return None
        return CellView(key, _loads(cell.value), *cell[1:7])

    def _read(self, key: Any) -> Read:
        if type(key) is tuple:
            return Read(clip(key[0], limits.KEY_BYTES_MAX), SCANNED, 0, 0)
        stamp = (0, 0, 0)
        change = self._changed(key)
        if change is not None:
            if change[2] is not None:
                stamp = (self.term, self._tick, change[0])
        elif (cell := self._cell(key)) is not None and self._encoded(key) is not None:
            stamp = cell[1:4]
        return Read(clip(key, limits.KEY_BYTES_MAX), *stamp)

    def _encoded(self, key: str) -> bytes | None:
        if type(key) is not str:
            # One outcome wherever the line runs: no cell is called so. Text of a foreign class is
            # taken as plain text, its own methods left alone.
            return self._encoded(str.__str__(key)) if issubclass(type(key), str) else None
        self._note(key)
        change = self._changed(key)
        if change is not None:
            return change[2]
        cell = self._cell(key)
        if cell is None or key in self._gone:
            return None
        if cell.expires and (cell.expires <= self._tick or cell.tick < self._void_before):
            return None
        return cell.value

    def _changed_cell(self, change: Change) -> CellView | None:
        """Return the cell as the Entry of this Tick will write it (see core/state)."""
        slot, key, value, shelf = change
        if value is None:
            return None
        producer, harvested_at, intake_tick, ttl_ms = self._maker(slot)
        if shelf == 0:
            expires = 0
        elif shelf > 0:
            expires = self._tick + ticks_of_ms(shelf, self._batch.period_ns)
        else:
            expires = intake_tick + ticks_of_ms(ttl_ms, self._batch.period_ns)
        return CellView(
            key, _loads(value), self.term, self._tick, slot, producer, harvested_at, expires
        )

    def _maker(self, slot: int) -> tuple[str, int, int, int]:
        """Return producer, harvested_at, intake tick and ttl_ms of what made a slot's changes."""
        groups = self._batch.groups
        at = bisect_right(groups, slot, key=lambda group: group.first_slot) - 1
        if at < 0:
            return f"line:{self._line}", self._batch.wall_ns, self._tick, 0
        group = groups[at]
        row = group.rows[slot - group.first_slot]
        return group.producer, row[HARVESTED_AT], group.intake_tick, row[TTL_MS]
