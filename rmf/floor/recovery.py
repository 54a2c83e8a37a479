"""From the disk to a state: Checkpoint, then every Entry behind it, verified (R23 to R26).

Plain and blocking: called in a thread, before a reign begins. Each Entry is applied by the same
function as on the day it was proposed, and the digest it states is compared: a node that computes
another one does not go on (R26). Letters that the DLQ has not got yet are stored on the way (R39).
"""

import gc
from collections.abc import Callable

import attrs
import cbor2

from rmf import limits
from rmf.core.bag import Letter
from rmf.core.clock import TickClock
from rmf.core.entry import decode_entry
from rmf.core.letters import letters_of
from rmf.core.record import ENTRY, HARD, Record
from rmf.core.shelf import Shelf
from rmf.core.state import State, apply, genesis_state
from rmf.errors import CheckpointDamaged, Diverged, LedgerDamaged, StorageError
from rmf.storage import checkpoint
from rmf.storage.archive import Start, starts
from rmf.storage.directory import DataDirectory
from rmf.storage.dlq_store import DlqStore
from rmf.storage.ledger import LedgerWriter
from rmf.storage.restore import restore
from rmf.storage.scan import LedgerScan

__all__ = ["Recovered", "recover"]


@attrs.frozen
class Recovered:
    """Where the node stands. `bridge` relates the last Tick to boot time, if this boot wrote it.
    `notes` are facts for the log: (event, fields)."""

    state: State
    shelf: Shelf
    term: int
    chain: bytes
    bridge: TickClock | None
    writer: LedgerWriter
    notes: list[tuple[str, dict[str, object]]]


def recover(
    directory: DataDirectory,
    store: DlqStore,
    *,
    boot_id: bytes,
    boot_ns: Callable[[], int],
) -> Recovered:
    """Return the state that the disk holds, and the ledger open for writing.

    Raises StorageError (LedgerDamaged, CheckpointDamaged, ForeignDirectory, DiskFailed), Diverged.
    """
    with _collector_off():
        reader = _Reader(directory, store, boot_id)
        reader.load_checkpoint()
        scan = reader.read_ledger()
    writer = LedgerWriter(directory.ledger_path, scan, boot_id=boot_id, boot_ns=boot_ns)
    return Recovered(
        reader.state,
        reader.shelf,
        reader.term,
        writer.place.chain,
        reader.bridge,
        writer,
        reader.notes,
    )


class _collector_off:  # noqa: N801 used like a function
    """Recovery makes millions of objects and no cycles: the collector would only walk them."""

    def __enter__(self) -> None:
        gc.disable()

    def __exit__(self, *_: object) -> None:
        gc.enable()


class _Reader:
    """The state while it is read."""

    def __init__(self, directory: DataDirectory, store: DlqStore, boot_id: bytes) -> None:
        self.state = genesis_state(directory.cluster)
        self.shelf = Shelf()
        self.term = 0
        self.bridge: TickClock | None = None
        self.notes: list[tuple[str, dict[str, object]]] = []
        self._directory = directory
        self._store = store
        self._boot_id = boot_id
        self._letters: list[Letter] = []
        self._start: Start | None = None

    def load_checkpoint(self) -> None:
        """Begin at the newest start that verifies (R25)."""
        directory = self._directory
        places = starts(directory.ledgers, directory.checkpoints, directory.cluster)
        if not places:
            raise LedgerDamaged(
                f"{directory.ledger_path} holds no segment of this node's ledger. Move them back "
                f"there, or restore the directory from a backup of this node."
            )
        restored, faults = restore(self._in_order(places), directory.cluster)
        faults += self._unreadable_heads()
        self.notes += [("checkpoint_damaged", {"error": str(fault)}) for fault in faults]
        if restored is None:
            raise StorageError(
                f"{directory.path}: neither genesis nor a Checkpoint that verifies is left to start"
                f" from. Restore the directory from a backup of this node, or start a new one with"
                f" --data."
            )
        self._start, head = restored.start, restored.head
        self.state, self.shelf, self.term = restored.state, restored.shelf, restored.state.term
        if head.get("boot_id") == self._boot_id:
            self.bridge = TickClock(self.state.period_ns, *head["clock"])
        if self.state.index > self._store.cursor:
            self._store.set_complete(False)
            fields: dict[str, object] = {"after": self._store.cursor, "through": self.state.index}
            self.notes.append(("letters_missing", fields))

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
        """Apply every Entry behind the start; return the exhausted scan."""
        assert self._start is not None
        directory = self._directory
        scan = LedgerScan(directory.ledgers, directory.cluster, self._start.base)
        for record in scan:
            if record.kind == ENTRY:
                self._apply(record)
            elif record.kind == HARD:
                self.term = cbor2.loads(record.body)[0]
        if self.state.index > self._store.cursor:
            self._store_letters()
        if scan.cut is not None:
            cut = scan.cut
            fields = {"file": str(cut.path), "offset": cut.offset, "why": cut.why}
            self.notes.append(("torn_tail_cut", {**fields, "bytes": cut.file_bytes}))
        return scan

    def _apply(self, record: Record) -> None:
        before = self.state
        try:
            entry = decode_entry(record.body)
        except ValueError as exc:
            raise StorageError(
                f"{self._directory.path}: Entry {record.index} (term {record.term}): {exc}. Start "
                f"the version of RMF that wrote it, or a newer one."
            ) from exc
        self.state, applied = apply(before, entry, record.term, record.index, self.shelf)
        if self.state.digest() != entry.digest:
            raise Diverged(
                f"Entry {record.index} (term {record.term}, tick {entry.tick}) states the digest "
                f"{entry.digest.hex()}; applying it gives {self.state.digest().hex()}. The ledger "
                f"was written by another version of RMF, or memory failed; try "
                f"`rmf-replay {self._directory.path}`."
            )
        for key in applied.removed:
            self.state.world.index.discard(key)
        self.term = max(self.term, record.term)
        if record.index > self._store.cursor:
            self._letters += letters_of(entry, before, record.term, self._directory.node)
            if len(self._letters) >= limits.RECOVERY_LETTERS_A_TIME:
                self._store_letters()
        self.bridge = None
        if record.boot_id == self._boot_id:
            self.bridge = TickClock(self.state.period_ns, entry.tick, record.boot_ns)

    def _store_letters(self) -> None:
        self._store.put_line(self._letters, self.state.index)
        self._letters = []
