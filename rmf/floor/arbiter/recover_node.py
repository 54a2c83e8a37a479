"""From the disk to a state: Checkpoint, then every Entry behind it, verified (R23 to R26).

Plain and blocking: called in a thread, before the core begins. What is committed is applied, what
is not known to be committed is handed on as the tail (see core/comeback). Term and vote are those
of the ledger or of their second copy, whichever is higher. Letters that the DLQ has not got yet are
stored on the way (R39).
"""

from collections.abc import Callable

import attrs
import cbor2

from rmf import limits
from rmf.core.clock import TickClock
from rmf.core.effects import RecordDraft
from rmf.core.raft.raft_values import HardState, Place, Standing
from rmf.core.record import HARD, Record
from rmf.core.recovery import Recovery, hard_state_of, higher_of
from rmf.core.shelf import Shelf
from rmf.core.state import State
from rmf.errors import WAY_BACK, CheckpointDamaged, ForeignDirectory, LedgerDamaged, StorageError
from rmf.floor.data.collector import CollectorOff
from rmf.storage import checkpoint
from rmf.storage.archive import Start, starts
from rmf.storage.directory import DataDirectory
from rmf.storage.dlq_store import DlqStore
from rmf.storage.files import forget_cached
from rmf.storage.hard_state import HardStateCopy
from rmf.storage.ledger import LedgerWriter
from rmf.storage.repair import is_repairing
from rmf.storage.restore import Restored, restore
from rmf.storage.scan import LedgerScan
from rmf.storage.segments import segments_in

__all__ = ["Recovered", "recover"]


@attrs.frozen
class Recovered:
    """Where the node stands: `state` and `shelf` hold what is committed, `standing` is for
    consensus. `bridge` relates the last Tick to boot time, if this boot wrote it. `behind_bytes` of
    Entries were applied behind a Checkpoint of `checkpoint_bytes`. `notes` are facts for the log:
    (event, fields)."""

    state: State
    shelf: Shelf
    standing: Standing
    bridge: TickClock | None
    writer: LedgerWriter
    behind_bytes: int
    checkpoint_bytes: int
    notes: list[tuple[str, dict[str, object]]]


def recover(
    directory: DataDirectory,
    store: DlqStore,
    *,
    boot_id: bytes,
    boot_ns: Callable[[], int],
) -> Recovered:
    """Return the state that the disk holds, and the ledger open for writing.

    An earlier writer of the ledger in this process is fenced off first, and what memory holds of it
    is forgotten: what comes from the disk is read, not what was meant for it.

    Raises StorageError (LedgerDamaged, CheckpointDamaged, ForeignDirectory, DiskFailed, DiskHangs),
    Diverged.
    """
    assert directory.founded
    pen = directory.fence.take()
    forget_cached(*segments_in(directory.ledger_path))
    with CollectorOff():
        reader = _Reader(directory, store)
        scan = reader.read_ledger()
    copy = HardStateCopy(directory.path, directory.cluster, directory.incarnation)
    stated = hard_state_of(scan.hard) if scan.hard else HardState(0, None)
    copied = reader.merge_copy(copy, stated)
    standing = reader.comeback.standing(whole=is_repairing(directory.path) is None)
    writer = LedgerWriter(
        directory.ledger_path, scan, boot_id=boot_id, boot_ns=boot_ns, copy=copy, pen=pen
    )
    if not stated == copied == standing.hard:
        _write_both(writer, standing)
    comeback = reader.comeback
    return Recovered(
        comeback.state,
        comeback.shelf(),
        standing,
        reader.bridge(boot_id, boot_ns()),
        writer,
        comeback.applied_bytes,
        reader.checkpoint_bytes,
        reader.notes,
    )


def _write_both(writer: LedgerWriter, standing: Standing) -> None:
    """Have both copies say what holds, before one of them is lost."""
    place = writer.place
    body = cbor2.dumps(list(standing.hard))
    commit = standing.place.index
    writer.append([RecordDraft(HARD, place.index, standing.hard.term, place.chain, body, commit)])


