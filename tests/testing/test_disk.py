"""A simulated disk keeps what storage keeps, and loses what a crash loses."""

import cbor2
import immutables

from rmf import limits
from rmf.core.effects import Persist, RecordDraft
from rmf.core.producer_table import Table
from rmf.core.raft.raft_values import HardState, Place
from rmf.core.record import ENTRY, HARD
from rmf.testing.disk import DiskStart, SimulatedDisk, StoredCheckpoint

BOOT = b"boot"


def entry(index: int, term: int = 1, commit: int = 0) -> RecordDraft:
    return RecordDraft(ENTRY, index, term, f"{index}.{term}".encode(), b"body", commit)


def vote(term: int, candidate: str) -> RecordDraft:
    return RecordDraft(HARD, 0, term, bytes(16), cbor2.dumps([term, candidate]), 0)


def written(*drafts: RecordDraft) -> SimulatedDisk:
    disk = SimulatedDisk(b"cluster", b"incarnation")
    disk.write_now(list(drafts), BOOT, 0)
    return disk


def test_what_waits_is_written_with_one_fsync_and_durable_when_that_returns() -> None:
    disk = SimulatedDisk(b"cluster", b"incarnation")
    disk.take(Persist(1, [entry(1)]))
    disk.take(Persist(2, [entry(2)]))
    disk.begin(0, BOOT, 0)
    disk.take(Persist(3, [entry(3)]))
    assert (disk.last_written.index, disk.last_durable.index) == (3, 0)
    assert disk.finish(0) == (2, 2)
    assert disk.holds(2, b"2.1")
    assert not disk.holds(3, b"3.1")


def test_a_crash_keeps_a_beginning_of_what_is_under_way() -> None:
    disk = written(entry(1))
    disk.take(Persist(2, [entry(2), entry(3)]))
    disk.begin(0, BOOT, 0)
    disk.take(Persist(3, [entry(4)]))
    disk.crash(1, copied=False)
    assert disk.last_durable.index == disk.last_written.index == 2
    assert disk.entry(3) is None


def test_a_later_entry_voids_those_above() -> None:
    disk = written(entry(1), entry(2), entry(3), entry(2, term=2))
    assert disk.holds(2, b"2.2")
    assert not disk.holds(3, b"3.1")
    assert disk.entry(3) is None


def test_the_copy_of_a_vote_may_be_there_before_the_record() -> None:
    disk = SimulatedDisk(b"cluster", b"incarnation")
    disk.take(Persist(1, [vote(4, "n2")]))
    disk.begin(0, BOOT, 0)
    disk.crash(0, copied=True)
    assert (disk.hard, disk.hard_copy) == (HardState(0, None), HardState(4, "n2"))


def test_rot_is_found_where_a_later_record_says_that_it_was_durable() -> None:
    disk = written(entry(1), vote(2, "n1"))
    assert not disk.rot(1)
    disk.write_now([entry(2)], BOOT, 0)
    assert disk.rot(1)
    assert disk.repairing
    assert disk.last_durable.index == 0
    assert disk.hard_copy == HardState(2, "n1")
    assert disk.promised(1, b"1.1")
    assert not disk.holds(1, b"1.1")


def test_an_idle_disk_is_sealed_before_the_next_write() -> None:
    disk = written(entry(1))
    disk.take(Persist(1, [entry(2)]))
    disk.begin(int(limits.SEAL_IDLE_S * limits.SECOND), BOOT, 0)
    assert disk.finish(0) == (1, 3)


def checkpoint(index: int, serial: int) -> StoredCheckpoint:
    place = Place(index, 1, f"{index}.1".encode())
    return StoredCheckpoint(DiskStart(serial, place), {}, Table.of({}), immutables.Map())


def test_the_ledger_behind_the_older_of_two_checkpoints_is_let_go() -> None:
    disk = written(*[entry(i) for i in range(1, 6)])
    disk.keep_checkpoint(checkpoint(2, 2), through_index=5)
    assert disk.entry(1) is not None
    disk.keep_checkpoint(checkpoint(4, 4), through_index=5)
    assert disk.entry(2) is None
    assert disk.entry(3) is not None
    assert disk.holds(1, b"whatever stood there")


def test_a_checkpoint_takes_the_place_of_a_ledger_that_lacks_its_entry() -> None:
    disk = written(entry(1), vote(3, "n2"))
    disk.ready = checkpoint(7, 2)
    assert disk.install()
    assert (disk.last_durable.index, disk.serial) == (7, 2)
    assert disk.hard_copy == HardState(3, "n2")


def test_a_ledger_that_has_it_all_stays() -> None:
    disk = written(entry(1), entry(2))
    disk.ready = checkpoint(2, 2)
    assert not disk.install()
    assert disk.entry(1) is not None
