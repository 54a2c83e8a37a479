"""From the records on a disk to where a node stands: what is committed is applied, the rest is held
(R2, R23, R26).

Decides which Entries of a ledger a node may apply when it comes back: those of which a later record
says that they were committed. What stands behind them is unknown: a later record may void it, a
leader may confirm it, so it is held as it is and handed to consensus as the tail. Each Entry is
applied by the same function as on the day it was proposed, and the digest it states is compared: a
node that computes another does not go on.

It knows no files: recovery feeds it a ledger that was verified before, the simulator its own disks.

The hard state is the highest that anything states: HARD records, copies elsewhere (`remember`),
and the term of any Entry, for the node that wrote that Entry was in its term, even if the record
that would say so came before what is read here.
"""

from collections import deque
from typing import NamedTuple

import cbor2
from crc32c import crc32c

from rmf import limits
from rmf.core.bag import Letter
from rmf.core.entry import Entry, Genesis, decode_entry
from rmf.core.letters import acts_of, letters_of
from rmf.core.raft.raft_values import HardState, LogEntry, Place, Standing
from rmf.core.record import ENTRY, HARD, Record
from rmf.core.shelf import NoShelf, Shelf
from rmf.core.state import State, apply
from rmf.core.triage import Act
from rmf.errors import Diverged

__all__ = ["LastTick", "Recovery", "hard_state_of", "higher_of"]


_NO_SHELF = NoShelf()


class LastTick(NamedTuple):
    """The last Tick that the disk knows of: the cluster's period, its number, the boot in which its
    record was written, and the boot time in ns at which it was (R6)."""

    period_ns: int
    tick: int
    boot_id: bytes
    boot_ns: int


def hard_state_of(body: bytes) -> HardState:
    """Return what the body of a HARD record says. Raises ValueError."""
    try:
        term, voted_for = cbor2.loads(body)
    except (cbor2.CBORError, TypeError, ValueError) as exc:
        raise ValueError(f"the body of a HARD record cannot be read: {exc}") from exc
    if type(term) is not int or not (voted_for is None or type(voted_for) is str):
        raise ValueError(f"a HARD record with the term {term!r} and the vote {voted_for!r}")
    return HardState(term, voted_for)


def higher_of(one: HardState, other: HardState) -> HardState:
    """Return the one of two hard states of a node that holds: that of the higher term; of the same
    term the one with a vote. Raises ValueError for two votes in one term: no node gives them."""
    if one.term != other.term:
        return max(one, other, key=lambda x: x.term)
    if one.voted_for is None or other.voted_for in {None, one.voted_for}:
        return one if one.voted_for is not None else other
    raise ValueError(
        f"in term {one.term} there are two votes, for {one.voted_for!r} and {other.voted_for!r}"
    )


