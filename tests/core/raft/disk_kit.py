"""A disk for tests of consensus: records in one order, and what a crash leaves of them.

`standing` reads them as recovery does: a later record voids what stands at or above its index, and
the highest stated commit says how much may be applied at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cbor2
import crc32c

from rmf.core.effects import Persist, RecordDraft
from rmf.core.entry import Member
from rmf.core.raft.membership import members_in
from rmf.core.raft.peer_messages import Chunk, WireEntry
from rmf.core.raft.raft_values import HardState, LogEntry, Place, Standing
from rmf.core.record import ENTRY, HARD

START = Place(0, 0, bytes(16))


class Checkpoint(NamedTuple):
    """The state at one Entry: here, nothing but the members."""

    place: Place
    members: tuple[Member, ...]
    membership: int = 0  # the index of the Entry that names them

    @property
    def data(self) -> bytes:
        members = [list(x) for x in self.members]
        return cbor2.dumps([list(self.place), members, self.membership])

    @classmethod
    def of(cls, data: bytes) -> "Checkpoint":
        place, members, membership = cbor2.loads(data)
        return cls(Place(*place), tuple(Member(*x) for x in members), membership)


class Found(NamedTuple):
    """What recovery makes of a disk."""

    standing: Standing
    members: tuple[Member, ...]
    membership: int


class Disk:
    """`records` are durable; `underway` are not, and a crash keeps as many of them as it likes."""

    def __init__(self, members: tuple[Member, ...]) -> None:
        self.base = Checkpoint(START, members)  # the ledger begins behind this
        self.newest = self.base
        self.first_serial = 1
        self.records: list[RecordDraft] = []
        self.underway: list[Persist] = []
        self.whole = True
        self.received: tuple[bytes, bytes] = (b"", b"")  # of a Checkpoint: its content, data
        self._hard = HardState(0, None)  # the copy that no damage takes
        self._entries: dict[int, tuple[int, RecordDraft]] = {}  # by index: serial, record

    @property
    def serial(self) -> int:
        return self.first_serial + len(self.records) - 1

    def write_one(self) -> tuple[int, int]:
        """Make the oldest write durable; return its ticket, and the serial of its last record."""
        persist = self.underway.pop(0)
        for record in persist.records:
            self._write(record)
        return persist.ticket, self.serial

    def _write(self, record: RecordDraft) -> None:
        self.records.append(record)
        if record.kind == HARD:
            self._hard = HardState(*cbor2.loads(record.body))
        elif record.kind == ENTRY:
            for index in [x for x in self._entries if x >= record.index]:
                del self._entries[index]
            self._entries[record.index] = (self.serial, record)

    def reread(self) -> None:
        """Follow a change that a test made to the records."""
        records, self.records = self.records, []
        self._entries = {}
        for record in records:
            self._write(record)

    def crash(self, kept: int = 0) -> None:
        """Lose what is not durable, but for the first `kept` records."""
        for record in [x for persist in self.underway for x in persist.records][:kept]:
            self._write(record)
        self.underway = []

    def set_aside(self) -> None:
        """Damage: everything goes but the copy of the vote, and that the node is repairing."""
        empty = Checkpoint(START, ())
        self.base = self.newest = empty
        self.records, self.underway, self._entries = [], [], {}
        self.whole = False

    def install(self, checkpoint: Checkpoint) -> None:
        """Let a received Checkpoint take the ledger's place."""
        self.base = self.newest = checkpoint
        self.first_serial = self.serial + 1
        self.records, self.underway, self._entries = [], [], {}
        self.received = (b"", b"")

    def standing(self) -> Found:
        """Return where a node of this disk begins."""
        held: list[tuple[int, RecordDraft]] = []
        place, members, membership = self.base
        serial = self.first_serial - 1
        commit = place.index
        for number, record in enumerate(self.records, start=self.first_serial):
            if record.kind == ENTRY:
                while held and held[-1][1].index >= record.index:
                    held.pop()
                last = held[-1][1].index if held else place.index
                assert record.index == last + 1, "a gap, or what was committed is voided"
                held.append((number, record))
            commit = max(commit, record.commit)
            while held and held[0][1].index <= commit:
                serial, done = held.pop(0)
                place = Place(done.index, done.term, done.chain)
                if named := members_in(done.body):
                    members, membership = named, done.index
        tail = tuple(entry_of(record) for _, record in held)
        serials = tuple(number for number, _ in held)
        hard = self._hard
        return Found(Standing(hard, place, serial, tail, serials, self.whole), members, membership)

    # --- For peers --------------------------------------------------------------------------------

    def holds(self, index: int, chain: bytes) -> bool:
        """Whether this Entry is durable here, in the ledger or in what it is based on."""
        if index <= self.base.place.index:
            return True
        found = self._entries.get(index)
        return found is not None and found[1].chain == chain

    def read(self, after: int, through: int, most: int) -> tuple[Place, list[WireEntry]]:
        """Return Entries behind an index; none if the ledger begins later."""
        before = self._place(after)
        if before is None:
            return START, []
        found = []
        for index in range(after + 1, min(through, after + most) + 1):
            record = self._entries[index][1]
            found.append(WireEntry(record.term, crc32c.crc32c(record.body), record.body))
        return before, found

    def _place(self, index: int) -> Place | None:
        if index == self.base.place.index:
            return self.base.place
        if index not in self._entries:
            return None
        record = self._entries[index][1]
        return Place(record.index, record.term, record.chain)

    def checkpoint(self, found: Checkpoint, *, purge: bool) -> None:
        """Keep a Checkpoint; `purge`: and delete the ledger before it."""
        self.newest, place = found, found.place
        if not purge:
            return
        number, _ = self._entries[place.index]
        del self.records[: number - self.first_serial + 1]
        self.first_serial = number + 1
        self.base = self.newest
        for index in [x for x in self._entries if x <= place.index]:
            del self._entries[index]

    def take_chunk(self, chunk: Chunk) -> tuple[int, Checkpoint | None]:
        """Keep a piece; return which offset is wanted next, and the Checkpoint once it is whole."""
        content, data = self.received
        if content != chunk.content:
            content, data = chunk.content, b""
        if chunk.offset == len(data):
            data += chunk.data
        self.received = (content, data)
        return len(data), Checkpoint.of(data) if len(data) == chunk.total else None


def entry_of(record: RecordDraft) -> LogEntry:
    crc = crc32c.crc32c(record.body)
    return LogEntry(record.index, record.term, record.chain, record.body, crc)


def records_of(entries: Sequence[LogEntry], commit: int = 0) -> list[RecordDraft]:
    return [RecordDraft(ENTRY, x.index, x.term, x.chain, x.body, commit) for x in entries]


def hard_record(term: int, voted_for: str | None, at: Place, commit: int = 0) -> RecordDraft:
    return RecordDraft(HARD, at.index, term, at.chain, cbor2.dumps([term, voted_for]), commit)
