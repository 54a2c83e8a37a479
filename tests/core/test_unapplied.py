"""core/unapplied: what waits to be applied has a bound in memory, whatever the DLQ does (R38)."""

from collections.abc import Iterator

import pytest

from rmf import limits
from rmf.core import events as ev
from rmf.core.effects import ReadEntries
from rmf.core.raft.peer_messages import WireEntry
from rmf.core.raft.raft_log import RaftLog
from rmf.core.raft.raft_values import LogEntry, Place
from rmf.core.record import GENESIS_CHAIN
from rmf.core.unapplied import Unapplied
from rmf.testing.knobs import bounds
from tests.core.cluster import Cluster
from tests.core.cluster_node import Node

CLUSTER = b"cluster-of-tests"
GENESIS = Place(0, 0, GENESIS_CHAIN)
MS = limits.MS


class Follower:
    """A log of five Entries, all committed and durable, of which memory holds those behind the
    third."""

    def __init__(self) -> None:
        self.log = RaftLog(CLUSTER, GENESIS)
        self.entries = [self.log.append(1, b"entry %d" % n) for n in range(1, 6)]
        self.log.is_durable(5, 1)
        self.log.commit_to(5)
        self.log.compact(3, 0)
        assert self.log.base.index == 3
        self.unapplied = Unapplied("n2", CLUSTER, GENESIS)

    def wish(self, now_ns: int = 0) -> list[ReadEntries]:
        return self.unapplied.wish(self.log, now_ns)

    def read(self, after: int, through: int) -> ev.EntriesRead:
        """What the ledger gives."""
        found = [WireEntry(x.term, x.crc, x.body) for x in self.entries[after:through]]
        at = self.entries[after - 1] if after else LogEntry(*GENESIS, b"", 0)
        return ev.EntriesRead("n2", after, at.term, at.chain, found)

    def take(self, event: ev.EntriesRead) -> str | None:
        return self.unapplied.take(event, self.log)

    def apply_all(self) -> list[LogEntry]:
        applied = []
        while self.unapplied.place.index < 5:
            found = self.unapplied.next(self.log)
            if found is None:
                break
            self.unapplied.applied(found)
            applied.append(found)
        return applied


def test_what_memory_has_let_go_of_is_read_again_and_the_rest_comes_from_memory() -> None:
    one = Follower()
    assert one.apply_all() == []
    assert one.wish() == [ReadEntries("n2", 0, 3)]
    assert one.take(one.read(0, 2)) is None
    assert one.wish() == []  # there is something to apply
    assert one.apply_all() == one.entries[:2]
    assert one.wish() == [ReadEntries("n2", 2, 3)]
    assert one.take(one.read(2, 5)) is None  # the last two are in memory
    assert one.apply_all() == one.entries[2:]
    assert (one.wish(), one.unapplied.place) == ([], Place(*one.entries[-1][:3]))


def test_an_answer_that_does_not_come_is_asked_for_again() -> None:
    one = Follower()
    assert one.wish(0) != []
    assert one.unapplied.next_due_ns() == limits.REREAD_NS
    assert one.wish(limits.REREAD_NS - 1) == []
    assert one.wish(limits.REREAD_NS) != []
    assert one.take(one.read(0, 3)) is None
    assert one.unapplied.next_due_ns() is None
    assert one.take(one.read(0, 3)) is None  # the late one says nothing new
    assert one.apply_all() == one.entries


def test_a_late_answer_about_another_place_is_left_alone() -> None:
    one = Follower()
    one.wish()
    assert one.take(one.read(1, 3)) is None
    assert one.apply_all() == []
    one.unapplied.rest()  # the DLQ stalls again
    assert one.take(one.read(0, 3)) is None
    assert one.apply_all() == []


