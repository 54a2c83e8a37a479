"""The catch-up: reads what a peer lacks out of ledger and Checkpoints, and keeps the pieces of a
Checkpoint that the leader sends (R28).

Each wish is done in a thread, several at a time, but one of a kind for each peer, and one piece of
a Checkpoint: a wish that comes while such a one is under way is dropped. The core repeats what it
hears no answer to, and a slow disk must not do the same twice at once. It knows files and no roles.

Errors: a disk that fails while a Checkpoint is received is a DiskFault. What cannot be read for a
peer is logged; the core asks again, and the peer waits. Shutdown: cancel it.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial

import trio

from rmf import limits
from rmf.core.effects import MarkWhole, ReadChunk, ReadEntries, WriteChunk
from rmf.core.events import ChunkRead, DiskFault, EntriesRead, Event, WholeMarked
from rmf.errors import DiskFailed, StorageError
from rmf.floor import log
from rmf.floor.asking import NoTurn, file_turn
from rmf.floor.doors import Doors
from rmf.floor.items import CatchUpItem
from rmf.floor.supervisor import InProgress
from rmf.storage import repair
from rmf.storage.chunks import ChunkReader
from rmf.storage.directory import DataDirectory
from rmf.storage.entries import EntryReader
from rmf.storage.install import Receiver
from rmf.storage.sending import Sending

__all__ = ["run"]


async def run(
    doors: Doors,
    directory: DataDirectory,
    serial: Callable[[], int],
    sending: Sending,
    in_progress: InProgress,
) -> None:
    """Serve the catch-up door until cancelled. `serial` tells the number of this node's last
    record, behind which a received Checkpoint begins. A piece of it is kept in
    turn: what stands ready is not touched while it takes the ledger's place. `sending` keeps what
    of the history peers still need."""
    in_progress.free()  # it holds no packets
    bench = _OpenReaders(directory, serial)
    work = _Work(doors, bench, sending)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work.let_go)
            async for item in doors.catch_up_out:
                key = _key_of(item)
                if key not in work.under_way:
                    work.under_way.add(key)
                    nursery.start_soon(work.serve, key, item)
    finally:
        bench.close()


_Key = tuple[str, str]


def _key_of(item: CatchUpItem) -> _Key:
    """Return what only one wish at a time may be for."""
    peer = item.peer if isinstance(item, ReadEntries | ReadChunk) else ""
    return type(item).__name__, peer


class _Work:
    """The wishes under way. Checkpoints are read by one thread at a time (see ChunkReader)."""

    def __init__(self, doors: Doors, bench: "_OpenReaders", sending: Sending) -> None:
        self.under_way: set[_Key] = set()
        self._doors = doors
        self._bench = bench
        self._sending = sending
        self._reading = trio.Lock()
        self._limiter = trio.CapacityLimiter(limits.CATCH_UP_THREADS_MAX)

    async def serve(self, key: _Key, item: CatchUpItem) -> None:
        """Do what is wished, and tell the core. A wish for which no turn is given is dropped: the
        core asks again, in vain."""
        event = None
        try:
            with suppress(NoTurn):
                event = await self._done(item)
        finally:
            self.under_way.discard(key)
        match event:
            case ChunkRead(total=total) if total:
                self._needs(event.peer, event.index)
            case EntriesRead() if event.entries:
                self._needs(event.peer, event.after_index)
        if event is not None:
            await self._doors.events.send(event)

    def _needs(self, peer: str, index: int) -> None:
        self._sending.needs(peer, index, trio.current_time())

    async def let_go(self) -> None:
        """Hold no Checkpoint open for peers that are sent nothing any more."""
        while True:
            await trio.sleep(limits.SENDING_S_MAX)
            async with self._reading:
                self._bench.keep(self._sending.peers(trio.current_time()))

    async def _done(self, item: CatchUpItem) -> Event | None:
        match item:
            case ReadChunk():
                async with self._reading:
                    if self._sending.take_given_up():
                        self._bench.keep(())
                    return await self._do(item)
            case WriteChunk():
                async with file_turn(self._doors.file_turns):
                    event = await self._do(item)
                if self._bench.fault is not None:
                    log.note("warning", "chunk_refused", error=self._bench.fault)
                    await trio.sleep(limits.CATCH_UP_RETRY_S)
                return event
            case MarkWhole():
                lives = self._doors.lives
                async with file_turn(self._doors.file_turns):
                    # What a core said that has ended says nothing of the ledger there is now.
                    return await self._do(item) if lives == self._doors.lives else None
            case _:
                return await self._do(item)

    async def _do(self, item: CatchUpItem) -> Event | None:
        try:
            do = partial(self._bench.do, item)
            return await trio.to_thread.run_sync(do, limiter=self._limiter)
        except DiskFailed as exc:
            return DiskFault(str(exc))
        except (StorageError, OSError) as exc:
            log.note("error", "catch_up_failed", wish=type(item).__name__, error=str(exc))
            return None


class _OpenReaders:
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
                reader = self._reader(item.peer)
                return reader.read(item.after_index, item.through_index, item.bytes_max)
            case ReadChunk():
                return self._chunks.read(item.peer, item.content, item.offset)
            case WriteChunk():
                return self._receiver.take(item.peer, item.chunk, self._serial())
            case MarkWhole(whole, why):
                if whole:
                    repair.repaired(self._directory.path)
                else:
                    repair.mark_repairing(self._directory.path, why)
                return WholeMarked(whole)

    def keep(self, peers: Collection[str]) -> None:
        """Close the Checkpoints that are sent to none of these."""
        self._chunks.keep(peers)

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
        self._chunks.close()
