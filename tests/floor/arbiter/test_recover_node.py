"""From the disk to a state: the same as before, or a word that says why not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import cbor2
import pytest

from rmf import limits
from rmf.core.bag import Letter
from rmf.core.clock import TickClock
from rmf.core.entry import decode_entry, encode_entry
from rmf.core.letters import letters_of
from rmf.core.raft.raft_values import HardState, Place
from rmf.core.record import HARD
from rmf.core.state import State, head_of
from rmf.errors import Diverged, ForeignDirectory, LedgerDamaged, StorageError
from rmf.floor.arbiter.recover_node import Recovered, recover
from rmf.storage import checkpoint, repair
from rmf.storage.dlq_reader import DlqReader
from rmf.storage.dlq_store import DlqStore
from rmf.storage.hard_state import HardStateCopy
from tests.core.author import BOOT_ID, BOOT_NS
from tests.core.surroundings import PERIOD_NS
from tests.storage.ledger_kit import data_end_of, is_cached, overwrite
from tests.storage.written_node import CLUSTER, WrittenNode

OTHER_BOOT = b"another boot  id"


class Disk(WrittenNode):
    """A node's disk, with its DLQ."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.store = self.opened_store()
        self.write(*self.author.genesis())

    def opened_store(self) -> DlqStore:
        return DlqStore.open(self.directory.dlq_path, cluster=CLUSTER, node="n1")

    def live(self, *topics: str) -> State:
        """A Tick for each topic, all committed."""
        for topic in topics:
            self.write(self.author.tick(topic))
        return self.commit()

    def checkpoint(self, index: int | None = None, **head: Any) -> Path:
        """Write a Checkpoint, of what the DLQ has the letters of."""
        self.recover()
        return super().checkpoint(index, **head)

    def letters(self) -> list[Letter]:
        reader = DlqReader.open(self.directory.dlq_path)
        try:
            return [stored.letter for stored in reader.letters(limit=10_000)]
        finally:
            reader.close()

    def lose_dlq(self) -> None:
        """The DLQ is gone, and with it its cursor."""
        self.store.close()
        for path in self.path.glob("dlq.sqlite*"):
            path.unlink()
        self.store = self.opened_store()

    def recover(self, boot_id: bytes = BOOT_ID, boot_ns: int = BOOT_NS) -> Recovered:
        found = recover(self.directory, self.store, boot_id=boot_id, boot_ns=lambda: boot_ns)
        found.writer.close()
        return found


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "n1")
    yield made
    made.store.close()
    made.close()


def everything(state: State) -> Any:
    return head_of(state), state.producers.rows, dict(state.world.cells.items())


def test_an_empty_directory_is_the_state_before_genesis(tmp_path: Path) -> None:
    node = WrittenNode(tmp_path / "n1")
    store = DlqStore.open(node.directory.dlq_path, cluster=CLUSTER, node="n1")
    found = recover(node.directory, store, boot_id=BOOT_ID, boot_ns=lambda: BOOT_NS)
    assert (found.state.index, found.state.tick) == (0, 0)
    assert found.standing.hard == HardState(0, None)
    assert (found.standing.tail, found.standing.whole) == ((), True)
    assert (found.bridge, found.notes) == (None, [])
    found.writer.close()
    assert node.records() == []
    store.close()
    node.close()


def test_what_is_durable_and_committed_is_there_again(disk: Disk) -> None:
    state = disk.live("a", "b", "poison")
    found = disk.recover()
    assert everything(found.state) == everything(state)
    assert found.state.latched == found.state.applied + found.state.bagged == 3
    assert [key for key, _ in found.state.world.scan()] == ["a", "b"]
    assert found.shelf.next_tick() == min(cell.expires for _, cell in found.state.world.scan())


def test_what_memory_holds_of_the_ledger_is_forgotten_before_it_is_read(disk: Disk) -> None:
    """R23: a page that failed to be written is clean in memory: who believes it promises it."""
    disk.segment_bytes = 512
    for _ in range(3):
        disk.live(*(f"room/{n}" for n in range(20)))
    disk.checkpoint()
    _, second, *_, _ = disk.segments  # behind the Checkpoint: recovery does not read it
    second.read_bytes()
    assert is_cached(second) in {True, None}
    disk.recover()
    assert is_cached(second) in {False, None}


