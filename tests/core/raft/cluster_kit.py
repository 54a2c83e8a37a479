"""A few cores of Raft on disks and a network that a test holds in its hands.

Nothing moves by itself: messages lie on the wire, writes under way, and what was asked of the disk
waits, until somebody delivers, syncs or serves them; `settle` does all of that until nothing is
left. Time goes on only where a test says so. After every step the laws of consensus are checked.
"""

from collections.abc import Callable, Sequence
from functools import partial

from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.clock import Pace
from rmf.core.entry import Member
from rmf.core.raft.membership import members_in
from rmf.core.raft.raft_node import Raft
from rmf.core.raft.raft_values import Place, Timing
from rmf.testing.agenda import Agenda
from rmf.testing.catching_up import Pieces
from rmf.testing.disk import DiskStart
from rmf.testing.ways import Way
from tests.core.raft.disk_kit import (
    START,
    checkpoint_of,
    hard_record,
    packed,
    records_of,
    standing_of,
    unpacked,
)
from tests.core.raft.entries_kit import (
    CLUSTER,
    MS,
    body_of,
    entry_after,
    log_of,
    members_body,
    members_of,
)
from tests.core.raft.laws import Laws
from tests.core.raft.node_kit import Node, Sent, told

CHUNK_BYTES = 24  # of a Checkpoint: small, so that there are a few


