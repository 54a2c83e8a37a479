"""storage/hard_state: the second copy of the vote, whole or not at all, and written first."""

from collections.abc import Iterator
from pathlib import Path

import attrs
import cbor2
import pytest

from rmf.core.raft.raft_values import HardState
from rmf.core.record import HARD
from rmf.errors import DiskFailed, ForeignDirectory, StorageError
from rmf.storage.framing import frame_of
from rmf.storage.hard_state import HardStateCopy
from tests.storage.crashes import crash_states
from tests.storage.ledger_kit import file_bytes_limit
from tests.storage.written_node import WrittenNode, written_node


@pytest.fixture
def copy(tmp_path: Path) -> HardStateCopy:
    return HardStateCopy(tmp_path, b"cluster", b"incarnation")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[WrittenNode]:
    with written_node(tmp_path / "n1") as made:
        yield made


@pytest.mark.parametrize("hard", [HardState(1, "n1"), HardState(3, "n2"), HardState(2**40, "ñ")])
def test_what_was_written_is_read_back(copy: HardStateCopy, hard: HardState) -> None:
    assert copy.read() is None
    copy.write(HardState(0, None))
    assert copy.read() == HardState(0, None)
    copy.write(HardState(1, "n1"))
    copy.write(hard)
    assert copy.read() == hard


@pytest.mark.parametrize("hard", [HardState(2, "n1"), HardState(3, None), HardState(3, "n3")])
def test_term_and_vote_never_go_back(copy: HardStateCopy, hard: HardState) -> None:
    """A term that falls and a second vote in one term are a fault of this node's own."""
    copy.write(HardState(3, "n2"))
    with pytest.raises(AssertionError, match="goes back"):
        copy.write(hard)
    assert copy.read() == HardState(3, "n2")


def test_every_flipped_bit_and_every_cut_is_found(copy: HardStateCopy) -> None:
    copy.write(HardState(3, "n2"))
    content = copy.path.read_bytes()
    for offset in range(len(content)):
        for bit in range(8):
            copy.path.write_bytes(
                content[:offset] + bytes([content[offset] ^ 1 << bit]) + content[offset + 1 :]
            )
            with pytest.raises(StorageError, match="vote cannot be read"):
                copy.read()
        copy.path.write_bytes(content[:offset])
        with pytest.raises(StorageError, match="vote cannot be read"):
            copy.read()


@pytest.mark.parametrize(
    "fields",
    [
        7,
        [],
        ["rmf-vote", 1, b"cluster", b"incarnation", "3", None],
        ["rmf-vote", 2, b"cluster", b"incarnation", 3, None],
        ["rmf-other", 1, b"cluster", b"incarnation", 3, None],
        ["rmf-vote", 1, b"cluster", b"incarnation", 3, 4],
        ["rmf-vote", 1, b"cluster", b"incarnation", 3, None, None],
    ],
)
def test_what_is_no_vote_is_said(copy: HardStateCopy, fields: object) -> None:
    copy.path.write_bytes(frame_of(cbor2.dumps(fields)))
    with pytest.raises(StorageError, match="vote cannot be read"):
        copy.read()


def test_the_vote_of_another_node_is_refused(copy: HardStateCopy, tmp_path: Path) -> None:
    copy.write(HardState(3, "n2"))
    for other in (
        HardStateCopy(tmp_path, b"another", b"incarnation"),
        HardStateCopy(tmp_path, b"cluster", b"another"),
    ):
        with pytest.raises(ForeignDirectory):
            other.read()


def test_a_crash_leaves_the_old_or_the_new(copy: HardStateCopy, tmp_path: Path) -> None:
    copy.write(HardState(3, "n2"))
    later = HardState(4, None)
    states = crash_states(tmp_path, tmp_path.with_name("states"), lambda: copy.write(later))
    found = [HardStateCopy(state, b"cluster", b"incarnation").read() for state in states]
    assert found == [HardState(3, "n2"), later]


def test_the_copy_is_written_before_the_record_and_never_behind_it(
    node: WrittenNode, tmp_path: Path
) -> None:
    node.author.term = 3
    node.write(node.author.hard("n2"))
    assert node.copy.read() == HardState(3, "n2")
    node.write(attrs.evolve(node.author.hard(), term=4, body=cbor2.dumps([4, "n3"])))
    assert node.copy.read() == HardState(4, "n3")
    assert [r.kind for r in node.records()] == [HARD, HARD]


def test_a_vote_whose_copy_cannot_be_written_is_not_in_the_ledger(node: WrittenNode) -> None:
    with file_bytes_limit(16), pytest.raises(DiskFailed, match=r"writing .*vote failed"):
        node.write(node.author.hard("n2"))
    assert node.records() == []
