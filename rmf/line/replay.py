"""A ledger, run again (R27): Tick by Tick through a line, compared with what the ledger says.

Decides how far a replay goes and where it stops: at the first slot that differs (see rerun), or at
a digest that is not the World's once the ledger's own changes are applied (R26). It knows Entries
and a line, neither files nor clocks: the records, already verified, and the state before them are
given.

The ledger's changes stand: they are what is applied, whatever the line does in the replay. So a
difference is the first of its kind and no consequence of an earlier one, and with another line the
answer is what that line would have done with history as it was.
"""

from collections.abc import Callable, Iterable

from rmf.core.entry import Accession, Entry, LineId, TickBooks
from rmf.core.entry_walk import entry_of, follow
from rmf.core.record import Record
from rmf.core.shelf import Shelf
from rmf.core.state import State
from rmf.line.inline import Inline
from rmf.line.line import Line
from rmf.line.replay_tick import Rerun
from rmf.line.slots_compared import Divergence

__all__ = ["Replay"]


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

    def run(
        self,
        records: Iterable[Record],
        until_tick: int | None = None,
        before_each: Callable[[Record, Entry], None] = lambda _record, _entry: None,
    ) -> Divergence | None:
        """Take Entries, in order and up to `until_tick`, until one differs; return how it does.

        `records` are Entries that hold (no void ones), the first being the one behind `state`.
        Raises StorageError for an Entry that this version cannot read.
        """
        for record in records:
            entry = entry_of(record)
            if until_tick is not None and entry.tick > until_tick:
                self.until_reached = True
                return None
            before_each(record, entry)
            found = self.take(record, entry)
            if found is not None:
                return found
        return None

    def take(self, record: Record, entry: Entry) -> Divergence | None:
        """Take the next Entry; return how it differs."""
        found = None
        books = entry.books
        if isinstance(books, TickBooks):
            if self._bench is not None:
                found = _first(Rerun(self.state, record.term, entry, books), self._bench)
        elif isinstance(books, Accession) and self.lines[-1:] != [books.line]:
            self.lines.append(books.line)
        self.state = follow(self.state, entry, record.term, record.index, self._shelf)
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


def _first(again: Rerun, bench: Inline) -> Divergence | None:
    """Run a Tick; return its first difference."""
    found = again.other_expiry(bench.line.listens)
    while found is None and again.batch is not None:
        found = next(iter(again.compare(bench.run(again.batch))), None)
    return found
