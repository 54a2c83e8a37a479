"""Who writes to a disk in memory: one write at a time, Checkpoints, and the mark of a repair.

Everything takes time, in which the process may die or the core be replaced (D2, D7 of
core/effects). What is on the disk, and what a crash leaves of it, is `disk`'s part.
"""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from rmf import limits
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.raft.raft_values import Place
from rmf.core.world import KeyIndex
from rmf.testing.dice import Stream
from rmf.testing.disk import DiskStart, SimulatedDisk, StoredCheckpoint
from rmf.testing.performer import Arms, Happen, Later, at_once, uncounted
from rmf.testing.watcher import Watcher

__all__ = ["DiskDriver", "Machine"]

_CHECKPOINT_MS = (20, 300)


class Machine(Protocol):
    """What a disk is in."""

    disk: SimulatedDisk
    boot_id: bytes

    @property
    def true_ns(self) -> int:
        """The time, as no clock shows it."""
        ...

    def now(self) -> ev.Now:
        """The time as the machine's clocks show it."""
        ...


_N = TypeVar("_N", bound=Machine)


class DiskDriver(Generic[_N]):
    """`fsync_ns` and `hangs_until_ns` are the disk's weather; `fails`: the next write fails.
    `holds_keys`: a Checkpoint is being written, which holds the keys of its World. `archive_from`
    is the Entry behind which the ledger may go once Checkpoints stand in its place."""

    def __init__(
        self,
        machine: _N,
        happen: Happen,
        dice: Stream,
        later: Later = at_once,
        watch: Watcher[_N] | None = None,
        count: Callable[[str], None] = uncounted,
        archive_from: Callable[[], int] = lambda: -1,
    ) -> None:
        self.fsync_ns = self.hangs_until_ns = 0
        self.fails = self.holds_keys = False
        self.checkpoint_ms = _CHECKPOINT_MS
        self._machine = machine
        self._happen = happen
        self._later = later
        self._dice = dice
        self._watch = watch
        self._count = count
        self._archive_from = archive_from

    def arms(self) -> Arms:
        """What this part does."""
        return {
            ef.Persist: self._persist,
            ef.WriteCheckpoint: self._write_checkpoint,
            ef.MarkWhole: self._mark,
        }

    # --- The ledger ------------------------------------------

    def fsync_wait_ns(self) -> int:
        """Return how long the next fsync takes."""
        wait_ns = int(self.fsync_ns * (0.5 + self._dice.random()))
        return max(wait_ns, self.hangs_until_ns - self._machine.true_ns)

    def _persist(self, effect: ef.Persist) -> None:
        disk = self._machine.disk
        disk.take(effect)
        if self._watch is not None:
            self._watch.persists(self._machine, effect)
        if not disk.writing and not disk.broken:
            self._begin()

    def _begin(self) -> None:
        machine = self._machine
        machine.disk.begin(machine.true_ns, machine.boot_id, machine.now().boot_ns)
        self._later(self.fsync_wait_ns(), self._synced)

    def _synced(self) -> None:
        disk = self._machine.disk
        if self.fails:
            self.fails, disk.broken = False, True
            self._count("disk_failed")
            self._happen(ev.DiskFault("the simulated disk fails"))
            return
        ticket, serial = disk.finish(self._machine.true_ns)
        if disk.waiting:
            self._begin()
        self._happen(ev.Persisted(ticket, serial))

    def _mark(self, effect: ef.MarkWhole) -> None:
        disk = self._machine.disk
        if disk.repairing == effect.whole:
            disk.repairing = not effect.whole
            self._count("repaired" if effect.whole else "less_than_said")
        self._later(0, self._happen, ev.WholeMarked(effect.whole))

    # --- Ends ------------------------------------------

    def finish_writes(self) -> None:
        """A core is given up, its process lives: what is under way gets to the disk."""
        disk = self._machine.disk
        disk.crash(len(disk.writing) if not disk.broken else 0, copied=True)

    def crash(self) -> None:
        """The process dies: some of what is under way gets to the disk."""
        disk = self._machine.disk
        kept = self._dice.randint(0, len(disk.writing))
        if kept < len(disk.writing) and self._dice.chance(0.5):
            self._count("torn_tail")  # half a record more: it is cut
        disk.crash(kept, copied=self._dice.chance(0.5))
        self.fails = False

    def replaced(self) -> None:
        """Another disk took the place of the one that was lost."""
        self.fails, self.hangs_until_ns = False, 0

    # --- Checkpoints ------------------------------------------

    def _write_checkpoint(self, effect: ef.WriteCheckpoint) -> None:
        if self._watch is not None:
            self._watch.head(self._machine, effect.head)
        head: dict[str, Any] = {**effect.head, "boot_id": self._machine.boot_id}
        base = DiskStart(head["serial"], Place(effect.index, head["term"], head["chain"]))
        found = StoredCheckpoint(base, head, effect.producers, effect.world.cells)
        index = effect.world.index
        wait_ns = self._dice.randint(*self.checkpoint_ms) * limits.MS
        self.holds_keys = True
        self._later(wait_ns, self._checkpoint_written, found, index, index.pin())

    def _checkpoint_written(self, found: StoredCheckpoint, index: KeyIndex, pin: int) -> None:
        disk, at = self._machine.disk, found.base.place.index
        self.holds_keys = False
        if self._watch is None:
            index.unpin(pin)
        else:
            self._watch.work(self._machine, "the end of a Checkpoint", index.unpin, pin)
        if disk.broken:
            self._happen(ev.CheckpointEnded(at, "the simulated disk fails"))
            return
        disk.keep_checkpoint(found, through_index=self._archive_from())
        if self._watch is not None:
            self._watch.checkpointed(self._machine, found)
        self._count("checkpoint")
        self._happen(ev.CheckpointEnded(at, None))
