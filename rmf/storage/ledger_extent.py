"""A first look through a ledger, for who reads it twice: where it ends, and what is void (R23).

Decides up to which record a ledger is read, and which of its Entries hold. Truncation is logical:
that an Entry is void is only said behind it, so a reader that applies Entries as they come must
know beforehand, or hold back hundreds of them. A ledger that is being written has no end of its
own: the one found here is the end for the second reading, however much is written meanwhile.

Damage does not stop the second reading before its place: how far history can be read is exactly
what its owner wants to know then.
"""

from collections import deque
from collections.abc import Iterable, Iterator

import attrs

from rmf import limits
from rmf.core.entry import Accession, LineId, decode_entry
from rmf.core.entry_kinds import ACCESSION, kind_of
from rmf.core.record import ENTRY, Record
from rmf.core.state import State
from rmf.errors import StorageError
from rmf.storage.scan import Cut, LedgerScan

__all__ = ["Survey", "holding", "survey"]


@attrs.frozen
class Survey:
    """`end_serial` is the last record that can be read, 0 if there is none; `void` are the serials
    of Entries that a later one voids; `cut` is a torn tail, or a write under way; `fault` is what
    stands behind the last record if it is damage. `commit` is the highest index that a record says
    is committed, `lines` are those that reigns named."""

    end_serial: int
    void: frozenset[int]
    cut: Cut | None
    fault: StorageError | None
    commit: int = 0
    lines: frozenset[LineId] = frozenset()

    def uncommitted(self, state: State) -> int:
        """Return how many of the Entries that led to this state are not known to be committed, as
        those at the end of a follower's ledger. What stands on the disk of the only voter is."""
        if sum(member.voter for member in state.members) <= 1:
            return 0
        return max(0, state.index - self.commit)


def survey(scan: LedgerScan) -> Survey:
    """Read a ledger to its end, verifying every record. Never raises for what it finds there."""
    end_serial = commit = 0
    void: set[int] = set()
    lines: set[LineId] = set()
    fault: StorageError | None = None
    living: deque[tuple[int, int]] = deque(maxlen=limits.VOID_ENTRIES_MAX + 1)
    try:
        for record in scan:
            end_serial = record.serial
            commit = max(commit, record.commit)
            if record.kind == ENTRY:
                lines |= _line_in(record)
                while living and living[-1][0] >= record.index:
                    void.add(living.pop()[1])
                living.append((record.index, record.serial))
    except StorageError as exc:
        fault = exc
    return Survey(end_serial, frozenset(void), scan.cut, fault, commit, frozenset(lines))


def _line_in(record: Record) -> set[LineId]:
    """Return the line that a reign begins with here, if one does."""
    if kind_of(record.body) != ACCESSION:
        return set()
    try:
        books = decode_entry(record.body).books
    except ValueError:
        return set()  # the taker of the Entry will say so
    return {books.line} if isinstance(books, Accession) else set()


def holding(records: Iterable[Record], seen: Survey) -> Iterator[Record]:
    """Give the Entries that hold, in the order of their indexes, up to the end that was seen."""
    if not seen.end_serial:
        return
    for record in records:
        if record.kind == ENTRY and record.serial not in seen.void:
            yield record
        if record.serial >= seen.end_serial:
            return
