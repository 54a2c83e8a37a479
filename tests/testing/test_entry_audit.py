"""History is judged Entry by Entry, by what one Tick may hold and how long nobody reigned."""

import attrs
import pytest

from rmf import limits
from rmf.core.shelf import Shelf
from rmf.testing.cluster import SimulatedCluster
from rmf.testing.drifting_clock import BootClock
from rmf.testing.knobs import small_bounds
from rmf.testing.options import Options
from rmf.testing.violation import Violation

# A third of the crowd has a shelf life of 20 s, and is due in one and the same tick.
OPTIONS = Options(seed=1, nodes=1, spares=0, crowd=600, faults={})
OUTAGE_NS = 60 * limits.SECOND


def test_what_was_due_in_an_outage_goes_in_the_ticks_after_it_as_they_have_room() -> None:
    with small_bounds(OPTIONS):
        cluster = SimulatedCluster(OPTIONS)
        node = cluster.nodes["n1"]
        cluster.begin()
        cluster.agenda.run_until(10 * limits.SECOND)
        cells = dict(cluster.audit.state.world.scan("crowd/cursed/"))
        assert len(cells) > 150
        node.end(power=False)
        cluster.agenda.run_until(cluster.agenda.now_ns + OUTAGE_NS)
        node.begin(new_boot=False)
        cluster.agenda.run_until(cluster.agenda.now_ns + 5 * limits.SECOND)
        world = cluster.audit.state.world
        assert not [key for key, cell in cells.items() if world.get(key) is cell]


def test_what_is_due_and_does_not_go_while_a_node_reigns_outlives_its_shelf_life() -> None:
    with small_bounds(OPTIONS):
        cluster = SimulatedCluster(OPTIONS)
        cluster.begin()
        cluster.agenda.run_until(10 * limits.SECOND)
        core = cluster.nodes["n1"].core
        assert core is not None
        shelf: Shelf = core.settled.shelf
        for key in [key for key, _ in core.newest.world.scan("crowd/cursed/")]:
            shelf.disarm(key)
        with pytest.raises(Violation, match="outlives it"):
            cluster.agenda.run_until(60 * limits.SECOND)


def run_of(options: Options, line_ns: int = 0, *, drift_ppm: int = 0) -> SimulatedCluster:
    """A run of one node: so long on the bench, on a clock that gains so much."""
    cluster = SimulatedCluster(options)
    node = cluster.nodes["n1"]
    cluster.begin()
    cluster.agenda.run_until(5 * limits.SECOND)
    now_ns = cluster.agenda.now_ns
    node.clock = BootClock(now_ns, node.clock.shows(now_ns), drift_ppm)
    node.performing.line.line_ns = line_ns
    cluster.agenda.run_until(int(options.seconds * limits.SECOND))
    return cluster


def test_a_cell_ages_from_its_latch_on_however_long_its_tick_is_on_the_bench() -> None:
    # A cell of 0.7 s is old when its Entry is written, and goes with the next.
    options = Options(seed=1, nodes=1, spares=0, faults={}, drift_ppm=0, seconds=40)
    with small_bounds(options):
        cluster = run_of(options, 3 * limits.SECOND)
    assert cluster.audit.packets > 20


def test_a_cell_goes_no_sooner_than_a_clock_as_fast_as_any_says() -> None:
    # Few packets: a cell of 120 s is not written again, and goes 0.6 s early by true time.
    options = Options(seed=2, nodes=1, spares=0, faults={}, drift_ppm=5_000)
    options = attrs.evolve(options, seconds=300, packets_a_second=0.5)
    with small_bounds(options):
        run_of(options, drift_ppm=5_000)
        with pytest.raises(Violation, match="before its time"):
            run_of(options, drift_ppm=50_000)
