"""storage/chunks: the newest Checkpoint that verifies, piece by piece, wherever it lies by now."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rmf.core.events import ChunkRead
from rmf.storage import checkpoint
from rmf.storage.chunks import ChunkReader
from tests.storage.ledger_kit import overwrite
from tests.storage.written_node import CLUSTER, WrittenNode, written_node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[WrittenNode]:
    with written_node(tmp_path / "n1") as made:
        made.write(*made.author.genesis(), *(made.author.tick("a", "b") for _ in range(20)))
        made.commit()
        yield made


@pytest.fixture
def reader(node: WrittenNode) -> ChunkReader:
    return ChunkReader(node.directory.checkpoints, CLUSTER)


def whole(
    reader: ChunkReader, bytes_max: int = 100, *, peer: str = "n2"
) -> tuple[ChunkRead, bytes]:
    """The first piece of the newest, and all pieces together."""
    first = piece = reader.read(peer, None, 0, bytes_max)
    data = first.data
    while len(data) < first.total:
        piece = reader.read(peer, first.content, len(data), bytes_max)
        assert (piece.peer, piece.content, piece.offset) == (peer, first.content, len(data))
        assert 0 < len(piece.data) <= bytes_max
        data += piece.data
    return first, data


def test_the_pieces_together_are_the_file_byte_for_byte(
    node: WrittenNode, reader: ChunkReader
) -> None:
    node.checkpoint(index=5)
    path = node.checkpoint()
    first, data = whole(reader)
    assert data == path.read_bytes()
    draft = node.author.drafts[-1]
    assert (first.index, first.entry_term, first.chain) == (draft.index, draft.term, draft.chain)
    assert first.content == checkpoint.verified(path, CLUSTER).content
    end = reader.read("n2", first.content, first.total)
    assert (end.total, end.data) == (first.total, b"")


def test_without_a_checkpoint_there_is_none(reader: ChunkReader) -> None:
    assert reader.read("n2", None, 0) == ChunkRead("n2", 0, 0, b"", b"", 0, 0, b"")
    assert reader.read("n2", b"unknown", 0).total == 0


def test_a_damaged_one_is_passed_over(node: WrittenNode, reader: ChunkReader) -> None:
    before = node.checkpoint(index=5)
    newest = node.checkpoint()
    overwrite(newest, newest.stat().st_size // 2, b"\xff\xff")
    assert whole(reader)[1] == before.read_bytes()
    overwrite(before, 40, b"\xff\xff")
    assert ChunkReader(node.directory.checkpoints, CLUSTER).read("n2", None, 0).total == 0


def test_a_peer_that_began_with_one_gets_it_to_its_end_wherever_it_lies_or_if_it_was_shed(
    node: WrittenNode, reader: ChunkReader
) -> None:
    path = node.checkpoint(index=5)
    content = path.read_bytes()
    first = reader.read("n2", None, 0, 100)
    node.checkpoint()
    node.archive()
    assert not path.exists()
    assert reader.read("n2", first.content, 100, 100).data == content[100:200]
    (node.directory.archive_path / path.name).unlink()
    assert reader.read("n2", first.content, 200, 100).data == content[200:300]
    assert reader.read("n3", None, 0).index == node.author.index  # who begins now gets the newest
    assert reader.read("n2", first.content, 300, 100).data == content[300:400]


def test_what_is_sent_to_no_peer_any_more_is_closed(node: WrittenNode, reader: ChunkReader) -> None:
    def held() -> set[str]:
        names = (str(x.readlink()) for x in Path("/proc/self/fd").iterdir() if x.exists())
        return {name for name in names if str(node.directory.path) in name and ".ckpt" in name}

    node.checkpoint(index=5)
    old = reader.read("n2", None, 0)
    node.checkpoint()
    new = reader.read("n3", None, 0)
    assert len(held()) == 2
    reader.keep({"n3"})
    assert len(held()) == 1
    assert reader.read("n2", old.content, 0).total == 0
    assert reader.read("n2", new.content, 0).total > 0
    reader.read("n3", None, 0)
    reader.close()
    assert held() == set()


def test_another_file_in_its_place_is_another_checkpoint(
    node: WrittenNode, reader: ChunkReader
) -> None:
    before = node.checkpoint().read_bytes()
    first = reader.read("n2", None, 0, 100)
    path = node.checkpoint(clock=[1, 2])
    second, data = whole(reader, peer="n3")
    assert second.content != first.content
    assert data == path.read_bytes()
    assert reader.read("n2", first.content, 100, 100).data == before[100:200]


def test_a_place_outside_of_it_is_none(node: WrittenNode, reader: ChunkReader) -> None:
    node.checkpoint()
    first = reader.read("n2", None, 0)
    assert reader.read("n2", first.content, -1).total == 0
    assert reader.read("n2", first.content, first.total + 1).total == 0