def test_what_stands_behind_the_checkpoint_is_counted(disk: Disk) -> None:
    """R25: a node that restarts often has to write one in its time, too."""
    disk.live("a", "b")
    bodies = [len(draft.body) for draft in disk.author.drafts if draft is not None]
    found = disk.recover()
    assert (found.behind_bytes, found.checkpoint_bytes) == (sum(bodies), 0)
    path = disk.checkpoint()
    disk.live("c")
    found = disk.recover()
    assert found.behind_bytes == len(disk.author.drafts[-1].body)
    assert found.checkpoint_bytes == path.stat().st_size


def test_what_is_not_known_to_be_committed_is_the_tail(disk: Disk) -> None:
    state = disk.live("a")
    disk.write(disk.author.tick("b"), disk.author.tick("poison"))
    found = disk.recover()
    assert everything(found.state) == everything(state)
    standing = found.standing
    assert standing.place == Place(state.index, 1, disk.author.drafts[state.index].chain)
    assert [x.body for x in standing.tail] == [x.body for x in disk.author.drafts[-2:]]
    serials = {r.chain: r.serial for r in disk.entries()}
    assert standing.serial == serials[standing.place.chain]
    assert standing.tail_serials == tuple(serials[x.chain] for x in standing.tail)
    assert disk.letters() == []


def test_the_boot_that_wrote_is_bridged_and_another_is_not(disk: Disk) -> None:
    state = disk.live("a")
    assert disk.recover().bridge == TickClock(PERIOD_NS, state.tick, BOOT_NS)
    assert disk.recover(OTHER_BOOT).bridge is None
    disk.write(disk.author.tick("b"), boot_id=OTHER_BOOT)  # what stands last decides
    assert disk.recover().bridge is None
    assert disk.recover(OTHER_BOOT).bridge == TickClock(PERIOD_NS, disk.author.state.tick, BOOT_NS)


def test_a_boot_clock_that_went_back_bridges_nothing(disk: Disk) -> None:
    """P5: the machine was put back to an earlier moment of the same boot. Nobody knows how old the
    cells are: they would come back fresh, and live for so much longer."""
    disk.live("a")
    assert disk.recover(boot_ns=BOOT_NS + 1).bridge is not None
    found = disk.recover(boot_ns=BOOT_NS - 3600 * limits.SECOND)
    assert found.bridge is None
    assert found.notes == [("boot_clock_went_back", {"seconds": 3600.0, "ages": "unknown"})]


def test_the_checkpoints_clock_bridges_nothing_either_where_it_is_ahead(disk: Disk) -> None:
    state = disk.live("a")
    disk.checkpoint(clock=[state.tick, BOOT_NS + 1])
    assert disk.recover().bridge is None
    assert disk.recover(boot_ns=BOOT_NS + 1).bridge is not None


def test_a_genesis_that_is_not_known_to_be_committed_says_what_a_tick_takes(disk: Disk) -> None:
    assert disk.recover().state.index == 0
    assert disk.recover().bridge == TickClock(PERIOD_NS, disk.author.state.tick, BOOT_NS)


def test_letters_that_the_dlq_has_not_got_are_stored_once(disk: Disk) -> None:
    state = disk.live("poison", "a", "poison")
    disk.recover()
    assert [x.seq for x in disk.letters()] == [1, 3]
    assert disk.store.cursor == state.index
    disk.recover()
    assert len(disk.letters()) == 2


def test_a_dlq_that_got_further_than_the_ledger_says_is_caught_up_with(disk: Disk) -> None:
    """Raft-cases 42: Entries were applied and their letters stored, and no record behind them said
    that they were committed. They wait as the tail, and their letters are not stored again."""
    before = disk.live("a")
    disk.write(disk.author.tick("poison"), disk.author.tick("b"))
    poison, author = disk.author.drafts[-2], disk.author
    stored = letters_of(
        decode_entry(poison.body), author.states[poison.index - 1], poison.term, "n1"
    )
    disk.store.put_line(stored, disk.author.index)
    found = disk.recover()
    assert everything(found.state) == everything(before)
    assert len(found.standing.tail) == 2
    assert disk.store.cursor == disk.author.index
    state = disk.commit()
    assert everything(disk.recover().state) == everything(state)
    assert [x.id for x in disk.letters()] == [x.id for x in stored]
    disk.live("poison")
    disk.recover()
    assert len(disk.letters()) == 2  # and what comes behind is stored


