"""One core under test, n1; the test plays its disk and all of its peers."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from rmf.core.effects import Effect, Persist
from rmf.core.raft.leadership import Leadership
from rmf.core.raft.peer_messages import AppendReply, HeartbeatReply, PeerMessage, VoteReply
from rmf.core.raft.raft_log import RaftLog
from rmf.core.raft.raft_node import Raft
from tests.core.raft.cluster_kit import Cluster
from tests.core.raft.entries_kit import MS
from tests.core.raft.node_kit import Node

M = TypeVar("M")
Told = list[tuple[str, PeerMessage]]


class One:
    """n1. Whatever it does is returned as what it tells whom; `effects` are those of the last
    step. Unless `slow`, everything it writes is durable at once."""

    def __init__(
        self, names: str = "n1 n2 n3", terms: Sequence[int] = (), *, term: int = 0,
        voted: str | None = None, commit: int = 0, whole: bool = True, noop: bool = False,
    ) -> None:  # fmt: skip
        self.cluster = Cluster(names)
        self.cluster.nodes.setdefault("n1", Node(self.cluster, "n1", self.cluster.members))
        self.cluster.noop = noop
        self.cluster.laws.counts_disks = False
        if terms or term or voted:
            self.cluster.furnish("n1", terms, term=term, voted=voted, commit=commit)
        self.cluster.nodes["n1"].disk.repairing = not whole
        self.slow = False
        self.effects: list[Effect] = []
        self.linked: dict[str, bytes] = {}
        self.cluster.start("n1")
        self._done([])

    @property
    def raft(self) -> Raft:
        return self.cluster.core("n1")

    @property
    def log(self) -> RaftLog:
        return self.raft.log

    @property
    def leads(self) -> Leadership:
        assert self.raft.leadership is not None
        return self.raft.leadership

    @property
    def now_ns(self) -> int:
        return self.cluster.now_ns

    @property
    def terms(self) -> list[int]:
        """The terms of the log behind its base."""
        return [
            self.log.entry(i).term for i in range(self.log.base.index + 1, self.log.last.index + 1)
        ]

    def _done(self, effects: list[Effect]) -> Told:
        self.effects = effects
        if not self.slow:
            while self.cluster.nodes["n1"].disk.waiting:
                self.effects = self.effects + self.cluster.sync("n1")
        told = [(x.target, x.message) for x in self.cluster.wire]
        self.cluster.wire.clear()
        return told

    def do(self, act: Callable[[Raft], list[Effect] | None]) -> Told:
        return self._done(self.cluster.step("n1", act))

    def hear(self, peer: str, message: PeerMessage) -> Told:
        """Hear a peer, of the incarnation that the members name unless it was met before."""
        self.link(peer, self.linked.get(peer, peer.encode()))
        return self.do(lambda raft: raft.receive(peer, message, self.now_ns))

    def link(self, peer: str, incarnation: bytes) -> None:
        """A link from this incarnation is up."""
        self.linked[peer] = incarnation
        self.raft.presence.met(peer, incarnation)

    def sync(self) -> Told:
        """Make the oldest write durable."""
        return self._done(self.cluster.sync("n1"))

    def beat(self, ms: float = 0) -> Told:
        self.cluster.now_ns += int(ms * MS)
        return self.do(lambda raft: raft.beat(self.now_ns))

    def propose(self, what: str = "x") -> Told:
        return self._done(self.cluster.propose("n1", what))

    def restart(self, kept: int = 0) -> None:
        self.cluster.crash("n1", kept)
        self.linked.clear()
        self.cluster.start("n1")
        self._done([])

    @property
    def persists(self) -> list[Persist]:
        """The writes that the last step asked for."""
        return [x for x in self.effects if isinstance(x, Persist)]

    def candidate(self) -> Told:
        """Stand for election: win the pre-vote, and ask for votes."""
        self.do(lambda raft: raft.campaign(self.now_ns))
        told: Told = []
        asked = self.raft.term + 1
        for voter in [x for x in self.raft.membership.voters if x != "n1"]:
            if self.raft.term < asked:
                told = self.hear(voter, VoteReply(asked, True, True, 0, False, 0))
        return told

    def lead(self) -> Told:
        """Win an election, with every vote."""
        self.candidate()
        told: Told = []
        for voter in [x for x in self.raft.membership.voters if x != "n1"]:
            told += self.hear(voter, VoteReply(self.raft.term, False, True, 0, False, 0))
        assert self.raft.role == "leader"
        return told

    def acks(self, peer: str, index: int | None = None, *, round_: int = 0) -> Told:
        """A peer has everything up to that index."""
        upto = self.log.last.index if index is None else index
        return self.hear(peer, AppendReply(self.raft.term, True, upto, 0, 0, round_, True, upto))

    def answers(self, peer: str, round_: int) -> Told:
        """A peer answers a heartbeat."""
        return self.hear(peer, HeartbeatReply(self.raft.term, round_, True))


def of(kind: type[M], told: Told, peer: str | None = None) -> list[M]:
    """The messages of a kind, to this peer or to anybody."""
    return [x for name, x in told if isinstance(x, kind) and peer in {None, name}]


def only(kind: type[M], told: Told, peer: str | None = None) -> M:
    (found,) = of(kind, told, peer)
    return found
