"""The checkpoint keeper: slices while others run, then the archive."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import cbor2
import trio
import trio.testing

from rmf import limits
from rmf.core import messages as m
from rmf.core.effects import WriteCheckpoint
from rmf.core.events import CheckpointAsked, CheckpointWritten, DiskFault
from rmf.core.world import Cell, World, mark_of
from rmf.floor import checkpoint_keeper
from rmf.floor.doors import EdgeLetter
from rmf.storage import checkpoint
from tests.floor.kit import BOOT_ID, Bench, bench, reign
from tests.floor.wire import packet, until
from tests.storage.ledger_kit import file_bytes_limit


def world_of(cells: int) -> World:
    made = {}
    for i in range(cells):
        fields = (cbor2.dumps(i), 1, 5, 0, "probe", 0, 0)
        made[f"cell/{i:06}"] = Cell(*fields, mark_of(f"cell/{i:06}", *fields))
    return World.of(made)


def wanted(world: World, index: int = 7) -> WriteCheckpoint:
    head = {"serial": index, "index": index, "term": 1, "chain": b"c" * 16}
    return WriteCheckpoint(index, head, world)


@asynccontextmanager
async def keeping(alone: Bench) -> AsyncIterator[None]:
    run = partial(
        checkpoint_keeper.run, alone.doors, alone.directory, alone.store, BOOT_ID, alone.exchanging
    )
    async with alone.supervised("checkpoint_keeper", run):
        yield


def hand_in(alone: Bench, wish: WriteCheckpoint) -> None:
    """Ask for a Checkpoint, as the arbiter does."""
    alone.doors.checkpoints.send_nowait(attrs.evolve(wish, pin=wish.world.index.pin()))


async def word(alone: Bench) -> Any:
    with trio.fail_after(10):
        return await alone.doors.events_out.receive()


async def begun(alone: Bench) -> None:
    """Wait until something of a Checkpoint is there."""
    while not any(alone.directory.checkpoints_path.iterdir()):  # noqa: ASYNC110 nothing tells it
        await trio.lowlevel.checkpoint()


def checkpoints(alone: Bench) -> list[Path]:
    return checkpoint.newest(alone.directory.checkpoints_path)


async def test_every_cell_is_written_in_key_order_and_the_head_names_the_boot(
    tmp_path: Path,
) -> None:
    world = world_of(2 * limits.CHECKPOINT_SLICE_CELLS + 1)
    with bench(tmp_path) as alone:
        async with keeping(alone):
            hand_in(alone, wanted(world))
            assert await word(alone) == CheckpointWritten(7)
        (path,) = checkpoints(alone)
        head, rows = checkpoint.load(path, alone.directory.cluster)
        assert head["boot_id"] == BOOT_ID
        assert list(rows) == [(key, *cell[:-1]) for key, cell in world.scan()]


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
        _, rows = checkpoint.load(checkpoints(alone)[0], alone.directory.cluster)
        assert [row[0] for row in rows] == keys
        assert len(world.index) == 0  # unpinned again


async def test_no_tick_takes_a_key_from_what_waits_for_the_keeper(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guest = await ruling.join()
            await guest.send(packet(1))
            await guest.hear(m.Ack)
            await alone.doors.events.send(CheckpointAsked())
            wish = await alone.doors.checkpoints_out.receive()
        index = wish.world.index
        index.discard("cell/a")  # as a Tick does that removes the cell
        alone.doors.checkpoints.send_nowait(wish)
        async with keeping(alone):
            while await word(alone) != CheckpointWritten(wish.index):
                pass
        _, rows = checkpoint.load(checkpoints(alone)[0], alone.directory.cluster)
        assert [row[0] for row in rows] == ["cell/a"]
        assert len(index) == 0


async def test_a_disk_that_fails_is_told_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with keeping(alone):
            with file_bytes_limit(16):
                hand_in(alone, wanted(world_of(3)))
                heard = {type(await word(alone)) for _ in range(2)}
            assert heard == {DiskFault, CheckpointWritten}
            await trio.testing.wait_all_tasks_blocked()
        assert list(alone.directory.checkpoints_path.iterdir()) == []


async def test_a_failure_leaves_no_checkpoint_and_the_next_one_is_written(
    tmp_path: Path,
) -> None:
    with bench(tmp_path) as alone:
        async with keeping(alone):
            hand_in(alone, WriteCheckpoint(7, {}, world_of(3)))
            assert await word(alone) == CheckpointWritten(7)  # so that the core asks again
            item = await alone.doors.letters_out.receive()
            assert isinstance(item, EdgeLetter)
            assert (item.letter.reason, item.letter.packet) == ("task_failed", b"")
            assert list(alone.directory.checkpoints_path.iterdir()) == []
            hand_in(alone, wanted(world_of(3), 8))
            await until(lambda: len(checkpoints(alone)) == 1)


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
