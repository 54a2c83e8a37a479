"""storage/cursor: committed Entries, in order, while the ledger is written, rolled and shed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rmf import limits
from rmf.errors import ForeignDirectory, LedgerDamaged
from rmf.storage.cursor import EntryCursor, oldest_index
from rmf.storage.files import move_durably
from rmf.storage.records import record_frame
from tests.storage.ledger_kit import Ledger, ledger_in

ALL = 10**9


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with ledger_in(tmp_path / "n1") as made:
        yield made


class Reader:
    """A cursor that gives bodies."""

    def __init__(self, ledger: Ledger, after_index: int = 0) -> None:
        self.cursor = EntryCursor(ledger.directory.ledgers, ledger.cluster, after_index)

    def read(self, through_index: int = ALL, limit: int = 100) -> list[bytes]:
        return [record.body for record in self.cursor.read(through_index, limit)]


@pytest.fixture
def reader(ledger: Ledger) -> Iterator[Reader]:
    made = Reader(ledger)
    yield made
    made.cursor.close()


def bodies(count: int, first: int = 1) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


def test_entries_come_as_they_are_written_each_once(ledger: Ledger, reader: Reader) -> None:
    assert reader.read() == []
    ledger.entries(b"1", b"2")
    assert reader.read() == [b"1", b"2"]
    assert reader.read() == []
    ledger.writer.seal()
    ledger.writer.append([ledger.drafts.hard()])
    ledger.entries(b"3")
    assert reader.read() == [b"3"]


def test_nothing_above_the_callers_index_or_limit_is_given(ledger: Ledger, reader: Reader) -> None:
    ledger.entries(*bodies(5))
    assert reader.read(through_index=0) == []
    assert reader.read(through_index=3, limit=2) == [b"1", b"2"]
    assert reader.read(through_index=3) == [b"3"]
    assert reader.read() == [b"4", b"5"]


def test_a_cursor_follows_through_segments(ledger: Ledger, reader: Reader) -> None:
    written = []
    read = []
    for number in range(20):
        written.append(bytes([number]) * 700)
        ledger.entries(written[-1])
        if number % 3 == 0:
            read += reader.read()
    read += reader.read()
    assert len(ledger.segments) > 5
    assert read == written


@pytest.mark.parametrize("after", range(9))
def test_a_cursor_begins_anywhere(ledger: Ledger, after: int) -> None:
    for number in range(8):
        ledger.entries(bytes([number]) * 800)
    reader = Reader(ledger, after)
    assert [body[0] for body in reader.read()] == list(range(after, 8))
    reader.cursor.close()


def test_a_voided_entry_is_not_given(ledger: Ledger) -> None:
    ledger.entries(b"1" * 900, b"2" * 900, b"3" * 900)
    ledger.drafts.void_after(1)
    ledger.entries(b"2'" * 450)
    ledger.entries(b"3'" * 450)
    assert len(ledger.segments) > 1
    for after, expected in ((0, b"123"), (1, b"23"), (2, b"3")):
        reader = Reader(ledger, after)
        found = reader.read()
        assert bytes(body[0] for body in found) == expected
        assert all(body[1:2] == b"'" for body in found if body[:1] != b"1")
        reader.cursor.close()


def test_the_last_entries_wait_until_nothing_can_void_them(ledger: Ledger, reader: Reader) -> None:
    ledger.entries(*bodies(limits.VOID_ENTRIES_MAX + 50))
    assert reader.read(limit=10) == bodies(10)
    ledger.drafts.void_after(limits.VOID_ENTRIES_MAX)
    ledger.entries(b"new")
    read = reader.read(limit=limits.VOID_ENTRIES_MAX)
    assert read == [*bodies(limits.VOID_ENTRIES_MAX - 10, 11), b"new"]


def test_an_entry_that_was_given_out_cannot_be_voided(ledger: Ledger, reader: Reader) -> None:
    ledger.entries(b"1", b"2")
    assert reader.read() == [b"1", b"2"]
    ledger.drafts.void_after(1)
    ledger.entries(b"2'")
    with pytest.raises(LedgerDamaged, match="which were committed"):
        reader.read()


def test_one_read_is_bounded_in_bytes(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n1", limits.CURSOR_READ_BYTES_MAX * 2) as ledger:
        ledger.entries(*[b"x" * (limits.CURSOR_READ_BYTES_MAX // 4)] * 6)
        reader = Reader(ledger)
        assert len(reader.read()) == 4
        assert len(reader.read()) == 2
        reader.cursor.close()


def test_the_unwritten_end_is_quiet_at_every_byte(ledger: Ledger, reader: Reader) -> None:
    ledger.entries(b"1")
    path = ledger.segments[0]
    before = path.read_bytes()
    ledger.entries(b"2", b"3")
    after = path.read_bytes()
    ends = [after.index(f) + len(f) for f in map(record_frame, ledger.records())]
    read = []
    for length in range(ends[0], ends[-1] + 1):
        path.write_bytes(after[:length] + before[length:])
        read += reader.read(through_index=sum(end <= length for end in ends))
        assert read == bodies(sum(end <= length for end in ends))


def test_damage_to_what_is_committed_is_not_the_unwritten_end(
    ledger: Ledger, reader: Reader
) -> None:
    ledger.entries(b"1")
    ledger.entries(b"2")
    content = bytearray(ledger.segments[0].read_bytes())
    content[content.index(record_frame(ledger.records()[1])) + 20] ^= 1
    ledger.segments[0].write_bytes(content)
    assert reader.read(through_index=1) == [b"1"]
    with pytest.raises(LedgerDamaged, match="record 2"):
        reader.read(through_index=2)


def test_damage_before_the_end_of_a_segment_is_not_skipped(ledger: Ledger, reader: Reader) -> None:
    for number in range(8):
        ledger.entries(bytes([number]) * 800)
    content = bytearray(ledger.segments[1].read_bytes())
    content[1500] ^= 1
    ledger.segments[1].write_bytes(content)
    with pytest.raises(LedgerDamaged, match="record 4"):
        reader.read()


def test_a_cursor_reads_on_while_segments_are_archived_and_shed(
    ledger: Ledger, reader: Reader
) -> None:
    for number in range(8):
        ledger.entries(bytes([number]) * 800)
    assert oldest_index(ledger.directory.ledgers, ledger.cluster) == 1
    move_durably(ledger.segments[:3], ledger.directory.archive_path)
    assert [body[0] for body in reader.read(limit=3)] == [0, 1, 2]
    for path in ledger.directory.archive_path.iterdir():
        path.unlink()
    # What it had looked at it still has; what comes behind a gap says so by its index.
    assert [body[0] for body in reader.read()] == [3, 4, 5, 6, 7]
    assert oldest_index(ledger.directory.ledgers, ledger.cluster) == 7
    late = Reader(ledger)
    assert [record.index for record in late.cursor.read(ALL, 9)] == [7, 8]
    late.cursor.close()


def test_a_ledger_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    cursor = EntryCursor([tmp_path], b"c" * 16, 0)
    assert cursor.read(ALL, 9) == []
    assert oldest_index([tmp_path], b"c" * 16) is None


def test_the_ledger_of_another_cluster_is_not_read(ledger: Ledger, tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n2") as other:
        shutil.copy(other.segments[0], ledger.segments[0])
    reader = Reader(ledger)
    with pytest.raises(ForeignDirectory):
        reader.read()
    reader.cursor.close()
    with pytest.raises(ForeignDirectory):
        oldest_index(ledger.directory.ledgers, ledger.cluster)
