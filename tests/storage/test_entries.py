"""storage/entries: what a slow peer needs next, with the place before it, or nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from crc32c import crc32c

from rmf import limits
from rmf.core.events import EntriesRead
from rmf.core.raft import wire
from rmf.core.raft.peer_messages import Append
from rmf.core.record import GENESIS_CHAIN
from rmf.storage.cursor import oldest_base
from rmf.storage.entries import EntryReader
from rmf.storage.files import move_durably
from tests.storage.ledger_kit import Ledger, ledger_in


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with ledger_in(tmp_path / "n1") as made:
        yield made


@pytest.fixture
def reader(ledger: Ledger) -> Iterator[EntryReader]:
    made = EntryReader(ledger.directory.ledgers, ledger.cluster, "n2")
    yield made
    made.close()


def bodies(found: EntriesRead) -> list[bytes]:
    return [entry.body for entry in found.entries]


def place(found: EntriesRead) -> tuple[str, int, int, bytes]:
    return (found.peer, found.after_index, found.after_term, found.after_chain)


def test_entries_come_with_the_place_before_them(ledger: Ledger, reader: EntryReader) -> None:
    ledger.entries(b"1", b"2", b"3", b"4")
    chains = ledger.drafts.chains
    found = reader.read(2, 4)
    assert place(found) == ("n2", 2, 1, chains[2])
    assert bodies(found) == [b"3", b"4"]
    assert [entry.crc for entry in found.entries] == [crc32c(b"3"), crc32c(b"4")]
    assert {entry.term for entry in found.entries} == {1}
    assert place(reader.read(0, 1)) == ("n2", 0, 0, GENESIS_CHAIN)


def test_what_was_asked_for_next_goes_on_where_it_left_off(
    ledger: Ledger, reader: EntryReader
) -> None:
    ledger.entries(*[b"%d" % n * 10 for n in range(1, 10)])
    bytes_max = 2 * (10 + limits.ENTRY_HEAD_BYTES) + 5
    found = reader.read(0, 9, bytes_max=bytes_max)
    assert len(found.entries) == 2
    second = reader.read(2, 9, bytes_max=bytes_max)
    assert (second.after_index, second.after_chain) == (2, ledger.drafts.chains[2])
    assert bodies(second) == [b"3" * 10, b"4" * 10]
    ledger.entries(b"ten")
    assert bodies(reader.read(4, 10))[-1] == b"ten"


def test_an_entry_longer_than_the_bound_comes_alone(ledger: Ledger, reader: EntryReader) -> None:
    ledger.entries(b"x" * 100, b"y")
    assert bodies(reader.read(0, 2, bytes_max=10)) == [b"x" * 100]


def test_what_is_read_fits_a_frame_however_small_the_entries(
    ledger: Ledger, reader: EntryReader
) -> None:
    ledger.entries(*[b"%d" % n for n in range(600)])
    bytes_max, after = 5000, 0
    while (found := reader.read(after, 600, bytes_max)).entries:
        place = (after, found.after_term, found.after_chain)
        frame = wire.encode(Append(2**40, *place, 600, 600, 1, True, 1, found.entries))
        assert len(frame) <= bytes_max + limits.APPEND_HEAD_BYTES_MAX
        after += len(found.entries)
    assert after == 600


def test_nothing_above_the_callers_index_is_given(ledger: Ledger, reader: EntryReader) -> None:
    ledger.entries(b"1", b"2", b"3")
    assert bodies(reader.read(0, 2)) == [b"1", b"2"]
    assert bodies(reader.read(2, 2)) == []
    assert bodies(reader.read(2, 3)) == [b"3"]


def test_a_place_before_is_looked_for_again(ledger: Ledger, reader: EntryReader) -> None:
    ledger.entries(*[b"%d" % n for n in range(1, 8)])
    assert len(reader.read(3, 7).entries) == 4
    assert bodies(reader.read(1, 3)) == [b"2", b"3"]
    assert bodies(reader.read(6, 7)) == [b"7"]


def test_what_was_voided_is_neither_given_nor_the_place_before(
    ledger: Ledger, reader: EntryReader
) -> None:
    ledger.entries(b"1", b"2", b"3")
    ledger.drafts.void_after(1)
    ledger.entries(b"2'", b"3'")
    found = reader.read(2, 3)
    assert (found.after_term, found.after_chain) == (2, ledger.drafts.chains[2])
    assert bodies(found) == [b"3'"]
    assert bodies(reader.read(1, 3)) == [b"2'", b"3'"]


def shed_first(ledger: Ledger, count: int) -> None:
    for path in ledger.segments[:count]:
        path.unlink()


def test_what_is_not_held_any_more_is_nothing(ledger: Ledger, reader: EntryReader) -> None:
    for n in range(1, 10):
        ledger.entries(b"%d" % n * 900)
    shed_first(ledger, 2)
    assert reader.read(0, 9) == EntriesRead("n2", 0, 0, GENESIS_CHAIN, [])
    assert reader.read(2, 9) == EntriesRead("n2", 2, 0, b"", [])
    first = int(ledger.segments[0].stem) - 1  # the last Entry that is gone; its place is known
    found = reader.read(first, 9)
    assert found.after_chain == ledger.drafts.chains[first]
    assert bodies(found) == [b"%d" % n * 900 for n in range(first + 1, 10)]


def test_the_place_before_a_segment_that_rewrites_it_is_the_rewritten_one(
    ledger: Ledger, reader: EntryReader
) -> None:
    ledger.entries(b"1" * 500, b"2" * 500, b"3" * 500)
    ledger.drafts.void_after(2)
    ledger.entries(b"3'" * 450)
    ledger.entries(b"4")
    shed_first(ledger, 1)
    base = oldest_base(ledger.directory.ledgers, ledger.cluster)
    assert base is not None
    assert (base.index, base.term) == (3, 1)
    found = reader.read(3, 4)
    assert (found.after_term, found.after_chain) == (2, ledger.drafts.chains[3])
    assert bodies(found) == [b"4"]


def test_what_is_archived_meanwhile_is_read_on_and_what_is_shed_is_a_gap(
    ledger: Ledger, reader: EntryReader
) -> None:
    for n in range(1, 10):
        ledger.entries(b"%d" % n * 900)
    assert len(reader.read(0, 3).entries) == 3
    move_durably(ledger.segments[:2], ledger.directory.archive_path)
    assert len(reader.read(3, 4).entries) == 1


def test_sequential_reading_reads_the_ledger_once(ledger: Ledger, reader: EntryReader) -> None:
    """Each call goes on with the same open files; a call more costs no look through the ledger."""
    count = 3 * limits.EVERY_TICK_BATCH_ENTRIES
    ledger.entries(*[b"%d" % n for n in range(1, count + 1)])
    content = ledger.segments[0].read_bytes()
    at = reader.read(0, count, bytes_max=100).entries
    found = [entry.body for entry in at]
    ledger.segments[0].rename(ledger.path / "away")  # the open file is all it needs
    while len(found) < count:
        found += bodies(reader.read(len(found), count, bytes_max=100))
    assert found == [b"%d" % n for n in range(1, count + 1)]
    assert (ledger.path / "away").read_bytes() == content