class Cluster:
    """`names` are the voters (and learners, with a question mark). Subclasses move things."""

    def __init__(self, names: str, dice: Callable[[], float] = lambda: 0.5) -> None:
        self.agenda = Agenda()
        self.dice = dice
        self.timing: Timing | None = None  # what the cluster says
        self.pieces = Pieces(entries=100, chunk_bytes=CHUNK_BYTES, pack=packed, unpack=unpacked)
        self.wire: list[Sent] = []
        self.history: list[Sent] = []  # all that was ever sent
        self.cut: set[Way] = set()
        self.laws = Laws()
        self.nodes: dict[str, Node] = {}
        self.noop = True  # a new leader writes the first Entry of its reign, as the Arbiter does
        self.members = members_of(names)
        for one in self.members:
            self.nodes[one.name] = Node(self, one.name, self.members)

    @property
    def now_ns(self) -> int:
        """The present moment."""
        return self.agenda.now_ns

    @now_ns.setter
    def now_ns(self, now_ns: int) -> None:
        self.agenda.now_ns = now_ns

    # --- Before it begins -----------------------------------------------------------------------

    def furnish(
        self, name: str, terms: Sequence[int] = (), *, term: int = 0, voted: str | None = None,
        commit: int = 0,
    ) -> None:  # fmt: skip
        """Put a log, a term and a vote on the disk of a node that does not run."""
        entries = log_of(terms)
        at = Place(*entries[-1][:3]) if entries else START
        hard = hard_record(max([term, *terms]), voted, at, commit)
        self.nodes[name].write([*records_of(entries), hard])

    def found_by_entry(self) -> None:
        """Have the first Entry name the members, as that of a genesis does: then who lost its
        ledger knows nobody."""
        first = entry_after(START, 1, members_body(self.members))
        records = [*records_of([first]), hard_record(1, None, Place(*first[:3]), 1)]
        for node in self.nodes.values():
            node.replace_disk()
            node.write(records)
        self.laws.committed[1] = (1, first.chain, 1)

    # --- Lives ----------------------------------------------------------------------------------

    def start(self, *names: str) -> None:
        """Start nodes, all if none is named."""
        for name in names or list(self.nodes):
            node = self.nodes[name]
            standing, node.members, node.membership = standing_of(node.disk, node.founders)
            node.raft = Raft(
                name,
                CLUSTER,
                standing,
                node.members,
                incarnation=node.incarnation,
                membership=node.membership,
                pace=Pace(None),
                period_ns=100_000,
                dice=self.dice,
                timing=self.timing,
                doubts=node.doubts,
            )
            node.asked, node.applied = [], standing.place
            self.laws.begins(name, standing)
            self.step(name, lambda raft: raft.start(self.now_ns))

    def crash(self, name: str, kept: int = 0) -> None:
        """Kill a node: what is not durable is lost, and so is what is on the wire from and to it,
        for links do not outlive a process."""
        node = self.nodes[name]
        node.raft, node.asked = None, []
        node.disk.end(kept)
        node.catching_up.crash()
        self._break_links(name)

    def restart(self, name: str) -> None:
        self.crash(name)
        self.start(name)

    def replace(self, name: str) -> Member:
        """Lose a node's disk: another incarnation comes back, which may learn."""
        self.crash(name)
        self.laws.replaced(name)
        node = self.nodes[name]
        node.incarnation += b" anew"
        node.replace_disk()
        node.catching_up.replaced()
        self.start(name)
        return Member(name, node.incarnation, voter=False)

    def _break_links(self, name: str) -> None:
        self.wire = [x for x in self.wire if name not in {x.source, x.target}]

    def lose_link(self, name: str) -> None:
        """Let every other node notice that its link from this one broke."""
        for other in self.running():
            if other != name and name in {x.name for x in self.core(other).members}:
                self.core(other).peer_lost(name, self.now_ns)

    # --- What is there --------------------------------------------------------------------------

    def running(self) -> list[str]:
        return [name for name, node in self.nodes.items() if node.raft is not None]

    def core(self, name: str) -> Raft:
        return self.nodes[name].core

    def leader(self) -> str:
        """The leader of the highest term."""
        leaders = [x for x in self.running() if self.core(x).leadership is not None]
        return max(leaders, key=lambda name: self.core(name).term)

    # --- Steps ----------------------------------------------------------------------------------

    def step(self, name: str, act: Callable[[Raft], list[ef.Effect] | None]) -> list[ef.Effect]:
        """Let a core do something, and take what comes of it."""
        node = self.nodes[name]
        raft = node.core
        led = raft.leadership
        effects = act(raft) or []
        self.perform(name, effects)
        if node.raft is not raft:  # it was replaced meanwhile
            return effects
        self._apply(node)
        self.laws.check(name, raft, {x: self.nodes[x].disk for x in self.nodes})
        if led is None and raft.leadership is not None:
            effects = effects + self.on_reign(name)
        return effects

    def happen(self, name: str, event: ev.Event) -> list[ef.Effect]:
        """Tell a core of something, as the Arbiter does."""
        return self.step(name, partial(told, event=event, now_ns=self.now_ns))

    def perform(self, name: str, effects: list[ef.Effect]) -> None:
        self.nodes[name].perform(effects)

    def on_reign(self, name: str) -> list[ef.Effect]:
        """A node leads: it writes the first Entry of its reign."""
        return self.propose(name, f"{name} reigns") if self.noop else []

    def on_persist(self, name: str) -> None:
        """A write is under way."""

    def on_sent(self, sent: Sent) -> None:
        self.wire.append(sent)
        self.history.append(sent)

    def on_asked(self, name: str, wait_ns: int) -> None:
        """Something was asked of the disk, which takes so long."""

    def on_reload(self, name: str, wish: ef.Reload) -> None:
        """A core is to be replaced."""
        assert wish.reason == "doubt"
        self.on_doubt(name)

    def on_doubt(self, name: str) -> None:
        """A ledger contradicts another: read it again, and strike if that does not help (R17)."""
        node = self.nodes[name]
        if node.doubts > 1:
            node.core.retire()
            return
        node.doubts += 1
        if node.rotten:
            self.on_damage(name)
        else:  # the process lives on, and its links with it
            wire, self.wire = self.wire, []
            self.restart(name)
            self.wire = wire + self.wire

    def on_damage(self, name: str) -> None:
        """A ledger cannot be right: set it aside and begin anew (R24)."""
        self.crash(name)
        self.laws.counts_disks = False
        self.nodes[name].set_aside()
        self.start(name)

    def _apply(self, node: Node) -> None:
        raft = node.core
        for index in range(node.applied.index + 1, raft.applicable + 1):
            entry = raft.log.entry(index)
            if named := members_in(entry.body):
                node.members, node.membership = named, index
            node.applied = Place(*entry[:3])

    def sync(self, name: str) -> list[ef.Effect]:
        """Make the oldest write of a node durable."""
        return self.happen(name, self.nodes[name].disk.write_one())

    def deliver(self, sent: Sent) -> list[ef.Effect]:
        """Deliver a message, unless the way is cut or nobody is there."""
        if sent.target not in self.nodes or self.nodes[sent.target].raft is None:
            return []
        if (sent.source, sent.target) in self.cut:
            return []
        source = self.nodes[sent.source]
        self.core(sent.target).presence.met(source.name, source.incarnation)
        return self.happen(sent.target, ev.Heard(source.name, sent.message))

    def serve(self, name: str) -> None:
        """Do the oldest thing that was asked of a node's disk."""
        node = self.nodes[name]
        call, effect = node.asked.pop(0)
        call(effect)
        ready = node.disk.ready
        if ready is not None and not node.disk.holds(
            ready.base.place.index, ready.base.place.chain
        ):
            self._install(node)

    def _install(self, node: Node) -> None:
        node.raft, node.asked = None, []
        node.disk.end()
        node.disk.install()
        self.start(node.name)

    # --- What people do -------------------------------------------------------------------------

    def propose(self, name: str, what: str) -> list[ef.Effect]:
        return self.step(name, lambda raft: raft.propose(body_of(what), self.now_ns))

    def change(self, name: str, members: Sequence[Member]) -> list[ef.Effect]:
        for one in members:
            if one.name not in self.nodes:  # a new node: it knows nobody yet
                self.nodes[one.name] = Node(self, one.name)
                self.start(one.name)
        return self.step(name, lambda raft: raft.propose(members_body(members), self.now_ns))

    def checkpoint(self, name: str, *, purge: bool = True) -> None:
        """Write a Checkpoint of what is applied, and let go of the ledger and memory behind it."""
        node = self.nodes[name]
        disk, at = node.disk, node.applied
        if at.index > max((x.base.place.index for x in disk.checkpoints), default=0):
            record = disk.entry(at.index)
            assert record is not None
            base = DiskStart(record.serial, at)
            found = checkpoint_of(base, node.members, node.membership)
            disk.keep_checkpoint(found, through_index=-1)
            if purge:
                disk.let_go(base)
        node.core.log.compact(node.applied.index, 0)

    def beat(self, *names: str) -> None:
        for name in names or self.running():
            self.step(name, lambda raft: raft.beat(self.now_ns))

    # --- Moving everything ----------------------------------------------------------------------

    def settle(self) -> None:
        """Deliver, sync and serve until nothing is left, in the order in which it came."""
        for _ in range(10_000):
            if not self._move_one():
                return
        raise AssertionError("these cores never come to rest")

    def _move_one(self) -> bool:
        for name in self.running():
            if self.nodes[name].disk.waiting:
                self.sync(name)
                return True
            if self.nodes[name].asked:
                self.serve(name)
                return True
        if self.wire:
            self.deliver(self.wire.pop(0))
            return True
        return False

    def wait(self, ms: float, *names: str) -> None:
        """Let time go by, beat, and settle."""
        self.now_ns += int(ms * MS)
        self.beat(*names)
        self.settle()

    def elect(self, name: str) -> None:
        """Have a node win an election, wherever the others are in theirs."""
        for _ in range(10):
            self.now_ns += 500 * MS
            self.step(name, lambda raft: raft.campaign(self.now_ns))
            self.settle()
            if self.core(name).leadership is not None:
                return
        raise AssertionError(f"{name} was not elected")
