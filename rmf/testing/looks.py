"""What need not be looked at after every step, of a node that runs: its bounds and its memory, and
whether what it calls live is (R36, R45).

It looks at one node at a time, now and then, between two steps, when what a core has and what its
disk has belong together.
"""

from collections.abc import Mapping

from rmf import limits
from rmf.core.arbiter import Arbiter
from rmf.core.raft.quorum import majority
from rmf.testing.environment import Environment
from rmf.testing.invariants import NEVER_NS, PAUSE_BEATS, Seen
from rmf.testing.network import Network
from rmf.testing.simulated_node import SimulatedNode
from rmf.testing.violation import Violation

__all__ = ["Looks"]

# A World larger than this is not looked through.
_CELLS_LOOKED_AT = 100
# The turn in which a node notices, on a clock that drifts.
_TURN_NS = 20 * limits.MS
# Of what a node has to keep for its cells, and for a handful of keys that went a moment ago.
_KEYS_A_CELL, _KEYS_BESIDE = 2, 32
# Within which it has forgotten keys that nothing holds any more: until it looks, and a while.
_FORGOTTEN_NS = limits.INDEX_LOOK_NS + limits.SECOND


class Looks:
    """Reads nodes, the books, and what the invariants have seen; changes nothing of them."""

    def __init__(
        self,
        env: Environment,
        nodes: dict[str, SimulatedNode],
        network: Network,
        seen: Mapping[str, Seen],
    ) -> None:
        self._env = env
        self._nodes = nodes
        self._network = network
        self._seen = seen
        self._timing = env.timing
        self._full: dict[str, tuple[int, int]] = {}  # core and since when, by node

    def look(self, node: SimulatedNode) -> None:
        """Look at one node. Raises Violation."""
        core = node.core
        if core is None or not node.idle:
            self._full.pop(node.name, None)
            return
        _check_bounds(node, core)
        members = self._env.books.known[node.disk.last_written.chain].members
        if core.raft.members != members:
            raise Violation("one configuration", f"{node.name} has members its log does not name")
        if core.strike is None:
            self._check_contact(node, core)
        self._check_reign(node, core)
        if core.is_live:
            self._check_age(node, core)
            self._check_ends(node, core)
        _check_shelf(node, core)
        _check_log(node, core)
        self._check_index(node, core)

    def _check_index(self, node: SimulatedNode, core: Arbiter) -> None:
        """A node has no keys in its index for long that it has no cells for, committed or in
        flight: all versions share it (R3, R45).

        Not at every moment: a Checkpoint holds whatever goes while it is written, and a node that
        catches up meanwhile applies hundreds of Entries in those milliseconds. What it held goes
        afterwards, a slice per step, at rest as well. Nor while no node reigns: keys that were in
        flight with a reign that is over are held by the picture that is shown, until the next one.
        """
        keys, cells = len(core.committed.world.index), _cells_of(core)
        now_ns = self._env.agenda.now_ns
        if (
            node.performing.drive.holds_keys
            or core.strike is not None
            or keys <= _KEYS_A_CELL * cells + _KEYS_BESIDE
        ):
            self._full.pop(node.name, None)
            return
        life, since_ns = self._full.get(node.name, (0, 0))
        if life != node.core_life:
            self._full[node.name] = (node.core_life, now_ns)
        elif now_ns - since_ns > _FORGOTTEN_NS:
            text = f"{node.name}: {keys} keys in the index for {cells} cells"
            raise Violation("memory", text)

    def _check_contact(self, node: SimulatedNode, core: Arbiter) -> None:
        """A node that says that it knows a reign has heard of one, or is one that is heard."""
        now_ns = self._env.agenda.now_ns
        seen, raft = self._seen[node.name], core.raft
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
            raise Violation(
                "no stale authority", f"{node.name} knows a reign of which it heard nothing"
            )

    def _check_reign(self, node: SimulatedNode, core: Arbiter) -> None:
        """A leader that asks, and that no majority answers, steps down (raft-cases 10): it would
        keep followers that hear it, and that it can't hear, from standing for election. By when:
        as long again as it may take, for which answer came to which question is not looked at."""
        raft, seen, timing = core.raft, self._seen[node.name], self._timing
        now_ns = self._env.agenda.now_ns
        if raft.leadership is None or now_ns - seen.asked_ns > PAUSE_BEATS * timing.heartbeat_ns:
            return
        late_ns = 2 * timing.quorum_ns + timing.heartbeat_ns + _TURN_NS
        voters = raft.membership.voters
        silent = sum(now_ns - seen.owing_ns.get(x, now_ns) > late_ns for x in voters)
        if len(voters) - silent < majority(len(voters)):
            text = f"{node.name} leads, though {silent} of {len(voters)} voters do not answer it"
            raise Violation("no stale authority", text)

    def _check_age(self, node: SimulatedNode, core: Arbiter) -> None:
        """What a node shows as live is no older than a heartbeat that may still count, and than a
        leader may be that does not know yet that another one reigns (R36)."""
        network, books = self._network, self._env.books
        old_ns = limits.LIVE_NS + self._timing.election_max_ns + network.latest_ns + _TURN_NS
        least = books.index_at(self._env.agenda.now_ns - old_ns)
        if core.committed.index < least:
            age_ns = self._env.agenda.now_ns - books.committed_ns[core.committed.index]
            raise Violation(
                "live is fresh",
                f"{node.name} says it is live at Entry {core.committed.index}; the next was"
                f" committed {age_ns / limits.SECOND:.2f} s ago",
            )

    def _check_ends(self, node: SimulatedNode, core: Arbiter) -> None:
        """What a node shows as live did not end long ago by the clock of the reign (R9, R36)."""
        world = core.committed.world
        kings = [x for x in self._nodes.values() if x.core is not None and x.core.reigns]
        if not kings or len(world) > _CELLS_LOOKED_AT:
            return
        king = max(kings, key=lambda x: x.core.raft.term if x.core is not None else 0)
        clock = king.core.raft.pace.clock if king.core is not None else None
        assert clock is not None
        late_ns = limits.LIVE_NS + limits.OWED_LATE_NS + self._network.latest_ns + _TURN_NS
        tick = clock.tick_at(king.now().boot_ns) - late_ns // clock.period_ns
        for key, cell in world.scan():
            if 0 < cell.expires < tick and cell.tick >= core.committed.void_before:
                text = f"{node.name} shows {key} as live, which ended at {cell.expires}, at {tick}"
                raise Violation("live is fresh", text)


