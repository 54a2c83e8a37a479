"""storage/scan: over segments, from a Checkpoint on, and while a writer is at work."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import attrs
import pytest

from rmf.core.record import Record
from rmf.errors import LedgerDamaged
from rmf.storage.cursor import EntryCursor
from rmf.storage.files import move_durably
from rmf.storage.segments import GENESIS, LedgerPlace, fill_segment, place_segment
from tests.storage.ledger_kit import Drafts, Ledger, data_end_of, ledger_in, overwrite


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with ledger_in(tmp_path / "n1") as made:
        yield made


def rolled(ledger: Ledger) -> list[Path]:
    """Fill four segments with eight Entries."""
    for number in range(8):
        ledger.entries(bytes([number]) * 800)
    assert len(ledger.segments) == 4
    return ledger.segments


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_segment_is_damage(ledger: Ledger, missing: int) -> None:
    rolled(ledger)[missing].unlink()
    with pytest.raises(
        LedgerDamaged, match=rf"record {2 * missing + 1}\b.*(is missing before|found: )"
    ):
        ledger.records()


def test_a_ledger_that_is_gone_is_damage_and_not_a_new_one(ledger: Ledger) -> None:
    ledger.segments[0].unlink()
    with pytest.raises(LedgerDamaged, match="no segment holds record 1"):
        ledger.records()


def test_a_renamed_segment_is_damage(ledger: Ledger) -> None:
    paths = rolled(ledger)
    paths[1].rename(paths[1].with_name(f"{4:020d}.seg"))
    with pytest.raises(LedgerDamaged, match="renamed"):
        ledger.records()


def test_a_torn_end_of_any_segment_but_the_newest_is_damage(ledger: Ledger) -> None:
    paths = rolled(ledger)
    overwrite(paths[1], data_end_of(paths[1]) - 5, b"\0\0\0\0\0")
    with pytest.raises(LedgerDamaged, match=rf"{paths[1].name}, byte \d+: .* record 4,"):
        ledger.records()


def test_a_segment_of_another_history_of_the_same_cluster_is_found(ledger: Ledger) -> None:
    paths = rolled(ledger)
    stray = paths[2].read_bytes()
    ledger.close()
    shutil.rmtree(ledger.path / "ledger")
    (ledger.path / "ledger").mkdir()
    segment = remade(ledger, paths[0])
    for number in range(4):
        ledger.entries(bytes([50 + number]) * 800)
    segment.write_bytes(stray)
    with pytest.raises(LedgerDamaged, match="does not follow from what comes before"):
        ledger.records()


def remade(ledger: Ledger, first: Path) -> Path:
    """Begin the history of this cluster anew; return where its third segment will be."""
    tmp = first.with_suffix(".tmp")
    fill_segment(tmp, ledger.inline_bytes)
    place_segment(tmp, first.parent, ledger.cluster, GENESIS)
    ledger.drafts = Drafts(ledger.cluster)
    ledger.writer = ledger.opened()
    return first.with_name(f"{5:020d}.seg")


def test_a_scan_goes_on_behind_a_checkpoint(ledger: Ledger) -> None:
    rolled(ledger)
    records = ledger.records()
    for record in records:
        base = LedgerPlace(record.serial, record.index, record.term, record.chain)
        assert ledger.records(base) == records[record.serial :]
        assert ledger.scan(base).tail is None
    ledger.segments[0].unlink()
    assert ledger.records(base_of(records[1])) == records[2:]
    with pytest.raises(LedgerDamaged):
        ledger.records(base_of(records[0]))


def base_of(record: Record) -> LedgerPlace:
    return LedgerPlace(record.serial, record.index, record.term, record.chain)


def test_a_checkpoint_of_another_history_does_not_fit(ledger: Ledger) -> None:
    rolled(ledger)
    assert ledger.records()
    for record in ledger.records():
        with pytest.raises(LedgerDamaged):
            ledger.records(attrs.evolve(base_of(record), chain=b"c" * 16))


def test_a_ledger_that_ends_before_its_checkpoint_is_damaged(ledger: Ledger) -> None:
    ledger.entries(b"one", b"two")
    base = base_of(ledger.records()[1])
    ledger.entries(b"three")
    later = attrs.evolve(base, serial=9, index=9)
    with pytest.raises(LedgerDamaged, match="the Checkpoint in use stands at 9"):
        ledger.records(later)


def test_behind_a_checkpoint_nothing_is_a_torn_tail(ledger: Ledger) -> None:
    ledger.entries(b"one")
    ledger.entries(b"two")
    base = base_of(ledger.records()[1])
    overwrite(ledger.segments[0], data_end_of(ledger.segments[0]) - 1, b"?")
    assert len(ledger.records()) == 1
    with pytest.raises(LedgerDamaged, match=r"checksum.*record 2,"):
        ledger.records(base)


def test_an_entry_that_voids_what_the_checkpoint_holds_is_damage(ledger: Ledger) -> None:
    ledger.entries(b"one", b"two")
    base = base_of(ledger.records()[1])
    ledger.drafts.void_after(1)
    ledger.entries(b"two'")
    assert [r.body for r in ledger.records()] == [b"one", b"two", b"two'"]
    with pytest.raises(LedgerDamaged, match="its index is 2, after 2"):
        ledger.records(base)


@pytest.mark.slow
def test_a_ledger_may_be_read_while_it_is_written(ledger: Ledger) -> None:
    batches = 60

    def write() -> None:
        for number in range(batches):
            ledger.entries(*[bytes([number]) * 90] * 3)

    def prepare() -> None:
        while writer.is_alive():
            if ledger.writer.wants_next:
                ledger.writer.prepare_next()

    writer, preparer = Thread(target=write), Thread(target=prepare)
    cursor = EntryCursor(ledger.directory.ledgers, ledger.cluster, 0)
    given: list[int] = []
    writer.start()
    preparer.start()
    while len(given) < 3 * batches:
        durable = ledger.writer.place.index
        given += [record.index for record in cursor.read(durable, 1000)]
        assert len(ledger.records()) >= durable == len(given)
    writer.join()
    preparer.join()
    cursor.close()
    assert given == list(range(1, 3 * batches + 1))


def test_a_segment_may_be_archived_while_it_is_read(ledger: Ledger) -> None:
    rolled(ledger)
    scan = iter(ledger.scan())
    first = next(scan)
    move_durably(ledger.segments[:3], ledger.directory.archive_path)
    assert [first.serial, *(record.serial for record in scan)] == list(range(1, 9))


def test_a_segment_that_goes_while_it_is_read_is_missed(ledger: Ledger) -> None:
    rolled(ledger)
    scan = iter(ledger.scan())
    next(scan)
    ledger.segments[1].unlink()
    with pytest.raises(LedgerDamaged, match="record 3"):
        list(scan)
