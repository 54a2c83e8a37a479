"""What must come about once nothing goes wrong any more, for a majority that can talk (faults.md
§3).

A leader within ten election time-outs and no other term after it; an outcome for every packet;
every whole node at the same Entry with the same World and the same letters; any node that can come
back, back.
"""

from rmf import limits
from rmf.testing.calm import live_calmly
from rmf.testing.cluster import SimulatedCluster
from rmf.testing.simulated_node import SimulatedNode
from rmf.testing.violation import Violation

__all__ = ["settle", "unequal"]

_ROUND_NS = 250 * limits.MS
_QUIET_NS = 3 * limits.SECOND
_STORE_ROUND_NS = 20 * limits.MS


def settle(cluster: SimulatedCluster) -> None:
    """Heal everything but maybe one node, then that one, too. Raises Violation."""
    left_out = _left_out(cluster)
    cluster.operators.changes = False
    cluster.nemesis.heal(left_out)
    _end_strikes(cluster)
    agenda = cluster.agenda
    begun_ns = agenda.now_ns
    # The nodes that were down read their disks and are linked first.
    patience_ns = 10 * cluster.env.timing.election_max_ns + 2 * limits.SECOND
    _wait(cluster, patience_ns, "a leader", lambda: _leader(cluster) is not None)
    agenda.run_until(begun_ns + patience_ns)
    term = max(x.core.raft.term for x in cluster.nodes.values() if x.core)
    term = live_calmly(cluster, term)
    _finish_work(cluster)
    if left_out is not None:
        cluster.count("healed_without_one")
        cluster.nodes[left_out].barred = False
        cluster.nodes[left_out].begin(new_boot=True)
    _wait_for_equality(cluster)
    # Cells go on expiring; let the last of them reach all.
    agenda.run_until(agenda.now_ns + _QUIET_NS)
    _wait_for_equality(cluster)
    _check_terms(cluster, term)
    _check_letters(cluster)
    _check_display(cluster)


def _wait_for_equality(cluster: SimulatedCluster) -> None:
    total_ns = int(cluster.options.settle_seconds * limits.SECOND)
    what = "every node the same"
    _wait(cluster, total_ns, what, lambda: unequal(cluster) is None, lambda: unequal(cluster))


def _left_out(cluster: SimulatedCluster) -> str | None:
    """Choose a voter that stays down for a while, where the others can do without it."""
    dice = cluster.env.dice.stream("left_out")
    voters = sorted(x.name for x in cluster.books.members if x.voter)
    if not cluster.operators.sound() or not dice.chance(0.4):
        return None
    return dice.choice(voters)


def _end_strikes(cluster: SimulatedCluster) -> None:
    for _, node in sorted(cluster.nodes.items()):
        fault = node.core.strike if node.core is not None else None
        if node.disk.broken or (fault is not None and fault[0] != "no_reign"):
            node.end(power=False)
            node.begin(new_boot=False)


def _wait(cluster: SimulatedCluster, for_ns: int, what: str, come, why=lambda: "") -> None:  # type: ignore[no-untyped-def]
    agenda = cluster.agenda
    end_ns = agenda.now_ns + for_ns
    while not come():
        if agenda.now_ns >= end_ns:
            raise Violation("liveness", f"no {what} within {for_ns / 1e9:g} s: {why()}")
        agenda.run_until(agenda.now_ns + _ROUND_NS)


def _leader(cluster: SimulatedCluster) -> SimulatedNode | None:
    leader = cluster.operators.leader()
    core = leader.core if leader is not None else None
    if core is None or core.raft.leadership is None or not core.raft.leadership.has_committed:
        return None
    return leader


def _finish_work(cluster: SimulatedCluster) -> None:
    """No new packets; every packet that there is has its outcome within a bound."""
    cluster.env.resting = True
    for producer in cluster.producers.values():
        producer.resting = True
    total_ns = int(cluster.options.settle_seconds * limits.SECOND)
    owing = [x for _, x in sorted(cluster.producers.items())]
    _wait(
        cluster,
        total_ns,
        "outcome of every packet",
        lambda: all(x.settled or x.absent for x in owing),
        lambda: {x.name: x.log.unacked for x in owing},
    )


def unequal(cluster: SimulatedCluster) -> str | None:
    """Return which member is not yet what it should be, or None."""
    books = cluster.books
    for member in books.members:
        node = cluster.nodes[member.name]
        core = node.core
        if core is None or node.disk.incarnation != member.incarnation:
            return f"{member.name} has not come back"
        if not member.voter:
            return f"{member.name} does not vote yet"
        if core.strike is not None:
            return f"{member.name} is on strike: {core.strike}"
        if not core.raft.whole or node.disk.repairing:
            return f"{member.name} is not whole"
        if core.committed.index != books.index:
            return f"{member.name} is at {core.committed.index} of {books.index}"
        if core.committed.digest() != books.digests[-1]:
            return f"{member.name} has another World"
        if node.performing.dlq.missing_through:
            return f"{member.name} lacks letters"
    return None


def _check_terms(cluster: SimulatedCluster, term: int) -> None:
    found = max(x.core.raft.term for x in cluster.nodes.values() if x.core)
    if found != term:
        raise Violation("liveness", f"terms went on from {term} to {found} though all was well")


def _check_letters(cluster: SimulatedCluster) -> None:
    """Every member has every letter of the line, once, and no other (R39): those of the last cells
    that expired as soon as its DLQ has stored them."""
    expected = cluster.books.letters.keys()
    end_ns = cluster.agenda.now_ns + _QUIET_NS
    names = [x.name for x in cluster.books.members]
    while any(cluster.nodes[x].performing.dlq.letters.keys() != expected for x in names):
        if cluster.agenda.now_ns >= end_ns:
            break
        cluster.agenda.run_until(cluster.agenda.now_ns + _STORE_ROUND_NS)
    for member in cluster.books.members:
        letters = cluster.nodes[member.name].performing.dlq.letters.keys()
        if letters != expected:
            some = sorted(letters ^ expected)[:5]
            raise Violation("letters once", f"{member.name} differs by {some}")


def _check_display(cluster: SimulatedCluster) -> None:
    """What is stale by the reign's own clock is gone (R9)."""
    leader = _leader(cluster)
    if leader is None or leader.core is None:
        raise Violation("liveness", "the leader went though all was well")
    state = leader.core.committed
    late = limits.SECOND // state.period_ns
    shown = leader.core.raft.pace.tick_at(leader.now().boot_ns) - late
    for key, cell in state.world.cells.items():
        if cell.expires and (cell.expires < shown or cell.tick < state.void_before):
            raise Violation("no frozen display", f"{key} is stale since tick {cell.expires}")
