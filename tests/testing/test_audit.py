"""History is judged Entry by Entry, by what one Tick may hold and how long nobody reigned."""

import pytest

from rmf import limits
from rmf.core.shelf import Shelf
from rmf.testing.cluster import Cluster
from rmf.testing.knobs import small_bounds
from rmf.testing.options import Options
from rmf.testing.violation import Violation

# A third of the crowd has a shelf life of 20 s, and is due in one and the same tick.
OPTIONS = Options(seed=1, nodes=1, spares=0, crowd=600, faults={})
OUTAGE_NS = 60 * limits.SECOND


def test_what_was_due_in_an_outage_goes_in_the_ticks_after_it_as_they_have_room() -> None:
    with small_bounds(OPTIONS):
        cluster = Cluster(OPTIONS)
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


def test_what_is_due_and_does_not_go_while_somebody_reigns_outlives_its_shelf_life() -> None:
    with small_bounds(OPTIONS):
        cluster = Cluster(OPTIONS)
        cluster.begin()
        cluster.agenda.run_until(10 * limits.SECOND)
        core = cluster.nodes["n1"].core
        assert core is not None
        shelf: Shelf = core.settled.shelf
        for key in [key for key, _ in core.newest.world.scan("crowd/cursed/")]:
            shelf.disarm(key)
        with pytest.raises(Violation, match="outlives it"):
            cluster.agenda.run_until(60 * limits.SECOND)
