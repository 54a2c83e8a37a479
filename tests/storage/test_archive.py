"""storage/archive: history is kept replayable, within a bound, and not before the DLQ read it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rmf.core.record import ENTRY, Record
from rmf.errors import CheckpointDamaged
from rmf.storage.archive import archive_behind, archive_bytes, begins, shed_archive, starts
from rmf.storage.checkpoint import CheckpointWriter, load, newest, prune
from rmf.storage.directory import inspect
from rmf.storage.scan import LedgerScan
from rmf.storage.segments import GENESIS
from tests.storage.ledger_kit import SEGMENT_BYTES, Ledger, ledger_in

ALL = 10**9


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Sixteen Entries, two a segment, with Checkpoints at 4, 9 and 13."""
    with ledger_in(tmp_path / "n1") as made:
        for number in range(1, 17):
            made.entries(b"%02d" % number + bytes(800))
            if number in {4, 9, 13}:
                checkpoint_at(made, made.records()[-1])
        assert len(made.segments) == 8
        yield made


def checkpoint_at(ledger: Ledger, record: Record) -> None:
    head = {
        "serial": record.serial,
        "index": record.index,
        "term": record.term,
        "chain": record.chain,
    }
    CheckpointWriter(ledger.directory.checkpoints_path, ledger.cluster, head).finish()


def archived(ledger: Ledger, pattern: str = "*.seg") -> list[int]:
    return sorted(int(path.stem) for path in ledger.directory.archive_path.glob(pattern))


def replayed(ledger: Ledger, path: Path | None = None) -> list[tuple[int, list[int]]]:
    """From each start: its index, and the Entries that a replay from there finds."""
    view = inspect(path or ledger.path)
    found = []
    for start in starts(view.ledgers, view.checkpoints, view.cluster):
        scan = LedgerScan(view.ledgers, view.cluster, start.base)
        found.append((start.base.index, [r.index for r in scan if r.kind == ENTRY]))
    return found


def kept(ledger: Ledger, count: int) -> None:
    directory = ledger.directory
    prune(directory.checkpoints_path, directory.archive_path, count)


def test_only_what_lies_behind_the_oldest_checkpoint_kept_is_archived(ledger: Ledger) -> None:
    kept(ledger, 2)
    moved = archive_behind(ledger.directory, pinned_index=ALL)
    assert [int(path.stem) for path in moved] == [1, 3, 5, 7]
    assert archived(ledger) == [1, 3, 5, 7]
    assert archived(ledger, "*.ckpt") == [4]
    assert archive_behind(ledger.directory, pinned_index=ALL) == []


