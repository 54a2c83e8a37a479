"""The catch-up: reads what a peer lacks out of ledger and Checkpoints, and keeps the pieces of a
Checkpoint that the leader sends (R28).

Each wish is done in a thread, several at a time, but one at a time for each peer: the core asks for
no more. It knows files and no roles.

Errors: a disk that fails while a Checkpoint is received is a DiskFault. What cannot be read for a
peer is logged; the core asks again, and the peer waits. Shutdown: cancel it.
"""

from collections.abc import Callable
from functools import partial

import trio

from rmf import limits
from rmf.core.effects import ReadChunk, ReadEntries, Repaired, WriteChunk
from rmf.core.events import DiskFault, Event
from rmf.errors import DiskFailed, StorageError
from rmf.floor import log
from rmf.floor.doors import CatchUpItem, Doors
from rmf.floor.supervisor import Hands
from rmf.storage import repair
from rmf.storage.chunks import ChunkReader
from rmf.storage.directory import DataDirectory
from rmf.storage.entries import EntryReader
from rmf.storage.install import Receiver

__all__ = ["run"]


async def run(
    doors: Doors, directory: DataDirectory, serial: Callable[[], int], hands: Hands
) -> None:
    """Serve the catch-up door until cancelled. `serial` tells the number of this node's last
    record, behind which a received Checkpoint begins."""
    hands.free()  # it holds no packets
    bench = _Bench(directory, serial)
    limiter = trio.CapacityLimiter(limits.CATCH_UP_THREADS_MAX)
    try:
        async with trio.open_nursery() as nursery:
            async for item in doors.catch_up_out:
                nursery.start_soon(_serve, doors, bench, item, limiter)
    finally:
        bench.close()


async def _serve(
    doors: Doors, bench: "_Bench", item: CatchUpItem, limiter: trio.CapacityLimiter
) -> None:
    try:
        found = await trio.to_thread.run_sync(partial(bench.do, item), limiter=limiter)
    except DiskFailed as exc:
        await doors.events.send(DiskFault(str(exc)))
        return
    except (StorageError, OSError) as exc:
        log.note("error", "catch_up_failed", wish=type(item).__name__, error=str(exc))
        return
    if isinstance(item, WriteChunk) and bench.fault is not None:
        log.note("warning", "chunk_refused", error=bench.fault)
        await trio.sleep(limits.CATCH_UP_RETRY_S)
    if found is not None:
        await doors.events.send(found)


class _Bench:
    """What is open: a reader of Entries for each peer, one of Checkpoints, and the receiver."""

    def __init__(self, directory: DataDirectory, serial: Callable[[], int]) -> None:
        self._directory = directory
        self._serial = serial
        self._entries: dict[str, EntryReader] = {}
        self._chunks = ChunkReader(directory.checkpoints, directory.cluster)
        self._receiver = Receiver(directory.path, directory.cluster)

    @property
    def fault(self) -> str | None:
        """Why the last piece of a Checkpoint led to nothing, or None."""
        return self._receiver.fault

    def do(self, item: CatchUpItem) -> Event | None:
        """Do what is wished; blocking. Raises StorageError, OSError."""
        match item:
            case ReadEntries():
                return self._reader(item.peer).read(item.after_index, item.through_index)
            case ReadChunk():
                return self._chunks.read(item.peer, item.content, item.offset)
            case WriteChunk():
                return self._receiver.take(item.peer, item.chunk, self._serial())
            case Repaired():
                repair.repaired(self._directory.path)
                return None

    def _reader(self, peer: str) -> EntryReader:
        if peer not in self._entries:
            while len(self._entries) >= limits.MEMBERS_MAX:
                self._entries.pop(next(iter(self._entries))).close()
            directory = self._directory
            self._entries[peer] = EntryReader(directory.ledgers, directory.cluster, peer)
        return self._entries[peer]

    def close(self) -> None:
        """Close all files."""
        for reader in self._entries.values():
            reader.close()
