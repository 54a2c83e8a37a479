"""The Entry: both sides of the books of one Tick (R1), and its bytes.

An Entry is what is replicated, fsynced and replayed. Its body is a CBOR array: format, kind, tick,
wall time, digest afterwards, then the fields of its kind. It knows neither files nor peers.

    GENESIS    cluster, period_ns, members, version   the first Entry of a cluster (R29)
    ACCESSION  node, line, age_unknown                the first Entry of a reign; also Raft's no-op
    TICK       line version, registers, leavers, expiries, frames, changes, bags
    SPANS      a TICK, and slots whose packet is stored as it came: their changes are not listed
    MEMBERS    members, why                           from here on these are the members (R28)
    VERSION    version, release                       from here on kinds up to this version (R30)
    TRIAGE     act, by, why, letters, group, before, job   what people decided of letters (R40)
    SETTINGS   election_ms, by                   what people set for the whole cluster (R28)

A kind or format that is not known raises ValueError: never a skip (R30); which kinds a version of
the cluster may hold stands in entry_kinds.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import attrs
import cbor2

from rmf.core import own_cbor
from rmf.core.bag import Evidence
from rmf.core.entry_kinds import (
    ACCESSION,
    CLUSTER_VERSION,
    FORMAT,
    GENESIS,
    MEMBERS,
    SETTINGS,
    SPANS,
    TICK,
    TICKS,
    TRIAGE,
    VERSION,
)
from rmf.core.outcome import Change, Outcome, Span, changes_of_spans
from rmf.core.packet import Row
from rmf.core.send_frames import rows_of
from rmf.core.triage import Triage

__all__ = [
    "Accession",
    "Entry",
    "Expiry",
    "Frame",
    "Genesis",
    "Leaver",
    "LineId",
    "Member",
    "Members",
    "Register",
    "Settings",
    "TickBooks",
    "Version",
    "decode_entry",
    "encode_entry",
]

_slot_of = itemgetter(0)
_BEYOND_SLOTS = 1 << 63


class LineId(NamedTuple):
    """A line as the ledger names it: name, version, digest of its source (R21)."""

    name: str
    version: int
    digest: bytes


class Member(NamedTuple):
    """A node as the ledger knows it: its incarnation (a wiped node gets a new one, R28), where
    peers and clients reach it, and whether it votes or only learns."""

    name: str
    incarnation: bytes
    peer_address: str = ""
    client_address: str = ""
    voter: bool = True


class Register(NamedTuple):
    """A producer's HELLO: from here on this epoch holds (R32)."""

    producer: str
    epoch: int
    identity: str
    ephemeral: bool


class Leaver(NamedTuple):
    """A producer that leaves the table: "bye", "idle" or "crowded" (R33)."""

    producer: str
    reason: str


class Expiry(NamedTuple):
    """A removed cell: "expired" or "age_unknown"; `slot` where the line listens, else None."""

    key: str
    reason: str
    slot: int | None


class Frame(NamedTuple):
    """Packets as they came in. `packets` of them were latched, after the first `skip`; the first
    had the slot `first_slot` and the seq `first_seq`. `data` is the whole frame, byte for byte;
    `rows` are those packets decoded (not written: they are in `data`)."""

    producer: str
    epoch: int
    identity: str
    intake_tick: int
    first_slot: int
    first_seq: int
    skip: int
    packets: int
    data: bytes
    rows: list[Row]


@attrs.frozen
class Genesis:
    """Cluster id, the period of a Tick, the first members, and the cluster's version (R30)."""

    cluster: bytes
    period_ns: int
    members: list[Member]
    version: int = CLUSTER_VERSION


@attrs.frozen
class Accession:
    """A reign begins: who reigns, with which line, and whether ages are unknown (R6)."""

    node: str
    line: LineId
    age_unknown: bool


@attrs.frozen
class Members:
    """All members from this Entry on, and what changed, human-readable (R28)."""

    members: list[Member]
    why: str


@attrs.frozen
class Version:
    """The cluster's version from this Entry on, and the first release of RMF that knows it."""

    version: int
    release: str


@attrs.frozen
class Settings:
    """What people set for the whole cluster, from this Entry on: the bounds of election time-outs
    in ms (R28), and who did."""

    election_ms: tuple[int, int]
    by: str