def test_without_a_checkpoint_nothing_is_archived(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n1") as ledger:
        ledger.entries(b"x")
        assert archive_behind(ledger.directory, pinned_index=ALL) == []


def test_the_newest_segment_stays_whatever_the_checkpoint(ledger: Ledger) -> None:
    checkpoint_at(ledger, ledger.records()[-1])
    kept(ledger, 1)
    archive_behind(ledger.directory, pinned_index=ALL)
    assert len(ledger.segments) == 1
    ledger.reopen()
    ledger.entries(b"next")


def test_a_damaged_checkpoint_archives_nothing(ledger: Ledger) -> None:
    oldest = min(ledger.directory.checkpoints_path.iterdir())
    oldest.write_bytes(b"")
    assert archive_behind(ledger.directory, pinned_index=ALL) == []
    with pytest.raises(CheckpointDamaged):
        load(oldest, ledger.cluster)
    assert [start for start, _ in replayed(ledger)] == [0, 9, 13]


@pytest.mark.parametrize(("pinned", "expected"), [(0, []), (3, [1]), (4, [1, 3]), (7, [1, 3, 5])])
def test_what_the_dlq_has_not_read_stays_in_the_ledger(
    ledger: Ledger, pinned: int, expected: list[int]
) -> None:
    kept(ledger, 2)
    archive_behind(ledger.directory, pinned_index=pinned)
    assert archived(ledger) == expected


def test_history_can_be_replayed_from_every_start(ledger: Ledger) -> None:
    expected = [(index, list(range(index + 1, 17))) for index in (0, 4, 9, 13)]
    assert replayed(ledger) == expected
    kept(ledger, 2)
    archive_behind(ledger.directory, pinned_index=ALL)
    assert replayed(ledger) == expected


def test_the_archive_alone_can_be_replayed_up_to_where_the_ledger_goes_on(ledger: Ledger) -> None:
    kept(ledger, 2)
    archive_behind(ledger.directory, pinned_index=ALL)
    alone = ledger.directory.archive_path
    assert replayed(ledger, alone) == [(0, list(range(1, 9))), (4, [5, 6, 7, 8])]


def test_history_is_shed_a_start_at_a_time(ledger: Ledger) -> None:
    kept(ledger, 1)
    archive_behind(ledger.directory, pinned_index=ALL)
    assert archived(ledger) == [1, 3, 5, 7, 9, 11]
    assert shed_archive(ledger.directory, pinned_index=ALL) == []
    size = archive_bytes(ledger.directory)
    for bound, oldest, segments in (
        (size - 1, 4, [5, 7, 9, 11]),
        (size - 2 * SEGMENT_BYTES, 4, [5, 7, 9, 11]),
        (size - 2 * SEGMENT_BYTES - 1, 9, [9, 11]),
        (0, 13, []),
    ):
        shed_archive(ledger.directory, pinned_index=ALL, bytes_max=bound)
        assert archived(ledger) == segments
        assert replayed(ledger)[0] == (oldest, list(range(oldest + 1, 17)))
    assert archive_bytes(ledger.directory) == 0


def test_what_the_dlq_has_not_read_is_not_shed(ledger: Ledger) -> None:
    kept(ledger, 1)
    archive_behind(ledger.directory, pinned_index=ALL)
    shed_archive(ledger.directory, pinned_index=5, bytes_max=0)
    assert archived(ledger) == [5, 7, 9, 11]
    assert replayed(ledger)[0][0] == 4


@pytest.mark.parametrize(
    ("sent", "segments", "oldest"), [(4, [5, 7, 9, 11], 4), (8, [5, 7, 9, 11], 4), (9, [9, 11], 9)]
)
def test_what_a_peer_is_being_sent_is_not_shed_nor_the_checkpoint_it_began_with(
    ledger: Ledger, sent: int, segments: list[int], oldest: int
) -> None:
    kept(ledger, 1)
    archive_behind(ledger.directory, pinned_index=ALL)
    shed_archive(ledger.directory, pinned_index=ALL, bytes_max=0, sent_index=sent)
    assert archived(ledger) == segments
    assert replayed(ledger)[0][0] == oldest
    assert newest(ledger.directory.archive_path)[-1].stem.lstrip("0") == str(oldest)


def test_of_what_is_being_sent_only_so_much_stays(ledger: Ledger) -> None:
    kept(ledger, 1)
    archive_behind(ledger.directory, pinned_index=ALL)
    most = archive_bytes(ledger.directory) - 2 * SEGMENT_BYTES - 1
    sent: dict[str, int] = {"bytes_max": 0, "sent_index": 0, "sent_bytes_max": most}
    shed_archive(ledger.directory, pinned_index=ALL, **sent)
    assert begins(ledger.directory) == 9  # as much as has to go, and no more


def test_a_checkpoint_with_a_gap_behind_it_is_no_start(ledger: Ledger) -> None:
    for path in ledger.segments[:3]:
        path.unlink()
    assert [index for index, _ in replayed(ledger)] == [9, 13]


def test_where_there_is_no_ledger_there_is_no_start(tmp_path: Path) -> None:
    assert starts([tmp_path], [tmp_path], b"c" * 16) == []
    with ledger_in(tmp_path / "n1") as ledger:
        assert [s.base for s in starts([ledger.segments[0].parent], [], ledger.cluster)] == [
            GENESIS
        ]
