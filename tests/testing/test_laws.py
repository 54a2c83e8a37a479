"""Steps that cost the World take virtual time, in which a node does nothing else; too much of it
breaks the law."""

import pytest

from rmf import limits
from rmf.core import events as ev
from rmf.core.arbiter import Arbiter
from rmf.core.world import World
from rmf.testing.cluster import Cluster
from rmf.testing.options import Options
from rmf.testing.violation import Violation


def cluster_of(crowd: int) -> Cluster:
    cluster = Cluster(Options(seed=1, nodes=1, spares=0, producers=1, crowd=crowd, faults={}))
    cluster.begin()
    cluster.agenda.run_until(2 * limits.SECOND)
    return cluster


def slowed(monkeypatch: pytest.MonkeyPatch, keys: int) -> None:
    """Have every step walk through so many keys."""
    step = Arbiter.step

    def slow(self: Arbiter, events: list[ev.Event], now: ev.Now) -> list[object]:
        world = World.empty()
        for i in range(keys):
            world.index.add(str(i))
        return step(self, events, now)  # type: ignore[return-value]

    monkeypatch.setattr(Arbiter, "step", slow)


def test_a_step_that_touches_little_takes_no_time() -> None:
    cluster = cluster_of(100)
    node = cluster.nodes["n1"]
    node.happen(ev.Beat())
    assert not node.loop.busy


def test_a_node_is_busy_for_as_long_as_a_step_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_of(2_000)
    slowed(monkeypatch, 300)
    node = cluster.nodes["n1"]
    begun_ns = cluster.agenda.now_ns
    steps = cluster.steps
    node.happen(ev.Beat())
    assert not node.idle
    assert cluster.steps == steps
    while not node.idle:
        cluster.agenda.run_until(cluster.agenda.now_ns + limits.MS // 10)
    assert cluster.steps > steps
    assert 0 < cluster.agenda.now_ns - begun_ns <= 100 * limits.MS


def test_a_step_that_costs_far_too_much_breaks_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_of(100)
    slowed(monkeypatch, 2_000)
    with pytest.raises(Violation, match="no step costs the World"):
        cluster.nodes["n1"].happen(ev.Beat())


def test_without_a_crowd_nothing_is_metered(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_of(0)
    slowed(monkeypatch, 2_000)
    cluster.nodes["n1"].happen(ev.Beat())
    assert not cluster.nodes["n1"].loop.busy