def _cells_of(core: Arbiter) -> int:
    """Return how many cells the larger of two versions has: the committed, and the newest."""
    return max(len(core.committed.world), len(core.newest.world))


def _check_bounds(node: SimulatedNode, core: Arbiter) -> None:
    writes = len(node.disk.waiting)
    if writes > limits.LEDGER_QUEUE_MAX:
        raise Violation("bounded queues", f"{node.name}: {writes} writes wait")
    queue = core.sessions.queue
    if queue.packets > queue.depth_packets_max + limits.FRAME_PACKETS_MAX:
        raise Violation("bounded queues", f"{node.name}: {queue.packets} packets wait")
    if len(core.book.met) > 2 * limits.MEMBERS_MAX:
        raise Violation("bounded queues", f"{node.name} remembers {len(core.book.met)} peers")


def _check_shelf(node: SimulatedNode, core: Arbiter) -> None:
    """Hold the shelf to its law: so much a cell, and no more (R45).

    It is shared by all versions of the World, and stands where the newest does, which may be ahead
    of the committed one by Entries in flight, each of a thousand cells and more (R3). No key is on
    it without a cell there. Beside these keys there are only entries that are passed over, and go
    when their time comes, a moment later: as many as there are cells in the larger of the two
    versions, for many may end at once, and a few.
    """
    newest, shelf = len(core.newest.world), core.settled.shelf
    armed, beside = len(shelf.armed), _cells_of(core) + _KEYS_BESIDE
    kept = {
        "keys on the shelf": (armed, newest),
        "entries of the shelf that are passed over": (shelf.entries - armed, beside),
    }
    for what, (count, most) in kept.items():
        if count > most:
            cells = f"{len(core.committed.world)} cells, {newest} with what is in flight"
            raise Violation("memory", f"{node.name}: {count} {what}, not {most}, for {cells}")


def _check_log(node: SimulatedNode, core: Arbiter) -> None:
    """Hold the log in memory to its bound (R28, R45).

    Of what no call here waits for, LOG_MEMORY_BYTES are kept for slow peers, and not a byte more:
    of what is applied, and on a node that follows of all that is committed and on its disk, for
    that is read again (R38), unless it is just the few Entries that are put off while it writes.
    It goes in slices: while the node has more to do, or has put that off, it is at it.

    What is not settled yet has to be kept, and a disk that hangs makes that last; on one that
    failed it stays until the node is started again. It is what a leader may have on its way to a
    peer, and what it proposes itself.
    """
    raft, log, applied = core.raft, core.raft.log, core.committed.index
    alone = min(len(raft.members), len(core.committed.members)) <= 1
    most = max(limits.LOG_MEMORY_BYTES, limits.LONE_LOG_MEMORY_BYTES if alone else 0)
    if log.bytes <= most:
        return
    follows, behind = raft.leadership is None, raft.applicable - applied
    puts_off = follows and 0 < behind <= limits.ENTRIES_IN_FLIGHT
    through = raft.applicable if follows and not puts_off else applied
    sizes = [len(log.entry(i).body) for i in range(log.base.index + 1, log.last.index + 1)]
    kept_bytes = sum(sizes[: max(0, through - log.base.index)])
    if kept_bytes > most and not (puts_off or core.has_more):
        raise Violation("memory", f"{node.name} keeps {kept_bytes} bytes of settled Entries")
    on_the_way = limits.PEER_WINDOW_BYTES + limits.APPEND_BYTES_MAX
    rest_bytes = log.bytes - kept_bytes
    if rest_bytes > on_the_way + limits.ENTRIES_IN_FLIGHT * max(sizes):
        raise Violation("memory", f"{node.name} keeps {rest_bytes} bytes of unsettled Entries")
