"""One Tick of the ledger, laid out for another line: what it is given, and both sides to compare.

Decides which slots another line has in a Tick. Where it listens to other expiries than the one that
wrote the ledger, packets have other slots, as they would have had: so slots are compared by what
they are (`Place`), the packet in the ledger's slot or the key that expired, not by number. Decides
also what lies on the bench for a part of the Tick: the line's own changes so far are there. It
knows an Entry and a state, and runs nothing (see what_if).
"""

from collections.abc import Callable, Iterable, Iterator

import attrs

from rmf.core.effects import Batch, ExpiredCell, Group
from rmf.core.entry import Entry, Expiry, TickBooks
from rmf.core.outcome import Change, Outcome
from rmf.core.packet import SEQ, TOPIC, Stamp, Verdict
from rmf.core.shelf import Shelf
from rmf.core.state import State, apply
from rmf.line.differences import is_alike
from rmf.line.rerun import Origin
from rmf.line.scene import UNLIMITED_HERE

__all__ = ["Place", "Retry", "Side"]

Place = tuple[int, int, str]  # (0, 0, key) of an expiry, (1, slot in the ledger, "") of a packet
Side = dict[Place, tuple[Outcome | None, dict[str, Change]]]


class Retry:
    """One Tick, laid out for another line. Its packets stand `shift` slots behind those of the
    ledger. `poison` are slots (of this layout) that the ledger says are poison."""

    def __init__(
        self,
        base: State,
        term: int,
        entry: Entry,
        books: TickBooks,
        expiries: list[Expiry],
        shift: int,
    ) -> None:
        self.base, self.term, self.entry, self.books = base, term, entry, books
        self.expiries = expiries
        self.shift = shift
        self.changes: list[Change] = []
        self._encoded: list[bytes] = []  # of the parts that were run
        self._then_key = {x.slot: x.key for x in books.expiries if x.slot is not None}
        self._key = {x.slot: x.key for x in expiries if x.slot is not None}
        frames = books.frames
        self.slots = (
            frames[-1].first_slot + frames[-1].packets + shift if frames else len(self._key)
        )
        self.latch_bags: list[Outcome] = []
        self.poison: dict[int, Outcome] = {}
        for bag in books.bags:
            if bag.stage == "latch":
                self.latch_bags.append(self._moved(bag, bag.slot + shift))
            elif bag.reason in UNLIMITED_HERE and (slot := self._slot_here(bag.slot)) is not None:
                self.poison[slot] = self._moved(bag, slot)

    def _moved(self, bag: Outcome, slot: int) -> Outcome:
        return bag if bag.slot == slot else attrs.evolve(bag, slot=slot)

    def _slot_here(self, slot: int) -> int | None:
        key = self._then_key.get(slot)
        if key is None:
            return slot + self.shift
        return next((mine for mine, name in self._key.items() if name == key), None)

    # --- What is run ----------------------------------------------------------------------------

    def part(self, begin: int, end: int, number: int) -> Batch:
        """Return the slots from `begin` up to `end`, on what the ones before them did."""
        world, gone = self.base.world, frozenset(expiry.key for expiry in self.expiries)
        if begin:
            before = attrs.evolve(self.base, world=world.apart())
            entry = self.entry_with([])
            after, _ = apply(before, entry, self.term, before.index + 1, Shelf())
            world, gone = after.world, frozenset[str]()
        groups = (group for group in self._groups() if group.first_slot < end)
        parts = (_between(group, begin, end) for group in groups)
        return Batch(
            number=number,
            term=self.term,
            tick=self.entry.tick,
            world=world,
            gone=gone,
            expired=[cell for cell in self._expired() if begin <= cell.slot < end],
            groups=[group for group in parts if group.rows],
            slots=end,
            period_ns=self.base.period_ns,
            wall_ns=self.entry.wall_ns,
            void_before=self.base.void_before,
        )

    def _expired(self) -> Iterator[ExpiredCell]:
        for key, reason, slot in self.expiries:
            cell = self.base.world.get(key)
            if slot is not None and cell is not None:
                yield ExpiredCell(slot, key, cell, reason)

    def _groups(self) -> Iterator[Group]:
        verdicts = {bag.slot: Verdict(bag.reason, bag.error.message) for bag in self.latch_bags}
        for frame in self.books.frames:
            first = frame.first_slot + self.shift
            mine = {}
            if verdicts:
                slots = range(first, first + frame.packets)
                mine = {slot - first: verdicts[slot] for slot in slots if slot in verdicts}
            yield Group(frame.producer, frame.epoch, first, frame.intake_tick, frame.rows, mine)

    def note(self, changes: list[Change], encoded: bytes) -> None:
        """Take what a part of the Tick came to."""
        self._encoded.append(encoded)
        self.changes += changes

    def entry_with(self, bags: list[Outcome]) -> Entry:
        """Return the Entry with what this line did so far."""
        frames = self.books.frames
        if self.shift:
            frames = [frame._replace(first_slot=frame.first_slot + self.shift) for frame in frames]
        books = attrs.evolve(
            self.books, expiries=self.expiries, frames=frames, changes=self.changes, bags=bags
        )
        return attrs.evolve(self.entry, books=books)

    # --- What is compared -----------------------------------------------------------------------

    def is_just_so(self, bags: list[Outcome]) -> bool:
        """Whether this is what the ledger has, to the byte; the common case, and a quick one."""
        then = [bag for bag in self.books.bags if bag.stage != "latch"]
        same = len(then) == len(bags) and all(map(_is_same, then, bags))
        return same and (
            self._encoded == [self.books.encoded]
            or self.changes == list(map(_as_tuple, self.books.changes))
        )

    def ledger_side(self) -> Side:
        """Return what the ledger says of each slot that was bagged by a line or wrote."""
        bags = (bag for bag in self.books.bags if bag.stage != "latch")
        return _side(bags, self.books.changes, lambda slot: _place(slot, self._then_key, 0))

    def this_side(self, bags: list[Outcome]) -> Side:
        """Return the same of this run."""
        return _side(bags, self.changes, lambda slot: _place(slot, self._key, self.shift))

    def stamp_of(self, place: Place) -> Stamp:
        """Return the Stamp of a slot: the ledger's, or this layout's where the ledger has none."""
        kind, slot, key = place
        if not kind:
            slots = [s for s, name in (*self._then_key.items(), *self._key.items()) if name == key]
            slot = slots[0]
        return Stamp(self.term, self.entry.tick, slot)

    def origin_of(self, place: Place) -> Origin | None:
        """Return the packet in a slot, if it is one."""
        kind, slot, _ = place
        for frame in self.books.frames if kind else ():
            if frame.first_slot <= slot < frame.first_slot + frame.packets:
                row = frame.rows[slot - frame.first_slot]
                return Origin(frame.producer, row[SEQ], row[TOPIC])
        return None


