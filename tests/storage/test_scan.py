"""storage/scan: damage is found at every byte, and only a torn tail is ever cut (R24)."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.record import ENTRY, SEAL, Record
from rmf.errors import ForeignDirectory, LedgerDamaged, StorageError
from rmf.storage.framing import frame_of
from rmf.storage.ledger import LedgerWriter
from rmf.storage.records import durable_behind, record_frame
from rmf.storage.scan import LedgerScan
from rmf.storage.segments import GENESIS, LedgerPlace
from tests.storage.ledger_kit import (
    BOOT_ID,
    BOOT_NS,
    Ledger,
    data_end_of,
    ledger_in,
    overwrite,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with ledger_in(tmp_path / "n1") as made:
        yield made


@attrs.frozen
class Written:
    """A small ledger in one segment, what it holds, and where each record begins."""

    path: Path
    cluster: bytes
    content: bytes
    records: list[Record]
    offsets: list[int]

    def scan(self) -> tuple[list[Record], LedgerScan]:
        scan = LedgerScan([self.path.parent], self.cluster, GENESIS)
        return list(scan), scan

    def without(self, damaged: int) -> int:
        """What the other records say was durable."""
        return max(r.durable_through for r in self.records if r.serial != damaged)

    def serial_at(self, offset: int) -> int:
        """The serial of the record that holds this byte; 0 is the header."""
        return sum(start <= offset for start in self.offsets)


def written(ledger: Ledger, *, sealed: bool = True) -> Written:
    """Write HARD, a batch, a void, HARD, single Entries, and a seal in between and at the end."""
    drafts, writer = ledger.drafts, ledger.writer
    writer.append([drafts.hard()])
    ledger.entries(b"one", b"two", b"three")
    writer.seal()
    drafts.void_after(2)
    writer.append([drafts.entry(b"three'"), drafts.hard()])
    ledger.entries(b"four")
    if sealed:
        writer.seal()
    path = ledger.segments[0]
    content = path.read_bytes()
    records = ledger.records()
    marks = [content.index(record_frame(record)) for record in records]
    return Written(path, ledger.cluster, content, records, marks)


@pytest.mark.slow
def test_a_flipped_bit_anywhere_is_found_and_only_a_torn_tail_is_cut(ledger: Ledger) -> None:
    """Raft-cases 40: damage before the tail is never cut."""
    made = written(ledger)
    cuts = 0
    end = made.offsets[-1] + len(record_frame(made.records[-1]))
    with made.path.open("r+b", buffering=0) as file:
        for offset in range(end + 20):
            serial = made.serial_at(offset) if offset < end else len(made.records) + 1
            file.seek(offset)
            file.write(bytes([made.content[offset] ^ (1 << offset % 8)]))
            if serial <= made.without(serial):
                with pytest.raises(LedgerDamaged, match=rf"byte \d+: .*record {max(serial, 1)},"):
                    made.scan()
            else:
                records, scan = made.scan()
                assert records == made.records[: serial - 1]
                assert scan.cut is not None
                assert scan.cut.offset == [*made.offsets, end][serial - 1]
                cuts += 1
            file.seek(offset)
            file.write(made.content[offset : offset + 1])
    assert cuts == end + 20 - made.offsets[-1]  # the last seal, and the zeros behind it
    assert made.scan()[0] == made.records


@pytest.mark.slow
def test_a_file_cut_short_anywhere_is_found(ledger: Ledger) -> None:
    made = written(ledger)
    for length in reversed(range(len(made.content))):
        with made.path.open("r+b", buffering=0) as file:
            file.truncate(length)
        with pytest.raises(LedgerDamaged):
            made.scan()


@pytest.mark.slow
def test_every_prefix_of_an_unsynced_write_recovers(ledger: Ledger) -> None:
    made = written(ledger)
    before = made.path.read_bytes()
    known = len(made.records)
    start = data_end_of(made.path)
    ledger.entries(b"five", b"six" * 10, b"seven")
    after = made.path.read_bytes()
    records = ledger.records()
    ends = [start]
    for record in records[known:]:
        ends.append(ends[-1] + len(record_frame(record)))
    for length in range(start, ends[-1] + 1):
        made.path.write_bytes(after[:length] + before[length:])
        found, scan = made.scan()
        whole = sum(end <= length for end in ends) - 1
        assert found == records[: known + whole]
        assert (scan.cut is None) == (data_end_of(made.path) in ends)


@pytest.mark.slow
@given(st.lists(st.booleans(), min_size=40, max_size=40), st.integers(1, 64))
@settings(deadline=None, max_examples=60)
def test_any_subset_of_unsynced_sectors_recovers_to_a_prefix(
    kept: list[bool], sector_bytes: int
) -> None:
    with TemporaryDirectory() as directory, ledger_in(Path(directory)) as ledger:
        made = written(ledger)
        before = made.path.read_bytes()
        ledger.entries(b"five", b"six" * 10, b"seven")
        records = ledger.records()
        content = bytearray(made.path.read_bytes())
        start = data_end_of(made.path, before)
        for number in range(-(-(len(content) - start) // sector_bytes)):
            here = slice(start + number * sector_bytes, start + (number + 1) * sector_bytes)
            if not kept[number % len(kept)]:
                content[here] = before[here]
        made.path.write_bytes(content)
        found, _ = made.scan()
        assert found == records[: len(found)]
        assert len(found) >= len(made.records)
        # A node goes on from there, and nothing of the old tail comes back.
        ledger.drafts.void_after(found[-1].index)
        ledger.reopen()
        ledger.entries(b"next")
        assert ledger.records()[:-1] == found


def test_a_torn_tail_is_cut_and_said(ledger: Ledger) -> None:
    made = written(ledger)
    end = data_end_of(made.path)
    with made.path.open("r+b") as file:
        file.seek(end)
        file.write(b"\0\0\1\0torn" + bytes(30) + b"x")
    records, scan = made.scan()
    assert records == made.records
    assert scan.cut is not None
    assert (scan.cut.path, scan.cut.offset, scan.cut.file_bytes) == (made.path, end, 39)
    assert "record 10" in scan.cut.why
    ledger.reopen()
    assert data_end_of(made.path) == end
    assert made.scan()[1].cut is None


def test_the_place_where_a_ledger_ends_is_said(ledger: Ledger) -> None:
    made = written(ledger)
    scan = made.scan()[1]
    assert scan.tail is not None
    last = made.records[-1]
    assert scan.tail.base == LedgerPlace(last.serial, last.index, 2, last.chain)
    assert scan.tail.last == last
    assert scan.tail.offset == data_end_of(made.path)


def test_an_unsealed_last_batch_that_rots_is_cut_a_sealed_one_is_damage(tmp_path: Path) -> None:
    for sealed in (False, True):
        with ledger_in(tmp_path / str(sealed)) as ledger:
            made = written(ledger, sealed=sealed)
            place = next(
                offset
                for offset, record in zip(made.offsets, made.records, strict=True)
                if record.body == b"four"
            )
            overwrite(made.path, place + 30, b"\xff\xff")
            if sealed:
                with pytest.raises(LedgerDamaged, match="rmf-replay"):
                    made.scan()
            else:
                assert made.scan()[0] == made.records[:-1]


@pytest.mark.parametrize("place", ["middle", "end"])
def test_a_record_copied_from_elsewhere_is_never_taken_for_a_torn_tail(
    ledger: Ledger, place: str
) -> None:
    for body in (b"aaa", b"bbb", b"ccc", b"ddd"):
        ledger.entries(body)
    content = ledger.segments[0].read_bytes()
    first, second, *_, last = (content.index(record_frame(r)) for r in ledger.records())
    target = second if place == "middle" else last
    overwrite(ledger.segments[0], target, content[first:second])
    with pytest.raises(LedgerDamaged, match="this is record 1, at the place of another"):
        ledger.records()


@pytest.mark.parametrize("where", ["body", "index", "chain", "durable_through"])
def test_an_edited_record_with_a_right_checksum_is_found(ledger: Ledger, where: str) -> None:
    ledger.entries(b"aaa")
    ledger.entries(b"bbb")
    edits: dict[str, Any] = {"body": b"BBB", "index": 9, "chain": b"c" * 16, "durable_through": 2}
    record = ledger.records()[-1]
    edited = attrs.evolve(record, **{where: edits[where]})
    offset = ledger.segments[0].read_bytes().index(record_frame(record))
    overwrite(ledger.segments[0], offset, record_frame(edited))
    with pytest.raises(LedgerDamaged):
        ledger.records()


def test_a_vote_of_another_place_in_history_is_found(ledger: Ledger) -> None:
    ledger.entries(b"aaa")
    ledger.writer.append([ledger.drafts.hard()])
    record = ledger.records()[-1]
    offset = ledger.segments[0].read_bytes().index(record_frame(record))
    overwrite(ledger.segments[0], offset, record_frame(attrs.evolve(record, chain=b"c" * 16)))
    with pytest.raises(LedgerDamaged, match="not that of Entry 1"):
        ledger.records()


def test_a_record_of_another_cluster_is_found(ledger: Ledger) -> None:
    ledger.entries(b"aaa")
    record = ledger.records()[0]
    offset = ledger.segments[0].read_bytes().index(record_frame(record))
    alien = record_frame(attrs.evolve(record, cluster=b"alien cluster id"))
    overwrite(ledger.segments[0], offset, alien)
    with pytest.raises(ForeignDirectory, match=b"alien cluster id".hex()):
        ledger.records()


def test_a_segment_of_another_cluster_is_found(ledger: Ledger, tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n2") as other:
        shutil.copy(other.segments[0], ledger.segments[0])
    with pytest.raises(ForeignDirectory):
        ledger.records()


def test_a_record_of_an_unknown_kind_names_what_to_do(ledger: Ledger) -> None:
    ledger.entries(b"aaa")
    record = ledger.records()[0]
    offset = ledger.segments[0].read_bytes().index(record_frame(record))
    overwrite(ledger.segments[0], offset, record_frame(attrs.evolve(record, kind=9)))
    with pytest.raises(StorageError, match=r"kind 9.*a later one"):
        ledger.records()


def test_a_whole_frame_that_is_no_record_is_damage(ledger: Ledger) -> None:
    ledger.entries(b"aaa")
    path = ledger.segments[0]
    end = data_end_of(path)
    overwrite(path, end, frame_of(b"\x01"))
    with pytest.raises(LedgerDamaged, match="record 2"):
        ledger.records()


@pytest.mark.parametrize("shift", range(0, 30, 3))
def test_a_valid_record_behind_damage_is_found_wherever_it_lies(tmp_path: Path, shift: int) -> None:
    cluster = b"c" * 16
    record = Record(cluster, ENTRY, 9, 9, 1, bytes(16), 8, BOOT_ID, BOOT_NS, b"", 9)
    path = tmp_path / "file"
    path.write_bytes(b"\xff" * (limits.MIB - shift) + record_frame(record) + b"\xff" * 99)
    with path.open("rb") as file:
        found = [durable_behind(file.fileno(), 0, cluster, serial) for serial in (8, 9)]
    assert found == [8, 0]


def test_a_payload_that_looks_like_a_record_makes_no_damage_of_a_whole_ledger(
    ledger: Ledger,
) -> None:
    fake = Record(ledger.cluster, ENTRY, 99, 9, 1, bytes(16), 98, BOOT_ID, BOOT_NS, b"", 9)
    ledger.entries(record_frame(fake))
    ledger.entries(b"next")
    assert [r.serial for r in ledger.records()] == [1, 2]


def test_a_ledger_that_is_only_read_is_not_changed(ledger: Ledger) -> None:
    made = written(ledger)
    overwrite(made.path, made.offsets[-1], b"????")
    content = made.path.read_bytes()
    assert made.scan()[1].cut is not None
    assert made.path.read_bytes() == content
    assert made.records[-1].kind == SEAL


def test_a_writer_needs_a_scan_that_was_read_to_its_end(ledger: Ledger) -> None:
    with pytest.raises(AssertionError, match="read to its end"):
        LedgerWriter(
            ledger.directory.ledger_path, ledger.scan(), boot_id=BOOT_ID, boot_ns=lambda: 0
        )
