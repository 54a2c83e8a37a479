"""One node's disk, record by record: what is durable, what is on its way, what a crash leaves.

It behaves as storage does (see rmf/storage): records in one order, one fsync for all that waits,
term and vote in a second copy that is written first, a seal after an idle while, Checkpoints of
which the newest two are kept, and the ledger behind them dropped. A failed write is never tried
again. It knows no core: what is written and when it is durable, it is asked and told.

What it does not model: bytes. A record is whole, or it is not there; a torn one is a tail that is
cut. Rot of the very last unsealed batch, which no ledger can tell from a torn write (R24), does not
happen here.
"""

from collections import deque
from typing import Any, NamedTuple, Self

import immutables

from rmf import limits
from rmf.core.effects import Persist, RecordDraft
from rmf.core.producer_table import Table
from rmf.core.raft.raft_values import HardState, Place
from rmf.core.record import ENTRY, GENESIS_CHAIN, HARD, SEAL, Record
from rmf.core.recovery import hard_state_of
from rmf.core.world import Cell

__all__ = ["DiskStart", "SimulatedDisk", "StoredCheckpoint"]

_NOWHERE = HardState(0, None)


class DiskStart(NamedTuple):
    """Where a ledger begins: behind this record, which is that of this Entry."""

    serial: int
    place: Place


_GENESIS = DiskStart(0, Place(0, 0, GENESIS_CHAIN))


class StoredCheckpoint(NamedTuple):
    """A Checkpoint: its head, its producers, its cells. `rotten`: it will not verify."""

    base: DiskStart
    head: dict[str, Any]
    producers: Table
    cells: "immutables.Map[str, Cell]"
    rotten: bool = False


