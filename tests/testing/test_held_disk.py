"""A disk that writes when it is told to."""

import pytest

from rmf.core import events as ev
from rmf.core.effects import Persist, RecordDraft
from rmf.core.record import ENTRY
from rmf.testing.held_disk import HeldDisk


def persist(ticket: int, *indexes: int) -> Persist:
    return Persist(ticket, [RecordDraft(ENTRY, i, 1, b"%d" % i, b"body", 0) for i in indexes])


def disk_with(*waiting: Persist) -> HeldDisk:
    disk = HeldDisk(b"cluster", b"incarnation")
    for one in waiting:
        disk.take(one)
    return disk


def test_one_persist_after_the_other_becomes_durable() -> None:
    disk = disk_with(persist(1, 1, 2), persist(2, 3))
    assert disk.write_one() == ev.Persisted(1, 2)
    assert (disk.last_durable.index, disk.last_written.index) == (2, 3)
    assert disk.write_one() == ev.Persisted(2, 3)
    assert not disk.waiting


def test_a_process_that_ends_leaves_as_many_records_as_it_is_said() -> None:
    disk = disk_with(persist(1, 1, 2), persist(2, 3))
    disk.end(kept=2)
    assert [x.index for x in disk.records] == [1, 2]
    disk.take(persist(1, 3))  # the next core counts from one again
    assert disk.write_one() == ev.Persisted(1, 3)


def test_a_ticket_that_is_not_the_next_one_is_contradicted() -> None:
    disk = disk_with(persist(1, 1))
    with pytest.raises(AssertionError):
        disk.take(persist(3, 2))


def test_what_cannot_be_read_is_on_the_disk_and_no_entry() -> None:
    disk = disk_with(persist(1, 1))
    disk.write_one()
    assert (len(disk.records), disk.entries) == (1, [])
