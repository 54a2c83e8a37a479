"""Cores of Raft on links with a bandwidth and a length, in virtual time.

A link carries what the sending end of floor/peer_end lets out: what hurries first, bulk in pieces,
one thing at a time. Disks take a millisecond. Nothing is lost unless a test says so.
"""

from functools import partial
from random import Random

from rmf import limits
from rmf.core.effects import Effect
from rmf.core.raft.raft_values import Timing
from rmf.testing.ways import Way
from rmf.testing.wires import SimulatedWire, size_of
from tests.core.raft.disk_kit import packed
from tests.core.raft.node_kit import Sent
from tests.core.raft.timed_kit import TimedCluster

MS, SECOND, KIB = limits.MS, limits.SECOND, limits.KIB

_PIECE_BYTES = 32 * KIB


class World(TimedCluster):
    """`names` start; each directed pair has a link of its own. `mbit` may be changed at any time.
    While `fill` is set the leader keeps so many bytes of Entries of that size proposed. `reigns`
    say when who began to reign, `read` how long each confirmed read took, `carried` how many bytes
    were sent."""

    def __init__(
        self, names: str = "n1 n2 n3", *, mbit: float, delay_ms: float, timing: Timing
    ) -> None:
        super().__init__(names, Random(1).random)
        self.mbit = mbit
        self.delay_ns = int(delay_ms * MS)
        self.timing = timing
        self.pieces.chunk_bytes = limits.INSTALL_CHUNK_BYTES
        self.reigns: list[tuple[int, str]] = []
        self.fill: int | None = None
        self.read: list[int] = []
        self.carried = 0
        self._wires: dict[Way, SimulatedWire] = {}
        self.start()

    # --- What a test does -------------------------------------------------------------------------

    def kill(self, name: str, *, told: bool = True) -> None:
        """End a node; the others hear that its links broke, if they are `told`."""
        self.crash(name)
        if told:
            self.agenda.after(self.delay_ns, self.lose_link, name)

    def ask(self) -> None:
        """Begin a linearizable read at the leader."""
        leads = self.core(self.leader()).leadership
        assert leads is not None
        assert leads.reads.add(self.now_ns)
        self.step(self.leader(), lambda _: leads.begin_reads(self.now_ns))

    def forget(self, name: str) -> None:
        """Let a node's memory go of all that is committed: the ledger holds what peers lack."""
        self.core(name).log.compact(self.core(name).log.commit, 0)

    def has_only_a_checkpoint(self, name: str, size: int) -> None:
        """Let a Checkpoint of that size take the place of a node's ledger."""
        self.pieces.pack = partial(packed, padding=size)
        self.checkpoint(name)

    # --- Moving -----------------------------------------------------------------------------------

    def on_reign(self, name: str) -> list[Effect]:
        self.reigns.append((self.now_ns, name))
        return super().on_reign(name)

    def on_step(self, name: str) -> None:
        raft = self.core(name)
        raft.log.compact(raft.log.commit, limits.LOG_MEMORY_BYTES)
        if raft.leadership is None:
            return
        self.read += [self.now_ns - x for x, _ in raft.leadership.confirmed_reads()]  # type: ignore[operator]
        in_flight = raft.log.last.index - raft.log.commit
        if self.fill is not None and in_flight < limits.ENTRIES_IN_FLIGHT:
            self.propose(name, "x" * self.fill)

    def write_ns(self) -> int:
        return MS

    def on_sent(self, sent: Sent) -> None:
        bytes_a_second = int(self.mbit * 125_000)
        way = (sent.source, sent.target)
        if way not in self._wires:
            self._wires[way] = SimulatedWire(self.agenda, bytes_a_second, _PIECE_BYTES)
        self._wires[way].bytes_a_second = bytes_a_second
        self.carried += size_of(sent.message)
        self._wires[way].carry(sent.message, partial(self.carry, sent, self.delay_ns))