class _Reader:
    """The state while it is read."""

    def __init__(self, directory: DataDirectory, store: DlqStore) -> None:
        self.notes: list[tuple[str, dict[str, object]]] = []
        self._directory = directory
        self._store = store
        self._restored = self._load_checkpoint()
        base = self._restored.start.base
        self.comeback = Recovery(
            directory.node,
            self._restored.state,
            Place(base.index, base.term, base.chain),
            base.serial,
            store.cursor,
        )

    def _load_checkpoint(self) -> Restored:
        """Return the newest start that verifies (R25)."""
        directory = self._directory
        places = starts(directory.ledgers, directory.checkpoints, directory.cluster)
        if not places:
            raise LedgerDamaged(
                f"{directory.ledger_path} holds no segment of this node's ledger. Move them back "
                f"there. {WAY_BACK}"
            )
        restored, faults = restore(self._in_order(places), directory.cluster)
        faults += self._unreadable_heads()
        self.notes += [("checkpoint_damaged", {"error": str(fault)}) for fault in faults]
        if restored is None:
            raise CheckpointDamaged(
                f"{directory.path}: neither genesis nor a Checkpoint that verifies is left to start"
                f" from. {WAY_BACK}"
            )
        index = restored.state.index
        if index > self._store.cursor:
            self._store.set_complete(False)
            fields: dict[str, object] = {"after": self._store.cursor, "through": index}
            self.notes.append(("letters_missing", fields))
        return restored

    def _in_order(self, places: list[Start]) -> list[Start]:
        """Return the starts, the best first: the newest behind which the ledger holds every letter
        that the DLQ has not got (R39); else the oldest, so that as few as possible are missing."""
        cursor = self._store.cursor
        return [
            *reversed([x for x in places if x.base.index <= cursor]),
            *[x for x in places if x.base.index > cursor],
        ]

    def _unreadable_heads(self) -> list[CheckpointDamaged]:
        """Return what is wrong with Checkpoints that cannot even say where they stand."""
        faults = []
        for path in checkpoint.newest(self._directory.checkpoints_path):
            try:
                checkpoint.head_of(path, self._directory.cluster)
            except CheckpointDamaged as exc:
                faults.append(exc)
        return faults

    def read_ledger(self) -> LedgerScan:
        """Take every record behind the start; return the exhausted scan."""
        directory, comeback = self._directory, self.comeback
        scan = LedgerScan(directory.ledgers, directory.cluster, self._restored.start.base)
        index = comeback.state.world.index
        index.put_off()
        for record in scan:
            self._take(record)
            if comeback.letters_waiting >= limits.RECOVERY_LETTERS_A_TIME:
                self._put_letters()
        index.put_in_order()
        if comeback.state.index > self._store.cursor:
            self._put_letters()
        if scan.cut is not None:
            cut = scan.cut
            fields = {"file": str(cut.path), "offset": cut.offset, "why": cut.why}
            self.notes.append(("torn_tail_cut", {**fields, "bytes": cut.file_bytes}))
        return scan

    def _put_letters(self) -> None:
        comeback = self.comeback
        index = comeback.state.index
        self._store.put_line(comeback.take_letters(), index, comeback.take_acts())

    def _take(self, record: Record) -> None:
        try:
            self.comeback.take(record)
        except ValueError as exc:
            raise StorageError(
                f"{self._directory.path}: record {record.serial} (Entry {record.index}, term "
                f"{record.term}): {exc}. Start the version of RMF that wrote it, or a newer one."
            ) from exc

    def merge_copy(self, copy: HardStateCopy, stated: HardState) -> HardState:
        """Count in what the ledger states and what its second copy says, as far as that can be
        read; return the latter. Nothing and no copy are the same."""
        copied = HardState(0, None)
        try:
            copied = copy.read() or copied
        except ForeignDirectory:
            raise
        except StorageError as exc:
            self.notes.append(("vote_copy_damaged", {"error": str(exc)}))
        try:
            self.comeback.remember(higher_of(stated, copied))
        except ValueError as exc:
            raise LedgerDamaged(
                f"{copy.path} and the ledger beside it contradict each other: {exc}. One of them "
                f"is not of this node. {WAY_BACK}"
            ) from exc
        return copied

    @property
    def checkpoint_bytes(self) -> int:
        """The size of the Checkpoint that it began with; 0 at genesis."""
        path = self._restored.start.checkpoint
        return path.stat().st_size if path is not None else 0

    def bridge(self, boot_id: bytes, now_ns: int) -> TickClock | None:
        """Return the clock that goes on from the last Tick, if this boot knows when it was (R6). A
        boot clock that went back does not: a machine was put back to an earlier moment, and it
        is unknown how long that took."""
        clock = self._last_clock(boot_id)
        if clock is None or clock.base_ns <= now_ns:
            return clock
        back_s = round((clock.base_ns - now_ns) / limits.SECOND, 3)
        self.notes.append(("boot_clock_went_back", {"seconds": back_s, "ages": "unknown"}))
        return None

    def _last_clock(self, boot_id: bytes) -> TickClock | None:
        last = self.comeback.last_tick
        if last is not None:
            bridges = last.boot_id == boot_id
            return TickClock(last.period_ns, last.tick, last.boot_ns) if bridges else None
        head = self._restored.head
        clock = head.get("clock")  # null where it was unknown
        if clock and head.get("boot_id") == boot_id and not self.comeback.standing().tail:
            return TickClock(self.comeback.state.period_ns, *clock)
        return None
