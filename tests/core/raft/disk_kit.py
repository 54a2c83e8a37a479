"""Records and Checkpoints for tests of consensus, on disks that a test holds (rmf/testing).

`standing_of` reads them as recovery does: a later record voids what stands at or above its index,
and the highest stated commit says how much may be applied at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cbor2
import crc32c
from immutables import Map

from rmf.core.effects import RecordDraft
from rmf.core.entry import Member
from rmf.core.producer_table import Table
from rmf.core.raft.membership import members_in
from rmf.core.raft.raft_values import LogEntry, Place, Standing
from rmf.core.record import ENTRY, HARD, Record
from rmf.core.recovery import higher_of
from rmf.testing.disk import DiskStart, SimulatedDisk, StoredCheckpoint

START = Place(0, 0, bytes(16))


class Found(NamedTuple):
    """What recovery makes of a disk. `membership` is the index of the Entry that names the
    members."""

    standing: Standing
    members: tuple[Member, ...]
    membership: int


def standing_of(disk: SimulatedDisk, founders: tuple[Member, ...]) -> Found:
    """Return where a node of this disk begins: with the newest Checkpoint. `founders` are the
    members before any Entry."""
    members, membership, (serial, place) = founders, 0, disk.base
    if disk.checkpoints:
        newest = disk.checkpoints[-1]
        members, membership = newest.head["members"], newest.head["membership"]
        serial, place = newest.base
    held: list[Record] = []
    commit = place.index
    for record in [x for x in disk.records if x.serial > serial]:
        if record.kind == ENTRY:
            while held and held[-1].index >= record.index:
                held.pop()
            last = held[-1].index if held else place.index
            assert record.index == last + 1, "a gap, or what was committed is voided"
            held.append(record)
        commit = max(commit, record.commit)
        while held and held[0].index <= commit:
            done = held.pop(0)
            serial, place = done.serial, Place(done.index, done.term, done.chain)
            if named := members_in(done.body):
                members, membership = named, done.index
    tail = tuple(entry_of(record) for record in held)
    serials = tuple(record.serial for record in held)
    hard = higher_of(disk.hard, disk.hard_copy)
    standing = Standing(hard, place, serial, tail, serials, not disk.repairing)
    return Found(standing, members, membership)


# --- Checkpoints: the state at one Entry is nothing but the members -------------------------------


def checkpoint_of(base: DiskStart, members: Sequence[Member], membership: int) -> StoredCheckpoint:
    head = {"members": tuple(members), "membership": membership}
    return StoredCheckpoint(base, head, Table.of({}), Map())


def packed(found: StoredCheckpoint, padding: int = 0) -> bytes:
    """A Checkpoint on its way to a peer, and so many bytes more."""
    members = [list(x) for x in found.head["members"]]
    more = [bytes(padding)] if padding else []
    return cbor2.dumps([list(found.base.place), members, found.head["membership"], *more])


def unpacked(data: bytes, base: DiskStart) -> StoredCheckpoint:
    place, members, membership, *_ = cbor2.loads(data)
    assert Place(*place) == base.place
    return checkpoint_of(base, [Member(*x) for x in members], membership)


# --- Records --------------------------------------------------------------------------------------


def entry_of(record: Record) -> LogEntry:
    crc = crc32c.crc32c(record.body)
    return LogEntry(record.index, record.term, record.chain, record.body, crc)


def records_of(entries: Sequence[LogEntry], commit: int = 0) -> list[RecordDraft]:
    return [RecordDraft(ENTRY, x.index, x.term, x.chain, x.body, commit) for x in entries]


def draft_of(record: Record) -> RecordDraft:
    at = (record.kind, record.index, record.term, record.chain)
    return RecordDraft(*at, record.body, record.commit)


def hard_record(term: int, voted_for: str | None, at: Place, commit: int = 0) -> RecordDraft:
    return RecordDraft(HARD, at.index, term, at.chain, cbor2.dumps([term, voted_for]), commit)
