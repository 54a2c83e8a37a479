"""Work that costs the World takes virtual time, in which a node does nothing else; too much of it
breaks the law."""

import pytest

from rmf import limits
from rmf.core import events as ev
from rmf.testing.cluster import SimulatedCluster
from rmf.testing.options import Options
from rmf.testing.violation import Violation


def cluster_of(crowd: int) -> SimulatedCluster:
    """Return a cluster of one node, which reigns."""
    cluster = SimulatedCluster(
        Options(seed=1, nodes=1, spares=0, producers=1, crowd=crowd, faults={})
    )
    cluster.begin()
    cluster.agenda.run_until(2 * limits.SECOND)
    return cluster


def walk(calls: int) -> None:
    for _ in range(calls):
        len("")


def test_work_that_touches_little_takes_no_time() -> None:
    cluster = cluster_of(100)
    node = cluster.nodes["n1"]
    cluster.watch.work(node, "a walk", walk, 10)
    assert node.idle


def test_a_node_takes_nothing_in_for_as_long_as_dear_work_takes() -> None:
    cluster = cluster_of(400)
    node = cluster.nodes["n1"]
    begun_ns = cluster.agenda.now_ns
    cluster.watch.work(node, "a walk", walk, 500)
    steps = cluster.env.steps
    node.happen(ev.Beat())
    assert cluster.env.steps == steps
    while cluster.env.steps == steps:
        cluster.agenda.run_until(cluster.agenda.now_ns + limits.MS // 10)
    assert cluster.agenda.now_ns - begun_ns <= 100 * limits.MS


def test_work_that_costs_far_too_much_breaks_the_law() -> None:
    cluster = cluster_of(100)
    node = cluster.nodes["n1"]
    with pytest.raises(Violation, match="no step costs the World"):
        cluster.watch.work(node, "a walk", walk, 2_000)


def test_without_a_crowd_nothing_is_metered() -> None:
    cluster = cluster_of(0)
    node = cluster.nodes["n1"]
    cluster.watch.work(node, "a walk", walk, 2_000)
    assert node.idle


def test_entries_sent_to_a_node_that_was_away_are_touched() -> None:
    """Hundreds of small ones go in one message, and what they cost is not the World's."""
    faults: dict[str, float] = {}
    busy = Options(
        seed=1, nodes=3, spares=0, producers=2, packets_a_second=100.0, crowd=1_000, faults=faults
    )
    cluster = SimulatedCluster(busy)
    cluster.begin()
    cluster.agenda.run_until(2 * limits.SECOND)
    away = next(x for x in cluster.nodes.values() if x.core is not None and not x.core.reigns)
    away.pause()
    cluster.agenda.run_until(12 * limits.SECOND)
    assert away.core is not None
    before = away.core.committed.index
    away.resume()
    cluster.agenda.run_until(14 * limits.SECOND)
    assert away.core.committed.index > before + 400
