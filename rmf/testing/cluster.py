"""A whole simulated factory: nodes, network, people, the nemesis, and those who watch it all.

Builds it from options and lets time pass. What a run is made of (phases, verdict) says `run`.
"""

import hashlib
from collections import Counter
from struct import Struct

from rmf import limits
from rmf.core.effects import Note
from rmf.core.entry import LineId, Member
from rmf.core.founding import founding_records
from rmf.core.raft.values import Timing
from rmf.line import Inline
from rmf.testing.agenda import Agenda
from rmf.testing.audit import Audit
from rmf.testing.books import Books
from rmf.testing.crowd import Crowd
from rmf.testing.dice import Dice
from rmf.testing.disk import Disk
from rmf.testing.freight import Freight
from rmf.testing.invariants import Invariants
from rmf.testing.laws import Laws
from rmf.testing.nemesis import Nemesis
from rmf.testing.network import Network
from rmf.testing.node import Node
from rmf.testing.operators import Operators
from rmf.testing.options import Options
from rmf.testing.passers import Passers
from rmf.testing.ports import Ports
from rmf.testing.producers import Producer
from rmf.testing.promises import Promises
from rmf.testing.readers import Display, Reader
from rmf.testing.violation import Violation
from rmf.testing.watch import Watch
from rmf.testing.workload import SIMULATED, Workload

__all__ = ["Cluster"]

_CLUSTER = b"simulated-cluster"[:16]
_LOOK_NS = 700 * limits.MS
_LATE_NS = 20 * limits.SECOND  # how late the last of a crowd of cells may go
_STEPS_A_LOOK_MAX = 10_000  # a hundred times what a busy factory takes
_MARK = Struct(">QIII").pack


class Cluster:
    """Everything of one run. `counts` says how often what happened; `digest` is a fingerprint of
    all that happened so far, equal for two runs of one seed."""

    def __init__(self, options: Options, workload: Workload = SIMULATED) -> None:
        self.options = options
        self.workload = workload
        self.dice = Dice(options.seed)
        self.agenda = Agenda()
        low, high = options.election_ms
        self.timing = Timing(options.heartbeat_ms * limits.MS, low * limits.MS, high * limits.MS)
        self.line = workload.line()
        self.runner = Inline(self.line)
        self.counts: Counter[str] = Counter()
        self.steps = self._steps_seen = 0
        self.notes: list[str] = []
        self._fingerprint = hashlib.blake2b(digest_size=16)
        self._marks: list[bytes] = []
        self.books = Books()
        self.producers: dict[str, Producer] = {}
        late_ns = _LATE_NS if options.crowd else 0
        self.audit = Audit(
            self.books, _CLUSTER, self.producers, workload, late_ns, options.drift_ppm
        )
        self.network = Network(self.agenda, self.dice.stream("network"), options)
        self.ports = Ports(self.agenda, self.dice.stream("ports"))
        self.nodes: dict[str, Node] = self.network.nodes
        self.displays: dict[str, Display] = {}
        self.ghosts: list[Disk] = []  # disks that were lost: who had them never votes again
        self.promises = Promises(self)
        self.invariants = Invariants(self)
        self.laws = Laws(self)
        self.watch = Watch(self)
        self.reader = Reader(self, self.dice.stream("reader"))
        self.operators = Operators(self, self.dice.stream("operators"))
        self.crowd = Crowd(self, self.dice.stream("crowd"), options.crowd)
        self.passers = Passers(self, self.dice.stream("passers"), options.places)
        self.freight = Freight(self, options.freight_kib)
        self._make_nodes()
        for i in range(options.producers):
            self.employ(f"producer-{i + 1}")
        self.nemesis = Nemesis(self, self.dice.stream("nemesis"))

    def employ(self, name: str) -> Producer:
        """Have one producer more."""
        producer = self.producers[name] = Producer(name, self, self.dice.stream(name))
        return producer

    def listens(self, key: str) -> bool:
        """Return whether the line wants to hear that a key expired."""
        return self.line.expired_handler_of(key) is not None

    def _make_nodes(self) -> None:
        options = self.options
        for i in range(options.nodes + options.spares):
            name = f"n{i + 1}"
            disk = Disk(_CLUSTER, f"incarnation-of-{name}".encode())
            self.nodes[name] = Node(name, self, disk, founded=i < options.nodes)
            self.displays[name] = Display(self.nodes[name])
        founders = [x for x in self.nodes.values() if x.founded]
        members = [Member(x.name, x.disk.incarnation, x.name, x.name) for x in founders]
        first = founders[0].disk
        drafts = founding_records(founders[0].name, _CLUSTER, limits.TICK_PERIOD_NS, members, 0)
        first.write_now(drafts, b"", 0)
        self.books.write(drafts[1], self.books.chain(0), 0)
        self.invariants.votes[first.incarnation, 1] = founders[0].name
        self.invariants.leaders[1] = founders[0].name

    def begin(self) -> None:
        """Switch everything on."""
        self.begin_nodes()
        for producer in self.producers.values():
            producer.begin()
        self.crowd.begin()
        self.passers.begin()
        self.freight.begin()
        self.reader.begin()
        self.operators.begin()
        self.watch_over()

    def begin_nodes(self) -> None:
        """Switch the nodes on: no client uses them yet, and no operator looks after them."""
        for node in self.nodes.values():
            node.begin(new_boot=True)

    def watch_over(self) -> None:
        """Look at everything now and then, from now on."""
        self.agenda.after(_LOOK_NS, self._look)

    def _look(self) -> None:
        self._steps_seen = self.steps
        self.watch_over()
        self.watch.look()

    # --- What happened --------------------------------------------------------------------------

    def count(self, what: str) -> None:
        """Note that something happened once more."""
        self.counts[what] += 1

    def line_of(self, life: int) -> LineId:
        """Return the line as a process of a node names it: one of several versions, which do the
        same, so that lines are rolled out and back all the time (R21)."""
        line = self.line
        return LineId(line.name, line.version + life % self.options.lines, line.digest)

    def note(self, node: str, note: Note) -> None:
        """Note what a node notes in its log."""
        self.counts[f"note_{note.event}"] += 1
        self.notes.append(f"{self.agenda.now_ns / 1e9:9.4f} {node} {note.event} {note.fields}")
        if len(self.notes) > 2000:
            del self.notes[:1000]

    def stepped(self, node: Node) -> None:
        """A node took a step."""
        self.steps += 1
        if self.steps - self._steps_seen > _STEPS_A_LOOK_MAX:
            raise Violation("liveness", f"{self.steps - self._steps_seen} steps, and no end")
        core = node.core
        if core is not None:
            raft = core.raft
            mark = _MARK(self.agenda.now_ns, raft.term, raft.log.commit, core.committed.index)
            self._marks.append(mark)
            if len(self._marks) >= 4096:
                self.trace(b"")

    def trace(self, seen: bytes) -> None:
        """Make this part of the fingerprint."""
        self._fingerprint.update(b"".join(self._marks) + seen)
        self._marks.clear()

    @property
    def digest(self) -> str:
        """The fingerprint so far."""
        self.trace(b"")
        return self._fingerprint.hexdigest()
