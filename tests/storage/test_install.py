"""storage/install: a Checkpoint in pieces takes the place of a ledger, whole or not at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from rmf import limits
from rmf.core.events import ChunkWritten
from rmf.core.raft.peer_messages import Chunk, ChunkReply
from rmf.core.state import head_of
from rmf.errors import DiskFailed
from rmf.storage import checkpoint
from rmf.storage.archive import starts
from rmf.storage.checkpoint import CheckpointWriter
from rmf.storage.chunks import ChunkReader
from rmf.storage.directory import DataDirectory
from rmf.storage.install import Receiver
from rmf.storage.restore import Restored, restore
from rmf.storage.scan import LedgerScan
from rmf.storage.swap_directories import READY, take_place
from tests.storage.crashes import crash_states
from tests.storage.ledger_kit import SEGMENT_BYTES, file_bytes_limit
from tests.storage.written_node import CLUSTER, WrittenNode, written_node

PIECE = 40
OWN_SERIAL = 1234


@pytest.fixture
def leader(tmp_path: Path) -> Iterator[WrittenNode]:
    with written_node(tmp_path / "n1") as made:
        made.write(*made.author.genesis(), *(made.author.tick("a", "b") for _ in range(10)))
        made.commit()
        made.checkpoint()
        yield made


@pytest.fixture
def node(tmp_path: Path) -> Iterator[WrittenNode]:
    """One that got the first few Entries and no more."""
    with written_node(tmp_path / "n2", "n2") as made:
        made.write(*made.author.genesis(), made.author.tick("a", "b"))
        yield made


def receiver(path: Path) -> Receiver:
    return Receiver(path, CLUSTER, first_segment_bytes=SEGMENT_BYTES)


class Sending:
    """A leader that sends its newest Checkpoint, a piece whenever the receiver asks for one."""

    def __init__(self, leader: WrittenNode, to: Receiver, piece: int = PIECE) -> None:
        self.source = ChunkReader(leader.directory.checkpoints, CLUSTER)
        self.to = to
        self.piece = piece
        self.offset = 0
        self.sent = 0

    def chunk(self) -> Chunk:
        found = self.source.read("n2", None, self.offset, self.piece)
        place = (found.index, found.entry_term, found.chain, found.content)
        return Chunk(7, *place, found.total, found.offset, found.data, 3)

    def send(self, **changed: Any) -> ChunkWritten:
        chunk = self.chunk()._replace(**changed)
        heard = self.to.take("n1", chunk, OWN_SERIAL)
        assert heard.reply == ChunkReply(7, chunk.index, chunk.content, heard.reply.offset, True, 3)
        self.offset = heard.reply.offset
        self.sent += 1
        return heard

    def send_all(self) -> ChunkWritten:
        while not (heard := self.send()).complete:
            assert self.sent < 1000
        return heard


def begun_at(path: Path) -> tuple[Restored, LedgerScan]:
    """Open a directory, and read it as a node does."""
    directory = DataDirectory.open(path, node="n2", found=False)
    try:
        places = starts(directory.ledgers, directory.checkpoints, directory.cluster)
        restored, faults = restore(reversed(places), directory.cluster)
        assert restored is not None
        assert faults == []
        scan = LedgerScan(directory.ledgers, directory.cluster, restored.start.base)
        list(scan)
        return restored, scan
    finally:
        directory.close()


def test_what_came_piece_by_piece_takes_the_place_of_the_ledger(
    leader: WrittenNode, node: WrittenNode
) -> None:
    sending = Sending(leader, receiver(node.path))
    heard = sending.send_all()
    assert heard.reply.offset == sending.chunk().total
    assert sending.sent > 10
    node.directory.close()
    restored, scan = begun_at(node.path)
    state, draft = leader.author.state, leader.author.drafts[-1]
    assert head_of(restored.state) == head_of(state)
    assert restored.state.producers.rows == state.producers.rows
    assert dict(restored.state.world.cells.items()) == dict(state.world.cells.items())
    assert attrs.astuple(restored.start.base) == (OWN_SERIAL, state.index, 1, draft.chain)
    assert scan.tail is not None
    assert (scan.tail.base, scan.cut) == (restored.start.base, None)
    assert not {"boot_id", "clock"} & set(restored.head)
    assert not (node.path / "install").exists()


def test_the_ledger_goes_on_behind_it(leader: WrittenNode, node: WrittenNode) -> None:
    Sending(leader, receiver(node.path)).send_all()
    node.reopen()
    author = leader.author
    (start,) = starts(node.directory.ledgers, node.directory.checkpoints, CLUSTER)
    node.base = start.base
    node.write(author.tick("c"), author.tick("d"))
    assert [(r.serial, r.index) for r in node.records()] == [
        (OWN_SERIAL + 1, author.index - 1),
        (OWN_SERIAL + 2, author.index),
    ]
    before = node.path / "before-install" / "ledger"
    assert len(list(before.glob("*.seg"))) == 1


def test_it_goes_on_after_a_restart_with_the_last_piece(
    leader: WrittenNode, node: WrittenNode
) -> None:
    size = limits.INSTALL_CHUNK_BYTES
    for letter in "xyz":
        leader.write(leader.author.tick(*(f"{n}/{letter * 900}" for n in range(900))))
    leader.commit()
    leader.checkpoint()
    sending = Sending(leader, receiver(node.path), size)
    sending.send()
    assert sending.send().reply.offset == 2 * size
    sending.to = receiver(node.path)  # a restart
    sending.offset = 0
    assert sending.send().reply.offset == size  # nothing was kept of it; this is what is wanted
    assert sending.send_all().complete


def test_a_piece_out_of_order_says_what_is_wanted(leader: WrittenNode, node: WrittenNode) -> None:
    """Raft-cases 50: pieces out of order."""
    sending = Sending(leader, receiver(node.path))
    sending.send()
    for offset in (0, 3 * PIECE):
        assert sending.to.take("n1", sending.chunk()._replace(offset=offset), 1).reply.offset == (
            PIECE
        )
    assert sending.send().reply.offset == 2 * PIECE
    assert sending.to.fault is None


def test_once_it_is_whole_it_says_so_again(leader: WrittenNode, node: WrittenNode) -> None:
    sending = Sending(leader, receiver(node.path))
    sending.send_all()
    ready = (node.path / READY / "ready").stat().st_ino
    assert sending.send().complete
    assert (node.path / READY / "ready").stat().st_ino == ready


def test_another_checkpoint_starts_over(leader: WrittenNode, node: WrittenNode) -> None:
    """Raft-cases 50: an abandoned stream is collected, as when another leader has another one."""
    sending = Sending(leader, receiver(node.path))
    sending.send()
    sending.send()
    leader.write(leader.author.tick("c"))
    leader.commit()
    leader.checkpoint()
    assert sending.send().reply.offset == 0
    assert sending.send_all().complete
    node.directory.close()
    assert begun_at(node.path)[0].state.digest() == leader.author.state.digest()


def refused(sending: Sending, **changed: Any) -> str:
    """Send all of it, changed; return why it was no good."""
    while True:
        heard = sending.send(**changed)
        assert not heard.complete
        if sending.to.fault is not None:
            assert heard.reply.offset == 0
            assert not (sending.to._directory / "install").exists()
            return sending.to.fault


def test_a_checkpoint_that_is_not_the_one_named_is_no_good(
    leader: WrittenNode, node: WrittenNode
) -> None:
    sending = Sending(leader, receiver(node.path))
    for changed in ({"chain": b"?" * 16}, {"entry_term": 9}, {"content": b"?" * 16}):
        assert "not the Checkpoint that the leader named" in refused(sending, **changed)
    assert "renamed" in refused(sending, index=99)
    assert sending.send_all().complete


def test_a_byte_changed_on_the_way_is_found(leader: WrittenNode, node: WrittenNode) -> None:
    sending = Sending(leader, receiver(node.path))
    sending.send()
    chunk = sending.chunk()
    sending.send(data=bytes([chunk.data[0] ^ 1]) + chunk.data[1:])
    assert "CheckpointDamaged" in refused(sending)
    assert sending.send_all().complete


def test_a_state_that_has_not_the_digest_it_states_is_no_good(
    leader: WrittenNode, node: WrittenNode
) -> None:
    """Raft-cases 53: the old state stays untouched, and the next Checkpoint is taken."""
    before, records = node.author.state.index, node.records()
    leader.checkpoint(digest=b"?" * 16)
    assert "3f3f3f" in refused(Sending(leader, receiver(node.path)))
    assert not (node.path / READY).exists()
    node.reopen()
    assert node.records() == records
    node.directory.close()
    assert begun_at(node.path)[1].tail.base.index == before  # type: ignore[union-attr]
    leader.write(leader.author.tick("c"))
    leader.commit()
    leader.checkpoint()
    assert Sending(leader, receiver(node.path)).send_all().complete


def test_a_head_of_another_release_is_no_good(leader: WrittenNode, node: WrittenNode) -> None:
    head = checkpoint.head_of(checkpoint.newest(leader.directory.checkpoints_path)[0], CLUSTER)
    del head["line"]
    writer = CheckpointWriter(leader.directory.checkpoints_path, CLUSTER, head)
    writer.finish()
    assert "KeyError" in refused(Sending(leader, receiver(node.path)))


def test_a_checkpoint_of_another_cluster_is_no_good(leader: WrittenNode, node: WrittenNode) -> None:
    to = Receiver(node.path, b"another cluster.", first_segment_bytes=SEGMENT_BYTES)
    assert "ForeignDirectory" in refused(Sending(leader, to))


def test_more_bytes_than_were_announced_are_not_kept(
    leader: WrittenNode, node: WrittenNode
) -> None:
    sending = Sending(leader, receiver(node.path))
    assert sending.send(total=PIECE - 1).reply.offset == 0
    assert sending.to.fault is not None
    assert "ends behind" in sending.to.fault


def test_without_room_on_the_disk_nothing_is_kept(leader: WrittenNode, node: WrittenNode) -> None:
    """Raft-cases 46: no space."""
    sending = Sending(leader, receiver(node.path))
    assert sending.send(total=2**60).reply.offset == 0
    assert sending.to.fault is not None
    assert "no room" in sending.to.fault


def test_a_disk_that_fails_is_said(leader: WrittenNode, node: WrittenNode) -> None:
    sending = Sending(leader, receiver(node.path))
    with file_bytes_limit(PIECE // 2), pytest.raises(DiskFailed, match="receiving a Checkpoint"):
        sending.send()


def test_entries_that_were_promised_meanwhile_are_not_given_up(
    leader: WrittenNode, node: WrittenNode
) -> None:
    """Between the last piece and the exchange another leader appended, and this node promised
    (raft-cases 54)."""
    Sending(leader, receiver(node.path)).send_all()
    author = node.author
    node.write(*(author.tick("a", "b") for _ in range(9)), author.tick("promised"))
    node.reopen()
    assert [r.body for r in node.entries()] == [draft.body for draft in author.drafts[1:]]
    assert not (node.path / READY).exists()


def test_wherever_it_was_interrupted_it_is_the_old_ledger_or_the_new(
    leader: WrittenNode, node: WrittenNode, tmp_path: Path
) -> None:
    node.directory.close()

    def install() -> None:
        Sending(leader, receiver(node.path), 10**6).send_all()
        take_place(node.path, CLUSTER)

    old = node.author.state.index  # nothing says that it is committed; still it is there
    new = leader.author.state.index
    states = crash_states(node.path, tmp_path / "states", install)
    assert len(states) > 20
    seen = []
    for state in states:
        restored, scan = begun_at(state)
        assert scan.tail is not None
        seen.append(scan.tail.base.index)
        if scan.tail.base.index == new:
            assert restored.state.digest() == leader.author.state.digest()
        else:
            assert scan.tail.base.index == old
            assert Sending(leader, receiver(state), 10**6).send_all().complete
            assert begun_at(state)[0].state.index == new
    assert (seen[0], seen[-1]) == (old, new)
    assert seen == sorted(seen)
