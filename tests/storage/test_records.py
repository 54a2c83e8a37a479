"""storage/records: what follows what, what was committed stays, and records of release 0.1."""

from pathlib import Path

import attrs
import cbor2
import pytest

from rmf import limits
from rmf.core.record import ENTRY, GENESIS_CHAIN, HARD, SEAL, Record, chain_of
from rmf.errors import LedgerDamaged
from rmf.storage.framing import frame_of
from rmf.storage.records import Lineage, durable_behind, record_frame
from rmf.storage.segments import GENESIS, LedgerPlace
from tests.storage.ledger_kit import BOOT_ID, BOOT_NS, Ledger, data_end_of, ledger_in

CLUSTER = b"c" * 16


def entry_after(lineage: Lineage, index: int, commit: int, body: bytes = b"body") -> Record:
    before = GENESIS_CHAIN if index == 1 else CHAINS[index - 2]
    chain = chain_of(before, CLUSTER, index, 1, body)
    serial = lineage.serial + 1
    return Record(
        CLUSTER, ENTRY, serial, index, 1, chain, serial - 1, BOOT_ID, BOOT_NS, body, commit
    )


CHAINS: list[bytes] = []
for number in range(1, 10):
    CHAINS.append(chain_of(CHAINS[-1] if CHAINS else GENESIS_CHAIN, CLUSTER, number, 1, b"body"))


def lineage_of(*commits: int) -> Lineage:
    """A ledger with an Entry for each of these, which state them as committed."""
    lineage = Lineage(CLUSTER, GENESIS)
    for index, commit in enumerate(commits, start=1):
        record = entry_after(lineage, index, commit)
        assert lineage.fault_of(record) is None
        lineage.follow(record)
    return lineage


def test_what_is_committed_only_rises() -> None:
    assert lineage_of(0, 1, 3, 1).commit == 3
    assert Lineage(CLUSTER, LedgerPlace(9, 7, 1, b"")).commit == 7  # whatever a Checkpoint holds is


def test_an_entry_that_was_committed_is_not_voided() -> None:
    lineage = lineage_of(0, 1, 2, 2)
    assert lineage.fault_of(entry_after(lineage, 3, 2, b"other")) is None
    fault = lineage.fault_of(entry_after(lineage, 2, 2, b"other"))
    assert fault == "it voids Entry 2; those up to 2 were committed"


@pytest.mark.parametrize("kind", [ENTRY, HARD, SEAL])
def test_nothing_is_committed_that_is_not_there(kind: int) -> None:
    """Raft-cases 42: where a record says so, it is damage, and found at the start."""
    lineage = lineage_of(0, 1)
    record = entry_after(lineage, 3, 4)
    if kind != ENTRY:
        record = attrs.evolve(record, kind=kind, index=2, chain=CHAINS[1], commit=3)
    fault = lineage.fault_of(record)
    assert fault == f"at index {record.index} it says that {record.index + 1} is committed"
    assert lineage.fault_of(attrs.evolve(record, commit=record.index)) is None


def old_frame(record: Record) -> bytes:
    """The record as release 0.1 wrote it."""
    return frame_of(cbor2.dumps(list(attrs.astuple(record))[:-1]))


def as_release_0_1(path: Path, records: list[Record]) -> None:
    """Write a segment anew as release 0.1 did."""
    size = path.stat().st_size
    header = frame_of(
        cbor2.dumps(["rmf-ledger", 1, records[0].cluster, size, *attrs.astuple(GENESIS)])
    )
    path.write_bytes((header + b"".join(map(old_frame, records))).ljust(size, b"\0"))


def written(ledger: Ledger) -> list[Record]:
    ledger.writer.append([ledger.drafts.hard()])
    ledger.entries(b"one", b"two")
    ledger.entries(b"three")
    ledger.writer.seal()
    return ledger.records()


def test_a_ledger_of_release_0_1_is_read_and_continued(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n1") as ledger:
        records = written(ledger)
        as_release_0_1(ledger.segments[0], records)
        ledger.drafts.commit = 3
        ledger.reopen()
        ledger.entries(b"four")
        found = ledger.records()
    assert [(r.index, r.commit) for r in found[:-1]] == [(0, 0), (1, 1), (2, 2), (3, 3), (3, 3)]
    assert [attrs.evolve(r, commit=0) for r in found[:5]] == [
        attrs.evolve(r, commit=0) for r in records
    ]
    assert (found[-1].body, found[-1].commit) == (b"four", 3)


def test_damage_in_a_ledger_of_release_0_1_is_no_torn_tail(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n1") as ledger:
        as_release_0_1(ledger.segments[0], written(ledger))
        content = bytearray(ledger.segments[0].read_bytes())
        content[content.index(b"two")] ^= 1
        ledger.segments[0].write_bytes(content)
        with pytest.raises(LedgerDamaged, match="record 3"):
            ledger.records()


@pytest.mark.parametrize("shift", range(0, 40, 3))
@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
def test_a_record_of_either_release_is_found_behind_damage(
    tmp_path: Path, old: bool, shift: int
) -> None:
    record = Record(CLUSTER, ENTRY, 9, 9, 1, bytes(16), 8, BOOT_ID, BOOT_NS, b"", 9)
    frame = old_frame(record) if old else record_frame(record)
    path = tmp_path / "file"
    path.write_bytes(b"\xff" * (limits.FILE_READ_BYTES - shift) + frame + b"\xff" * 99)
    assert data_end_of(path) > limits.FILE_READ_BYTES
    with path.open("rb") as file:
        assert durable_behind(file.fileno(), 0, CLUSTER, 8) == 8


def test_a_reader_leaves_no_record_out() -> None:
    lineage = lineage_of(0)
    record = attrs.evolve(entry_after(lineage, 2, 1), serial=lineage.serial + 2)
    assert lineage.fault_of(record) is not None, "a value for what is on the disk"
    with pytest.raises(AssertionError, match="left out"):
        lineage.follow(record)
