"""One node of a cluster of Raft cores: the core, a disk that a test holds, and what the disk is to
do for peers. What leaves the node is the cluster's matter."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.entry import Member
from rmf.core.raft.peer_messages import PeerMessage
from rmf.core.raft.raft_node import Raft
from rmf.testing.catching_up import CatchingUp
from rmf.testing.held_disk import BOOT_ID, HeldDisk
from rmf.testing.performer import Arms, Performer
from tests.core.raft.disk_kit import START
from tests.core.raft.entries_kit import CLUSTER

if TYPE_CHECKING:
    from tests.core.raft.cluster_kit import Cluster

LEFT_OUT = (ef.LinkPeers, ef.Note)  # everybody is linked, and nobody reads a log
DONE = {ef.Persist, ef.Tell, ef.MarkWhole, ef.Reload, ef.ReadEntries, ef.ReadChunk, ef.WriteChunk}


class Sent(NamedTuple):
    """A message on the wire."""

    source: str
    target: str
    message: PeerMessage


class Node:
    """One node: its disk, and its core while it runs. `founders` are the members before any
    Entry, `members` those of the applied state; `asked` is what the disk is to do for peers."""

    def __init__(self, cluster: "Cluster", name: str, founders: Sequence[Member] = ()) -> None:
        self.name = name
        self.incarnation = name.encode()
        self.raft: Raft | None = None
        self.asked: list[tuple[Callable[..., None], Any]] = []
        self.members: tuple[Member, ...] = ()
        self.membership = 0
        self.doubts = 0
        self.rotten = False  # what is on the disk would be found damaged
        self.applied = START
        self._cluster = cluster
        self.replace_disk(founders)
        self.catching_up = CatchingUp(self, self._happen, self._later, pieces=cluster.pieces)
        self.perform = Performer(self.catching_up, self, leaves_out=LEFT_OUT).perform

    @property
    def core(self) -> Raft:
        assert self.raft is not None, f"{self.name} is down"
        return self.raft

    def replace_disk(self, founders: Sequence[Member] = ()) -> None:
        """Have an empty one."""
        self.disk = HeldDisk(CLUSTER, self.incarnation)
        self.founders = tuple(founders)

    def write(self, records: list[ef.RecordDraft]) -> None:
        """Put this on the disk before there is a core."""
        self.disk.write_now(records, BOOT_ID, 0)
        self._cluster.laws.saw_records(records)

    def set_aside(self) -> None:
        """Go on with an empty ledger (R24)."""
        self.disk.set_aside()
        self.founders = ()

    def arms(self) -> Arms:
        """What is done here; consensus wants nothing else."""
        cluster, name = self._cluster, self.name
        others = dict.fromkeys(set(get_args(ef.Effect)) - DONE - set(LEFT_OUT), _never)
        return others | {
            ef.Persist: self._persist,
            ef.Tell: self._tell,
            ef.MarkWhole: self._mark,
            ef.Reload: partial(cluster.on_reload, name),
        }

    def _persist(self, effect: ef.Persist) -> None:
        self._cluster.laws.saw_records(effect.records)
        self.disk.take(effect)
        self._cluster.on_persist(self.name)

    def _tell(self, effect: ef.Tell) -> None:
        self._cluster.laws.saw_sent(self.name, effect)
        self._cluster.on_sent(Sent(self.name, effect.peer, effect.message))

    def _mark(self, effect: ef.MarkWhole) -> None:
        self.disk.repairing = not effect.whole
        self.core.marked(whole=effect.whole)

    def _happen(self, event: ev.Event) -> None:
        self._cluster.happen(self.name, event)

    def _later(self, wait_ns: int, call: Callable[..., None], /, *args: Any) -> None:
        self.asked.append((call, args[0]))
        self._cluster.on_asked(self.name, wait_ns)


def _never(effect: ef.Effect) -> None:
    raise AssertionError(f"consensus wants {effect}")


def told(raft: Raft, event: ev.Event, now_ns: int) -> list[ef.Effect]:
    """Let a core take in an event, as the Arbiter has it do."""
    match event:
        case ev.Persisted():
            return raft.persisted(event, now_ns)
        case ev.EntriesRead() | ev.ChunkRead():
            return raft.disk_read(event, now_ns)
        case ev.ChunkWritten():
            return raft.chunk_written(event)
        case ev.Heard():
            return raft.receive(event.peer, event.message, now_ns)
        case _:
            raise AssertionError(f"consensus is not told of {event}")