def _is_same(then: Outcome, now: Outcome) -> bool:
    return then.slot == now.slot and is_alike(then, now)


def _as_tuple(change: Change) -> Change:
    """Return a change as a tuple: as it comes out of the ledger it is a list."""
    slot, key, value, shelf = change
    return slot, key, value, shelf


def _place(slot: int, keys: dict[int, str], shift: int) -> Place:
    key = keys.get(slot)
    return (1, slot - shift, "") if key is None else (0, 0, key)


def _side(
    bags: Iterable[Outcome], changes: Iterable[Change], place_of: Callable[[int], Place]
) -> Side:
    side: Side = {}
    for change in changes:
        side.setdefault(place_of(change[0]), (None, {}))[1][change[1]] = _as_tuple(change)
    for bag in bags:
        side[place_of(bag.slot)] = (bag, {})
    return side


def _between(group: Group, begin: int, end: int) -> Group:
    """Return the packets of a group in these slots."""
    first, last = max(0, begin - group.first_slot), max(0, end - group.first_slot)
    if not first and last >= len(group.rows):
        return group
    verdicts = {at - first: v for at, v in group.verdicts.items() if first <= at < last}
    return attrs.evolve(
        group,
        first_slot=group.first_slot + first,
        rows=group.rows[first:last],
        verdicts=verdicts,
    )
