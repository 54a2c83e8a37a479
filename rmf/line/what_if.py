"""History with another line (R27): what it would have written, bagged or let pass.

Decides what the line sees at each Tick, and holds what it does against the ledger, slot by slot.
Two ways:

    per Tick    the ledger's changes stand: each Tick begins on the World as it really was, so a
                difference is that Tick's own. Within a Tick what the line did carries on.
    forward     the line's own changes carry on: an alternative history, with its own World and its
                own expiries, which ends in a World that is compared as a whole.

What producers sent and what the latch decided is as it was, in both. A slot that was bagged for
time, death or memory is not run again, unless that is asked for, and then in a child process. It
knows Entries and a line, neither files nor clocks.
"""

import heapq
from collections.abc import Iterable, Iterator
from typing import Protocol

import attrs

from rmf import limits
from rmf.core.effects import Batch
from rmf.core.entry import Accession, Entry, Expiry, TickBooks
from rmf.core.entry_walk import follow
from rmf.core.events import Executed
from rmf.core.outcome import Outcome
from rmf.core.record import Record
from rmf.core.shelf import Shelf, is_due
from rmf.core.state import State, expiries_of
from rmf.core.world import Cell, World
from rmf.line.differences import Differences, is_alike
from rmf.line.inline import Inline
from rmf.line.line import Line
from rmf.line.replay import Replay
from rmf.line.run_in_fork import run_apart
from rmf.line.slots_compared import Divergence, differing
from rmf.line.time_limit import patience
from rmf.line.whatif_tick import Retry

__all__ = ["EndDifference", "WhatIf"]


@attrs.frozen
class EndDifference:
    """A key whose cell is another one in the World of the alternative history (forward)."""

    key: str
    ledger: Cell | None
    replay: Cell | None


class BatchRunner(Protocol):
    """What runs a batch: this process, or a glove box."""

    def run(self, batch: Batch) -> Executed:
        """Run it, up to the slot that closes the Tick."""
        ...


