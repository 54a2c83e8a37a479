"""The checkpoint keeper: writes Checkpoints in slices while the line runs, then archives (R25).

It takes the immutable root that comes with the effect and goes on from key to key; between slices
everybody else runs, and the writing itself happens in a thread. When the Checkpoint is verified and
in place, older segments go to the archive, and the archive is kept within its bound. The key index
of the World was pinned by the asker; here it is released.

Errors: a disk that fails is a DiskFault. Whatever fails leaves no Checkpoint, and is reported with
its reason: the ledger is whole without it.
Shutdown: cancel it; what was not finished is removed.
"""

from contextlib import suppress

import trio

from rmf import limits
from rmf.core.effects import WriteCheckpoint
from rmf.core.events import CheckpointEnded, DiskFault
from rmf.errors import DiskFailed, StorageError
from rmf.floor import log
from rmf.floor.asking import NoTurn, file_turn
from rmf.floor.doors import Doors
from rmf.floor.latest import Newest
from rmf.floor.supervisor import InProgress
from rmf.storage import archive, checkpoint
from rmf.storage.checkpoint import CheckpointWriter
from rmf.storage.directory import DataDirectory
from rmf.storage.sending import Sending

__all__ = ["run"]


async def run(
    doors: Doors,
    directory: DataDirectory,
    dlq_cursor: Newest[int],
    boot_id: bytes,
    sending: Sending,
    in_progress: InProgress,
) -> None:
    """Serve the checkpoints door until cancelled. `boot_id` names the boot that `clock` in the
    head counts from (R6). Entries behind `dlq_cursor` stay. Files are written and moved in
    turn: a ledger that another takes the place of must not get a Checkpoint of the old
    one. `sending` says what of the history is on its way to peers."""
    in_progress.free()  # it holds no packets
    limiter = trio.CapacityLimiter(1)
    newer: WriteCheckpoint | None = None
    while True:
        wanted, newer = newer or await doors.checkpoints_out.receive(), None
        if wanted is None:
            continue
        began = trio.current_time()
        failure: BaseException | None = None
        try:
            wanted.head["boot_id"] = boot_id
            async with file_turn(doors.file_turns):
                with suppress(trio.WouldBlock):
                    newer = doors.checkpoints_out.receive_nowait()
                    continue  # the core that wished has ended: its ledger may be gone since
                ended = await _written(wanted, directory, limiter)
                await _archive(directory, dlq_cursor.look(), sending, limiter)
        except (StorageError, NoTurn) as exc:
            await _failed(doors, wanted.index, exc)
            continue
        except trio.Cancelled:
            raise
        except BaseException as exc:  # noqa: BLE001, ASYNC103 it is raised below
            failure = exc  # noqa: ASYNC104 as above
        finally:
            wanted.world.index.unpin(wanted.pin)
        if failure is not None:
            await doors.events.send(CheckpointEnded(wanted.index, f"it failed: {failure!r}"))
            raise failure
        await doors.events.send(ended)
        seconds = round(trio.current_time() - began, 3)
        log.note(
            "info",
            "checkpoint",
            index=wanted.index,
            cells=len(wanted.world),
            bytes=ended.file_bytes,
            seconds=seconds,
        )


async def _failed(doors: Doors, index: int, exc: StorageError | NoTurn) -> None:
    """Tell why there is no Checkpoint: the strike first, so that who waits hears of that."""
    why = f"a Checkpoint cannot be written: {exc}"
    if isinstance(exc, DiskFailed):
        await doors.events.send(DiskFault(why))
    await doors.events.send(CheckpointEnded(index, why))
    log.note("error", "checkpoint_failed", index=index, error=str(exc))


async def _written(
    wanted: WriteCheckpoint, directory: DataDirectory, limiter: trio.CapacityLimiter
) -> CheckpointEnded:
    """Write a Checkpoint; what is large in it goes in slices. Raises StorageError."""
    writer = await trio.to_thread.run_sync(
        CheckpointWriter,
        directory.checkpoints_path,
        directory.cluster,
        wanted.head,
        wanted.producers,
        limiter=limiter,
    )
    world = wanted.world
    try:
        last, more, first = "", True, True
        while more:
            rows = []
            looked_at = 0
            more = False
            for key in world.index.walk(last, after=not first):
                cell = world.get(key)
                if cell is not None:
                    rows.append((key, *cell[:-1]))
                looked_at, last = looked_at + 1, key
                if looked_at >= limits.CHECKPOINT_SLICE_CELLS:
                    more = True
                    break
            first = False
            await trio.to_thread.run_sync(writer.add, rows, limiter=limiter)
        await trio.to_thread.run_sync(writer.finish, limiter=limiter)
    except BaseException:
        writer.abort()
        raise
    return CheckpointEnded(wanted.index, None, writer.file_bytes)


async def _archive(
    directory: DataDirectory, dlq_cursor: int, sending: Sending, limiter: trio.CapacityLimiter
) -> None:
    """Put away what is behind the kept Checkpoints. What peers are being sent stays, unless there
    is much too much of it by now."""
    sent = sending.oldest(trio.current_time())
    found = await trio.to_thread.run_sync(_archived, directory, dlq_cursor, sent, limiter=limiter)
    if sent is not None and found is not None and found > sent:
        most = limits.ARCHIVE_SENDING_BYTES_MAX
        why = f"the archive has more than {most} bytes"
        log.note("warning", "sending_given_up", peers=sending.give_up(), why=why)


def _archived(directory: DataDirectory, dlq_cursor: int, sent: int | None) -> int | None:
    """Move what is behind the kept Checkpoints into the archive, and keep that within its bound.
    Entries that the DLQ has not read yet stay (R39). Returns where history begins now."""
    checkpoint.prune(directory.checkpoints_path, directory.archive_path)
    archive.archive_behind(directory, pinned_index=dlq_cursor)
    directory.own()  # a copy that was made before differs from it now
    archive.shed_archive(directory, pinned_index=dlq_cursor, sent_index=sent)
    return archive.begins(directory)
