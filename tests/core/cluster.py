"""A Playbook for several Arbiters: real cores, a small network and disks, one virtual time.

    play = Cluster()                      # n1, n2, n3, founded; n1 reigns
    probe = play["n1"].join("probe")
    play["n2"].disk.hold(), play["n3"].disk.hold()
    probe.send(1)                         # on one disk of three
    assert probe.told == {}
    play.kill("n1")
    play.crown("n2")

Messages arrive at once and in order, unless a node is cut off or paused; time goes on when a test
says so. Boot clocks differ from node to node, as those of machines do. Whatever a test is about,
every ack and every picture is held to R2 on the way: what they speak of is on a majority of disks,
and on the node's own.
"""

from collections import deque

import attrs

from rmf import limits
from rmf.core import events as ev
from rmf.core.effects import RecordDraft
from rmf.core.entry import Genesis, decode_entry, encode_entry
from rmf.core.entry_kinds import CLUSTER_VERSION
from rmf.core.first_records import founding_records
from rmf.core.raft.peer_messages import PeerMessage
from rmf.core.record import GENESIS_CHAIN, chain_of
from rmf.line import Line
from rmf.testing.drifting_clock import WALL_NS
from rmf.testing.held_disk import BOOT_ID
from tests.core.cluster_node import Node, member
from tests.core.surroundings import BOOT_NS, CLUSTER, PERIOD_NS, Disk, shop

NAMES = ("n1", "n2", "n3")
STEPS_MAX = 100_000


