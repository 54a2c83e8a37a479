"""The cores that a packet goes through, in one process and without I/O: a leader's, and a
follower's.

They are the real ones. What stands for their disks says at once that all is written; for the links,
messages that are encoded and decoded as on a wire; for time, a clock that is set. The third node
of a cluster of three is never there: two are a majority.
"""

from collections.abc import Callable, Sequence

from rmf import limits
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.arbiter import NodeIdentity
from rmf.core.entry import Member
from rmf.core.entry_kinds import CLUSTER_VERSION
from rmf.core.first_records import founding_records
from rmf.core.messages import Message
from rmf.core.raft import wire
from rmf.core.raft.peer_messages import PeerMessage
from rmf.core.raft.raft_values import Timing
from rmf.core.record import ENTRY, Record
from rmf.errors import RmfError
from rmf.line.inline import Inline
from rmf.line.line import Line
from rmf.testing.disk import SimulatedDisk
from rmf.testing.rebirth import reborn

__all__ = ["LEADER", "BudgetNode", "founded", "heard", "pass_time"]

LEADER = "n1"
_CLUSTER = b"factory-budgeted"
_WALL_NS = 1_764_000_000 * limits.SECOND
_TIMING = Timing(50 * limits.MS, 200 * limits.MS, 400 * limits.MS)
_ROUNDS_MAX = 10_000


class BudgetNode:
    """One core and its disk. `told` is what it wants said to others and has not been said yet,
    `answered` what clients have been answered."""

    def __init__(self, name: str, members: Sequence[Member], line: Line) -> None:
        self.name = name
        self.now_ns = limits.SECOND
        self.told: list[ef.Tell] = []
        self.answered: list[Message] = []
        self.inline = Inline(line)
        (incarnation,) = (x.incarnation for x in members if x.name == name)
        self.disk = SimulatedDisk(_CLUSTER, incarnation)
        drafts = founding_records(LEADER, _CLUSTER, limits.TICK_PERIOD_NS, members, _WALL_NS)
        mine = [x for x in drafts if name == LEADER or x.kind == ENTRY]
        self.disk.write_now(mine, b"boot............", self.now_ns)
        identity = NodeIdentity(
            name, incarnation, line.identity, limits.TICK_PERIOD_NS, name, "rmf-bench", name
        )
        self.core = reborn(
            self.disk,
            identity,
            self.disk.last_durable.index,
            boot_id=b"boot............",
            dice=lambda: 0.5,
            timing=_TIMING,
            listens=line.listens,
            depth_packets_max=limits.INGEST_DEPTH_PACKETS,
        ).core
        self.settle(self.core.start(self.now()))

    def now(self) -> ev.Now:
        """Return the time as a step receives it."""
        return ev.Now(self.now_ns, _WALL_NS + self.now_ns)

    def step(self, *events: ev.Event) -> list[ef.Effect]:
        """Return what the core wants done about these events."""
        return self.core.step(list(events), self.now())

    def settle(self, effects: list[ef.Effect]) -> None:
        """Write what is to be written, run what is to be run, keep what is to be told and what is
        answered, and so on until nothing is left."""
        while effects:
            self.told += [x for x in effects if isinstance(x, ef.Tell)]
            self.answered += [y for x in effects if isinstance(x, ef.Answer) for y in x.messages]
            persists = [x for x in effects if isinstance(x, ef.Persist)]
            events: list[ev.Event] = [self.written(persists)] if persists else []
            events += [self.inline.run(x.batch) for x in effects if isinstance(x, ef.Execute)]
            effects = self.step(*events) if events or self.core.has_more else []

    def written(self, persists: Sequence[ef.Persist]) -> ev.Persisted:
        """Write these; return what the core learns of that."""
        for persist in persists:
            self.disk.take(persist)
        self.disk.begin(self.now_ns, b"boot............", self.now_ns)
        return ev.Persisted(*self.disk.finish(self.now_ns))

    def last_record(self) -> Record:
        """Return the record that was written last."""
        record = self.disk.records[-1]
        self.disk.records.clear()  # nothing reads them again, and they would fill the memory
        return record


def heard(sender: BudgetNode, message: PeerMessage) -> ev.Heard:
    """Return what a node hears of a message that another one sends."""
    frames = wire.Frames(limits.PEER_FRAME_BYTES_MAX)
    frames.feed(wire.encode(message))
    (item,) = frames.frames()
    return ev.Heard(sender.name, wire.decode(item))  # type: ignore[arg-type]


def settle(nodes: Sequence[BudgetNode]) -> None:
    """Have all that the nodes tell each other be heard, until nothing is left."""
    by_name = {node.name: node for node in nodes}
    while any(node.told for node in nodes):
        for node in nodes:
            told, node.told = node.told, []
            for tell in told:
                if (peer := by_name.get(tell.peer)) is not None:
                    peer.settle(peer.step(heard(node, tell.message)))


def founded(line: Line, nodes: int) -> list[BudgetNode]:
    """Return the leader of a cluster of so many nodes, and a follower if there are several. Raises
    RmfError if it does not come to lead."""
    names = [f"n{number + 1}" for number in range(nodes)]
    members = [Member(name, name.encode().ljust(16, b"."), name, name) for name in names]
    cores = [BudgetNode(name, members, line) for name in names[:2]]
    leader = cores[0]
    for node in cores:
        for peer in cores:
            if peer is not node:
                met = ev.PeerMet(peer.name, peer.disk.incarnation, peer.name, CLUSTER_VERSION)
                node.settle(node.step(met))
    pass_time(cores, lambda: leader.core.has_acceded and leader.core.is_live)
    return cores


def pass_time(nodes: Sequence[BudgetNode], until: Callable[[], bool]) -> None:
    """Let time pass, at the leader first, and everything happen in it. Raises RmfError if what is
    waited for does not come about."""
    leader = nodes[0]
    for _ in range(_ROUNDS_MAX):
        if until():
            return
        for node in nodes:
            if node is leader or leader.core.reigns:
                node.now_ns += limits.MS
                node.settle(node.step(ev.Beat()))
        settle(nodes)
    raise RmfError("the cores of the budget do not come to work")