@attrs.frozen
class TickBooks:
    """One Tick. What it changes stands in two places: `listed`, with `encoded` as its CBOR, as it
    came from the glove box, and `verbatim`, slots whose packet is stored as it came."""

    line_version: int
    registers: list[Register]
    leavers: list[Leaver]
    expiries: list[Expiry]
    frames: list[Frame]
    listed: list[Change]
    encoded: bytes
    bags: list[Outcome]
    verbatim: list[Span] = attrs.Factory(list)

    @property
    def first_slot(self) -> int:
        """The slot of the first packet; those before it are of expired cells."""
        return self.frames[0].first_slot if self.frames else _BEYOND_SLOTS

    @property
    def rows(self) -> list[Row]:
        """The packets, from `first_slot` on."""
        if len(self.frames) == 1:
            return self.frames[0].rows
        return [row for frame in self.frames for row in frame.rows]

    @property
    def changes(self) -> list[Change]:
        """All changes, in slot order, whichever way they are said."""
        if not self.verbatim:
            return self.listed
        spans = changes_of_spans(self.verbatim, self.rows, self.first_slot)
        return sorted([*map(_change, self.listed), *spans], key=_slot_of)

    @property
    def touched(self) -> int:
        """How many changes and expiries it has: about what it costs to apply (R45)."""
        stored = sum(count for _, count in self.verbatim)
        return len(self.listed) + stored + len(self.expiries)


@attrs.frozen
class Entry:
    """`wall_ns` is a reference (R7); `digest` is that of World and table after this Entry."""

    tick: int
    wall_ns: int
    digest: bytes
    books: "Books"


Books = Genesis | Accession | TickBooks | Members | Version | Triage | Settings


def encode_entry(entry: Entry) -> bytes:
    """Return the body of an Entry."""
    books = entry.books
    if isinstance(books, TickBooks):
        kind = SPANS if books.verbatim else TICK
        fields: list[Any] = [
            books.line_version,
            books.registers,
            books.leavers,
            books.expiries,
            [frame[:-1] for frame in books.frames],
            books.encoded,
            list(map(_bag_fields, books.bags)),
        ]
        if books.verbatim:
            fields.append(books.verbatim)
    elif isinstance(books, Accession):
        kind = ACCESSION
        fields = [books.node, books.line, books.age_unknown]
    elif isinstance(books, Members):
        kind = MEMBERS
        fields = [books.members, books.why]
    elif isinstance(books, Version):
        kind = VERSION
        fields = [books.version, books.release]
    elif isinstance(books, Triage):
        kind = TRIAGE
        fields = list(books)
    elif isinstance(books, Settings):
        kind = SETTINGS
        fields = [books.election_ms, books.by]
    else:
        kind = GENESIS
        fields = [books.cluster, books.period_ns, books.members, books.version]
    return cbor2.dumps([FORMAT, kind, entry.tick, entry.wall_ns, entry.digest, *fields])


def decode_entry(body: bytes) -> Entry:
    """Return the Entry in a body. Raises ValueError for a format or kind that is not known."""
    try:
        form, kind, tick, wall_ns, digest, *fields = cbor2.loads(body)
    except (cbor2.CBORError, TypeError, ValueError) as exc:
        raise ValueError(f"the body of an Entry cannot be read: {exc}") from exc
    if form != FORMAT:
        raise ValueError(f"an Entry of format {form}; this version of RMF reads format {FORMAT}")
    books: Books
    if kind in TICKS:
        books = _tick_books(fields)
    elif kind == ACCESSION:
        node, line, age_unknown = fields
        books = Accession(node, LineId(*line), age_unknown)
    elif kind == GENESIS:
        cluster, period_ns, members, *version = fields  # release 0.1 wrote no version: it was 1
        books = Genesis(cluster, period_ns, [Member(*x) for x in members], *(version or [1]))
    elif kind == MEMBERS:
        members, why = fields
        books = Members([Member(*x) for x in members], why)
    elif kind == VERSION:
        books = Version(*fields)
    elif kind == TRIAGE:
        books = Triage(*fields)
    elif kind == SETTINGS:
        (low_ms, high_ms), by = fields
        books = Settings((low_ms, high_ms), by)
    else:
        raise ValueError(f"an Entry of kind {kind}, which this version of RMF does not know")
    return Entry(tick, wall_ns, digest, books)


def _tick_books(fields: list[Any]) -> TickBooks:
    version, registers, leavers, expiries, frames, encoded, bags, *verbatim = fields
    return TickBooks(
        line_version=version,
        registers=[Register(*x) for x in registers],
        leavers=[Leaver(*x) for x in leavers],
        expiries=[Expiry(*x) for x in expiries],
        frames=[_frame(x) for x in frames],
        listed=_listed(encoded),
        encoded=encoded,
        bags=[
            Outcome(slot, reason, stage, Evidence.of_fields(*ev))
            for slot, reason, stage, *ev in bags
        ],
        verbatim=verbatim[0] if verbatim else [],
    )


def _listed(encoded: bytes) -> list[Change]:
    listed: list[Change] = own_cbor.decoded(encoded)
    return listed


def _change(change: Sequence[Any]) -> Change:
    slot, key, value, shelf = change
    return slot, key, value, shelf


def _bag_fields(bag: Outcome) -> list[Any]:
    return [bag.slot, bag.reason, bag.stage, *bag.error.fields()]


def _frame(fields: list[Any]) -> Frame:
    producer, epoch, identity, intake, slot, seq, skip, packets, data = fields
    rows = rows_of(data, skip, packets)
    return Frame(producer, epoch, identity, intake, slot, seq, skip, packets, data, rows)