class Cluster:
    """Nodes by name, the network between them, and the time that goes by for all of them.

    n1 is crowned at the start; the cluster was founded by a release that knew that `version`, and
    n3 says that it knows those up to `n3_knows`. The nodes in `cut_off` neither hear nor are heard
    by the others; messages of the kinds that a node `loses` never reach it. A node in `lines`
    starts with that line, the others with the shop."""

    def __init__(self, *, version: int = CLUSTER_VERSION, n3_knows: int = CLUSTER_VERSION) -> None:
        self.n3_knows = n3_knows
        self.lines: dict[str, Line] = {}
        self.audit_ppm = 0
        self.boot_ns = BOOT_NS
        self.nodes: dict[str, Node] = {}
        self.cut_off: set[str] = set()
        self.loses: dict[str, tuple[type[PeerMessage], ...]] = {}
        self._post: deque[tuple[str, ev.Event]] = deque()
        for name in NAMES:
            disk = Disk()
            disk.write_now(_founded(version) if name == "n1" else [], BOOT_ID, BOOT_NS)
            self.nodes[name] = Node(self, name, disk)
        for name in NAMES:
            self.start(name, bridged=False)
        self.crown("n1")
        self.advance(50)

    def line_of(self, name: str) -> Line:
        """The line that a node runs from its next start on."""
        return self.lines.get(name) or shop()

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    # --- What may happen ------------------------------------------------------------------------

    def start(self, name: str, *, bridged: bool = True) -> Node:
        """A node starts, from what its disk holds; all that are there meet."""
        node = self.nodes[name]
        assert not node.alive
        node.load(bridged=bridged)
        self._introduce(node)
        self.settle()
        return node

    def _introduce(self, node: Node) -> None:
        for other in self.nodes.values():
            if other is not node and other.alive and self._linked(node.name, other.name):
                self.send(other.name, self._met(node))
                self.send(node.name, self._met(other))

    def kill(self, name: str) -> None:
        """A node dies: what was not durable, and all it waited for, is gone."""
        node = self.nodes[name]
        node.alive = node.paused = False
        node.mail.clear()
        self.nodes[name] = Node(self, name, node.disk.copied(), node.incarnation)
        self._post = deque(x for x in self._post if x[0] != name)

    def restart(self, name: str, *, bridged: bool = True) -> Node:
        """A node dies and is back. Not `bridged`: its machine lost its power."""
        self.kill(name)
        return self.start(name, bridged=bridged)

    def join(self, name: str, *, incarnation: int = 1) -> Node:
        """A node without a ledger comes into touch with the others."""
        self.nodes[name] = Node(self, name, Disk(), incarnation)
        return self.start(name, bridged=False)

    def cut(self, name: str) -> None:
        """A node is cut off from all others, and nobody is told."""
        self.cut_off.add(name)

    def heal(self, name: str) -> None:
        """It is back among them."""
        self.cut_off.discard(name)
        if self.nodes[name].alive:
            self._introduce(self.nodes[name])

    def pause(self, name: str) -> None:
        """A node's process stands still; what it should hear waits."""
        self.nodes[name].paused = True

    def resume(self, name: str) -> None:
        """It goes on, and hears all that waited, in one step."""
        node = self.nodes[name]
        node.paused = False
        mail = list(node.mail)
        node.mail.clear()
        node.happen(*mail)

    def advance(self, ms: float) -> None:
        """Let time go by; each core gets the Beats it asked for."""
        until_ns = self.boot_ns + int(ms * limits.MS)
        for _ in range(STEPS_MAX):
            due_ns, node = self._next_due()
            if node is None or due_ns > until_ns:
                break
            self.boot_ns = max(self.boot_ns, due_ns)
            node.happen(ev.Beat())
        else:
            raise AssertionError("the cores ask for Beats without end")
        self.boot_ns = until_ns

    def sync(self, *names: str) -> None:
        """These disks hold nothing back any more."""
        for name in names:
            self.nodes[name].disk.held = False
        self.settle()

    def crown(self, name: str, within_ms: int = 5_000) -> Node:
        """Let time go by until this node reigns; no other may."""
        for _ in range(within_ms):
            node = self.nodes[name]
            if node.core.has_acceded:
                return node
            kings = [x.name for x in self.reigning() if x.name != name and not x.paused]
            assert set(kings) <= self.cut_off, f"{kings} reign"
            self.advance(1)
        raise AssertionError(f"{name} does not reign within {within_ms} ms")

    # --- What came of it ------------------------------------------------------------------------

    def reigning(self) -> list[Node]:
        """The nodes that take themselves for the king."""
        return [x for x in self.nodes.values() if x.alive and x.core.reigns]

    def holders(self, term: int, tick: int) -> set[str]:
        """On whose disks the Entry of that Tick is."""
        return {name for name, node in self.nodes.items() if node.disk.has_tick(term, tick)}

    def is_safe(self, node: Node, term: int, tick: int) -> None:
        """Fail unless that Entry is on a majority of disks, and on this node's own (R2)."""
        if not tick:
            return
        holders, voters = self.holders(term, tick), node.core.raft.membership.voters
        assert node.name in holders, f"{node.name} tells of a Tick that it does not have"
        assert 2 * len(holders & set(voters)) > len(voters), "told before it is committed (R2)"

    # --- The surroundings -----------------------------------------------------------------------

    def send(self, to: str, event: ev.Event, sender: str | None = None) -> None:
        """Bring an event on its way, a peer's if a `sender` is named."""
        if to not in self.nodes or not (sender is None or self._linked(sender, to)):
            return
        if isinstance(event, ev.Heard) and isinstance(event.message, self.loses.get(to, ())):
            return
        self._post.append((to, event))

    def settle(self) -> None:
        """Let everything come of what happened that comes without time going by."""
        for _ in range(STEPS_MAX):
            if self._post:
                to, event = self._post.popleft()
                self.nodes[to].step([event])
                continue
            for node in self.nodes.values():
                node.write()
            eager = [x for x in self.nodes.values() if x.alive and not x.paused and x.core.has_more]
            for node in eager:
                node.step([])
            if self._post or eager:
                continue
            due_ns, due = self._next_due()
            if due is None or due_ns > self.boot_ns:
                return
            due.step([ev.Beat()])
        raise AssertionError("there is no end to it")

    def _next_due(self) -> tuple[int, Node | None]:
        """When the first Beat is due, and whose."""
        dues = [
            (due_ns - node.ahead_ns, node)
            for node in self.nodes.values()
            if node.alive and not node.paused and (due_ns := node.core.next_due_ns()) is not None
        ]
        return min(dues, key=lambda due: due[0], default=(0, None))

    def _met(self, node: Node) -> ev.PeerMet:
        own = member(node.name, node.incarnation)
        knows = self.n3_knows if node.name == "n3" else CLUSTER_VERSION
        return ev.PeerMet(own.name, own.incarnation, own.client_address, knows, node.line.identity)

    def _linked(self, one: str, other: str) -> bool:
        return not {one, other} & self.cut_off


def _founded(version: int) -> list[RecordDraft]:
    """What n1 writes at first."""
    members = [member(name) for name in NAMES]
    hard, genesis = founding_records("n1", CLUSTER, PERIOD_NS, members, WALL_NS)
    entry = decode_entry(genesis.body)
    assert isinstance(entry.books, Genesis)
    body = encode_entry(attrs.evolve(entry, books=attrs.evolve(entry.books, version=version)))
    chain = chain_of(GENESIS_CHAIN, CLUSTER, 1, genesis.term, body)
    return [hard, attrs.evolve(genesis, body=body, chain=chain)]
