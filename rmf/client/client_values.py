"""What users of the trio client give and get: payloads and parcels, receipts, Snapshots, cells.

Values and pure functions from and to the wire's messages: it decides how they look to a user, and
catches a user's mistake before anything is sent. It knows nothing of connections.
"""

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import attrs
import cbor2

from rmf import limits
from rmf.core import messages as m
from rmf.core.packet import Stamp, check_rows
from rmf.core.profile import NO_TAGS
from rmf.errors import ProtocolFault, UsageError
from rmf.native import plain_bytes, plain_values

__all__ = [
    "KINDS",
    "ClientCell",
    "Parcel",
    "Raw",
    "Receipt",
    "Snapshot",
    "cells_of",
    "encode_payload",
    "receipts_of",
    "rows_of",
]

KINDS = ("full", "delta", "keepalive")


@attrs.frozen
class Raw:
    """A payload that is sent as these very bytes: foreign CBOR, or no CBOR at all."""

    data: bytes = attrs.field(validator=attrs.validators.instance_of(bytes))


class Parcel(NamedTuple):
    """One packet to be sent. `harvested_at` is wall-clock ns (None: the present); `fence` a term:
    if another reigns at the latch, the packet is bagged as `stale_term` (R10)."""

    topic: str
    payload: Any
    ttl_ms: int
    harvested_at: int | None = None
    fence: int | None = None


class Receipt(NamedTuple):
    """What became of one packet: `outcome` "applied", "bagged" or "unknown" (the node no longer
    keeps it). `letter` names the bag, `reason` says why. `duplicate`: an earlier send of the same
    seq was latched, and this is what became of it."""

    outcome: str
    stamp: Stamp | None
    reason: str | None
    letter: str | None
    duplicate: bool
    seq: int


@attrs.frozen(repr=False)
class ClientCell:
    """A cell of the World. `expires` is the first tick at which it is stale, None for never;
    `encoded` the value as the line wrote it, in CBOR."""

    encoded: bytes
    term: int
    tick: int
    slot: int
    producer: str
    harvested_at: int
    expires: int | None

    def __repr__(self) -> str:
        stamp = f"term={self.term}, tick={self.tick}, slot={self.slot}"
        rest = f"harvested_at={self.harvested_at}, expires={self.expires}"
        return f"ClientCell({self._shown()}, {stamp}, producer={self.producer!r}, {rest})"

    def _shown(self) -> str:
        try:
            return repr(self.value)
        except ProtocolFault:
            return f"encoded={self.encoded!r}"

    @property
    def value(self) -> Any:
        """Return the value, decoded afresh each time: what you change is yours."""
        plain = plain_values([self.encoded])
        if plain is not None:
            return plain[0]
        try:
            return cbor2.loads(
                self.encoded, max_depth=limits.VALUE_DEPTH_MAX, semantic_decoders=NO_TAGS
            )
        except (cbor2.CBORError, ValueError) as exc:
            raise ProtocolFault("not_well_formed", "a cell's value is not CBOR") from exc


@attrs.frozen
class Snapshot:
    """The picture at one Tick (R35, R36). `kind` is "full", "delta" or "keepalive" (nothing
    changed). `cells` holds all that is selected if full pictures were asked for, else what changed;
    `removed` keys and why they went. `skipped` counts the Ticks conflated into this one. `live` is
    False while no reigning Arbiter is known, or no connection: the picture may be old. `gap` says
    which Ticks are lost for good before this one, if any are. `now` is the factory's present tick
    when the node said this, None where it does not know it: a cell is `now - cell.tick` ticks old,
    and has `cell.expires - now` left, less what has passed here since."""

    term: int
    tick: int
    index: int
    digest: bytes
    kind: str
    skipped: int
    live: bool
    cells: dict[str, ClientCell]
    removed: dict[str, str]
    gap: str | None = None
    now: int | None = None


def encode_payload(payload: Any) -> bytes:
    """Return a payload's bytes. Raises UsageError if CBOR cannot say it."""
    if type(payload) is Raw:
        return payload.data
    plain = plain_bytes(payload)
    if plain is not None:
        return plain
    try:
        return cbor2.dumps(payload)
    except (cbor2.CBORError, ValueError, TypeError, RecursionError) as exc:
        name = type(payload).__name__
        raise UsageError(f"a payload ({name}) that CBOR cannot encode: {exc}") from exc


def rows_of(parcels: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Return the rows of packets, without seqs: of Parcels, or of (topic, payload, ttl_ms).

    Raises UsageError for what every node would bag as `label_invalid` or `payload_invalid`.
    """
    now = time.time_ns()
    rows = []
    for parcel in parcels:
        if type(parcel) is Parcel:
            topic, payload, ttl_ms, harvested_at, fence = parcel
            row = [topic, 0, now if harvested_at is None else harvested_at, ttl_ms]
            row.append(encode_payload(payload))
            if fence is not None:
                row.append(fence)
            rows.append(row)
        elif len(parcel) == 3:
            rows.append([parcel[0], 0, now, parcel[2], encode_payload(parcel[1])])
        else:
            raise UsageError(f"expected (topic, payload, ttl_ms) or a Parcel, found {len(parcel)}")
    if rows:
        for i, verdict in check_rows(rows).items():
            raise UsageError(f"packet {i} of {len(rows)}: {verdict.text}")
    return rows


def receipts_of(run: m.Run) -> list[Receipt]:
    """Return the receipts of a run, one per packet. Raises ProtocolFault for an unknown outcome."""
    seq, packets, outcome, duplicate, term, tick, slot, reason, letter = run
    if outcome >= len(m.OUTCOMES):
        raise ProtocolFault("wrong_shape", f"ACK: there is no outcome {outcome}")
    name = m.OUTCOMES[outcome]
    if term is None or tick is None or slot is None:
        return [Receipt(name, None, reason, letter, duplicate, seq + i) for i in range(packets)]
    return [
        Receipt(name, Stamp(term, tick, slot + i), reason, letter, duplicate, seq + i)
        for i in range(packets)
    ]


def cells_of(cells: Iterable[m.WireCell]) -> dict[str, ClientCell]:
    """Return cells as users see them, by key, in the order given."""
    return {cell[0]: ClientCell(*cell[1:]) for cell in cells}