class WhatIf:
    """One run through a ledger with another line. `replay` is the ledger's own side of it;
    `poison_skipped` counts the slots that were not run. Without a `runner` the line runs in this
    very process, which it may hang or end."""

    def __init__(
        self,
        replay: Replay,
        line: Line,
        *,
        forward: bool = False,
        run_poison: bool = False,
        runner: BatchRunner | None = None,
        shown: int = limits.WHAT_IF_SHOWN,
    ) -> None:
        self.replay = replay
        self.line = line
        self.differences = Differences(shown)
        self.forward = forward
        self.poison_skipped = 0
        self._run_poison = run_poison
        self._inline = Inline(line)
        self._runner: BatchRunner = runner or self._inline
        self._batches = 0
        before = replay.state
        self._id = line.identity
        self._other: State | None = None
        if forward:
            world = World.of(dict(before.world.cells))
            self._other = attrs.evolve(before, world=world, line=self._id)
            self._shelf = Shelf.of(world, before.void_before)
            self._due: dict[str, None] = {}

    def run(self, records: Iterable[Record], until_tick: int | None = None) -> Divergence | None:
        """Take Entries, in order and up to `until_tick`; return a digest that is not the World's,
        which ends it. Other differences are in `differences`. Raises StorageError."""
        with patience(self._inline.mark):
            return self.replay.run(records, until_tick, before_each=self._take)

    def end_differences(self) -> Iterator[EndDifference]:
        """Give the keys, in no order, whose value or shelf life is another one at the end."""
        if self._other is None:
            return
        ledger, other = self.replay.state.world, self._other.world
        for key, cell in ledger.cells.items():
            mine = other.get(key)
            if mine is None or (mine.value, mine.expires) != (cell.value, cell.expires):
                yield EndDifference(key, cell, mine)
        for key, mine in other.cells.items():
            if ledger.get(key) is None:
                yield EndDifference(key, None, mine)

    def end(self, shown: int) -> tuple[int, list[EndDifference]]:
        """Return how many keys differ at the end, and the first of them in key order."""
        count = 0

        def counted() -> Iterator[EndDifference]:
            nonlocal count
            for found in self.end_differences():
                count += 1
                yield found

        first = heapq.nsmallest(shown, counted(), key=lambda found: found.key)
        return count, first

    # --- An Entry -----------------------------------------------------------------------------

    def _take(self, record: Record, entry: Entry) -> None:
        books = entry.books
        if isinstance(books, TickBooks):
            mine = self._tick(record.term, entry, books)
        elif isinstance(books, Accession):
            mine = attrs.evolve(entry, books=attrs.evolve(books, line=self._id))
        else:
            mine = entry
        if self._other is not None:
            self._other = follow(self._other, mine, record.term, record.index, self._shelf)

    def _tick(self, term: int, entry: Entry, books: TickBooks) -> Entry:
        """Run a Tick; return the Entry that it would have been."""
        base = self._other or self.replay.state
        expiries = self._expiries(base, entry, books)
        listened = sum(expiry.slot is not None for expiry in expiries)
        then = books.frames[0].first_slot if books.frames else 0
        shift = listened - then if books.frames else 0
        again = Retry(base, term, entry, books, expiries, shift)
        bags = self._execute(again)
        plain = not shift and expiries == books.expiries
        if not (plain and again.is_just_so(bags)):
            self._compare(again, bags)
        if self._other is None:
            return entry
        return again.entry_with(sorted([*again.latch_bags, *bags], key=lambda bag: bag.slot))

    def _expiries(self, base: State, entry: Entry, books: TickBooks) -> list[Expiry]:
        if self._other is None:
            keys = [expiry.key for expiry in books.expiries]
        else:
            keys = self._ends(base, entry, books)
        if not keys:
            return []
        return expiries_of(keys, base, self.line.listens)

    def _ends(self, base: State, entry: Entry, books: TickBooks) -> list[str]:
        """Return what ends in a Tick of the alternative history: what the ledger ends here, and
        what it has no need to end. A Tick takes only so many: what the ledger ends in a later one
        ends in that one here, too."""
        tick, shelf, ledger = entry.tick, self._shelf, self.replay.state
        while (at := shelf.next_tick()) is not None and at <= tick:
            self._due.update(dict.fromkeys(shelf.due(tick, base.world, base.void_before)))
        here = {expiry.key for expiry in books.expiries}
        ends: list[tuple[int, str]] = []
        for key in list(self._due):
            cell = base.world.get(key)
            waits = key not in here and is_due(ledger.world.get(key), tick, ledger.void_before)
            if waits and is_due(cell, tick, base.void_before):
                continue
            del self._due[key]
            if cell is not None and is_due(cell, tick, base.void_before):
                ends.append((cell.expires, key))
            elif cell is not None and cell.expires:
                shelf.arm(key, cell.expires)
        return [key for _, key in sorted(ends)]

    def _execute(self, again: "Retry") -> list[Outcome]:
        """Run all slots, those of poison apart or not at all; return what was bagged."""
        bags: list[Outcome] = []
        begin = 0
        for stop in [*sorted(again.poison), again.slots]:
            while begin < stop:
                batch = again.part(begin, stop, self._number())
                executed = self._runner.run(batch)
                again.note(executed.listed, executed.encoded)
                bags += executed.outcomes
                begin = executed.done
            if stop < again.slots:
                bags += self._poison(again, stop)
                begin = stop + 1
        return bags

    def _number(self) -> int:
        self._batches += 1
        return self._batches

    def _poison(self, again: "Retry", slot: int) -> list[Outcome]:
        if not self._run_poison:
            self.poison_skipped += 1
            return [again.poison[slot]]
        ran = run_apart(self.line, again.part(slot, slot + 1, self._number()))
        again.note(ran.changes, b"")
        return [] if ran.bag is None else [ran.bag]

    def _compare(self, again: "Retry", bags: list[Outcome]) -> None:
        """Note each slot that was bagged or wrote otherwise."""
        for found in differing(again.ledger_side(), again.this_side(bags), is_alike):
            stamp, origin = again.stamp_of(found.place), again.origin_of(found.place)
            self.differences.add(stamp, found, origin)
