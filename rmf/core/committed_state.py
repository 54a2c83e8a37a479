"""What is committed and applied: the state that this node answers from (R2, R26).

Decides whether an Entry fits: its digest must be what applying it gives. It holds the state and
what is derived of it (shelf, key index), keeps both tidy, and knows nothing of who leads.
"""

from collections.abc import Collection

from rmf import limits
from rmf.core.entry import TickBooks, decode_entry
from rmf.core.in_flight import InFlight
from rmf.core.latch import Waiting
from rmf.core.raft.raft_values import LogEntry
from rmf.core.shelf import Shelf
from rmf.core.state import State, apply

__all__ = ["CannotApply", "CommittedState"]


class CannotApply(Exception):
    """A committed Entry cannot be applied here. `repair`: this node's own state must be wrong, and
    can be fetched again; else the Entry is of a kind that this release does not know (R30)."""

    def __init__(self, text: str, *, repair: bool) -> None:
        super().__init__(text)
        self.repair = repair


class CommittedState:
    """`state` and the `shelf` that belongs to it. `expiries` counts cells that ended, by reason,
    since this core was loaded. `has_more`: `tidy` has work left that need not wait for anything."""

    def __init__(self, state: State, shelf: Shelf) -> None:
        self.state = state
        self.shelf = shelf
        self.expiries = {"expired": 0, "age_unknown": 0}
        self.has_more = False
        self._look_ns: int | None = None  # at the key index again

    def apply(self, found: LogEntry) -> InFlight:
        """Apply the next Entry, as a node that follows; `take` it afterwards. Raises Unfit."""
        before = self.state
        try:
            entry = decode_entry(found.body)
            state, applied = apply(before, entry, found.term, found.index, self.shelf)
        except ValueError as exc:
            raise CannotApply(
                f"Entry {found.index} (term {found.term}): {exc}", repair=False
            ) from exc
        if state.digest() != entry.digest:
            raise CannotApply(
                f"Entry {found.index} (term {found.term}, tick {entry.tick}) states the digest"
                f" {entry.digest.hex()}, applying it here gives {state.digest().hex()}",
                repair=True,
            )
        return InFlight(found.index, entry, before, state, applied, None, Waiting())

    def take(self, done: InFlight) -> None:
        """Stand behind an Entry that is applied."""
        assert done.index == self.state.index + 1
        assert done.before is self.state, "it was applied to another state than the committed one"
        self.state = done.state
        if isinstance(done.entry.books, TickBooks):
            for expiry in done.entry.books.expiries:
                self.expiries[expiry.reason] += 1

    def tend_shelf(self, done: InFlight) -> None:
        """Keep the shelf of a node that follows in order, at a cost that this Entry bounds: if it
        reigns later, nothing but what is due waits there."""
        books, state = done.entry.books, done.state
        touched = books.touched if isinstance(books, TickBooks) else 0
        looks = limits.SHELF_LOOKS_AN_ENTRY + 2 * touched
        self.shelf.tend(state.tick, state.world, state.void_before, looks)

    def forget_keys(self, removed: Collection[str], in_flight: Collection[InFlight]) -> None:
        """Let the key index drop what the newest committed Entry removed, unless an Entry in flight
        wrote it again. That a later one removes it once more does not matter: the version between
        them has the key, and is shown and saved when it is committed."""
        index = self.state.world.index
        for key in removed:
            if not any(key in later.applied.changed for later in in_flight):
                index.discard(key)

    def tidy(self, now_ns: int) -> None:
        """Take a slice of what is gone, and not held any more, out of the key index (R45). Asked at
        every step: a holder releases its keys when it is done, and perhaps nothing is removed after
        that for long, which would take them along."""
        index = self.state.world.index
        if index.is_tidy:  # as nearly always
            self.has_more, self._look_ns = False, None
            return
        self.has_more = index.tidy(limits.INDEX_SLICE_KEYS)
        self._look_ns = None if index.is_tidy else now_ns + limits.INDEX_LOOK_NS

    def next_due_ns(self) -> int | None:
        """Return when `tidy` has to be asked at the latest, or None while the index is tidy: who
        releases keys says nothing."""
        return self._look_ns
