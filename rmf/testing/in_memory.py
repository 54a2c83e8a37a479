"""A cluster in memory that does what a test tells it: virtual time, real cores, real Raft.

    from rmf.testing import Cluster

    cluster = Cluster(line, nodes=3, seed=1)
    receipt = cluster.send("greenhouse/3/temp", {"celsius": 21.5}, ttl_ms=60_000)
    cluster.kill(cluster.leader)
    cluster.send("greenhouse/3/temp", {"celsius": 22.0}, ttl_ms=60_000)   # the next reign takes it
    cluster.heal()
    assert len(set(cluster.digests().values())) == 1

Nothing goes wrong by itself, and nothing is repaired: faults are what the test does. All the
while the simulator's invariants are held to (one leader per term, logs and Worlds that match,
exactly once, acks that are true); what breaks one comes out of the call as Violation. Chance
(latencies, elections, drift) is the seed's: the same calls give the same history.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from rmf import limits
from rmf.client.client_values import ClientCell, Parcel, Receipt, rows_of
from rmf.core import bag
from rmf.core import events as ev
from rmf.core.arbiter import Arbiter
from rmf.core.packet import Stamp, letter_id
from rmf.errors import UsageError
from rmf.line.line import Line
from rmf.testing.cluster import SimulatedCluster as Simulated
from rmf.testing.line_workload import LineWorkload
from rmf.testing.liveness import unequal
from rmf.testing.options import Options
from rmf.testing.parcels import dated
from rmf.testing.shown import Letter, Picture, letter_of
from rmf.testing.simulated_node import SimulatedNode
from rmf.testing.simulated_producers import Producer
from rmf.testing.violation import Violation
from rmf.testing.ways import apart

__all__ = ["Cluster", "Sent"]

_ROUND_NS = 5 * limits.MS
_SILENCE_NS = int(limits.PEER_SILENCE_S_MAX * limits.SECOND)


class Sent:
    """A packet on its way. `receipt` is None until its outcome is committed and told."""

    def __init__(self, cluster: Simulated, producer: str, seq: int) -> None:
        self.producer = producer
        self.seq = seq
        self._cluster = cluster

    @property
    def receipt(self) -> Receipt | None:
        """What became of it, once its producer learned it."""
        told = self._cluster.promises.told(self.producer, self.seq)
        if told is None:
            return None
        term, tick, slot, reason = told
        letter = None if reason is None else letter_id(term, tick, slot)
        outcome = "applied" if reason is None else "bagged"
        return Receipt(outcome, Stamp(term, tick, slot), reason, letter, False, self.seq)


class Cluster:
    """Nodes n1, n2, … that run `line`. `options` are those of a run of the simulator, by name:
    latency_ms, loss, doubling, fsync_ms, heartbeat_ms, election_ms, drift_ppm, …"""

    def __init__(self, line: Line, *, nodes: int = 3, seed: int = 1, **options: Any) -> None:
        line.check()
        quiet: dict[str, Any] = {"spares": 0, "producers": 0, "faults": {}}
        try:
            chosen = Options(seed=seed, nodes=nodes, **{**quiet, **options})
        except TypeError as exc:
            raise UsageError(f"Cluster: {exc}") from exc
        self._cluster = Simulated(chosen, LineWorkload(line))
        self._power_cut: set[str] = set()
        self._cluster.begin_nodes()
        self._cluster.watch_over()

    # --- Time -----------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let so much virtual time pass, and everything happen in it. Raises Violation."""
        agenda = self._cluster.agenda
        agenda.run_until(agenda.now_ns + int(seconds * limits.SECOND))

    def run_until(self, what: Callable[[], bool], seconds: float = 30.0) -> None:
        """Let time pass until this holds. Raises TimeoutError if it does not within so many
        virtual seconds."""
        agenda = self._cluster.agenda
        end_ns = agenda.now_ns + int(seconds * limits.SECOND)
        while not what():
            if agenda.now_ns >= end_ns:
                raise TimeoutError(f"it did not come about within {seconds:g} virtual seconds")
            agenda.run_until(agenda.now_ns + _ROUND_NS)

    @property
    def now(self) -> float:
        """Virtual seconds since the cluster was switched on."""
        return self._cluster.agenda.now_ns / limits.SECOND

    # --- Sending --------------------------------------------------------------------------------

    def send(
        self,
        topic: str,
        payload: Any,
        *,
        ttl_ms: int,
        producer: str = "test",
        fence: int | None = None,
        seconds: float = 30.0,
    ) -> Receipt:
        """Send a packet, find the leader, resend if need be, until it has its outcome: that is
        returned. Raises TimeoutError if it has none within so many virtual seconds; the producer
        goes on trying, as one does."""
        (sent,) = self.offer([Parcel(topic, payload, ttl_ms, None, fence)], producer=producer)
        self.run_until(lambda: sent.receipt is not None, seconds)
        assert sent.receipt is not None
        return sent.receipt

    def send_many(
        self,
        parcels: Sequence[tuple[Any, ...]],
        *,
        producer: str = "test",
        seconds: float = 30.0,
    ) -> list[Receipt]:
        """Send (topic, payload, ttl_ms) tuples, or rmf.Parcels, and wait for all their outcomes."""
        sent = self.offer(parcels, producer=producer)
        self.run_until(lambda: all(x.receipt is not None for x in sent), seconds)
        return [receipt for x in sent if (receipt := x.receipt) is not None]

    def offer(
        self, parcels: Sequence[tuple[Any, ...]], *, producer: str = "test", seconds: float = 30.0
    ) -> list[Sent]:
        """Give packets to a producer, and do not wait for what becomes of them. The producer's
        first packets wait for its WELCOME: TimeoutError if no node reigns for so many seconds."""
        sender = self._producer(producer)
        self.run_until(lambda: bool(sender.log.epoch) and sender.log.has_room, seconds)
        rows = rows_of(dated(x, self._cluster.agenda.now_ns) for x in parcels)
        first = sender.add(rows)
        sender.pump()
        return [Sent(self._cluster, producer, first + i) for i in range(len(rows))]

    def _producer(self, name: str) -> Producer:
        known = self._cluster.producers.get(name)
        if known is None:
            known = self._cluster.employ(name)
            known.resting = True
            known.begin()
        return known

    # --- Faults ---------------------------------------------------------------------------------

    def kill(self, node: str | None) -> None:
        """The process dies, as by kill -9; None, of a cluster without a leader, is no node."""
        if node is not None:
            self._node(node).end(power=False)

    def power_cut(self, node: str | None) -> None:
        """The machine dies: without a word, and its clock starts over with the next start."""
        if node is not None:
            self._node(node).end(power=True)
            self._power_cut.add(node)

    def start(self, node: str) -> None:
        """Start a process that is down, on what its disk holds."""
        self._node(node).begin(new_boot=node in self._power_cut)
        self._power_cut.discard(node)

    def restart(self, node: str) -> None:
        """Kill it and start it at once."""
        self.kill(node)
        self.start(node)

    def pause(self, node: str | None) -> None:
        """Stop the process, as by SIGSTOP: it notices nothing."""
        if node is not None:
            self._node(node).pause()

    def resume(self, node: str) -> None:
        """Let a paused process go on: all that came meanwhile comes at once."""
        self._node(node).resume()

    def partition(self, *groups: Sequence[str]) -> None:
        """Let only nodes of the same group talk to each other; who is in none is alone. It takes
        the place of an earlier partition; `heal` ends it."""
        network = self._cluster.network
        for name in chain(*groups):
            self._node(name)
        network.cut = apart(self._cluster.nodes, *groups)
        for pair in sorted(network.cut):
            self._cluster.agenda.after(_SILENCE_NS, network.break_silent, *pair)

    def isolate(self, node: str | None) -> None:
        """Cut one node off from all others."""
        if node is not None:
            self.partition([x for x in self._cluster.nodes if x != node], [node])

    def slow_disk(self, node: str, fsync_ms: float) -> None:
        """From now on each fsync of this node takes about so long."""
        self._node(node).performing.drive.fsync_ns = int(fsync_ms * limits.MS)

    def weather(self, *, loss: float = 0.0, doubling: float = 0.0, latency_ms: float = 0.6) -> None:
        """From now on so much of what nodes say to each other is lost, or comes twice."""
        network = self._cluster.network
        network.loss, network.doubling = loss, doubling
        network.latency_ns = int(latency_ms * limits.MS)

    def checkpoint(self, node: str) -> None:
        """Have a node write a Checkpoint."""
        self._node(node).happen(ev.CheckpointAsked())

    def heal(self, seconds: float = 60.0) -> None:
        """End all faults, start each node that is down, and let time pass until every node is the
        same: Entry, World, letters. Raises Violation if that takes longer than so many virtual
        seconds."""
        cluster = self._cluster
        self.weather(latency_ms=cluster.options.latency_ms)
        cluster.network.cut.clear()
        for name, node in cluster.nodes.items():
            node.performing.drive.fsync_ns = int(cluster.options.fsync_ms * limits.MS)
            node.performing.drive.hangs_until_ns = 0
            if node.paused:
                node.resume()
            self.start(name)
        for node in cluster.nodes.values():
            cluster.network.tend(node)
        try:
            self.run_until(lambda: self._difference() is None, seconds)
        except TimeoutError:
            why = self._difference()
            raise Violation("liveness", f"not healed within {seconds:g} s: {why}") from None

    def _difference(self) -> str | None:
        if self.leader is None:
            return "no node reigns"
        different = unequal(self._cluster)
        if different is not None:
            return different
        letters = self._cluster.books.letters.keys()
        for name, node in self._cluster.nodes.items():
            if node.performing.dlq.letters.keys() != letters:
                return f"{name} has other letters"
        return None

    # --- What came of it ------------------------------------------------------------------------

    @property
    def nodes(self) -> list[str]:
        """The names of all nodes."""
        return list(self._cluster.nodes)

    @property
    def leader(self) -> str | None:
        """The node that reigns, None if none does. Cut off, a node may believe so for a while:
        of two, the one of the higher term."""
        leader = self._cluster.operators.leader()
        return None if leader is None else leader.name

    @property
    def term(self) -> int:
        """The highest Term that a running node knows."""
        return max((self._core(x).raft.term for x in self._running()), default=0)

    def world(self, node: str | None = None) -> Picture:
        """The World that a node has applied: a mapping of keys to values, in key order. Without a
        name the leader's."""
        return Picture(self._core(node or self._someone()).committed.world)

    def cell(self, key: str, node: str | None = None) -> ClientCell | None:
        """Return the cell of a key, with its Stamp, producer and `expires`."""
        return self.world(node).cell(key)

    def letters(self, node: str | None = None) -> list[Letter]:
        """The Letters in a node's DLQ, in the order in which they were bagged."""
        found = self._node(node or self._someone()).performing.dlq.letters.values()
        return [letter_of(x) for x in sorted(found, key=_born)]

    def digests(self) -> dict[str, bytes]:
        """The fingerprint of World and producers' table of each running node (R26)."""
        return {x: self._core(x).committed.digest() for x in self._running()}

    def tick(self, node: str | None = None) -> int:
        """The number of the last Tick that a node has applied."""
        return self._core(node or self._someone()).committed.tick

    def _running(self) -> list[str]:
        return [name for name, node in self._cluster.nodes.items() if node.core is not None]

    def _someone(self) -> str:
        running = self._running()
        if not running:
            raise UsageError("no node is running")
        return self.leader or running[0]

    def _node(self, name: str) -> SimulatedNode:
        try:
            return self._cluster.nodes[name]
        except KeyError:
            known = ", ".join(self._cluster.nodes)
            raise UsageError(f"there is no node {name!r}: {known}") from None

    def _core(self, name: str) -> Arbiter:
        core = self._node(name).core
        if core is None:
            raise UsageError(f"{name} is down")
        return core


def _born(letter: bag.Letter) -> tuple[int, int, int]:
    return letter.term or 0, letter.tick or 0, letter.slot or 0
