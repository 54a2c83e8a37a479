"""What a backup is made of: parts that belong together, read beside a node at work."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rmf import limits
from rmf.errors import ProtocolFault
from rmf.line import board
from rmf.storage import checkpoint
from rmf.storage.backup_source import BackupSource
from rmf.storage.dlq_reader import DlqReader
from tests.driven_node import DrivenNode, node_in
from tests.storage.dlq_letters import letter


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DrivenNode]:
    with node_in(tmp_path / "n1", board) as made:
        made.send("probe", ("room/1", 20.5), ("bad", b"\xff"))
        made.checkpoint()
        made.store.put_line(
            [letter(2)], made.core.committed.index
        )  # as each wish for a Checkpoint does
        yield made


def parts_of(source: BackupSource, into: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """Put the pieces together, as whoever takes a backup does."""
    facts, *bodies = source.bodies()
    into.mkdir()
    for body in bodies:
        assert len(body["data"]) <= limits.BACKUP_PIECE_BYTES
        with (into / body["part"]).open("ab") as file:
            assert file.tell() == body["offset"]
            file.write(body["data"])
    for body in bodies:
        assert (into / body["part"]).stat().st_size == body["total"]
    return facts, {name: into / name for name in facts["parts"]}


def test_a_checkpoint_and_every_letter_up_to_it(node: DrivenNode, tmp_path: Path) -> None:
    index = node.core.committed.index
    with closing(BackupSource(node.directory, index)) as source:
        facts, parts = parts_of(source, tmp_path / "parts")
    assert (facts["node"], facts["cluster"]) == ("n1", node.directory.cluster)
    assert (facts["index"], facts["digest"]) == (index, node.core.committed.digest())
    written, dlq = parts.values()
    assert checkpoint.verified(written, node.directory.cluster).cells == 1
    with closing(DlqReader.open(dlq)) as reader:
        assert reader.stats().letters == 1
        assert reader.cursor() >= index


def test_what_goes_meanwhile_is_read_all_the_same(node: DrivenNode, tmp_path: Path) -> None:
    with closing(BackupSource(node.directory, 1)) as source:
        node.send("probe", ("bad", b"\xff"))
        for path in node.directory.checkpoints_path.iterdir():
            path.unlink()
        _, parts = parts_of(source, tmp_path / "parts")
    written, dlq = parts.values()
    assert checkpoint.verified(written, node.directory.cluster).cells == 1
    with closing(DlqReader.open(dlq)) as reader:
        assert reader.stats().letters == 1


def test_it_leaves_nothing_behind(node: DrivenNode) -> None:
    before = sorted(node.path.iterdir())
    with closing(BackupSource(node.directory, 1)) as source:
        assert sorted(node.path.iterdir()) == before
        list(source.bodies())
    assert sorted(node.path.iterdir()) == before


def test_without_a_checkpoint_it_says_what_must_come_first(node: DrivenNode) -> None:
    node.send("probe", ("room/1", 21))
    with pytest.raises(ProtocolFault, match=r"admin\.checkpoint") as caught:
        BackupSource(node.directory, node.core.committed.index)
    assert caught.value.code == "not_ready"
