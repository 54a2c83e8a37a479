"""Time travel (R27): the state as it was before an Entry, out of a data directory, archive or copy.

Decides where to begin (the newest start before the first tick that is wanted, so that a late letter
is reached quickly) and which Entries hold. It reads only, and a node may be running in the
directory; it runs no line. What stood on the bench for an Entry decides line/scene.
"""

from collections.abc import Iterator

import attrs

from rmf.core.entry import Entry
from rmf.core.entry_kinds import TICKS, kind_of, tick_of
from rmf.core.entry_walk import entry_of, follow
from rmf.core.state import State
from rmf.errors import CheckpointDamaged, StorageError
from rmf.storage import checkpoint
from rmf.storage.archive import Start, starts
from rmf.storage.directory import DataView
from rmf.storage.ledger_extent import holding, survey
from rmf.storage.restore import Restored, restore
from rmf.storage.scan import LedgerScan

__all__ = ["Moment", "moments"]


@attrs.frozen(eq=False)
class Moment:
    """One Entry of the ledger, in its term, and the state that it was latched on."""

    before: State
    term: int
    entry: Entry


def moments(view: DataView, wanted: set[tuple[int, int]]) -> Iterator[Moment]:
    """Give the Entries at these (term, tick), in order; those that the ledger does not hold are
    left out. A Moment is to be used before the next one is taken.

    Raises StorageError, also for damage before the last of them, and if history begins too late.
    """
    if not wanted:
        return
    first = min(tick for _, tick in wanted)
    restored = _start_before(view, first)
    seen = survey(LedgerScan(view.ledgers, view.cluster, restored.start.base))
    records = holding(LedgerScan(view.ledgers, view.cluster, restored.start.base), seen)
    state, shelf, left = restored.state, restored.shelf, set(wanted)
    last = max(tick for _, tick in wanted)
    for record in records:
        if tick_of(record.body) > last:
            return
        entry = entry_of(record)
        place = (record.term, entry.tick)
        if place in left and kind_of(record.body) in TICKS:
            yield Moment(state, record.term, entry)
            left.discard(place)
            if not left:
                return
        state = follow(state, entry, record.term, record.index, shelf)
    if left and seen.fault is not None:
        raise seen.fault


def _start_before(view: DataView, tick: int) -> Restored:
    """Return the newest start before this tick that verifies."""
    try:
        places = starts(view.ledgers, view.checkpoints, view.cluster)
        before = [place for place in reversed(places) if _tick_at(place, view) < tick]
        restored, _ = restore(before, view.cluster)
    except OSError as exc:
        raise StorageError(f"{view.path} cannot be read: {exc}") from exc
    if restored is None:
        raise StorageError(
            f"{view.path}: what is left of history does not reach back before tick {tick}. The"
            f" archive of another node, or a backup, may hold it."
        )
    return restored


def _tick_at(place: Start, view: DataView) -> int:
    if place.checkpoint is None:
        return 0
    try:
        tick: int = checkpoint.head_of(place.checkpoint, view.cluster)["tick"]
    except CheckpointDamaged:
        return 0  # it is tried, and found out
    return tick