class SimulatedDisk:
    """`written` and `durable` say which Entry (by its chain) stands at each index, with all that is
    on its way and without; indexes at or below `base` are in a Checkpoint."""

    def __init__(self, cluster: bytes, incarnation: bytes) -> None:
        self.cluster = cluster
        self.incarnation = incarnation
        self.hard_copy = _NOWHERE
        self.votes: dict[int, str | None] = {}  # that ever were durable, by term
        self.repairing = False
        self.ready: StoredCheckpoint | None = None
        self.broken = False
        self._lost: tuple[int, dict[int, bytes]] = (0, {})
        self._begin_anew(_GENESIS)

    def _begin_anew(self, base: DiskStart) -> None:
        """Have an empty ledger that begins here."""
        self.base = base
        self.records: list[Record] = []
        self.checkpoints: list[StoredCheckpoint] = []
        self.hard = _NOWHERE  # as the ledger says
        self.written: dict[int, bytes] = {}
        self.durable: dict[int, bytes] = {}
        self.last_written = self.last_durable = base.place
        self.writing: list[Record] = []
        self.waiting: deque[Persist] = deque()
        self.ticket = 0
        self._serial, self._commit = base.serial, base.place.index
        self._idle_since_ns = 0
        self._sealed = True

    # --- What can be asked ----------------------------------------------------------------------

    @property
    def serial(self) -> int:
        """The number of the last durable record."""
        return self._serial

    def holds(self, index: int, chain: bytes) -> bool:
        """Return whether this very Entry is durable here, by itself or in a Checkpoint."""
        return index <= self.base.place.index or self.durable.get(index) == chain

    def promised(self, index: int, chain: bytes) -> bool:
        """Return the same, or that it was before a ledger was lost: who repairs itself votes for
        no node, so none is elected against what it had said."""
        if self.holds(index, chain):
            return True
        through, chains = self._lost
        return self.repairing and (index <= through or chains.get(index) == chain)

    def entry(self, index: int) -> Record | None:
        """Return the durable record of an Entry that stands."""
        chain = self.durable.get(index)
        for record in reversed(self.records):
            if record.kind == ENTRY and record.index == index:
                return record if record.chain == chain else None
        return None

    # --- Writing --------------------------------------------------------------------------------

    def take(self, persist: Persist) -> None:
        """Note what is to be written."""
        self.waiting.append(persist)
        for draft in persist.records:
            if draft.kind == ENTRY:
                _stand(self.written, self.last_written.index, draft)
                self.last_written = Place(draft.index, draft.term, draft.chain)

    def begin(self, now_ns: int, boot_id: bytes, boot_ns: int) -> None:
        """Begin to write all that waits, with one fsync."""
        assert not self.writing
        if not self._sealed and now_ns - self._idle_since_ns >= limits.SEAL_IDLE_S * limits.SECOND:
            self._seal(boot_id, boot_ns)
        serial, commit, index = self._serial, self._commit, self.last_durable.index
        while self.waiting:
            persist = self.waiting.popleft()
            self.ticket = persist.ticket
            for draft in persist.records:
                serial += 1
                if draft.kind == ENTRY:
                    assert draft.index <= index + 1, "a hole in the ledger"
                    index = draft.index
                commit = max(commit, min(draft.commit, index))
                self.writing.append(self._record(draft, serial, commit, boot_id, boot_ns))

    def finish(self, now_ns: int) -> tuple[int, int]:
        """The fsync returned: return the ticket and the serial that are durable now."""
        self._keep(self.writing)
        self.writing = []
        self._sealed, self._idle_since_ns = False, now_ns
        return self.ticket, self._serial

    def write_now(self, drafts: list[RecordDraft], boot_id: bytes, boot_ns: int) -> None:
        """Write records before any core runs."""
        self.take(Persist(0, drafts))
        self.begin(0, boot_id, boot_ns)
        self.finish(0)

    def _record(
        self, draft: RecordDraft, serial: int, commit: int, boot_id: bytes, boot_ns: int
    ) -> Record:
        return Record(
            self.cluster,
            draft.kind,
            serial,
            draft.index,
            draft.term,
            draft.chain,
            self._serial,
            boot_id,
            boot_ns,
            draft.body,
            commit,
        )

    def _seal(self, boot_id: bytes, boot_ns: int) -> None:
        at = self.last_durable
        draft = RecordDraft(SEAL, at.index, at.term, at.chain, b"", self._commit)
        self._keep([self._record(draft, self._serial + 1, self._commit, boot_id, boot_ns)])
        self._sealed = True

    def _keep(self, records: list[Record]) -> None:
        for record in records:
            self.records.append(record)
            self._serial, self._commit = record.serial, record.commit
            if record.kind == ENTRY:
                _stand(self.durable, self.last_durable.index, record)
                self.last_durable = Place(record.index, record.term, record.chain)
            elif record.kind == HARD:
                self.hard = self.hard_copy = hard_state_of(record.body)
                self.votes[self.hard.term] = self.hard.voted_for

    # --- Crashes --------------------------------------------------------------------------------

    def crash(self, kept: int, *, copied: bool) -> None:
        """The process ends while it writes: so many of the records under way got to the disk whole.
        `copied`: the second copy of the vote was written before."""
        records, self.writing = self.writing, []
        self._keep(records[:kept])
        hard = next((x for x in reversed(records) if x.kind == HARD), None)
        if hard is not None and (copied or kept):
            self.hard_copy = hard_state_of(hard.body)
        self.waiting.clear()
        self.ticket = 0
        self.broken = False
        self._sealed = False
        self.written, self.last_written = dict(self.durable), self.last_durable

    def tail(self, entries: int) -> list[Record]:
        """Return the last records of Entries behind the newest Checkpoint, at most so many."""
        behind = max((x.base.serial for x in self.checkpoints), default=self.base.serial)
        found = [x for x in self.records if x.kind == ENTRY and x.serial > behind]
        return found[len(found) - min(entries, len(found)) :]

    def lose_from(self, serial: int) -> None:
        """The drive lied: what it called durable from this record on is not there. Only the second
        copy of the vote is."""
        kept = [x for x in self.records if x.serial < serial]
        hard_copy, checkpoints = self.hard_copy, self.checkpoints
        self._begin_anew(self.base)
        self._keep(kept)
        self.hard_copy, self.checkpoints = hard_copy, checkpoints
        self.written, self.last_written = dict(self.durable), self.last_durable

    def copied(self) -> Self:
        """Return a copy of all that is durable here."""
        copy = type(self)(self.cluster, self.incarnation)
        copy._begin_anew(self.base)
        copy._keep(self.records)
        copy.hard_copy, copy.votes = self.hard_copy, dict(self.votes)
        copy.checkpoints = list(self.checkpoints)
        copy.repairing, copy._lost = self.repairing, self._lost
        copy.written, copy.last_written = dict(copy.durable), copy.last_durable
        return copy

    def rot(self, serial: int) -> bool:
        """A record of this number goes bad; return whether a scan would find it: only if a later
        one says that it was durable. Else nothing happens (see above)."""
        found = any(x.durable_through >= serial for x in self.records if x.serial > serial)
        if found:
            self.set_aside()
        return found

    def set_aside(self) -> None:
        """Go on with an empty ledger, and remember that much may be forgotten (R24)."""
        if not self.repairing:
            self._lost = (self.base.place.index, self.durable)
        self._begin_anew(_GENESIS)
        self.repairing = True

    # --- Checkpoints ----------------------------------------------------------------------------

    def keep_checkpoint(self, found: StoredCheckpoint, *, through_index: int) -> None:
        """A Checkpoint is verified and in place. The ledger behind the older one of two is dropped,
        but for what is above `through_index`."""
        if found.base.serial < self.base.serial:
            return  # of a ledger that another has replaced
        # By index: a node that came back by an older one may stand before the newest.
        kept = {x.base: x for x in [*self.checkpoints, found]}
        self.checkpoints = [kept[base] for base in sorted(kept)][-limits.CHECKPOINTS_KEPT :]
        whole = [x for x in self.checkpoints if x.base.place.index <= through_index]
        if len(self.checkpoints) == limits.CHECKPOINTS_KEPT and whole:
            self.let_go(whole[0].base)

    def let_go(self, base: DiskStart) -> None:
        """Drop the ledger up to there: a Checkpoint stands in its place."""
        if base.serial <= self.base.serial:
            return
        self.records = [x for x in self.records if x.serial > base.serial]
        for index in range(self.base.place.index + 1, base.place.index + 1):
            self.durable.pop(index, None)
            self.written.pop(index, None)
        self.base = base

    def install(self) -> bool:
        """Let the Checkpoint that is ready take the ledger's place, unless that has it all; return
        whether it did."""
        ready, self.ready = self.ready, None
        if ready is None or self.holds(ready.base.place.index, ready.base.place.chain):
            return False
        self._begin_anew(ready.base)
        self.checkpoints = [ready]
        return True


def _stand(chains: dict[int, bytes], last: int, entry: RecordDraft | Record) -> None:
    """Note an Entry; those at or above its index are void."""
    for index in range(entry.index + 1, last + 1):
        chains.pop(index, None)
    chains[entry.index] = entry.chain