class Recovery:
    """A node while its records are read, oldest first.

    `state` stands at `base`, the Entry whose own record is `base_serial` (genesis: 0).
    Letters of Entries above `cursor` are kept for the DLQ until `take_letters`. Of uncommitted
    Entries at most VOID_ENTRIES_MAX are held, as many as a ledger may void.
    """

    def __init__(
        self,
        node: str,
        state: State,
        base: Place,
        base_serial: int,
        cursor: int,
    ) -> None:
        assert state.index == base.index
        self.state = state
        self._node = node
        self._place = base
        self._serial = base_serial
        self._cursor = cursor
        self._hard = HardState(base.term, None)
        self._commit = base.index
        self._held: deque[Record] = deque()
        self._letters: list[Letter] = []
        self._acts: list[Act] = []
        self._last: LastTick | None = None
        self.applied_bytes = 0  # of bodies, behind the base

    def take(self, record: Record) -> None:
        """Take the next record. Raises ValueError for an Entry that this release cannot read (its
        kind may be newer, R30) and for what no ledger holds; Diverged for another digest."""
        if record.kind == ENTRY:
            self._hold(record)
        elif record.kind == HARD:
            self.remember(hard_state_of(record.body))
        self._commit = max(self._commit, record.commit)
        while self._held and self._held[0].index <= self._commit:
            self._apply(self._held.popleft())

    def remember(self, hard: HardState) -> None:
        """Count in what is known of the hard state from elsewhere. Raises ValueError."""
        self._hard = higher_of(self._hard, hard)

    def shelf(self) -> Shelf:
        """Return the shelf of what was applied. The World's keys must be in order."""
        return Shelf.of(self.state.world, self.state.void_before)

    @property
    def letters_waiting(self) -> int:
        """How many letters and acts `take_letters` and `take_acts` would return."""
        return len(self._letters) + len(self._acts)

    def take_letters(self) -> list[Letter]:
        """Return the letters of Entries up to `state.index` that were not taken yet."""
        letters, self._letters = self._letters, []
        return letters

    def take_acts(self) -> list[Act]:
        """Return what the same Entries decided about letters."""
        acts, self._acts = self._acts, []
        return acts

    @property
    def last_tick(self) -> LastTick | None:
        """The last Tick that was applied or is held; None if there is none behind the base, or if
        this release cannot read it."""
        if not self._held:
            return self._last
        record, first = self._held[-1], self._held[0]
        period_ns = self.state.period_ns
        try:
            if first.index == 1:
                books = decode_entry(first.body).books
                period_ns = books.period_ns if isinstance(books, Genesis) else period_ns
            tick = decode_entry(record.body).tick
        except ValueError:
            return None
        return LastTick(period_ns, tick, record.boot_id, record.boot_ns)

    def standing(self, *, whole: bool = True) -> Standing:
        """Return where the node stands, after the last record."""
        return Standing(
            hard=self._hard,
            place=self._place,
            serial=self._serial,
            tail=tuple(LogEntry(*_place_of(x), x.body, crc32c(x.body)) for x in self._held),
            tail_serials=tuple(record.serial for record in self._held),
            whole=whole,
        )

    def _hold(self, record: Record) -> None:
        """Hold an Entry, instead of those that it voids."""
        while self._held and self._held[-1].index >= record.index:
            self._held.pop()
        last = self._held[-1].index if self._held else self._place.index
        if record.index != last + 1:
            raise ValueError(
                f"Entry {record.index} (record {record.serial}) does not follow Entry {last}, up to"
                f" {self._place.index} of which are committed"
            )
        if len(self._held) >= limits.VOID_ENTRIES_MAX and record.commit <= self._place.index:
            raise ValueError(
                f"more than {limits.VOID_ENTRIES_MAX} Entries behind Entry {self._place.index}, "
                f"and no record says that they were committed"
            )
        self._held.append(record)
        if record.term > self._hard.term:
            self._hard = HardState(record.term, None)

    def _apply(self, record: Record) -> None:
        entry, before = decode_entry(record.body), self.state
        self.state, applied = apply(before, entry, record.term, record.index, _NO_SHELF)
        self._compare(record, entry)
        for key in applied.removed:
            self.state.world.index.discard(key)
        if record.index > self._cursor:
            self._letters += letters_of(entry, before, record.term, self._node)
            self._acts += acts_of(entry, record.index)
        self._place, self._serial = _place_of(record), record.serial
        self.applied_bytes += len(record.body)
        self._last = LastTick(self.state.period_ns, entry.tick, record.boot_id, record.boot_ns)

    def _compare(self, record: Record, entry: Entry) -> None:
        if self.state.digest() != entry.digest:
            raise Diverged(
                f"Entry {record.index} (term {record.term}, tick {entry.tick}) states the digest "
                f"{entry.digest.hex()}; applying it gives {self.state.digest().hex()}. The ledger "
                f"was written by another version of RMF, or memory failed; try `rmf-replay` on the "
                f"data directory."
            )


def _place_of(record: Record) -> Place:
    return Place(record.index, record.term, record.chain)
