"""The disk watch: how much is free, and what that means (R38).

Soft mark: archives are shed, a warning is logged. Hard mark: the Arbiter says `busy` to packets,
and the reserve file is given back, so that votes, expiries and letters still have room. The mark
ends only above twice the hard mark, so that it does not flutter.

Errors: a disk that cannot be asked is logged, the last mark stands; so is an archive that cannot be
shed. Shutdown: cancel it.
"""

import math
from contextlib import suppress

import trio

from rmf import limits
from rmf.core.events import DiskMark
from rmf.errors import StorageError
from rmf.floor import log
from rmf.floor.asking import NoTurn, file_turn
from rmf.floor.doors import Doors
from rmf.floor.latest import Newest
from rmf.floor.supervisor import InProgress
from rmf.storage import archive, reserve
from rmf.storage.directory import DataDirectory
from rmf.storage.drive import free_bytes
from rmf.storage.sending import Sending

__all__ = ["mark_of", "run"]


def mark_of(free: int, before: str) -> str:
    """Return the mark for so many free bytes: "ok", "soft" or "hard", given the one before."""
    hard = limits.DISK_HARD_FREE_BYTES
    if free < hard or (before == "hard" and free < 2 * hard):
        return "hard"
    return "soft" if free < limits.DISK_SOFT_FREE_BYTES else "ok"


async def run(
    doors: Doors,
    directory: DataDirectory,
    dlq_cursor: Newest[int],
    sending: Sending,
    in_progress: InProgress,
) -> None:
    """Look at the disk every DISK_WATCH_S until cancelled; say when the mark changes. Entries
    behind `dlq_cursor` stay. `sending` says what of the history is on its way to peers: it stays
    up to the hard mark."""
    in_progress.free()
    limiter = trio.CapacityLimiter(1)
    mark = "unknown"  # whatever is found first is reported: the arbiter may know of an older mark
    while True:
        free = await _ask(directory, limiter)
        if free is not None and (found := mark_of(free, mark)) != mark:
            mark = found
            await _tell(doors, mark, free)
            await trio.to_thread.run_sync(_keep_reserve, directory, mark)
        if mark in {"soft", "hard"}:
            await _make_room(doors, directory, dlq_cursor.look(), _sent(sending, mark))
        await trio.sleep(limits.DISK_WATCH_S if mark == "ok" else limits.DISK_WATCH_CLOSELY_S)


async def _ask(directory: DataDirectory, limiter: trio.CapacityLimiter) -> int | None:
    """Return how much is free, None where that is unknown. A mount that hangs holds up this task
    and a thread, not the node."""
    why = f"no answer within {limits.DISK_ASK_S_MAX:g} s"
    with trio.move_on_after(limits.DISK_ASK_S_MAX):
        try:
            return await trio.to_thread.run_sync(
                free_bytes, directory.path, limiter=limiter, abandon_on_cancel=True
            )
        except OSError as exc:
            why = str(exc)
    log.note("error", "disk_not_asked", error=why)
    return None


async def _tell(doors: Doors, mark: str, free: int) -> None:
    log.note("info" if mark == "ok" else "warning", "disk_mark", mark=mark, free_bytes=free)
    await doors.events.send(DiskMark(mark, free))


def _sent(sending: Sending, mark: str) -> int | None:
    """Return from which Entry on history is needed by peers; at the hard mark they go without."""
    sent = sending.oldest(trio.current_time())
    if mark == "hard" and sent is not None:
        log.note("warning", "sending_given_up", peers=sending.give_up(), why="the disk is full")
        return None
    return sent


async def _make_room(
    doors: Doors, directory: DataDirectory, dlq_cursor: int, sent: int | None
) -> None:
    """Delete history, at every look: Checkpoints go on bringing more of it. A task that moves
    files of the ledger for long comes first; where no turn is given any more, none is moved."""
    with trio.move_on_after(limits.DISK_ASK_S_MAX) as patience, suppress(NoTurn):
        async with file_turn(doors.file_turns):
            patience.deadline = math.inf
            try:
                await trio.to_thread.run_sync(_shed, directory, dlq_cursor, sent)
            except StorageError as exc:
                log.note("error", "archive_not_shed", error=str(exc))


def _keep_reserve(directory: DataDirectory, mark: str) -> None:
    """Hold the reserve while there is room; give it back at the hard mark."""
    if mark == "hard":
        reserve.release(directory.path)
    elif mark == "ok":
        try:
            reserve.hold(directory.path)
        except OSError as exc:
            reserve.release(directory.path)
            log.note("warning", "no_reserve", error=str(exc))


def _shed(directory: DataDirectory, dlq_cursor: int, sent: int | None) -> None:
    """Delete all history behind the Checkpoints that the DLQ has read."""
    if not any(directory.archive_path.iterdir()):
        return
    archive.shed_archive(directory, pinned_index=dlq_cursor, bytes_max=0, sent_index=sent)
