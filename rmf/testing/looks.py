"""What need not be looked at after every step, of a node that runs: its bounds and its memory, and
whether what it calls live is (R36, R45).

It looks at one node at a time, now and then, between two steps, when what a core has and what its
disk has belong together.
"""

from typing import TYPE_CHECKING

from rmf import limits
from rmf.core.arbiter import Arbiter
from rmf.core.raft.quorum import majority
from rmf.testing.invariants import NEVER_NS
from rmf.testing.violation import Violation

if TYPE_CHECKING:
    from rmf.testing.cluster import Cluster
    from rmf.testing.node import Node

__all__ = ["Looks"]

# How old what a heartbeat names may be, for a node that calls itself live (R36).
_FRESH_NS = 500 * limits.MS
# Of what a node has to keep for its cells, and for a handful of other things beside.
_ENTRIES_A_CELL, _ENTRIES_BESIDE = 2, 32
# Of Entries in memory beside those that are kept for peers: what is in flight, or hangs on a disk.
_LOG_BESIDE_BYTES = 64 * limits.KIB


class Looks:
    """Reads nodes, the books, and what the invariants have seen; changes nothing."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._timing = cluster.timing

    def look(self, node: "Node") -> None:
        """Look at one node. Raises Violation."""
        core = node.core
        if core is None or not node.idle:
            return
        _check_bounds(node, core)
        members = self._cluster.books.known[node.disk.last_written.chain].members
        if core.raft.members != members:
            raise Violation("one configuration", f"{node.name} has members its log does not name")
        if core.strike is None:
            self._check_contact(node, core)
        if not self._cluster.options.strict:
            return
        _check_memory(node, core)
        if core.strike is None:
            self._check_age(node, core)

    def _check_contact(self, node: "Node", core: Arbiter) -> None:
        """Whoever says that it is live has heard of a reign, or is one that is heard."""
        now_ns = self._cluster.agenda.now_ns
        seen, raft = self._cluster.invariants.seen[node.name], core.raft
        # Drift, and the turn in which it notices.
        patience_ns = self._timing.election_max_ns * 1001 // 1000 + limits.MS
        if raft.leadership is None:
            contact = now_ns - seen.contact_ns <= patience_ns
        else:
            voters = [x for x in raft.membership.voters if x != node.name]
            near = sum(now_ns - seen.replies_ns.get(x, NEVER_NS) <= patience_ns for x in voters)
            others = majority(len(raft.membership.voters)) - raft.membership.is_voter(node.name)
            contact = near >= others or now_ns - seen.acceded_ns <= patience_ns
        if not contact:
            raise Violation("no stale authority", f"{node.name} says it is live, and is not")

    def _check_age(self, node: "Node", core: Arbiter) -> None:
        """What a node shows as live is no older than a heartbeat that may still count, and than a
        leader may be that does not know yet that it is none any more."""
        network, books = self._cluster.network, self._cluster.books
        old_ns = _FRESH_NS + 2 * self._timing.election_max_ns + network.latest_ns
        least = books.index_at(self._cluster.agenda.now_ns - old_ns)
        if core.committed.index < least:
            age_ns = self._cluster.agenda.now_ns - books.committed_ns[core.committed.index]
            raise Violation(
                "live is fresh",
                f"{node.name} says it is live at Entry {core.committed.index}; the next was"
                f" committed {age_ns / limits.SECOND:.2f} s ago",
            )


def _check_bounds(node: "Node", core: Arbiter) -> None:
    writes = len(node.disk.waiting)
    if writes > limits.LEDGER_QUEUE_MAX:
        raise Violation("bounded queues", f"{node.name}: {writes} writes wait")
    queue = core.petitions.queue
    if queue.packets > queue.depth_packets_max + limits.FRAME_PACKETS_MAX:
        raise Violation("bounded queues", f"{node.name}: {queue.packets} packets wait")
    if len(core.met) > 2 * limits.MEMBERS_MAX:
        raise Violation("bounded queues", f"{node.name} remembers {len(core.met)} peers")


def _check_memory(node: "Node", core: Arbiter) -> None:
    """Hold a node to the laws of memory: so much a cell, and no more (R45)."""
    world, shelf = core.committed.world, core.settled.shelf
    cells_max = _ENTRIES_A_CELL * len(world) + _ENTRIES_BESIDE
    kept = {
        "keys on the shelf": len(shelf.armed),
        "entries of the shelf": shelf.entries,
    }
    if not node.cluster.options.crowd:  # else a Checkpoint keeps many of them for long
        kept["keys in the index"] = len(world.index)
    for what, count in kept.items():
        if count > cells_max:
            raise Violation("memory", f"{node.name}: {count} {what} for {len(world)} cells")
    log_bytes = core.raft.log.bytes
    if log_bytes > limits.LOG_MEMORY_BYTES + _LOG_BESIDE_BYTES:
        raise Violation("memory", f"{node.name}: {log_bytes} bytes of Entries in memory")
