"""The ledger keeper: what the Arbiter wants persisted goes to the disk, and back comes the word.

One dedicated thread writes; it drains whatever queued up during the last fsync into one write and
one fsync (group commit, R4). An idle thread seals what it wrote, and what an earlier process left
unsealed (R23). It knows records, not what they say.

Errors: a failed write or fsync is reported as DiskFault, once; nothing is written after it (R17).
Shutdown: cancel it; what was handed over is finished first, nothing half-written is left. A thread
that the disk holds up longer outlives its task: it ends once the disk is back, and finds then
whether another writer has taken its pen meanwhile (see storage/fence).
"""

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable

import trio

from rmf import limits
from rmf.core.effects import Persist
from rmf.core.events import DiskFault, Persisted
from rmf.errors import DiskFailed, PenTaken
from rmf.floor.doors import Doors
from rmf.floor.instruments import Durations
from rmf.floor.supervisor import HeldItem, InProgress
from rmf.storage.ledger import LedgerWriter

__all__ = ["run"]

Report = Callable[[Persisted | DiskFault | BaseException], None]


async def run(
    doors: Doors, writer: LedgerWriter, fsync: Durations, in_progress: InProgress
) -> None:
    """Serve the ledger door with this writer; its thread closes it. `fsync` measures."""
    bench, reports = _WriteQueue(), _Reports()
    in_progress.hold(bench.held)
    args = (writer, bench, reports.put, fsync)
    thread = threading.Thread(target=_write, args=args, name="rmf-ledger")
    thread.daemon = True  # a hung fsync cannot be joined; it must not keep the process
    thread.start()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hand_over, doors, bench)
            await _tell(doors, reports)
    finally:
        bench.work.put(None)
        with trio.CancelScope(shield=True), trio.move_on_after(limits.STOP_S_MAX):
            await trio.to_thread.run_sync(thread.join, abandon_on_cancel=True)
        reports.close()


async def _hand_over(doors: Doors, bench: "_WriteQueue") -> None:
    """Give the thread what comes through the door."""
    async for persist in doors.ledger_out:
        bench.work.put(persist)


async def _tell(doors: Doors, reports: "_Reports") -> None:
    """Tell the arbiter what the thread reports. Raises what it raised."""
    while True:
        for item in await reports.take():
            if isinstance(item, BaseException):
                raise item
            try:
                doors.events.send_nowait(item)
            except trio.WouldBlock:
                await doors.events.send(item)


class _Reports:
    """What the thread has to tell, and a descriptor to wait for it by: a word through trio's own
    queue of calls costs each ack twice as much."""

    def __init__(self) -> None:
        self._items: deque[Persisted | DiskFault | BaseException] = deque()
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._open = threading.Lock()  # held while the descriptor is used by a thread

    def put(self, item: Persisted | DiskFault | BaseException) -> None:
        """Tell; called from threads, which may outlive the task."""
        self._items.append(item)
        with self._open:
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    async def take(self) -> list[Persisted | DiskFault | BaseException]:
        """Wait for reports; return all that are there, in order."""
        await trio.lowlevel.wait_readable(self._fd)
        os.eventfd_read(self._fd)
        return [self._items.popleft() for _ in range(len(self._items))]

    def close(self) -> None:
        """Hear no more."""
        with self._open:
            os.close(self._fd)
            self._fd = -1


class _WriteQueue:
    """What the thread has to write, and what it is writing."""

    def __init__(self) -> None:
        self.work: queue.SimpleQueue[Persist | None] = queue.SimpleQueue()
        self.writing: list[Persist] = []

    def next_batch(self, *, wait_s: float | None) -> list[Persist] | None:
        """Return all that waits: at least one Persist, none when told to stop, None after
        `wait_s`."""
        try:
            item = self.work.get(timeout=wait_s)
        except queue.Empty:
            return None
        batch: list[Persist] = []
        while item is not None:
            batch.append(item)
            try:
                item = self.work.get_nowait()
            except queue.Empty:
                break
        else:
            if batch:
                self.work.put(None)  # finish what was handed over, then stop
        self.writing = batch
        return batch

    def held(self) -> list[HeldItem]:
        """Return the records that are being written."""
        return [held for persist in self.writing for held in _held(persist)]


def _held(persist: Persist) -> list[HeldItem]:
    return [HeldItem(record.body) for record in persist.records]


def _write(writer: LedgerWriter, bench: _WriteQueue, report: Report, fsync: Durations) -> None:
    """Write until told to stop; the body of the thread. It alone closes the writer."""
    sealed = writer.is_sealed
    try:
        while True:
            batch = bench.next_batch(wait_s=None if sealed else limits.SEAL_IDLE_S)
            if batch is None:
                writer.seal()
                sealed = True
                continue
            if not batch:
                return
            began = time.perf_counter()
            serial = writer.append([draft for persist in batch for draft in persist.records])
            fsync.observe(time.perf_counter() - began)
            report(Persisted(batch[-1].ticket, serial))
            sealed = False
            if writer.wants_next:
                threading.Thread(target=_prepare, args=(writer, report), daemon=True).start()
    except DiskFailed as exc:
        report(DiskFault(str(exc)))
    except PenTaken:
        pass  # the core that it wrote for is gone, and so is the task
    except BaseException as exc:  # noqa: BLE001, ASYNC103 a thread must hand its failure to its task
        report(exc)
    finally:
        writer.close()


def _prepare(writer: LedgerWriter, report: Report) -> None:
    """Fill the next segment ahead; the body of a short-lived thread."""
    try:
        writer.prepare_next()
    except DiskFailed as exc:
        report(DiskFault(str(exc)))
