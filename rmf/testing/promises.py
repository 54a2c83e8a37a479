"""What clients receive, held against the books: acks, reads, Snapshots, letters (faults.md §2).

An ack must be true when it leaves; a read must hold everything acked before it was asked; Snapshots
of a node come in order and are what was committed; a letter leaves once. It knows people, nodes and
the books, and nothing of Raft.
"""

from rmf.core import messages as m
from rmf.core.effects import Publish, StoreLetters
from rmf.errors import Refused
from rmf.testing.entry_audit import EntryAudit, Outcome
from rmf.testing.environment import Environment
from rmf.testing.ports import Ports
from rmf.testing.simulated_node import SimulatedNode
from rmf.testing.simulated_producers import Producer
from rmf.testing.violation import Violation

__all__ = ["Promises"]


class Promises:
    """`counted` is what each counter's packets that were acked to their producers come to.
    `newest` is the Publish that each node's displays saw last."""

    def __init__(
        self, env: Environment, ports: Ports, audit: EntryAudit, producers: dict[str, Producer]
    ) -> None:
        self.acks = 0
        self.counted: dict[str, int] = {}
        self.newest: dict[str, Publish] = {}
        self._told: dict[tuple[str, int], tuple[int, Outcome]] = {}
        self._stored: dict[str, set[str]] = {}
        self._leaving: list[tuple[str, m.Run]] = []
        self._showing: list[tuple[str, Publish]] = []
        self._env = env
        self._ports = ports
        self._audit = audit
        self._producers = producers
        self._counters = frozenset(env.workload.counters)

    def born(self, node: SimulatedNode) -> None:
        """A core begins: its displays and its DLQ begin again."""
        self._stored[node.name] = set()
        self.newest.pop(node.name, None)

    # --- Acks -----------------------------------------------------------------------------------

    def answers(self, node: SimulatedNode, connection: int, messages: list[m.Message]) -> None:
        """An ack leaves a node; it is held to the books once the step is over."""
        for message in messages:
            if type(message) is m.Ack:
                fault = node.core.strike if node.core is not None else None
                if node.disk.broken or (fault is not None and fault[0] != "no_reign"):
                    raise Violation("strike", f"{node.name} acks though it is on strike")
                producer = self._ports.holder(connection)
                if producer is not None:
                    self._leaving += [(producer, run) for run in message.runs]

    def stepped(self) -> None:
        """The books know by now what was committed in the step: was all true that left (R2)?"""
        if self._leaving:
            leaving, self._leaving = self._leaving, []
            for producer, run in leaving:
                self._check_run(producer, run)
        if self._showing:
            showing, self._showing = self._showing, []
            for name, found in showing:
                self._check_shown(name, found)

    def _check_run(self, producer: str, run: m.Run) -> None:
        """Outcomes sent to a producer must be those of the books (R33)."""
        outcomes, older = self._audit.outcomes, self._audit.older
        if run.outcome == m.UNKNOWN:
            raise Violation("durable acks", f"{producer} {run.seq}: the outcome is unknown")
        for i in range(run.packets):
            seq = run.seq + i
            found = outcomes.get((producer, seq))
            assert run.slot is not None
            told = (run.term, run.tick, run.slot + i, run.reason)
            if told not in (found, older.get((producer, seq))):
                raise Violation("durable acks", f"{producer} {seq} received {told}, is {found}")

    def acked(self, producer: str, run: m.Run) -> None:
        """A producer learned what became of packets, and takes it for news."""
        person = self._producers[producer]
        self._check_run(producer, run)
        for i in range(run.packets):
            seq = run.seq + i
            assert run.term is not None
            assert run.tick is not None
            assert run.slot is not None
            told = (run.term, run.tick, run.slot + i, run.reason)
            life, before = self._told.get((producer, seq), (person.life, told))
            if life == person.life and before != told:
                raise Violation("durable acks", f"{producer} {seq} received two outcomes")
            self._told[producer, seq] = (person.life, told)
            self.acks += 1
            topic = person.sent[seq][-1][0]
            if run.reason is None and topic in self._counters:
                self.counted[topic] = self.counted.get(topic, 0) + 1

    def told(self, producer: str, seq: int) -> "Outcome | None":
        """Return the outcome of a packet that a producer received, if it did."""
        return self._told.get((producer, seq), (0, None))[1]

    def refused(self, producer: str, exc: Refused, *, by_node: bool) -> None:
        """A producer's library gave up: its name was forgotten in a crowd, or a stranger used it.
        Else the node forgot packets. What `by_node` is said to be forgotten, must be so."""
        person = self._producers[producer]
        if self._audit.forgotten.get(producer, 0) > person.forgotten:
            return
        if by_node or not person.strange:
            raise Violation("exactly once", f"{producer}: {exc}")

    # --- Reads ----------------------------------------------------------------------------------

    def read(self, node: str, key: str, value: int, least: int) -> None:
        """A linearizable read was answered; `least` was acked, or read, before it was asked."""
        most = self._audit.counters.get(key, 0)
        if not least <= value <= most:
            raise Violation(
                "linearizable reads", f"{node}: {key} is {value}, between {least} and {most}"
            )

    # --- Displays -------------------------------------------------------------------------------

    def publishes(self, node: SimulatedNode, found: Publish) -> None:
        """Hold a Snapshot to history, and to the one before it (R35, R36)."""
        before = self.newest.get(node.name)
        if before is not None and (found.index, found.tick) < (before.index, before.tick):
            raise Violation("snapshot order", f"{node.name} goes back to Entry {found.index}")
        self.newest[node.name] = found
        self._showing.append((node.name, found))

    def _check_shown(self, name: str, found: Publish) -> None:
        books = self._env.books
        if found.index > books.index or found.digest != books.digests[found.index]:
            raise Violation("snapshot order", f"{name} shows Entry {found.index}, not as committed")

    def look(self, node: SimulatedNode) -> None:
        """What its displays received last must be what the node would send them now."""
        core, newest = node.core, self.newest.get(node.name)
        if core is None or newest is None or not node.idle:
            return
        if newest.live != core.is_live:
            raise Violation("no stale authority", f"{node.name} published live={newest.live}")
        if newest.index != core.committed.index:
            raise Violation("snapshot order", f"{node.name} keeps a Snapshot to itself")

    # --- Letters --------------------------------------------------------------------------------

    def stores(self, node: SimulatedNode, effect: StoreLetters) -> None:
        """Letters leave a core once (R39)."""
        stored = self._stored[node.name]
        for letter in effect.letters:
            if letter.id in stored:
                raise Violation("letters once", f"{node.name} gives out {letter.id} twice")
            stored.add(letter.id)
