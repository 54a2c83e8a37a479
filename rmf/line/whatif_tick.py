"""One Tick of the ledger, laid out for another line: what it is given, and both sides to compare.

Decides which slots another line has in a Tick. Where it listens to other expiries than the one that
wrote the ledger, packets have other slots, as they would have had: so slots are compared by what
they are (`Place`), the packet in the ledger's slot or the key that expired, not by number. Decides
also what lies on the bench for a part of the Tick: the line's own changes so far are there. It
knows an Entry and a state, and runs nothing (see what_if).
"""

import attrs

from rmf.core.effects import Batch
from rmf.core.entry import Entry, Expiry, TickBooks
from rmf.core.outcome import Change, Outcome
from rmf.core.packet import Stamp
from rmf.core.state import State
from rmf.line.differences import is_alike
from rmf.line.laid_out import (
    Origin,
    batch_of,
    between,
    expired_cells,
    groups_of,
    origin_of,
    world_behind,
)
from rmf.line.replay_slot import UNLIMITED_HERE
from rmf.line.slots_compared import Account, account_of

__all__ = ["Place", "Retry"]

Place = tuple[int, int, str]  # (0, 0, key) of an expiry, (1, slot in the ledger, "") of a packet


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
        groups = groups_of(self.books.frames, self.latch_bags, self.shift)
        parts = (between(group, begin, end) for group in groups)
        expired = expired_cells(self.base, self.expiries)
        part = batch_of(
            self.base,
            self.term,
            self.entry,
            self.expiries,
            [cell for cell in expired if begin <= cell.slot < end],
            [group for group in parts if group.rows],
            end,
            number,
        )
        if not begin:
            return part
        world = world_behind(self.base, self.term, self.entry_with([]))
        return attrs.evolve(part, world=world, gone=frozenset())  # they are gone from this World

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
            self.books,
            expiries=self.expiries,
            frames=frames,
            listed=self.changes,
            verbatim=[],
            bags=bags,
        )
        return attrs.evolve(self.entry, books=books)

    # --- What is compared -----------------------------------------------------------------------

    def is_just_so(self, bags: list[Outcome]) -> bool:
        """Whether this is what the ledger has, to the byte; the common case, and a quick one."""
        then = [bag for bag in self.books.bags if bag.stage != "latch"]
        same = len(then) == len(bags) and all(map(_is_same, then, bags))
        return same and (
            (self._encoded == [self.books.encoded] and not self.books.verbatim)
            or self.changes == list(map(_as_tuple, self.books.changes))
        )

    def ledger_side(self) -> Account[Place]:
        """Return what the ledger says of each slot that was bagged by a line or wrote."""
        bags = (bag for bag in self.books.bags if bag.stage != "latch")
        return account_of(bags, self.books.changes, lambda slot: _place(slot, self._then_key, 0))

    def this_side(self, bags: list[Outcome]) -> Account[Place]:
        """Return the same of this run."""
        return account_of(bags, self.changes, lambda slot: _place(slot, self._key, self.shift))

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
        return origin_of(self.books.frames, slot) if kind else None


def _is_same(then: Outcome, now: Outcome) -> bool:
    return then.slot == now.slot and is_alike(then, now)


def _as_tuple(change: Change) -> Change:
    """Return a change as a tuple: as it comes out of the ledger it is a list."""
    slot, key, value, shelf = change
    return slot, key, value, shelf


def _place(slot: int, keys: dict[int, str], shift: int) -> Place:
    key = keys.get(slot)
    return (1, slot - shift, "") if key is None else (0, 0, key)