def test_a_ledger_that_holds_something_else_or_nothing_is_damaged() -> None:
    one = Follower()
    one.wish()
    assert "does not hold Entry 1" in str(one.take(one.read(0, 0)))
    one.wish()
    forged = one.read(0, 3)
    forged.entries[1] = forged.entries[1]._replace(body=b"another")
    assert "Entry 3 of the ledger is not the one" in str(one.take(forged))
    assert one.apply_all() == []


def test_applying_is_put_off_while_the_disk_writes_and_not_for_long() -> None:
    waiting = Unapplied("n2", CLUSTER, GENESIS)
    assert not waiting.puts_off(0, writes=False)
    assert waiting.puts_off(0, writes=True)
    assert waiting.next_due_ns() == limits.APPLY_LATER_NS
    assert waiting.puts_off(limits.APPLY_LATER_NS - 1, writes=True)
    assert not waiting.puts_off(limits.APPLY_LATER_NS, writes=True)
    assert waiting.next_due_ns() is None


# --- A follower whose DLQ stalls ------------------------------------------------------------------


@pytest.fixture
def small_memory() -> Iterator[int]:
    before = limits.LOG_MEMORY_BYTES
    limits.LOG_MEMORY_BYTES = 4096
    yield 4096
    limits.LOG_MEMORY_BYTES = before


@pytest.mark.slow
def test_a_stalled_dlq_costs_a_follower_no_more_memory_than_its_bound(small_memory: int) -> None:
    play = Cluster()
    n2 = play["n2"]
    n2.dlq.held = True
    probe = play["n1"].join("probe")
    for first in range(1, limits.LETTERS_IN_FLIGHT_MAX, 500):
        probe.send(*range(first, first + 500), topic="raises")
        play.advance(20)
    for seq in range(first + 500, first + 600):
        probe.send(seq, topic="cell/a", payload="x" * 200)
        play.advance(5)
    core = n2.core
    assert core.committed.index < core.raft.log.base.index
    assert core.raft.log.bytes <= small_memory
    assert len(core.raft.durable.serials) <= 2
    n2.dlq.release()
    play.advance(1_000)
    king = play["n1"].core.committed
    assert (core.committed.index, core.committed.digest()) == (king.index, king.digest())
    assert core.strike is None


# --- A follower whose disk goes on after a while --------------------------------------------------


class Behind:
    """A node that was told of a hundred small Entries in one message, and has written them; its
    disk says of all of them at once that they are durable."""

    def __init__(self) -> None:
        play = Cluster()
        self.node: Node = play["n2"]
        probe = play["n1"].join("probe")
        play.cut("n2")
        for seq in range(1, 101):
            probe.send(seq, topic="cell/a")
            play.advance(0.2)
        self.node.disk.hold()
        play.heal("n2")
        play.advance(200)  # it hears that all is committed
        self.king = play["n1"].core.committed
        core = self.node.core
        assert core.raft.log.commit == self.king.index > core.committed.index + 90

    def steps(self) -> Iterator[None]:
        """The step in which it hears of its disk, and those that follow without an event."""
        disk = self.node.disk
        while disk.waiting:
            said = disk.write_one(self.node.now().boot_ns)
        self.node.step([said])
        yield
        while self.node.core.has_more:
            self.node.step([])
            yield


def test_what_became_durable_at_once_is_applied_in_slices() -> None:
    """Small Entries fill no bytes, and may change no cells: they are counted, too (R45)."""
    behind = Behind()
    core = behind.node.core
    before = core.committed.index
    with bounds({"APPLIED_A_STEP_ENTRIES": 20}):
        for _ in behind.steps():
            assert core.committed.index - before <= 20
            before = core.committed.index
    assert core.committed.digest() == behind.king.digest()


def test_what_became_durable_at_once_is_let_go_in_slices() -> None:
    behind = Behind()
    log = behind.node.core.raft.log
    base = log.base.index
    with bounds({"LOG_MEMORY_BYTES": 1_000, "LOG_SLICE_ENTRIES": 20}):
        for _ in behind.steps():
            assert log.base.index - base <= 20
            base = log.base.index
        assert log.bytes <= 1_000
