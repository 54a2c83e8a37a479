"""The catch-up: Entries and Checkpoints for peers, and a Checkpoint from the leader (R28)."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core.effects import MarkWhole, ReadChunk, ReadEntries, WriteChunk
from rmf.core.events import ChunkRead, ChunkWritten, DiskFault, EntriesRead, WholeMarked
from rmf.core.raft.peer_messages import Chunk
from rmf.core.record import GENESIS_CHAIN
from rmf.floor.asking import file_turn
from rmf.floor.data import catch_up
from rmf.floor.data.file_turns import FileTurns
from rmf.floor.doors import Doors
from rmf.floor.items import CatchUpItem
from rmf.floor.stand_ins import give_no_turn
from rmf.floor.supervisor import InProgress
from rmf.storage.repair import is_repairing, set_aside
from rmf.storage.sending import Sending
from rmf.storage.swap_directories import READY
from tests.floor.wire import PATIENCE_S
from tests.storage.ledger_kit import file_bytes_limit
from tests.storage.written_node import CLUSTER, WrittenNode, written_node


@pytest.fixture
def leader(tmp_path: Path) -> Iterator[WrittenNode]:
    """A node with Entries 1 to 22 on its disk, all of them committed."""
    with written_node(tmp_path / "n1") as made:
        made.write(*made.author.genesis(), *(made.author.tick("a", "b") for _ in range(20)))
        made.commit()
        yield made


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[WrittenNode]:
    """One that has the first few."""
    with written_node(tmp_path / "n2", "n2") as made:
        made.write(*made.author.genesis())
        yield made


class Working:
    """A catch-up that runs, with a test in the place of the Arbiter."""

    def __init__(self, node: WrittenNode) -> None:
        self.node = node
        self.doors = Doors()
        self.sending = Sending()

    async def run(self, gives_turns: bool) -> None:
        serial = 77
        directory = self.node.directory
        async with trio.open_nursery() as nursery:
            if gives_turns:
                nursery.start_soon(FileTurns(self.doors).run, InProgress())
            else:
                nursery.start_soon(give_no_turn, self.doors, "it failed")
            await catch_up.run(self.doors, directory, lambda: serial, self.sending, InProgress())

    def wish(self, item: CatchUpItem) -> None:
        self.doors.catch_up.send_nowait(item)

    async def word(self) -> Any:
        with trio.fail_after(PATIENCE_S):
            return await self.doors.events_out.receive()

    async def ask(self, item: CatchUpItem) -> Any:
        self.wish(item)
        return await self.word()


@asynccontextmanager
async def working(node: WrittenNode, *, gives_turns: bool = True) -> AsyncIterator[Working]:
    at_work = Working(node)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at_work.run, gives_turns)
        yield at_work
        nursery.cancel_scope.cancel()


def chunk_of(read: ChunkRead) -> Chunk:
    """What a leader sends of what it read."""
    return Chunk(
        1,
        read.index,
        read.entry_term,
        read.chain,
        read.content,
        read.total,
        read.offset,
        read.data,
        3,
    )


async def test_entries_are_read_for_several_peers_each_from_where_it_stands(
    leader: WrittenNode,
) -> None:
    async with working(leader) as work:
        work.wish(ReadEntries("n2", 0, 22))
        work.wish(ReadEntries("n3", 20, 21))
        found = {event.peer: event for event in (await work.word(), await work.word())}
        two, three = found["n2"], found["n3"]
        assert isinstance(two, EntriesRead)
        assert (two.after_index, two.after_chain) == (0, GENESIS_CHAIN)
        assert [x.body for x in two.entries] == [x.body for x in leader.entries()]
        assert [x.body for x in three.entries] == [leader.author.drafts[21].body]
        assert three.after_chain == leader.author.drafts[20].chain
        more = await work.ask(ReadEntries("n3", 21, 22))
        assert [x.body for x in more.entries] == [leader.author.drafts[22].body]


async def test_what_the_ledger_holds_no_more_is_said_to_be_gone(leader: WrittenNode) -> None:
    leader.checkpoint()
    for _ in range(30):  # so that a new segment begins
        leader.write(leader.author.tick("a"))
    leader.checkpoint()
    leader.archive()
    for path in leader.directory.archive_path.glob("*.seg"):
        path.unlink()
    async with working(leader) as work:
        event = await work.ask(ReadEntries("n2", 0, 22))
        assert (event.peer, event.entries) == ("n2", [])


async def test_a_checkpoint_goes_from_one_node_to_another_piece_by_piece(
    leader: WrittenNode, behind: WrittenNode
) -> None:
    path = leader.checkpoint()
    async with working(leader) as here, working(behind) as there:
        read = await here.ask(ReadChunk("n2", None, 0))
        data = b""
        while True:
            assert isinstance(read, ChunkRead)
            data += read.data
            written = await there.ask(WriteChunk("n1", chunk_of(read)))
            assert isinstance(written, ChunkWritten)
            assert written.reply.offset == len(data)
            if written.complete:
                break
            read = await here.ask(ReadChunk("n2", read.content, written.reply.offset))
        assert data == path.read_bytes()
    assert (behind.path / READY / "ledger").is_dir()


async def test_what_a_peer_is_sent_is_noted_so_that_it_stays(leader: WrittenNode) -> None:
    leader.checkpoint(index=9)
    async with working(leader) as work:

        def oldest() -> int | None:
            return work.sending.oldest(trio.current_time())

        first = await work.ask(ReadChunk("n2", None, 0))
        assert oldest() == 9
        await work.ask(ReadEntries("n3", 5, 22))
        assert oldest() == 5
        await work.ask(ReadEntries("n3", 22, 22))  # it has all there is
        await work.ask(ReadEntries("n2", first.index, 22))
        assert oldest() == 5


async def test_a_peer_whose_checkpoint_was_given_up_starts_over(leader: WrittenNode) -> None:
    leader.checkpoint(index=9)
    async with working(leader) as work:
        first = await work.ask(ReadChunk("n2", None, 0))
        assert (await work.ask(ReadChunk("n2", first.content, 0))).total == first.total
        work.sending.give_up()
        assert (await work.ask(ReadChunk("n2", first.content, 0))).total == 0
        assert (await work.ask(ReadChunk("n2", None, 0))).total == first.total


async def test_without_a_checkpoint_the_leader_hears_that_there_is_none(
    leader: WrittenNode,
) -> None:
    async with working(leader) as work:
        event = await work.ask(ReadChunk("n2", None, 0))
        assert (event.peer, event.total) == ("n2", 0)


async def test_a_piece_that_comes_to_nothing_is_answered_after_a_while(
    leader: WrittenNode, behind: WrittenNode
) -> None:
    """Else a leader with a damaged Checkpoint and its follower would keep each other busy."""
    leader.checkpoint()
    async with working(leader) as here, working(behind) as there:
        read = await here.ask(ReadChunk("n2", None, 0))
        broken = chunk_of(read)._replace(data=read.data + b"more than there is")
        began = trio.current_time()
        written = await there.ask(WriteChunk("n1", broken))
        assert (written.reply.offset, written.complete) == (0, False)
        assert trio.current_time() - began >= limits.CATCH_UP_RETRY_S


async def test_nothing_is_kept_while_a_ledger_takes_anothers_place(
    leader: WrittenNode, behind: WrittenNode
) -> None:
    leader.checkpoint()
    async with working(leader) as here, working(behind) as there:
        read = await here.ask(ReadChunk("n2", None, 0))
        async with file_turn(there.doors.file_turns):
            there.wish(WriteChunk("n1", chunk_of(read)))
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert not (behind.path / "install").exists()
        assert (await there.word()).reply.offset == len(read.data)


async def test_where_no_file_may_be_moved_any_more_a_piece_is_dropped_and_peers_are_served(
    leader: WrittenNode, behind: WrittenNode
) -> None:
    leader.checkpoint()
    async with working(leader) as here, working(behind, gives_turns=False) as there:
        read = await here.ask(ReadChunk("n2", None, 0))
        there.wish(WriteChunk("n1", chunk_of(read)))
        assert isinstance(await there.ask(ReadEntries("n3", 0, 0)), EntriesRead)
        assert not (behind.path / "install").exists()


async def test_a_wish_that_comes_again_while_it_is_under_way_is_done_once(
    leader: WrittenNode, behind: WrittenNode
) -> None:
    leader.checkpoint()
    async with working(leader) as here, working(behind) as there:
        chunk = chunk_of(await here.ask(ReadChunk("n2", None, 0)))
        async with file_turn(there.doors.file_turns):
            for _ in range(3):
                there.wish(WriteChunk("n1", chunk))
            await trio.testing.wait_all_tasks_blocked()
        assert isinstance(await there.word(), ChunkWritten)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert there.doors.events_out.statistics().current_buffer_used == 0


async def test_what_is_under_way_holds_up_no_other_kind_and_no_other_peer(
    leader: WrittenNode,
) -> None:
    leader.checkpoint()
    async with working(leader) as work:
        chunk = chunk_of(await work.ask(ReadChunk("n2", None, 0)))
        async with file_turn(work.doors.file_turns):
            work.wish(WriteChunk("n1", chunk))
            work.wish(WriteChunk("n3", chunk))  # dropped: one piece at a time, whoever sends it
            for peer in ("n2", "n3", "n2"):  # once it is answered, it is done again
                assert (await work.ask(ReadEntries(peer, 0, 22))).peer == peer
                assert (await work.ask(ReadChunk(peer, None, 0))).peer == peer
        assert (await work.word()).peer == "n1"
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert work.doors.events_out.statistics().current_buffer_used == 0


async def test_a_disk_that_fails_is_reported(leader: WrittenNode, behind: WrittenNode) -> None:
    leader.checkpoint()
    async with working(leader) as here, working(behind) as there:
        read = await here.ask(ReadChunk("n2", None, 0))
        with file_bytes_limit(16):
            event = await there.ask(WriteChunk("n1", chunk_of(read)))
        assert isinstance(event, DiskFault)
        assert "File too large" in event.why


async def test_what_cannot_be_read_for_one_peer_is_logged_and_others_are_served(
    leader: WrittenNode,
) -> None:
    (segment, *_) = leader.segments
    whole = segment.read_bytes()
    segment.write_bytes(whole[:200] + b"\xff" * 50 + whole[250:])
    async with working(leader) as work:
        work.wish(ReadEntries("n2", 0, 22))
        event = await work.ask(ReadChunk("n3", None, 0))
        assert isinstance(event, ChunkRead)
        assert work.doors.events_out.statistics().current_buffer_used == 0


async def test_a_node_that_is_repaired_forgets_that_it_was_not(behind: WrittenNode) -> None:
    set_aside(behind.path, CLUSTER, "record 7 is gone")
    behind.reopen()
    async with working(behind) as work:
        assert await work.ask(MarkWhole(whole=True, why="")) == WholeMarked(whole=True)
        assert is_repairing(behind.path) is None


async def test_a_node_that_has_less_than_it_said_notes_that_and_keeps_what_it_has(
    behind: WrittenNode,
) -> None:
    async with working(behind) as work:
        assert await work.ask(MarkWhole(whole=False, why="a lie")) == WholeMarked(whole=False)
        assert is_repairing(behind.path) == "a lie"
        assert not list(behind.path.glob("damaged-*"))


async def test_what_a_core_said_that_has_ended_marks_nothing(behind: WrittenNode) -> None:
    """Its ledger may have been set aside meanwhile: then this node is whole no more."""
    set_aside(behind.path, CLUSTER, "record 7 is gone")
    behind.reopen()
    async with working(behind) as work:
        async with file_turn(work.doors.file_turns):
            work.wish(MarkWhole(whole=True, why=""))
            await trio.testing.wait_all_tasks_blocked()
            work.doors.end_life()
        await trio.testing.wait_all_tasks_blocked()
        assert is_repairing(behind.path) == "record 7 is gone"


async def test_more_peers_than_there_can_be_members_leave_no_files_open(
    leader: WrittenNode,
) -> None:
    async with working(leader) as work:
        for i in range(2 * limits.MEMBERS_MAX):
            event = await work.ask(ReadEntries(f"n{i}", 0, 22))
            assert len(event.entries) == 22
        assert len(open_segments()) <= 2 * limits.MEMBERS_MAX


def open_segments() -> list[Path]:
    """The segments that this process has open."""
    held = list(Path("/proc/self/fd").iterdir())
    return [x for x in held if x.exists() and x.resolve().suffix == ".seg"]
