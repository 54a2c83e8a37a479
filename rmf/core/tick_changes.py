"""What one Entry changed, read from the Entry alone: for every-tick subscribers (R37).

Without the World before it: the changes of an Entry say what was written, its expiries and removals
what went. So any node can tell any retained Tick again, in the very words of the first time.
"""

import attrs

from rmf.core.answers import wire_cell
from rmf.core.cell_writes import write_changes
from rmf.core.entry import Entry, TickBooks
from rmf.core.messages import WireCell
from rmf.core.shelf import Shelf
from rmf.core.world import World

__all__ = ["TickChanges", "changes_of_entry"]


@attrs.frozen
class TickChanges:
    """One Tick as it is sent again: cells written and [key, reason] removed, in key order."""

    term: int
    tick: int
    index: int
    digest: bytes
    cells: list[WireCell]
    removed: list[list[str]]


def changes_of_entry(
    entry: Entry, term: int, index: int, period_ns: int, line: str
) -> TickChanges | None:
    """Return what an Entry changed, or None if it is no Tick."""
    books = entry.books
    if not isinstance(books, TickBooks):
        return None
    removed = {expiry.key: expiry.reason for expiry in books.expiries}
    draft = World.empty().draft()
    changed = write_changes(draft, Shelf(), removed, entry, books, term, period_ns, line)
    for _, key, value, _ in books.changes:
        if value is None and key not in changed:
            removed.setdefault(key, "removed")
    cells = [(key, draft.get(key)) for key in sorted(changed)]
    return TickChanges(
        term,
        entry.tick,
        index,
        entry.digest,
        [wire_cell(key, cell) for key, cell in cells if cell is not None],
        [[key, removed[key]] for key in sorted(removed)],
    )
