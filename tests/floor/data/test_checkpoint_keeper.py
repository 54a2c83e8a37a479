"""The checkpoint keeper: slices while others run, then the archive."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cbor2
import trio
import trio.testing

from rmf import limits
from rmf.core import messages as m
from rmf.core.effects import WriteCheckpoint
from rmf.core.events import CheckpointAsked, CheckpointEnded, DiskFault
from rmf.core.producer_table import Table
from rmf.core.world import Cell, World, mark_of
from rmf.floor.data import checkpoint_keeper
from rmf.floor.data.file_turns import FileTurns
from rmf.floor.items import EdgeLetter
from rmf.floor.latest import Newest
from rmf.floor.stand_ins import give_no_turn
from rmf.floor.supervisor import InProgress
from rmf.storage import checkpoint
from rmf.storage.sending import Sending
from tests.floor.kit import BOOT_ID, Bench, bench, reign
from tests.floor.wire import packet, until
from tests.storage.ledger_kit import file_bytes_limit, no_descriptor_left


def world_of(cells: int) -> World:
    made = {}
    for i in range(cells):
        fields = (cbor2.dumps(i), 1, 5, 0, "probe", 0, 0)
        made[f"cell/{i:06}"] = Cell(*fields, mark_of(f"cell/{i:06}", *fields))
    return World.of(made)


def wanted(world: World, index: int = 7) -> WriteCheckpoint:
    head = {"serial": index, "index": index, "term": 1, "chain": b"c" * 16, "version": 4}
    return WriteCheckpoint(index, head, Table.of({}), world)


@asynccontextmanager
async def keeping(alone: Bench, sending: Sending | None = None) -> AsyncIterator[None]:
    cursor = Newest(alone.doors.archive_cursor_out, 0)
    files, shared = (alone.directory, cursor), (sending or Sending(),)
    run = partial(checkpoint_keeper.run, alone.doors, *files, BOOT_ID, *shared)
    turns = alone.supervised("file_turns", FileTurns(alone.doors).run)
    async with turns, alone.supervised("checkpoint_keeper", run):
        yield


def hand_in(alone: Bench, wish: WriteCheckpoint) -> None:
    """Ask for a Checkpoint, as the arbiter does."""
    alone.doors.wish_for(wish)


async def word(alone: Bench) -> Any:
    with trio.fail_after(10):
        return await alone.doors.events_out.receive()


async def begun(alone: Bench) -> None:
    """Wait until something of a Checkpoint is there."""
    while not any(alone.directory.checkpoints_path.iterdir()):  # noqa: ASYNC110 nothing tells it
        await trio.lowlevel.checkpoint()


def pinned(world: World) -> bool:
    """Whether keys that are gone stay, for somebody who walks them."""
    world.index.add("a key")
    world.index.discard("a key")
    return "a key" in world.index


def checkpoints(alone: Bench) -> list[Path]:
    return checkpoint.newest(alone.directory.checkpoints_path)


async def test_every_cell_is_written_in_key_order_and_the_head_names_the_boot(
    tmp_path: Path,
) -> None:
    world = world_of(2 * limits.CHECKPOINT_SLICE_CELLS + 1)
    with bench(tmp_path) as alone:
        async with keeping(alone):
            hand_in(alone, wanted(world))
            ended = await word(alone)
        (path,) = checkpoints(alone)
        found = checkpoint.load(path, alone.directory.cluster)
        assert ended == CheckpointEnded(7, None, path.stat().st_size)
        assert found.head["boot_id"] == BOOT_ID
        assert list(found.cells) == [(key, *cell[:-1]) for key, cell in world.scan()]


async def test_what_can_be_sent_no_more_is_given_up(tmp_path: Path) -> None:
    sending = Sending()
    with bench(tmp_path) as alone:
        for index, given_up in ((0, False), (-1, True)):  # history begins behind 0
            sending.needs("n2", index, trio.current_time())
            async with keeping(alone, sending):
                hand_in(alone, wanted(world_of(1)))
                await word(alone)
            assert (sending.peers(trio.current_time()) == []) == given_up


async def test_others_run_between_the_slices(tmp_path: Path) -> None:
    passes = 0

    async def others() -> None:
        nonlocal passes
        while True:
            await trio.lowlevel.checkpoint()
            passes += 1

    with bench(tmp_path) as alone:
        async with keeping(alone), trio.open_nursery() as nursery:
            nursery.start_soon(others)
            hand_in(alone, wanted(world_of(5 * 500)))
            await word(alone)
            nursery.cancel_scope.cancel()
    assert passes >= 5


async def test_what_changes_meanwhile_is_not_in_it_and_no_key_is_lost(tmp_path: Path) -> None:
    world = world_of(3 * limits.CHECKPOINT_SLICE_CELLS)
    keys = [key for key, _ in world.scan()]
    with bench(tmp_path) as alone:
        async with keeping(alone):
            hand_in(alone, wanted(world))
            await begun(alone)
            draft = world.draft()
            for key in keys:  # the next Tick removes everything
                draft.remove(key)
                world.index.discard(key)
            await word(alone)
        rows = checkpoint.load(checkpoints(alone)[0], alone.directory.cluster).cells
        assert [row[0] for row in rows] == keys
        world.index.tidy(len(world.index))
    assert len(world.index) == 0  # unpinned again


async def test_no_tick_takes_a_key_from_what_waits_for_the_keeper(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guest = await ruling.join()
            await guest.send(packet(1))
            await guest.hear(m.Ack)
            await alone.doors.events.send(CheckpointAsked())
            wish = await alone.doors.checkpoints_out.receive()
            assert wish is not None
        index = wish.world.index
        alone.doors.publications_out.receive_nowait().let_go()
        index.discard("cell/a")  # as a Tick does that removes the cell
        alone.doors.checkpoints.put(wish)
        async with keeping(alone):
            while not isinstance(await word(alone), CheckpointEnded):
                pass
        rows = checkpoint.load(checkpoints(alone)[0], alone.directory.cluster).cells
        assert [row[0] for row in rows] == ["cell/a"]
        assert len(index) == 0


async def test_a_disk_that_fails_is_reported_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with keeping(alone):
            with file_bytes_limit(16):
                hand_in(alone, wanted(world_of(3)))
                fault, ended = await word(alone), await word(alone)
            assert isinstance(fault, DiskFault)
            assert ended == CheckpointEnded(7, fault.why)
            assert "File too large" in fault.why
            await trio.testing.wait_all_tasks_blocked()
        assert list(alone.directory.checkpoints_path.iterdir()) == []


async def test_a_failure_leaves_no_checkpoint_and_the_next_one_is_written(
    tmp_path: Path,
) -> None:
    with bench(tmp_path) as alone:
        async with keeping(alone):
            wish = wanted(world_of(3))
            wish.head["clock"] = object()  # a bug: nothing that CBOR can say
            hand_in(alone, wish)
            ended = await word(alone)  # so that the core asks again, and who waits hears why
            assert isinstance(ended, CheckpointEnded)
            assert (ended.index, "cannot encode" in str(ended.why)) == (7, True)
            item = await alone.doors.letters_out.receive()
            assert isinstance(item, EdgeLetter)
            assert (item.letter.reason, item.letter.packet) == ("task_failed", b"")
            assert list(alone.directory.checkpoints_path.iterdir()) == []
            hand_in(alone, wanted(world_of(3), 8))
            await until(lambda: len(checkpoints(alone)) == 1)


async def test_a_checkpoint_that_does_not_verify_is_reported_with_its_reason(
    tmp_path: Path,
) -> None:
    with bench(tmp_path) as alone:
        async with keeping(alone):
            wish = wanted(world_of(3))
            del wish.head["chain"]
            hand_in(alone, wish)
            ended = await word(alone)
            assert isinstance(ended, CheckpointEnded)
            assert "does not say where it stands" in str(ended.why)
            await trio.testing.wait_all_tasks_blocked()
        assert alone.doors.events_out.statistics().current_buffer_used == 0
        assert not pinned(wish.world)


async def test_without_a_descriptor_there_is_no_checkpoint_and_no_strike(tmp_path: Path) -> None:
    """Connections have them all: that ends, and nothing failed to be written."""
    with bench(tmp_path) as alone:
        async with keeping(alone):
            with no_descriptor_left():
                hand_in(alone, wanted(world_of(3)))
                ended = await word(alone)
            assert isinstance(ended, CheckpointEnded)
            assert "Too many open files" in str(ended.why)
            hand_in(alone, wanted(world_of(3), 8))
            assert (await word(alone)).why is None
        assert [checkpoint.index_of(path) for path in checkpoints(alone)] == [8]


async def test_a_full_events_door_takes_no_checkpoint_away_for_good(tmp_path: Path) -> None:
    """The core waits for the word before it asks for another one."""
    with bench(tmp_path) as alone:
        while alone.doors.events_out.statistics().current_buffer_used < limits.EVENTS_MAX:
            alone.doors.events.send_nowait(CheckpointAsked())
        async with keeping(alone):
            hand_in(alone, wanted(world_of(3)))
            await until(lambda: len(checkpoints(alone)) == 1)
            while not isinstance(await word(alone), CheckpointEnded):
                pass


async def test_what_a_core_wished_that_ended_is_not_written(tmp_path: Path) -> None:
    """R24: its ledger may have been exchanged for another one meanwhile."""
    world = world_of(3)
    with bench(tmp_path) as alone:
        async with keeping(alone):
            async with alone.file_turn():
                hand_in(alone, wanted(world))
                await trio.testing.wait_all_tasks_blocked()  # the keeper waits for the files
                alone.doors.void_wish()
            await trio.testing.wait_all_tasks_blocked()
        assert checkpoints(alone) == []
        alone.doors.wish_for(wanted(world, 8))
        alone.doors.void_wish()
        assert alone.doors.checkpoints_out.receive_nowait() is None
        assert not pinned(world)


async def test_where_no_file_may_be_moved_any_more_the_core_learns_why(tmp_path: Path) -> None:
    world = world_of(3)
    with bench(tmp_path) as alone:
        cursor = Newest(alone.doors.archive_cursor_out, 0)
        files = (alone.directory, cursor, BOOT_ID, Sending())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_no_turn, alone.doors, "it failed")
            nursery.start_soon(checkpoint_keeper.run, alone.doors, *files, InProgress())
            hand_in(alone, wanted(world))
            ended = await word(alone)
            nursery.cancel_scope.cancel()
        assert isinstance(ended, CheckpointEnded)
        assert "no task says whose turn it is" in (ended.why or "")
        assert not pinned(world)


async def test_on_the_way_out_nothing_half_written_is_left(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with keeping(alone):
            hand_in(alone, wanted(world_of(10 * 500)))
            await begun(alone)
        assert list(alone.directory.checkpoints_path.glob("*.tmp")) == []


async def test_old_checkpoints_go_to_the_archive(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with keeping(alone):
            for index in range(7, 11):
                hand_in(alone, wanted(world_of(1), index))
                await word(alone)
            await until(lambda: len(checkpoints(alone)) == limits.CHECKPOINTS_KEPT)
        assert [checkpoint.index_of(path) for path in checkpoints(alone)] == [10, 9]
        archived = checkpoint.newest(alone.directory.archive_path)
        assert [checkpoint.index_of(path) for path in archived] == [8, 7]
