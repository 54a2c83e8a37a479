"""What a disk in memory gives to a peer that is far behind."""

import immutables

from rmf import limits
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.effects import RecordDraft
from rmf.core.producer_table import Table
from rmf.core.raft.raft_values import Place
from rmf.core.record import ENTRY, GENESIS_CHAIN
from rmf.testing.catching_up import CatchingUp
from rmf.testing.disk import DiskStart, SimulatedDisk, StoredCheckpoint


class Holder:
    """Three Entries on a disk; what the catch-up says."""

    def __init__(self) -> None:
        self.disk = SimulatedDisk(b"cluster", b"incarnation")
        self.said: list[ev.Event] = []
        drafts = [RecordDraft(ENTRY, i, 1, b"%d" % i, b"body %d" % i, 0) for i in (1, 2, 3)]
        self.disk.write_now(drafts, b"boot", 0)
        self.arms = CatchingUp(self, self.said.append).arms()


def test_entries_come_with_the_place_behind_which_they_stand() -> None:
    holder = Holder()
    holder.arms[ef.ReadEntries](ef.ReadEntries("n2", 1, 3))
    (read,) = holder.said
    assert isinstance(read, ev.EntriesRead)
    assert (read.after_index, read.after_term, read.after_chain) == (1, 1, b"1")
    assert [x.body for x in read.entries] == [b"body 2", b"body 3"]


def test_from_the_beginning_they_stand_behind_nothing() -> None:
    holder = Holder()
    holder.arms[ef.ReadEntries](ef.ReadEntries("n2", 0, 1))
    (read,) = holder.said
    assert isinstance(read, ev.EntriesRead)
    assert (read.after_term, read.after_chain, len(read.entries)) == (0, GENESIS_CHAIN, 1)


def test_what_stands_before_a_checkpoint_that_was_installed_is_not_here() -> None:
    """Also where no record was ever written here: a ledger that was set aside begins with none."""
    holder = Holder()
    holder.disk.set_aside()
    base = DiskStart(holder.disk.serial, Place(2, 1, b"2"))
    holder.disk.ready = StoredCheckpoint(base, {}, Table.of({}), immutables.Map())
    assert holder.disk.install()
    holder.disk.write_now([RecordDraft(ENTRY, 3, 1, b"3", b"body 3", 0)], b"boot", 0)
    for after in (0, 2):
        holder.arms[ef.ReadEntries](ef.ReadEntries("n2", after, 3))
    assert [len(x.entries) for x in holder.said if isinstance(x, ev.EntriesRead)] == [0, 1]


def test_where_there_is_no_checkpoint_a_chunk_is_none() -> None:
    holder = Holder()
    holder.arms[ef.ReadChunk](ef.ReadChunk("n2", None, 0))
    assert holder.said == [ev.ChunkRead("n2", 0, 0, b"", b"", 0, 0, b"")]


def test_no_more_bytes_are_read_than_asked_for_and_one_entry_at_least() -> None:
    holder = Holder()
    for bytes_max in (1, 2 * (limits.ENTRY_HEAD_BYTES + len(b"body 1"))):
        holder.arms[ef.ReadEntries](ef.ReadEntries("n2", 0, 3, bytes_max))
    assert [len(x.entries) for x in holder.said if isinstance(x, ev.EntriesRead)] == [1, 2]
