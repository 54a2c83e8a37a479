"""A node is looked at now and then: what it keeps in memory, and how old is what it calls live."""

import pytest

from rmf import limits
from rmf.core.world import KeyIndex
from rmf.testing.cluster import Cluster
from rmf.testing.knobs import bounds
from rmf.testing.looks import Looks
from rmf.testing.options import Options
from rmf.testing.violation import Violation


def cluster() -> Cluster:
    found = Cluster(Options(seed=3, spares=0, faults={}))
    found.begin()
    found.agenda.run_until(3 * limits.SECOND)
    return found


def index_of(found: Cluster) -> KeyIndex:
    core = found.nodes["n2"].core
    assert core is not None
    return core.committed.world.index


def test_a_node_that_is_well_passes() -> None:
    found = cluster()
    for node in found.nodes.values():
        Looks(found).look(node)


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
    Looks(found).look(found.nodes["n2"])
    found.agenda.run_until(9 * limits.SECOND)
    assert gone[-1] not in index


def test_entries_are_kept_while_a_slow_disk_writes_them_and_no_longer() -> None:
    """Whoever begins with an empty ledger is sent a window of them at once (R28)."""
    found = cluster()
    node = found.nodes["n2"]
    assert node.core is not None
    log, term = node.core.raft.log, node.core.raft.term
    with bounds({"LOG_MEMORY_BYTES": 2_048}):
        log.compact(log.last.index, 0)
        last = log.append(term, bytes(limits.PEER_WINDOW_BYTES_MIN))
        Looks(found).look(node)
        log.is_durable(last.index, term)
        Looks(found).look(node)
        log.commit_to(last.index)
        with pytest.raises(Violation, match="memory"):
            Looks(found).look(node)


def test_nobody_has_more_entries_on_the_way_than_a_window() -> None:
    found = cluster()
    node = found.nodes["n2"]
    assert node.core is not None
    with bounds({"LOG_MEMORY_BYTES": 2_048}):
        many = limits.PEER_WINDOW_BYTES_MIN + limits.APPEND_BYTES_MAX + 1
        node.core.raft.log.append(node.core.raft.term, bytes(many))
        with pytest.raises(Violation, match="memory"):
            Looks(found).look(node)


def test_a_node_that_lacks_what_was_committed_long_ago_is_not_live() -> None:
    found = cluster()
    found.books.committed_ns = [0] * found.books.index
    found.books.enter(found.books.history[-1], 0)
    with pytest.raises(Violation, match="live is fresh"):
        Looks(found).look(found.nodes["n2"])
