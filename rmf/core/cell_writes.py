"""What the changes of a Tick make of the World: its cells, its digest, and the shelf (R9, R26).

The hot loop of every node, leader and followers. It knows an Entry's books and a draft of the
World; who may write, and what the rest of an Entry does, is `state`'s matter.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Protocol

import xxhash

from rmf import native
from rmf.core.clock import ticks_of_ms
from rmf.core.entry import Entry, TickBooks
from rmf.core.outcome import INHERIT, Change, Span
from rmf.core.packet import HARVESTED_AT, PAYLOAD, TOPIC, TTL_MS, Row
from rmf.core.shelf import Armed
from rmf.core.world import MARK_HEAD, Cell, Draft

__all__ = ["WriteCells", "last_stored_in_python", "write_cells_in_python", "write_changes"]

# Of what made some changes: its first slot, its packets, their intake tick, the maker, as text and
# as it is hashed, and when it made them, where no packet says so.
_Origin = tuple[int, list[Row], int, str, bytes, int]

_slot_of, _key_of, _topic_of = itemgetter(0), itemgetter(1), itemgetter(TOPIC)


WriteCells = Callable[..., tuple[int, int]]  # with the arguments of `write_cells_in_python`


class _Cells(Protocol):
    def get(self, key: str, /) -> Cell | None: ...

    def __setitem__(self, key: str, cell: Cell, /) -> None: ...


class _ShelfTicks(dict[int, int]):
    """Shelf lives in ticks by ms, worked out once each."""

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns

    def __missing__(self, ms: int) -> int:
        ticks = self[ms] = ticks_of_ms(ms, self._period_ns)
        return ticks


def write_changes(
    draft: Draft,
    shelf: Armed,
    removed: dict[str, str],
    entry: Entry,
    books: TickBooks,
    term: int,
    period_ns: int,
    line: str,
    write_cells: WriteCells | None = None,
) -> frozenset[str]:
    """Write the changes into the draft, return the keys; by `write_cells`, compiled where it is.

    Of each key only the last change is applied: no reader sees a World within a Tick. The others
    are in the ledger, for those who run its slots again."""
    changes, tick = _last_changes(books), entry.tick
    tools = draft.cells, draft.note_new, shelf.arm, xxhash.xxh3_128_intdigest, Cell
    work = *tools, _ShelfTicks(period_ns), term, tick, changes
    at, total, end, removals = 0, draft.total, books.first_slot, list[str]()
    # Changes of `on_expired` handlers come before the first frame: the line itself made them.
    maker = f"line:{line}"
    origin: _Origin = (0, [], tick, maker, _maker_bytes(maker), entry.wall_ns)
    frames = iter(books.frames)
    while at < len(changes):
        while changes[at][0] >= end:
            frame = next(frames)
            end, maker = frame.first_slot + frame.packets, frame.producer
            origin = (
                *(frame.first_slot, frame.rows, frame.intake_tick),
                *(maker, _maker_bytes(maker), 0),
            )
        at, total = (write_cells or _write_cells)(*work, at, end, total, *origin)
        if at < len(changes) and changes[at][0] < end:
            removals.append(changes[at][1])
            at += 1
    draft.total = total
    changed = frozenset(map(_key_of, changes)).difference(removals)
    for key in changed & removed.keys():
        del removed[key]
    if removals:
        _remove(removals, draft, shelf, removed, books)
    return changed


def _maker_bytes(maker: str) -> bytes:
    return maker.encode() + b"\0"


def write_cells_in_python(
    cells: _Cells,
    note_new: Callable[[str], None],
    arm: Callable[[str, int], None],
    mark: Callable[[bytes], int],
    cell_type: type[Cell],
    shelf_ticks: Mapping[int, int],
    term: int,
    tick: int,
    changes: Sequence[Change],
    at: int,
    end: int,
    total: int,
    first_slot: int,
    rows: Sequence[Row],
    intake_tick: int,
    maker: str,
    maker_bytes: bytes,
    harvested_at: int,
) -> tuple[int, int]:
    """Write the changes from position `at` on, up to a removal or a slot that is not below `end`;
    return the position behind them, and the total of all marks. `rows` are the packets from
    `first_slot` on, if it were any that made these changes; without, `harvested_at` is when that
    was. Hot on every node: locals only, and the twin of rmf/native/cells.c."""
    cell_of, pack, new_cell = cells.get, MARK_HEAD, tuple.__new__
    while at < len(changes):
        slot, key, value, shelf_ms = changes[at]
        if slot >= end or value is None:
            break
        if rows:
            row = rows[slot - first_slot]
            harvested_at = row[HARVESTED_AT]
        if shelf_ms == 0:
            expires = 0
        else:
            ttl_ms, since = (row[TTL_MS], intake_tick) if shelf_ms < 0 else (shelf_ms, tick)
            expires = since + shelf_ticks[ttl_ms]
        name = key.encode()
        head = pack(term, tick, slot, harvested_at, expires, len(name))
        share = mark(b"".join((head, name, maker_bytes, value)))
        old = cell_of(key)
        if old is None:
            note_new(key)
            total += share
        else:
            total += share - old.mark
        if expires and (old is None or not 0 < old.expires <= expires):
            arm(key, expires)  # else it is armed already, for its old time
        fields = (value, term, tick, slot, maker, harvested_at, expires, share)
        cells[key] = new_cell(cell_type, fields)
        at += 1
    return at, total


_write_cells: WriteCells = native.write_cells or write_cells_in_python


def _last_changes(books: TickBooks) -> list[Change]:
    """Return the last change of each key, in slot order."""
    listed = books.listed
    last = dict(zip(map(_key_of, listed), listed, strict=True))
    if not books.verbatim:
        return listed if len(last) == len(listed) else sorted(last.values(), key=_slot_of)
    stored = _last_stored(books.rows, books.first_slot, books.verbatim)
    if not last:
        return stored
    slots = {key: slot for slot, key, _, _ in stored}
    listed = [change for key, change in last.items() if change[0] > slots.get(key, -1)]
    later = {change[1] for change in listed}
    return sorted([*(x for x in stored if x[1] not in later), *listed], key=_slot_of)


def last_stored_in_python(rows: list[Row], base: int, spans: list[Span]) -> list[Change]:
    """Return the change of the last packet of each topic in some spans, in slot order; `rows` are
    the packets from the slot `base` on. The twin of rmf/native/last.c."""
    slots: dict[str, int] = {}
    for first, count in spans:
        assert 0 <= first - base <= first - base + count <= len(rows)
        topics = map(_topic_of, rows[first - base : first - base + count])
        slots.update(zip(topics, range(first, first + count), strict=True))
    in_order = sorted(zip(slots.values(), slots.keys(), strict=True))
    return [(slot, key, rows[slot - base][PAYLOAD], INHERIT) for slot, key in in_order]


_last_stored = native.last_stored or last_stored_in_python


def _remove(
    keys: list[str], draft: Draft, shelf: Armed, removed: dict[str, str], books: TickBooks
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
