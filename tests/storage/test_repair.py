"""storage/repair: a damaged ledger is kept for people, and the node knows that it is not whole."""

from pathlib import Path

import pytest

from rmf import limits
from rmf.core.raft.raft_values import HardState
from rmf.errors import DiskFailed
from rmf.storage.directory import DataDirectory
from rmf.storage.repair import is_repairing, repaired, set_aside
from tests.core.author import Author
from tests.storage.crashes import crash_states
from tests.storage.ledger_kit import SEGMENT_BYTES, file_bytes_limit
from tests.storage.written_node import CLUSTER, WrittenNode, written_node


def lived(node: WrittenNode) -> None:
    """An Entry or two, a vote, a Checkpoint and an archive."""
    node.write(*node.author.genesis(), node.author.hard("n2"))
    for _ in range(30):
        node.write(node.author.tick("a"))
    node.commit()
    node.checkpoint()
    node.archive()
    node.write(node.author.tick("b"))


def aside(path: Path, why: str = "record 7 is gone") -> Path:
    return set_aside(path, CLUSTER, why, first_segment_bytes=SEGMENT_BYTES)


def names(path: Path) -> set[str]:
    parts = ("ledger", "checkpoints", "archive")
    return {f"{part}/{p.name}" for part in parts for p in (path / part).iterdir()}


def test_the_damaged_one_is_kept_whole_and_an_empty_one_begun(tmp_path: Path) -> None:
    with written_node(tmp_path / "n1") as node:
        lived(node)
        before = names(node.path)
        assert {x.partition("/")[0] for x in before} == {"ledger", "checkpoints", "archive"}
        place = aside(node.path)
        assert (place.name, names(place)) == ("damaged-1", before)
        assert is_repairing(node.path) == "record 7 is gone"
        assert node.records() == []
        assert node.copy.read() == HardState(1, "n2")
        node.reopen()
        assert node.records() == []
        node.author = Author(CLUSTER)
        node.write(*node.author.genesis())
        assert len(node.records()) == 2


def test_it_is_repairing_until_it_is_said_to_be_repaired(tmp_path: Path) -> None:
    with written_node(tmp_path / "n1") as node:
        assert is_repairing(node.path) is None
        aside(node.path)
        node.reopen()
        assert is_repairing(node.path) == "record 7 is gone"
        repaired(node.path)
        assert is_repairing(node.path) is None
        repaired(node.path)


def test_a_marker_that_cannot_be_read_is_still_one(tmp_path: Path) -> None:
    (tmp_path / "repairing").write_bytes(b"\xff")
    assert is_repairing(tmp_path) == "repairing says so, and cannot be read"


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    with written_node(tmp_path / "n1") as node:
        for _ in range(limits.DAMAGED_LEDGERS_KEPT + 2):
            aside(node.path)
        kept = sorted(p.name for p in node.path.glob("damaged-*"))
        assert kept == ["damaged-3", "damaged-4"]


def test_wherever_it_was_interrupted_the_same_call_goes_on(tmp_path: Path) -> None:
    with written_node(tmp_path / "n1") as node:
        lived(node)
        before = names(node.path)
    states = crash_states(node.path, tmp_path / "states", lambda: aside(node.path))
    assert len(states) > 15
    for number, state in enumerate(states):
        # The marker comes first: an empty ledger is never taken for a whole one.
        directory = DataDirectory.open(state, node="n1", found=False)
        assert directory.cluster == CLUSTER
        directory.close()
        if names(state) != before:
            assert is_repairing(state) == "record 7 is gone"
            assert any(names(place) == before for place in state.glob("damaged-*"))
        else:
            assert number < len(states) - 1
            place = aside(state)
            assert names(place) == before
            assert is_repairing(state) == "record 7 is gone"


def test_a_disk_that_fails_is_said(tmp_path: Path) -> None:
    with written_node(tmp_path / "n1") as node:
        before = names(node.path)
        with file_bytes_limit(SEGMENT_BYTES // 2), pytest.raises(DiskFailed, match="setting aside"):
            aside(node.path)
        assert names(node.path) == before
        assert is_repairing(node.path) is not None
