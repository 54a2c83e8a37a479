"""storage/restore: the first start that verifies, and the state that it holds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rmf import limits
from rmf.core.forgetting import Forgetting
from rmf.core.latch import IngestQueue
from rmf.core.producer_table import Table
from rmf.core.table_slices import table_in
from rmf.errors import CheckpointDamaged
from rmf.line import board
from rmf.storage import checkpoint
from rmf.storage.archive import Start, starts
from rmf.storage.checkpoint import CheckpointWriter
from rmf.storage.restore import restore
from tests.driven_node import DrivenNode, node_in


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DrivenNode]:
    """A node with a start at genesis and one at a Checkpoint."""
    with node_in(tmp_path / "n1", board) as made:
        made.send("probe", ("room/1", 20.5), ("room/2", {"door": "open"}), ttl_ms=50)
        made.send("other", ("room/1", 21))
        made.checkpoint()
        yield made


def places(node: DrivenNode) -> list[Start]:
    directory = node.directory
    return starts(directory.ledgers, directory.checkpoints, directory.cluster)


def test_at_genesis_there_is_nothing_yet(node: DrivenNode) -> None:
    restored, faults = restore(places(node), node.directory.cluster)
    assert restored is not None
    assert (restored.start, restored.head, faults) == (places(node)[0], {}, [])
    assert (restored.state.index, len(restored.state.world)) == (0, 0)
    assert restored.shelf.next_tick() is None


def test_a_checkpoint_gives_back_the_state_it_was_made_of(node: DrivenNode) -> None:
    """Raft-cases 55: the producers' table included."""
    restored, _ = restore(reversed(places(node)), node.directory.cluster)
    committed = node.core.committed
    assert restored is not None
    assert restored.state.digest() == committed.digest() == restored.head["digest"]
    assert list(restored.state.world.scan()) == list(committed.world.scan())
    assert restored.state.producers.rows == committed.producers.rows
    assert restored.state.tick == committed.tick
    assert restored.start.base.index == committed.index


def next_to_go(table: Table) -> str | None:
    """Who would have to make room for a newcomer."""
    return Forgetting(IngestQueue(1)).next(table, set())


def test_who_is_silent_longest_and_what_became_of_each_seq_is_known_as_before(
    node: DrivenNode,
) -> None:
    """Raft-cases 55: whoever has to leave leaves in the same order, and a resend is answered with
    the first outcome, from a Checkpoint as from what it was made of."""
    node.send("first", ("room/3", 1))
    node.send("probe", ("room/1", 22), ("nobody/hears/this", 1))
    node.checkpoint()
    table = node.core.committed.producers
    restored, _ = restore(reversed(places(node)), node.directory.cluster)
    assert restored is not None
    found = restored.state.producers
    left = []
    while (name := next_to_go(found)) is not None:
        assert name == next_to_go(table)
        last_seq = table.rows[name].last_seq
        assert found.outcomes(name, 1, last_seq) == table.outcomes(name, 1, last_seq)
        assert found.total == table.total
        found, table = found.without(name), table.without(name)
        left.append(name)
    assert left == ["other", "first", "probe"]


def test_the_shelf_knows_what_will_expire(node: DrivenNode) -> None:
    restored, _ = restore(reversed(places(node)), node.directory.cluster)
    assert restored is not None
    tick = restored.state.tick + 50 * limits.MS // limits.TICK_PERIOD_NS
    assert restored.shelf.due(tick, restored.state.world, 0) == ["room/2"]


def test_a_damaged_checkpoint_is_said_and_the_next_place_is_taken(node: DrivenNode) -> None:
    path = places(node)[1].checkpoint
    assert path is not None
    path.write_bytes(path.read_bytes()[:-1])
    restored, faults = restore(reversed(places(node)), node.directory.cluster)
    assert restored is not None
    assert restored.start.checkpoint is None
    assert [str(path) in str(fault) for fault in faults] == [True]


def test_a_checkpoint_whose_cells_have_another_digest_is_not_used(node: DrivenNode) -> None:
    directory = node.directory
    path = places(node)[1].checkpoint
    assert path is not None
    found = checkpoint.load(path, directory.cluster)
    head, table = found.head, table_in(found.producers)
    writer = CheckpointWriter(directory.checkpoints_path, directory.cluster, head, table)
    writer.add(list(found.cells)[:-1])
    writer.finish()
    restored, faults = restore(places(node)[1:], directory.cluster)
    assert restored is None
    assert isinstance(faults[0], CheckpointDamaged)
    assert f"its head states {head['digest'].hex()}" in str(faults[0])


def test_without_a_place_there_is_nothing_to_restore(node: DrivenNode) -> None:
    assert restore([], node.directory.cluster) == (None, [])
