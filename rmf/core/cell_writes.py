"""What the changes of a Tick make of the World: its cells, its digest, and the shelf (R9, R26).

The hot loop of every node, leader and followers. It knows an Entry's books and a draft of the
World; who may write, and what the rest of an Entry does, is `state`'s matter.
"""

from collections.abc import Sequence
from operator import itemgetter

import xxhash

from rmf.core.clock import ticks_of_ms
from rmf.core.entry import Entry, Frame, TickBooks
from rmf.core.outcome import INHERIT, Change
from rmf.core.packet import PAYLOAD, TOPIC, Row
from rmf.core.shelf import Shelf
from rmf.core.world import MARK_HEAD, Cell, Draft

__all__ = ["write_changes"]

_NO_ROWS: list[Row] = []
_slot_of, _key_of, _topic_of = itemgetter(0), itemgetter(1), itemgetter(TOPIC)


class _ShelfTicks(dict[int, int]):
    """Shelf lives in ticks by ms, worked out once each."""

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns

    def __missing__(self, ms: int) -> int:
        ticks = self[ms] = ticks_of_ms(ms, self._period_ns)
        return ticks


def write_changes(
    draft: Draft,
    shelf: Shelf,
    removed: dict[str, str],
    entry: Entry,
    books: TickBooks,
    term: int,
    period_ns: int,
    line: str,
) -> frozenset[str]:
    """Write the changes into the draft, return the keys. Hot on every node: locals only.

    Of each key only the last change is applied: no reader sees a World within a Tick. The others
    are in the ledger, for those who run its slots again."""
    tick, arm = entry.tick, shelf.arm
    cells, cell_of = draft.cells, draft.cells.get
    total, removals, frames, rows = draft.total, list[str](), iter(books.frames), _NO_ROWS
    mark, pack, new_cell = xxhash.xxh3_128_intdigest, MARK_HEAD, tuple.__new__
    first, intake_tick, shelf_ticks = 0, tick, _ShelfTicks(period_ns)
    end = books.first_slot
    # Changes of `on_expired` handlers come before the first frame: the line itself made them.
    producer, harvested_at = f"line:{line}", entry.wall_ns
    producer_bytes = producer.encode() + b"\0"
    changes = _last_changes(books)
    for slot, key, value, shelf_ms in changes:
        while slot >= end:
            frame: Frame = next(frames)
            first, end = frame.first_slot, frame.first_slot + frame.packets
            producer, intake_tick, rows = frame.producer, frame.intake_tick, frame.rows
            producer_bytes = producer.encode() + b"\0"
        if value is None:
            removals.append(key)
            continue
        if rows:
            row = rows[slot - first]
            harvested_at = row[2]
        if shelf_ms == 0:
            expires = 0
        else:
            ttl_ms, since = (row[3], intake_tick) if shelf_ms < 0 else (shelf_ms, tick)
            expires = since + shelf_ticks[ttl_ms]
        name = key.encode()
        head = pack(term, tick, slot, harvested_at, expires, len(name))
        share = mark(b"".join((head, name, producer_bytes, value)))
        old = cell_of(key)
        if old is None:
            draft.note_new(key)
            total += share
        else:
            total += share - old.mark
        if expires and (old is None or not 0 < old.expires <= expires):
            arm(key, expires)  # else it is armed already, for its old time
        fields = (value, term, tick, slot, producer, harvested_at, expires, share)
        cells[key] = new_cell(Cell, fields)
    draft.total = total
    changed = frozenset(map(_key_of, changes)).difference(removals)
    for key in changed & removed.keys():
        del removed[key]
    if removals:
        _remove(removals, draft, shelf, removed, books)
    return changed


def _last_changes(books: TickBooks) -> Sequence[Change]:
    """Return the last change of each key, in slot order."""
    listed = books.listed
    last = dict(zip(map(_key_of, listed), listed, strict=True))
    if not books.verbatim:
        return listed if len(last) == len(listed) else sorted(last.values(), key=_slot_of)
    rows, base = books.rows, books.first_slot
    stored: dict[str, int] = {}
    for first, count in books.verbatim:
        topics = map(_topic_of, rows[first - base : first - base + count])
        stored.update(zip(topics, range(first, first + count), strict=True))
    for key in stored.keys() & last.keys():
        if stored[key] > last[key][0]:
            del last[key]
        else:
            del stored[key]
    in_order = sorted(zip(stored.values(), stored.keys(), strict=True))
    kept = [(slot, key, rows[slot - base][PAYLOAD], INHERIT) for slot, key in in_order]
    return sorted([*kept, *last.values()], key=_slot_of) if last else kept


def _remove(
    keys: list[str], draft: Draft, shelf: Shelf, removed: dict[str, str], books: TickBooks
) -> None:
    """Remove the keys whose last change says so; those that were there at all, be it within this
    Tick, are `removed`."""
    written: set[str] | None = None
    for key in keys:
        if draft.remove(key):
            shelf.disarm(key)
            removed[key] = "removed"
            continue
        if written is None:
            written = {change[1] for change in books.changes if change[2] is not None}
        if key in written:
            removed[key] = "removed"
