"""History read again: from a record to its Entry, and from state to state, for tools that walk a
ledger (replay, what-if, time travel).

Decides nothing of its own: `apply` says what an Entry makes of a state, this keeps the walk tidy.
It knows no files; the records are given.
"""

from rmf.core.entry import Entry, decode_entry
from rmf.core.record import Record
from rmf.core.shelf import Shelf
from rmf.core.state import State, apply
from rmf.errors import StorageError

__all__ = ["entry_of", "follow"]


def entry_of(record: Record) -> Entry:
    """Return the Entry in a record. Raises StorageError if this version cannot read it."""
    try:
        return decode_entry(record.body)
    except ValueError as exc:
        raise StorageError(
            f"Entry {record.index} of the ledger: {exc}; replay it with the version of RMF"
            f" that wrote it, or a later one"
        ) from exc


def follow(state: State, entry: Entry, term: int, index: int, shelf: Shelf) -> State:
    """Return the state after an Entry, for callers that need no older one: its index of keys holds
    none that are gone."""
    after, applied = apply(state, entry, term, index, shelf)
    for key in applied.removed:
        if after.world.get(key) is None:
            after.world.index.discard(key)
    return after
