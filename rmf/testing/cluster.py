"""A whole simulated factory: nodes, network, people, the nemesis, and those who watch it all.

Builds it by options and lets time pass. What a run is made of (phases, verdict) says `run`.
"""

from rmf import limits
from rmf.core.entry import Member
from rmf.core.first_records import founding_records
from rmf.testing.crowd import Crowd
from rmf.testing.disk import SimulatedDisk
from rmf.testing.entry_audit import EntryAudit
from rmf.testing.environment import Environment
from rmf.testing.freight import Freight
from rmf.testing.invariants import Invariants
from rmf.testing.laws import Laws
from rmf.testing.looks import Looks
from rmf.testing.nemesis import Nemesis
from rmf.testing.network import Network
from rmf.testing.operators import Operators
from rmf.testing.options import Options
from rmf.testing.passers import Passers
from rmf.testing.ports import Ports
from rmf.testing.promises import Promises
from rmf.testing.readers import Reader
from rmf.testing.simulated_node import SimulatedNode
from rmf.testing.simulated_producers import Employer, Producer
from rmf.testing.watch import Observers
from rmf.testing.workload import SIMULATED, Workload

__all__ = ["SimulatedCluster"]

_CLUSTER = b"simulated-cluster"[:16]
_LOOK_NS = 700 * limits.MS
_LATE_NS = 20 * limits.SECOND  # how late the last of a crowd of cells may go


class SimulatedCluster:
    """Everything of one run; each part receives those that it works with."""

    def __init__(self, options: Options, workload: Workload = SIMULATED) -> None:
        self.env = env = Environment(options, workload)
        self.options, self.workload, self.books = options, workload, env.books
        self.agenda, self.count, self.counts = env.agenda, env.count, env.counts
        self.nodes: dict[str, SimulatedNode] = {}
        self.producers: dict[str, Producer] = {}
        late_ns = _LATE_NS if options.crowd else 0
        self.audit = EntryAudit(
            self.books, _CLUSTER, self.producers, workload, late_ns, options.drift_ppm
        )
        self.network = Network(self.agenda, env.dice.stream("network"), options, self.nodes)
        self.ports = Ports(self.agenda, env.dice.stream("ports"))
        self.promises = Promises(env, self.ports, self.audit, self.producers)
        self.invariants = Invariants(env, self.nodes, self.audit)
        self.looks = Looks(env, self.nodes, self.network, self.invariants.seen)
        judges = (self.invariants, self.promises, Laws(env), self.looks)
        self.watch = Observers(env, self.nodes, *judges)
        around = (env, self.nodes, self.ports, self.promises, self.audit.forgotten)
        employer = Employer(self.producers, lambda name: Producer(name, *around))
        self.employ = employer.employ
        self.reader = Reader(env, self.nodes, self.ports, self.promises)
        self.operators = Operators(env, self.nodes)
        self.crowd = Crowd(env, employer, self.audit, options.crowd)
        leader = self.operators.leader
        self.passers = Passers(env, employer, self.ports, leader, options.places)
        self.freight = Freight(env, employer, options.freight_kib)
        self._make_nodes()
        for i in range(options.producers):
            self.employ(f"producer-{i + 1}")
        joined = (self.nodes, self.network, self.ports, self.producers, self.operators)
        self.nemesis = Nemesis(env, *joined, self.invariants.restored)
        self.operators.betray = self.nemesis.betray

    def _make_nodes(self) -> None:
        options = self.options
        joined = (self.env, self.network, self.ports, self.watch, self.nodes)
        for i in range(options.nodes + options.spares):
            name = f"n{i + 1}"
            disk = SimulatedDisk(_CLUSTER, f"incarnation-of-{name}".encode())
            self.nodes[name] = node = SimulatedNode(name, disk, *joined, founded=i < options.nodes)
            self.watch.show(node)
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
        self.env.looked()
        self.watch_over()
        self.watch.look()
