"""A node is looked at now and then: what it keeps in memory, and how old is what it calls live."""

import pytest

from rmf import limits
from rmf.core import events as ev
from rmf.core.world import KeyIndex
from rmf.testing.cluster import SimulatedCluster
from rmf.testing.invariants import Seen
from rmf.testing.knobs import bounds
from rmf.testing.options import Options
from rmf.testing.simulated_node import SimulatedNode
from rmf.testing.violation import Violation

KEPT_BYTES = 1_536


def cluster() -> SimulatedCluster:
    found = SimulatedCluster(Options(seed=3, spares=0, faults={}))
    found.begin()
    found.agenda.run_until(3 * limits.SECOND)
    return found


def index_of(found: SimulatedCluster) -> KeyIndex:
    core = found.nodes["n2"].core
    assert core is not None
    return core.committed.world.index


def with_many_cells_in_flight() -> tuple[SimulatedCluster, SimulatedNode]:
    """Return a node that reigns, and has just proposed an Entry that writes 200 cells."""
    found = SimulatedCluster(
        Options(seed=3, spares=0, faults={}, crowd=600, checkpoint_every_ms=1e12)
    )
    found.begin()
    while True:
        found.agenda.run_until(found.agenda.now_ns + limits.MS // 10)
        assert found.agenda.now_ns < 5 * limits.SECOND
        for node in found.nodes.values():
            core = node.core
            if core is not None and len(core.settled.shelf.armed) > len(core.committed.world) + 150:
                return found, node


def follower_with(entries: int, each_bytes: int) -> tuple[SimulatedCluster, SimulatedNode]:
    """Return a node that follows, and has so many Entries more that its disk has not."""
    found = cluster()
    node = next(x for x in found.nodes.values() if x.core is not None and not x.core.reigns)
    assert node.core is not None
    log = node.core.raft.log
    for _ in range(entries):
        log.append(node.core.raft.term, bytes(each_bytes))
    return found, node


def test_a_node_that_is_well_passes() -> None:
    found = cluster()
    for node in found.nodes.values():
        found.looks.look(node)


def test_a_node_that_keeps_more_keys_than_it_has_cells_breaks_the_law_of_memory() -> None:
    found = cluster()
    index = index_of(found)
    index.add_all([f"gone/{i}" for i in range(100)])
    with pytest.raises(Violation, match=r"n2: 1\d\d keys in the index"):
        found.agenda.run_until(9 * limits.SECOND)


def test_a_node_may_keep_keys_for_a_moment_after_they_were_held() -> None:
    """What goes while a node catches up and writes a Checkpoint is more than one slice."""
    found = cluster()
    index = index_of(found)
    gone = [f"gone/{i}" for i in range(10 * limits.INDEX_SLICE_KEYS)]
    index.add_all(gone)
    pin = index.pin()
    for key in gone:
        index.discard(key)
    index.unpin(pin)
    assert len(index) > 9 * limits.INDEX_SLICE_KEYS
    found.looks.look(found.nodes["n2"])
    found.agenda.run_until(9 * limits.SECOND)
    assert gone[-1] not in index


def test_cells_of_an_entry_in_flight_may_be_on_the_shelf() -> None:
    """Many cells come with one Entry, and for as long as no majority has it they are committed
    nowhere; the shelf stands where the newest version does."""
    found, king = with_many_cells_in_flight()
    assert king.idle
    found.looks.look(king)


def test_a_key_on_the_shelf_that_no_version_has_breaks_the_law_of_memory() -> None:
    found = cluster()
    core = found.nodes["n2"].core
    assert core is not None
    shelf, cells = core.settled.shelf, len(core.newest.world)
    for i in range(cells + 1 - len(shelf.armed)):
        shelf.arm(f"gone/{i}", core.committed.tick + 10_000)
    with pytest.raises(Violation, match="keys on the shelf"):
        found.looks.look(found.nodes["n2"])


def test_entries_of_the_shelf_that_are_passed_over_are_no_more_than_cells_and_a_few() -> None:
    found = cluster()
    core = found.nodes["n2"].core
    assert core is not None
    shelf, world = core.settled.shelf, core.committed.world
    far = core.committed.tick + 1_000_000
    shelf.arm("gone", far)
    shelf.tend(far, world, 0, 1_000)  # all that is armed up to there is near from now on
    for i in range(len(world) + 50):
        shelf.arm("hot", far - i)
    shelf.disarm("hot")
    with pytest.raises(Violation, match="passed over"):
        found.looks.look(found.nodes["n2"])


def test_entries_that_the_disk_has_not_are_kept_for_as_long_as_it_takes() -> None:
    """A follower that catches up gets many at once; if its disk fails then, it has them until it is
    started again, and may let go of none."""
    with bounds({"LOG_MEMORY_BYTES": KEPT_BYTES}):
        found, node = follower_with(40, 3_000)
        found.looks.look(node)


def test_no_more_is_kept_that_is_not_settled_than_may_be_on_the_way() -> None:
    small = {"PEER_WINDOW_BYTES": 16 * limits.KIB, "APPEND_BYTES_MAX": 4 * limits.KIB}
    with bounds({"LOG_MEMORY_BYTES": KEPT_BYTES} | small):
        found, node = follower_with(40, 1_000)
        with pytest.raises(Violation, match="unsettled Entries"):
            found.looks.look(node)


def test_entries_that_go_in_slices_are_no_more_than_a_node_is_at() -> None:
    found = cluster()
    node = next(x for x in found.nodes.values() if x.core is not None and not x.core.reigns)
    core = node.core
    assert core is not None
    log = core.raft.log
    before = log.last.index - log.base.index
    assert log.bytes > KEPT_BYTES
    with bounds({"LOG_MEMORY_BYTES": KEPT_BYTES, "LOG_SLICE_ENTRIES": 2}):
        node.happen(ev.Beat())
        assert 0 < before - (log.last.index - log.base.index) < before
        assert node.idle
        assert log.bytes > KEPT_BYTES
        found.looks.look(node)
        found.agenda.run_until(found.agenda.now_ns + 100 * limits.MS)
        assert log.bytes <= KEPT_BYTES + 1_000
        found.looks.look(node)


def test_keys_of_an_entry_in_flight_may_be_in_the_index_for_as_long_as_disks_hang() -> None:
    """The followers answer heartbeats, so that the reign goes on, and write nothing."""
    found, king = with_many_cells_in_flight()
    for node in found.nodes.values():
        if node is not king:
            node.performing.drive.hangs_until_ns = found.agenda.now_ns + 6 * limits.SECOND
    assert king.core is not None
    world = king.core.committed.world
    found.agenda.run_until(found.agenda.now_ns + 4 * limits.SECOND)
    assert king.core.committed.world is world
    assert len(world.index) > 2 * len(world) + 100


def test_a_node_that_keeps_settled_entries_beyond_the_bound_breaks_the_law_of_memory() -> None:
    found = cluster()
    assert len(found.nodes) == 3
    for node in found.nodes.values():
        core = node.core
        assert core is not None
        assert core.raft.log.bytes > KEPT_BYTES
        with (
            bounds({"LOG_MEMORY_BYTES": KEPT_BYTES}),
            pytest.raises(Violation, match=" settled Entries"),
        ):
            found.looks.look(node)


def test_a_node_that_lacks_what_was_committed_long_ago_is_not_live() -> None:
    found = cluster()
    found.books.committed_ns = [0] * found.books.index
    found.books.enter(found.books.history[-1], 0)
    with pytest.raises(Violation, match="live is fresh"):
        found.looks.look(found.nodes["n2"])


@pytest.mark.parametrize(("silent", "is_well"), [(1, True), (2, False)])
def test_a_leader_steps_down_in_time_where_no_majority_answers_it(
    silent: int, is_well: bool
) -> None:
    found = cluster()
    king = next(x for x in found.nodes.values() if x.core is not None and x.core.reigns)
    others = [name for name in found.nodes if name != king.name]
    seen = found.invariants.seen[king.name]
    seen.owing_ns.update(dict.fromkeys(others[:silent], found.agenda.now_ns - 4 * limits.SECOND))
    if is_well:
        found.looks.look(king)
        return
    with pytest.raises(Violation, match="leads, though 2 of 3 voters"):
        found.looks.look(king)


def test_a_leader_that_stood_still_is_owed_no_answer_for_that_time() -> None:
    found = cluster()
    king = next(x for x in found.nodes.values() if x.core is not None and x.core.reigns)
    assert king.core is not None
    seen = Seen(king.core)
    pause_ns = 300 * limits.MS
    for ms in (0, 100, 200):
        seen.asks("n2", ms * limits.MS, pause_ns)
    assert seen.owing_ns == {"n2": 0}
    seen.asks("n2", limits.SECOND, pause_ns)
    assert seen.owing_ns == {"n2": limits.SECOND}
