"""What keeps a node's data beside the ledger: its DLQ, Checkpoints, archive and disk, put together.

It opens the DLQ once, and gives the tasks that a node has from the moment on that it belongs to a
cluster. It decides nothing.
"""

from collections.abc import Callable
from functools import partial

import trio

from rmf.floor.children import child_of
from rmf.floor.data import catch_up, checkpoint_keeper, disk_watch, dlq_keeper
from rmf.floor.doors import Doors
from rmf.floor.items import LettersItem
from rmf.floor.latest import Newest
from rmf.floor.links.letter_fetch import LetterFetch
from rmf.floor.supervisor import Child, InProgress
from rmf.storage.directory import DataDirectory
from rmf.storage.dlq_store import DlqStore
from rmf.storage.sending import Sending

__all__ = ["DataFront"]


class DataFront:
    """`stored` is set once the
    letters door is closed, and what came through it is stored or refused."""

    def __init__(self, directory: DataDirectory, doors: Doors) -> None:
        self.stored = trio.Event()
        self._directory = directory
        self._doors = doors
        self._store: DlqStore | None = None
        self._backlog: list[LettersItem] = []

    @property
    def is_open(self) -> bool:
        """Whether there is a DLQ: a node without a cluster has none."""
        return self._store is not None

    def store(self) -> DlqStore:
        """Return the DLQ, which is opened at first; blocking. Raises StorageError."""
        if self._store is None:
            directory = self._directory
            path, cluster = directory.dlq_path, directory.cluster
            self._store = DlqStore.open(path, cluster=cluster, node=directory.node)
        return self._store

    async def open(self) -> DlqStore:
        """Open the DLQ in a thread. Raises StorageError."""
        return await trio.to_thread.run_sync(self.store)

    def close(self) -> None:
        """Close the DLQ."""
        if self._store is not None:
            self._store.close()

    def letter_keeper(self) -> Child:
        """Return the task that stores letters; what it has not stored outlives its failures."""
        doors, backlog, store = self._doors, self._backlog, self.store()

        async def keep(in_progress: InProgress) -> None:
            await dlq_keeper.run(doors, store, backlog, in_progress)
            self.stored.set()

        async def refuse(why: str, _in_progress: InProgress) -> None:
            await dlq_keeper.give_up(doors, backlog, why)
            self.stored.set()

        return child_of("dlq_keeper", keep, doors, stand_in=refuse)

    def children(self, boot_id: bytes, serial: Callable[[], int]) -> list[Child]:
        """Return the other tasks. `serial` tells the number of the last record."""
        doors, directory = self._doors, self._directory
        sending = Sending()
        archivable, sheddable = (
            Newest(door, 0) for door in (doors.archive_cursor_out, doors.shed_cursor_out)
        )
        checkpoints = partial(checkpoint_keeper.run, doors, directory, archivable, boot_id)
        watch = partial(disk_watch.run, doors, directory, sheddable)
        return [
            child_of("checkpoint_keeper", partial(checkpoints, sending), doors),
            child_of("disk_watch", partial(watch, sending), doors),
            child_of("catch_up", partial(catch_up.run, doors, directory, serial, sending), doors),
            child_of("letter_fetch", LetterFetch(doors).run, doors),
        ]
