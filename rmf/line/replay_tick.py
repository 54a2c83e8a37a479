"""One Tick of the ledger, run again (R21, R27): what lay on the bench, and what came out otherwise.

Decides what the Arbiter had put on the bench for an Entry, and what counts as a difference: changes
(key, value bytes, shelf) and outcomes (bagged or not, and why), slot by slot. The caller gives
each `batch` to a runner of its own and what came of it to `compare`; replay and audit both do. It
knows an Entry and the state before it, neither files nor clocks.

The ledger's changes stand: behind a slot that differs, and where the runner closed the Tick, the
next batch begins on the World that the ledger's changes make. So each difference is a slot's own,
and no consequence of an earlier one.

Some slots are not run, but taken as the ledger says: those that the latch bagged, for no line had a
say in them, and verdicts about time, memory and death: poison is run once, ever. Where a runner
comes to such a verdict itself, that says something of this machine and nothing of the ledger: the
rest of the Tick is left alone. Evidence is not compared: its tracebacks name the files of the
machine that wrote it.
"""

from collections.abc import Callable

import attrs

from rmf.core.effects import Batch
from rmf.core.entry import Entry, TickBooks
from rmf.core.events import Executed
from rmf.core.outcome import Outcome, changes_of_spans
from rmf.core.packet import Stamp
from rmf.core.state import State
from rmf.line.laid_out import (
    batch_of,
    between,
    expired_cells,
    groups_of,
    origin_of,
    world_behind,
)
from rmf.line.slots_compared import Account, Divergence, account_of, differing

__all__ = ["Rerun"]

_OF_THE_BOX = frozenset({"handler_timeout", "handler_died", "handler_memory"})


class Rerun:
    """One Tick to be run again, which was latched on the state `before`. `batch` is what is to be
    run next, None once nothing is left. `cut_short`: it ended at a verdict of the runner's own."""

    def __init__(self, before: State, term: int, entry: Entry, books: TickBooks) -> None:
        self.cut_short = False
        self._before = before
        self._term = term
        self._entry = entry
        self._books = books
        self._given: list[Outcome] = []
        self._reasons: dict[int, str] = {}
        for bag in books.bags:
            if bag.stage == "latch" or bag.reason in _OF_THE_BOX:
                self._given.append(bag)
            else:
                self._reasons[bag.slot] = bag.reason
        self._begin = 0
        self._ledger: Account[int] | None = None
        self._whole = self._whole_batch()
        self.batch: Batch | None = self._whole if self._whole.slots else None

    def other_expiry(self, listens: Callable[[str], bool]) -> Divergence | None:
        """Return the first expiry that the line listens to and the ledger's did not, or the other
        way round: then slots are others, and nothing of the Tick can be compared."""
        for key, _, slot in self._books.expiries:
            if listens(key) != (slot is not None):
                return Divergence(
                    kind="expiry",
                    term=self._term,
                    tick=self._entry.tick,
                    slot=slot,
                    key=key,
                    ledger=slot is not None,
                    replay=listens(key),
                    origin=None if slot is None else origin_of(self._books.frames, slot),
                )
        return None

    def compare(self, executed: Executed) -> list[Divergence]:
        """Return how the first slot that differs does, key by key; `batch` is what comes next."""
        assert self.batch is not None
        begin, reasons = self._begin, _reasons_of(executed)
        if (
            executed.done == self._whole.slots
            and executed.encoded == self._books.encoded
            and executed.verbatim == self._books.verbatim
            and reasons == self._reasons
        ):
            self.batch = None
            return []
        stop = min((s for s, why in reasons.items() if why in _OF_THE_BOX), default=None)
        end = executed.done if stop is None else stop
        found = self._differences(executed, begin, end)
        if found:
            assert found[0].slot is not None
            end = found[0].slot + 1
        self.cut_short = stop is not None
        self._begin = end
        left = end < self._whole.slots and not self.cut_short
        self.batch = self._rest(end) if left else None
        return found

    # --- What was on the bench ----------------------------------------------------------------

    def _whole_batch(self) -> Batch:
        """Return what of the latched Tick was executed: the Entry holds no other slots."""
        frames = self._books.frames
        given = {bag.slot for bag in self._given}
        expired = list(expired_cells(self._before, self._books.expiries))
        return batch_of(
            self._before,
            self._term,
            self._entry,
            self._books.expiries,
            [cell for cell in expired if cell.slot not in given],
            list(groups_of(frames, self._given)),
            frames[-1].first_slot + frames[-1].packets if frames else len(expired),
            verbatim=bool(self._books.verbatim),
        )

    def _rest(self, done: int) -> Batch:
        """Return the slots from `done` on, on the World that the ones before them left."""
        whole = self._whole
        changes = [change for change in self._books.changes if change[0] < done]
        books = attrs.evolve(self._books, listed=changes, verbatim=[])
        part = attrs.evolve(self._entry, books=books)
        groups = (between(group, done, whole.slots) for group in whole.groups)
        return attrs.evolve(
            whole,
            world=world_behind(self._before, self._term, part),
            gone=frozenset(),  # they are gone from this World
            expired=[cell for cell in whole.expired if cell.slot >= done],
            groups=[group for group in groups if group.rows],
        )

    # --- What is different --------------------------------------------------------------------

    def _differences(self, executed: Executed, begin: int, end: int) -> list[Divergence]:
        """Return the differences of the first slot from `begin` up to `end` that has any."""
        books = self._books
        if self._ledger is None:
            bags = (bag for bag in books.bags if bag.slot in self._reasons)
            self._ledger = account_of(bags, books.changes, _slot)
        spans = changes_of_spans(executed.verbatim, books.rows, books.first_slot)
        replay = account_of(executed.outcomes, [*executed.listed, *spans], _slot)
        for found in differing(self._ledger, replay, _have_same_reason):
            if begin <= found.place < end:
                stamp = Stamp(self._term, self._entry.tick, found.place)
                return found.divergences(stamp, origin_of(books.frames, found.place))
        return []


def _slot(slot: int) -> int:
    return slot


def _have_same_reason(then: Outcome | None, now: Outcome | None) -> bool:
    return then is not None and now is not None and then.reason == now.reason


def _reasons_of(executed: Executed) -> dict[int, str]:
    return {bag.slot: bag.reason for bag in executed.outcomes}
