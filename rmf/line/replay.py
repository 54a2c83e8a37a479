"""A ledger, run again (R27): Tick by Tick through a line, compared with what the ledger says.

Decides what the Arbiter would have put on the bench for an Entry, and what counts as a difference:
changes (key, value bytes, shelf) and outcomes (bagged or not, and why) slot by slot, then the
World's digest once the ledger's own changes are applied (R26). It knows Entries and a line, neither
files nor clocks: the records, already verified, and the state before them are given.

The ledger's changes stand: they are what is applied, whatever the line does in the replay. So a
difference is the first of its kind and no consequence of an earlier one, and with another line the
answer is what that line would have done with history as it was.

Two things are taken from the ledger and not asked again: verdicts of the latch, which no line had a
say in, and those about time, memory and death, which this process does not limit. Evidence is not
compared: its tracebacks name the files of the machine that wrote it.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, Literal

import attrs

from rmf.core.bag import Evidence
from rmf.core.effects import Batch, ExpiredCell, Group
from rmf.core.entry import Accession, Entry, LineId, TickBooks, decode_entry
from rmf.core.events import Change, Executed, Outcome
from rmf.core.packet import SEQ, TOPIC, Verdict
from rmf.core.record import Record
from rmf.core.shelf import Shelf
from rmf.core.state import State, apply
from rmf.errors import StorageError
from rmf.line.inline import Inline
from rmf.line.line import Line

__all__ = ["Divergence", "Origin", "Replay"]

_UNLIMITED_HERE = frozenset({"handler_timeout", "handler_died", "handler_memory"})


@attrs.frozen
class Origin:
    """The packet in a slot."""

    producer: str
    seq: int
    topic: str


@attrs.frozen(kw_only=True)
class Divergence:
    """A difference at (term, tick, slot, key). What `ledger` and `replay` are says `kind`:

    change    the Change of `key` by this slot, None where the slot did not change it
    outcome   the reason why the slot was bagged, None if it was applied; `key` is None
    expiry    whether the line listens to the expiry of `key`; `slot` is the ledger's, if it does
    digest    the digest that the Entry states, and the one of its changes applied; no slot, no key

    `error` is why the slot was bagged in the replay, `origin` the packet in the slot, if it is one.
    """

    kind: Literal["change", "outcome", "expiry", "digest"]
    term: int
    tick: int
    slot: int | None
    key: str | None
    ledger: Any
    replay: Any
    error: Evidence | None = None
    origin: Origin | None = None


class Replay:
    """One run through a ledger, from `state` on; without a line only digests are compared.

    `state` is that of the ledger after the last Entry taken; `entries` counts them, `lines` are
    those that the ledger names for them. `until_reached` says whether a later Entry was seen.
    """

    def __init__(self, state: State, shelf: Shelf, line: Line | None) -> None:
        self.state = state
        self.entries = 0
        self.first_tick: int | None = None
        self.last_tick: int | None = None
        self.lines: list[LineId] = [state.line] if state.index else []
        self.until_reached = False
        self._start = state
        self._shelf = shelf
        self._bench = None if line is None else Inline(line)

    @property
    def packets(self) -> int:
        """How many packets were latched by the Entries taken."""
        return self.state.latched - self._start.latched

    @property
    def bagged(self) -> int:
        """How many of them were bagged, by the latch or by the line."""
        return self.state.bagged - self._start.bagged

    def run(self, records: Iterable[Record], until_tick: int | None = None) -> Divergence | None:
        """Take Entries, in order and up to `until_tick`, until one differs; return how it does.

        `records` are Entries that hold (no void ones), the first being the one behind `state`.
        Raises StorageError for an Entry that this version cannot read.
        """
        for record in records:
            try:
                entry = decode_entry(record.body)
            except ValueError as exc:
                raise StorageError(
                    f"Entry {record.index} of the ledger: {exc}; replay it with the version of RMF"
                    f" that wrote it, or a later one"
                ) from exc
            if until_tick is not None and entry.tick > until_tick:
                self.until_reached = True
                return None
            found = self._take(record, entry)
            if found is not None:
                return found
        return None

    def _take(self, record: Record, entry: Entry) -> Divergence | None:
        found = None
        books = entry.books
        if isinstance(books, TickBooks):
            if self._bench is not None:
                found = _Tick(self.state, record.term, entry, books).compared(self._bench)
        elif isinstance(books, Accession) and self.lines[-1:] != [books.line]:
            self.lines.append(books.line)
        self.state, applied = apply(self.state, entry, record.term, record.index, self._shelf)
        for key in applied.removed:
            if self.state.world.get(key) is None:
                self.state.world.index.discard(key)
        self.entries += 1
        self.last_tick = entry.tick
        if self.first_tick is None:
            self.first_tick = entry.tick
        digest = self.state.digest()
        if found is None and digest != entry.digest:
            found = Divergence(
                kind="digest",
                term=record.term,
                tick=entry.tick,
                slot=None,
                key=None,
                ledger=entry.digest,
                replay=digest,
            )
        return found


class _Tick:
    """One Tick of the ledger, to be run again. `before` is the state that it was latched on."""

    def __init__(self, before: State, term: int, entry: Entry, books: TickBooks) -> None:
        self._before = before
        self._term = term
        self._entry = entry
        self._books = books
        self._given: list[Outcome] = []
        self._reasons: dict[int, str] = {}
        for bag in books.bags:
            if bag.stage == "latch" or bag.reason in _UNLIMITED_HERE:
                self._given.append(bag)
            else:
                self._reasons[bag.slot] = bag.reason

    def compared(self, bench: Inline) -> Divergence | None:
        """Run the Tick; return the first difference."""
        for key, _, slot in self._books.expiries:
            listens = bench.line.expired_handler_of(key) is not None
            if listens != (slot is not None):
                return self._divergence("expiry", slot, key, slot is not None, listens)
        batch = self._batch()
        if not batch.slots:
            return None
        executed = bench.run(batch)
        if (
            executed.done == batch.slots
            and executed.encoded == self._books.encoded
            and _reasons_of(executed) == self._reasons
        ):
            return None
        return self._difference(bench, batch, executed)

    # --- What was on the bench ----------------------------------------------------------------

    def _batch(self) -> Batch:
        """Return what of the latched Tick was executed: the Entry holds no other slots."""
        books = self._books
        starts = [frame.first_slot for frame in books.frames]
        verdicts: list[dict[int, Verdict]] = [{} for _ in starts]
        given: set[int] = set()
        for bag in self._given:
            at = bisect_right(starts, bag.slot) - 1
            if at < 0:
                given.add(bag.slot)
            else:
                verdicts[at][bag.slot - starts[at]] = Verdict(bag.reason, bag.error.message)
        expired = self._expired()
        last = books.frames[-1] if books.frames else None
        return Batch(
            number=0,
            term=self._term,
            tick=self._entry.tick,
            world=self._before.world,
            gone=frozenset(expiry.key for expiry in books.expiries),
            expired=[cell for cell in expired if cell.slot not in given],
            groups=[
                Group(f.producer, f.epoch, f.first_slot, f.intake_tick, f.rows, mine)
                for f, mine in zip(books.frames, verdicts, strict=True)
            ],
            slots=len(expired) if last is None else last.first_slot + last.packets,
            period_ns=self._before.period_ns,
            wall_ns=self._entry.wall_ns,
            void_before=self._before.void_before,
        )

    def _expired(self) -> list[ExpiredCell]:
        cells = []
        for key, reason, slot in self._books.expiries:
            cell = self._before.world.get(key)
            if slot is not None and cell is not None:
                cells.append(ExpiredCell(slot, key, cell, reason))
        return cells

    def _rest(self, batch: Batch, done: int) -> Batch:
        """Return the slots from `done` on, on the World that the ones before them left.

        The line closed the Tick there: its evidence is longer here, or it is another line.
        """
        changes = [change for change in self._books.changes if change[0] < done]
        part = attrs.evolve(self._entry, books=attrs.evolve(self._books, changes=changes))
        after, _ = apply(self._before, part, self._term, self._before.index + 1, Shelf())
        return attrs.evolve(
            batch,
            world=after.world,
            gone=frozenset(),  # they are gone from this World
            expired=[cell for cell in batch.expired if cell.slot >= done],
            groups=[
                _without(group, max(0, done - group.first_slot))
                for group in batch.groups
                if group.first_slot + len(group.rows) > done
            ],
        )

    # --- What is different --------------------------------------------------------------------

    def _difference(self, bench: Inline, batch: Batch, executed: Executed) -> Divergence | None:
        ledger = _by_slot(self._books.changes)
        begin = 0
        while True:
            found = self._differs(ledger, executed, begin)
            if found is not None or executed.done >= batch.slots:
                return found
            begin = executed.done
            executed = bench.run(self._rest(batch, begin))

    def _differs(
        self, ledger: dict[int, dict[str, Change]], executed: Executed, begin: int
    ) -> Divergence | None:
        """Return the first difference of the slots from `begin` on that were run."""
        reasons, replay = _reasons_of(executed), _by_slot(executed.changes)
        slots = ledger.keys() | replay.keys() | self._reasons.keys() | reasons.keys()
        for slot in sorted(slot for slot in slots if begin <= slot < executed.done):
            was, now = self._reasons.get(slot), reasons.get(slot)
            if was != now:
                error = next((bag.error for bag in executed.outcomes if bag.slot == slot), None)
                return self._divergence("outcome", slot, None, was, now, error)
            old, new = ledger.get(slot, {}), replay.get(slot, {})
            for key in sorted(old.keys() | new.keys()):
                if old.get(key) != new.get(key):
                    return self._divergence("change", slot, key, old.get(key), new.get(key))
        return None

    def _divergence(
        self,
        kind: Literal["change", "outcome", "expiry"],
        slot: int | None,
        key: str | None,
        ledger: object,
        replay: object,
        error: Evidence | None = None,
    ) -> Divergence:
        return Divergence(
            kind=kind,
            term=self._term,
            tick=self._entry.tick,
            slot=slot,
            key=key,
            ledger=ledger,
            replay=replay,
            error=error,
            origin=None if slot is None else self._origin(slot),
        )

    def _origin(self, slot: int) -> Origin | None:
        for frame in self._books.frames:
            if frame.first_slot <= slot < frame.first_slot + frame.packets:
                row = frame.rows[slot - frame.first_slot]
                return Origin(frame.producer, row[SEQ], row[TOPIC])
        return None


def _reasons_of(executed: Executed) -> dict[int, str]:
    return {bag.slot: bag.reason for bag in executed.outcomes}


def _by_slot(changes: Iterable[Change]) -> dict[int, dict[str, Change]]:
    """Return the changes of each slot by key; the order in which a slot wrote them is nothing."""
    slots: dict[int, dict[str, Change]] = {}
    for slot, key, value, shelf in changes:
        slots.setdefault(slot, {})[key] = (slot, key, value, shelf)
    return slots


def _without(group: Group, packets: int) -> Group:
    """Return a group without its first packets."""
    return attrs.evolve(
        group,
        first_slot=group.first_slot + packets,
        rows=group.rows[packets:],
        verdicts={at - packets: v for at, v in group.verdicts.items() if at >= packets},
    )