def test_a_torn_tail_is_cut_and_said(disk: Disk) -> None:
    state = disk.live("a")
    (segment,) = disk.segments
    end = data_end_of(segment)
    overwrite(segment, end, b"\x00\x00\x01\x00half a record")
    found = disk.recover()
    assert everything(found.state) == everything(state)
    ((event, fields),) = found.notes
    assert event == "torn_tail_cut"
    assert (fields["file"], fields["offset"]) == (str(segment), end)
    assert disk.recover().notes == []


def test_damage_that_is_no_torn_tail_is_never_cut(disk: Disk) -> None:
    disk.live("a")
    disk.live("b")
    (segment,) = disk.segments
    before = segment.read_bytes()
    overwrite(segment, data_end_of(segment) // 3, b"\xff")
    with pytest.raises(LedgerDamaged, match=rf"{segment.name}.*To repair"):
        disk.recover()
    assert len(before) == len(segment.read_bytes())
    overwrite(segment, 0, before)
    disk.recover()


def test_an_entry_that_states_another_digest_ends_it(disk: Disk) -> None:
    disk.live("a")
    body = disk.author.tick("b").body
    disk.author.void_after(disk.author.index - 1)
    lie = encode_entry(attrs.evolve(decode_entry(body), digest=b"x" * 16))
    draft = disk.author.written(lie)
    disk.write(draft)
    disk.commit()
    with pytest.raises(Diverged, match=rf"Entry {draft.index} .*states the digest 7878"):
        disk.recover()


def test_an_entry_of_a_newer_kind_names_what_to_do(disk: Disk) -> None:
    disk.live("a")
    newer = cbor2.loads(disk.author.drafts[-1].body)
    newer[0] = 99
    disk.write(disk.author.written(cbor2.dumps(newer)))
    disk.commit()
    with pytest.raises(StorageError, match=r"Start the version of RMF that wrote it, or a newer"):
        disk.recover()


# --- Term and vote ----------------------------------------------------------------------------


def vote(disk: Disk, term: int, voted_for: str | None, *, copy: bool = True) -> HardState:
    disk.author.term = term
    disk.write(disk.author.hard(voted_for), copy=copy)
    return HardState(term, voted_for)


def test_a_vote_is_remembered_from_either_copy_and_then_stands_in_both(disk: Disk) -> None:
    disk.live("a")
    hard = vote(disk, 3, "n2")
    disk.copy.path.unlink()
    assert disk.recover().standing.hard == hard
    assert disk.copy.read() == hard
    later = HardState(4, None)  # a crash between the copy and the ledger
    disk.copy.write(later)
    assert disk.recover().standing.hard == later
    last = disk.records()[-1]
    assert (last.kind, cbor2.loads(last.body)) == (HARD, [4, None])


def test_what_both_copies_say_is_not_written_again(disk: Disk) -> None:
    disk.live("a")
    vote(disk, 3, "n2")
    before = len(disk.records())
    disk.recover()
    disk.recover()
    assert len(disk.records()) == before


def test_a_vote_behind_which_recovery_begins_is_not_forgotten(disk: Disk) -> None:
    """The HARD record lies before the Checkpoint, in a segment that is not read any more."""
    hard = vote(disk, 3, "n2")
    for _ in range(20):
        disk.live(*["a"] * 2)
    disk.checkpoint()
    disk.archive()
    disk.copy.path.unlink()
    assert len(disk.segments) < len(list(disk.directory.archive_path.glob("*.seg")))
    assert disk.recover().standing.hard == hard


def test_a_damaged_copy_of_the_vote_is_said_and_the_ledger_rules(disk: Disk) -> None:
    disk.live("a")
    hard = vote(disk, 3, "n2")
    overwrite(disk.copy.path, 12, b"\xff")
    found = disk.recover()
    assert found.standing.hard == hard
    assert [event for event, _ in found.notes] == ["vote_copy_damaged"]
    assert disk.recover().notes == []


def test_two_votes_in_one_term_are_damage(disk: Disk) -> None:
    disk.live("a")
    vote(disk, 3, "n2")
    disk.copy.write(HardState(3, "n3"))
    with pytest.raises(LedgerDamaged, match="contradict each other: in term 3"):
        disk.recover()


def test_the_vote_of_another_directory_is_refused(disk: Disk) -> None:
    HardStateCopy(disk.path, CLUSTER, b"another").write(HardState(9, "n9"))
    with pytest.raises(ForeignDirectory, match="incarnation"):
        disk.recover()


def test_damage_to_the_ledger_loses_no_vote(disk: Disk) -> None:
    disk.live("a")
    hard = vote(disk, 3, "n2")
    disk.live("b")
    overwrite(disk.segments[0], data_end_of(disk.segments[0]) // 3, b"\xff")
    with pytest.raises(LedgerDamaged) as damage:
        disk.recover()
    repair.set_aside(disk.path, CLUSTER, str(damage.value))
    found = disk.recover()
    assert (found.standing.hard, found.state.index) == (hard, 0)
    assert not found.standing.whole
    repair.repaired(disk.path)
    assert disk.recover().standing.whole


# --- Checkpoints ------------------------------------------------------------------------------


def test_it_begins_at_the_newest_checkpoint(disk: Disk) -> None:
    disk.live("a", "b")
    path = disk.checkpoint()
    state = disk.live("c")
    found = disk.recover()
    assert everything(found.state) == everything(state)
    assert found.notes == []
    assert checkpoint.index_of(path) < state.index


def test_a_checkpoint_may_stand_before_the_end_of_what_is_written(disk: Disk) -> None:
    """Its serial is that of its Entry's own record: what was written after it is read again."""
    state = disk.live("a", "b", "c")
    disk.checkpoint(index=4)
    found = disk.recover()
    assert everything(found.state) == everything(state)
    disk.author.void_after(4)
    with pytest.raises(AssertionError):
        disk.write(disk.author.tick("d"))  # committed: never voided


def test_with_nothing_behind_it_the_checkpoints_clock_bridges(disk: Disk) -> None:
    state = disk.live("a")
    disk.checkpoint(clock=[state.tick, 777])
    assert disk.recover().bridge == TickClock(PERIOD_NS, state.tick, 777)
    assert disk.recover(OTHER_BOOT).bridge is None
    disk.checkpoint(clock=None)  # that node did not know how much time went by
    assert disk.recover().bridge is None
    disk.write(disk.author.tick("b"))
    assert disk.recover().bridge == TickClock(PERIOD_NS, disk.author.state.tick, BOOT_NS)


@pytest.mark.parametrize("from_end", [False, True], ids=["head", "footer"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_it_taken(
    disk: Disk, from_end: bool
) -> None:
    disk.live("a")
    disk.checkpoint()
    state = disk.live("b")
    newest = disk.checkpoint()
    overwrite(newest, newest.stat().st_size - 4 if from_end else 40, b"\xff\xff")
    found = disk.recover()
    assert everything(found.state) == everything(state)
    ((event, fields),) = found.notes
    assert event == "checkpoint_damaged"
    assert newest.name in str(fields["error"])


def test_letters_before_a_checkpoint_are_stored_too_if_the_dlq_lags(disk: Disk) -> None:
    """A crash between Checkpoint and DLQ: the ledger behind the cursor is still there (R39)."""
    disk.live("poison", "a")
    disk.checkpoint()
    state = disk.live("poison")
    disk.lose_dlq()
    found = disk.recover()
    assert everything(found.state) == everything(state)
    assert [x.seq for x in disk.letters()] == [1, 3]
    assert disk.store.cursor == state.index
    assert disk.store.stats().complete


def test_letters_that_are_gone_with_the_ledger_leave_the_dlq_incomplete(disk: Disk) -> None:
    disk.live("poison", *["a"] * 40)
    disk.live("b")
    disk.checkpoint()
    state = disk.live("poison")
    first, *_ = disk.segments
    first.unlink()
    assert everything(disk.recover().state) == everything(state)
    assert disk.store.stats().complete  # it had read them all
    disk.lose_dlq()
    found = disk.recover()
    assert everything(found.state) == everything(state)
    assert [x.seq for x in disk.letters()] == [43]
    assert not disk.store.stats().complete
    assert [event for event, _ in found.notes] == ["letters_missing"]
