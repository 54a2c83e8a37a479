"""What must hold while nothing goes wrong and everybody works on (faults.md §3): one reign, an
outcome for every packet soon, and a hand-over that the named node gets.

Drift, bandwidth, load and the size of the World stay what they are: a factory that loses its reigns
by its own doing shows it here.
"""

from rmf import limits
from rmf.testing.cluster import SimulatedCluster
from rmf.testing.freight import FREIGHT
from rmf.testing.violation import Violation

__all__ = ["live_calmly"]

_ROUND_NS = 50 * limits.MS
_HAND_OVERS = 3
_ON_THE_BENCH_NS = limits.MS  # how long packets take until the line has them
_HAND_OVER_NS = 1_500 * limits.MS
_OUTCOME_NS_MAX = 6 * limits.SECOND
_FIRST_NS = limits.SECOND  # resends and clients that find the leader
# A client of a node that died just before learns it by silence only (narrow, seed 3).
_SILENCE_NS = int(limits.OWED_SILENCE_S_MAX * limits.SECOND)


def live_calmly(cluster: SimulatedCluster, term: int) -> int:
    """Let `calm_seconds` pass in this term, with a hand-over; return the term in which they end.
    Raises Violation."""
    agenda, options = cluster.agenda, cluster.options
    begun_ns = agenda.now_ns
    end_ns = begun_ns + int(options.calm_seconds * limits.SECOND)
    if not options.calm_seconds:
        return term
    cluster.count("calm")
    agenda.run_until(agenda.now_ns + _FIRST_NS)
    while agenda.now_ns < end_ns:
        agenda.run_until(agenda.now_ns + _ROUND_NS)
        _check_reign(cluster, term)
        _check_outcomes(cluster, begun_ns)
    # Over a narrow link the successor may need longer than it is given.
    return term if options.bandwidth_kib else _hand_over(cluster, term)


def _check_reign(cluster: SimulatedCluster, term: int) -> None:
    found = max(x.core.raft.term for x in cluster.nodes.values() if x.core)
    leader = cluster.operators.leader()
    if found != term or leader is None:
        raise Violation("calm", f"the reign of term {term} ended though nothing was wrong: {found}")


def _check_outcomes(cluster: SimulatedCluster, begun_ns: int) -> None:
    calm_ns = cluster.agenda.now_ns - begun_ns
    for name, producer in sorted(cluster.producers.items()):
        if producer.resting and name != FREIGHT:
            continue  # it comes and goes, and what it has may wait with it
        waits_ns = producer.waits_ns()
        is_older = waits_ns > calm_ns
        if waits_ns > _OUTCOME_NS_MAX + is_older * _SILENCE_NS:
            raise Violation("calm", f"a packet of {name} waits for {waits_ns / limits.SECOND:g} s")


def _hand_over(cluster: SimulatedCluster, term: int) -> int:
    """Ask for it a few times, in the middle of the work: the named node gets it, at once."""
    for _ in range(_HAND_OVERS):
        leader = cluster.operators.leader()
        names = [x.name for x in cluster.books.members if x.voter]
        others = [x for x in names if cluster.nodes[x].running and cluster.nodes[x] is not leader]
        if leader is None or not others:
            return term
        for _, producer in sorted(cluster.producers.items()):
            if not producer.resting:
                producer.work()
        cluster.agenda.run_until(cluster.agenda.now_ns + _ON_THE_BENCH_NS)
        named = cluster.operators.hand_over(others)
        _wait_for(cluster, term + 1)
        found = cluster.invariants.leaders.get(term + 1)
        if found != named:
            raise Violation("calm", f"{named} was to lead, and {found or 'no node'} does")
        term += 1
        cluster.agenda.run_until(cluster.agenda.now_ns + _FIRST_NS)
        _check_reign(cluster, term)
    return term


def _wait_for(cluster: SimulatedCluster, term: int) -> None:
    """Wait until a node leads this term, or another."""
    end_ns = cluster.agenda.now_ns + _HAND_OVER_NS
    while cluster.agenda.now_ns < end_ns and max(cluster.invariants.leaders) < term:
        cluster.agenda.run_until(cluster.agenda.now_ns + _ROUND_NS)
