"""The World: key to Cell, immutable and cheap to version (R3), with its digest (R26).

A World is an `immutables.Map` behind an interface of our own, a running digest, and a shared index
of keys in key order. It knows nothing of time: who may see a stale cell is decided by its readers.

The digest is the sum mod 2^128 of one fast 128-bit hash a cell. Each cell carries its own hash
(`mark`), so a write costs one hash and two additions, and removing costs none.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from heapq import merge
from struct import Struct
from typing import NamedTuple

import immutables
import xxhash

from rmf import limits
from rmf.core.sorted_keys import SortedKeys

__all__ = [
    "MARK_HEAD",
    "Cell",
    "Draft",
    "IndexBeside",
    "KeyIndex",
    "World",
    "cells_of",
    "mark_of",
]

_MASK = (1 << 128) - 1
MARK_HEAD = Struct(">QQQqQH").pack


class Cell(NamedTuple):
    """A value with its Stamp, maker and shelf life. `value` is CBOR; `expires` is the first tick at
    which the cell is stale, 0 for never; `mark` its share of the World's digest."""

    value: bytes
    term: int
    tick: int
    slot: int
    producer: str
    harvested_at: int
    expires: int
    mark: int


def mark_of(
    key: str,
    value: bytes,
    term: int,
    tick: int,
    slot: int,
    producer: str,
    harvested: int,
    expires: int,
) -> int:
    """Return the 128-bit hash of a cell under its key."""
    name = key.encode()
    head = MARK_HEAD(term, tick, slot, harvested, expires, len(name))
    return xxhash.xxh3_128_intdigest(b"".join((head, name, producer.encode(), b"\0", value)))


def cells_of(rows: Iterable[tuple[str, bytes, int, int, int, str, int, int]]) -> dict[str, Cell]:
    """Return the cells of rows as Checkpoints hold them, marks computed: key, value, term, tick,
    slot, producer, harvested_at, expires. Made for millions of them: locals only."""
    cells: dict[str, Cell] = {}
    mark, pack, new_cell = xxhash.xxh3_128_intdigest, MARK_HEAD, tuple.__new__
    producers: dict[str, tuple[str, bytes]] = {}  # one object each, not one per cell
    for key, value, term, tick, slot, name, harvested_at, expires in rows:
        known = producers.get(name)
        if known is None:
            known = producers[name] = (name, name.encode() + b"\0")
        raw = key.encode()
        head = pack(term, tick, slot, harvested_at, expires, len(raw))
        share = mark(b"".join((head, raw, known[1], value)))
        fields = (value, term, tick, slot, known[0], harvested_at, expires, share)
        cells[key] = new_cell(Cell, fields)
    return cells


class KeyIndex:
    """Keys in key order (code points, which is the order of their UTF-8), shared by all versions.

    It holds every key that any version in use may have; readers check the version they read. What
    is discarded while it is pinned (a Checkpoint or a first Snapshot walks it, an audit scans it)
    stays until those pins are gone; pins that came later do not hold it. Then it is taken out a
    slice at a time: by whatever is discarded next, and by calls of `tidy` until nothing is
    left, for perhaps nothing is discarded any more.
    """

    def __init__(self) -> None:
        self._keys = SortedKeys()
        self._gone: OrderedDict[str, int] = OrderedDict()  # -> the newest pin at that time
        self._pins: dict[int, int] = {}  # how often each is to be taken off; oldest first
        self._newest_pin = 0
        self._put_off: dict[str, None] | None = None

    def add(self, key: str) -> None:
        """Note a new key."""
        if self._put_off is not None:
            self._put_off[key] = None
        elif not self._keys.add(key) and self._gone:
            self._gone.pop(key, None)

    def add_all(self, keys: Iterable[str]) -> None:
        """Note many keys at once: far cheaper than one by one, most of all in key order."""
        self._keys.add_sorted(sorted(keys))

    def put_off(self) -> None:
        """Let new keys wait until `put_in_order`, where many come and no reader walks them
        meanwhile: that costs a tenth."""
        self._put_off = {}

    def put_in_order(self) -> None:
        """Put the keys in order that waited for it."""
        assert self._put_off is not None
        keys, self._put_off = self._put_off, None
        self.add_all(sorted(keys))

    def discard(self, key: str) -> None:
        """Forget a key that no version has any more (the caller knows), once nothing pins it. One
        that it does not have leaves no trace: a Tick may write and remove a key that nothing else
        ever had."""
        if self._put_off is not None:
            self._put_off.pop(key, None)
        if key not in self._keys:
            return
        if self._pins or self._gone:
            self._gone.pop(key, None)
            self._gone[key] = self._newest_pin
            self.tidy(2)  # so that what is left becomes less, whatever is discarded
        else:
            self._keys.discard(key)

    def pin(self) -> int:
        """Keep all keys until `unpin` is called with what is returned."""
        self._newest_pin += 1
        self._pins[self._newest_pin] = 1
        return self._newest_pin

    def share(self, pin: int) -> None:
        """Keep what this pin keeps until it has been taken off once more: for a reader that begins
        with a version that is held already. A new pin would not hold what went meanwhile."""
        self._pins[pin] += 1

    def unpin(self, pin: int) -> None:
        """Release it. What was discarded meanwhile may go, unless an older pin is left."""
        self._pins[pin] -= 1
        if self._pins[pin]:
            return
        del self._pins[pin]
        self.tidy(limits.INDEX_SLICE_KEYS)

    @property
    def is_tidy(self) -> bool:
        """Whether nothing that was discarded is left in it."""
        return not self._gone

    def tidy(self, most: int) -> bool:
        """Take out at most so many keys that were discarded, and are not held by a pin any more;
        return whether there are more of them."""
        oldest = next(iter(self._pins), self._newest_pin + 1)
        while self._gone:
            key = next(iter(self._gone))
            if self._gone[key] >= oldest:
                return False
            if not most:
                return True
            most -= 1
            del self._gone[key]
            self._keys.discard(key)
        return False

    def walk(self, start: str = "", *, after: bool = False) -> Iterator[str]:
        """Give the keys from `start` on (or only those after it); do not change it meanwhile."""
        return self._keys.walk(start, after=after)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)


class IndexBeside(KeyIndex):
    """Another index and keys of one's own, of which that one never hears: for Worlds that are made
    to look at history, and thrown away."""

    def __init__(self, shared: KeyIndex) -> None:
        super().__init__()
        self._shared = shared

    def add(self, key: str) -> None:
        """Note a new key, unless the other index has it."""
        if key not in self._shared:
            super().add(key)

    def walk(self, start: str = "", *, after: bool = False) -> Iterator[str]:
        """Give the keys of both, in key order."""
        return merge(self._shared.walk(start, after=after), super().walk(start, after=after))


class World:
    """One version of the World; never changes. `index` may be shared with other versions."""

    __slots__ = ("cells", "index", "total")

    def __init__(self, cells: "immutables.Map[str, Cell]", total: int, index: KeyIndex) -> None:
        self.cells = cells
        self.total = total
        self.index = index

    @classmethod
    def empty(cls) -> "World":
        """Return a World without cells, with an index of its own."""
        return cls(immutables.Map(), 0, KeyIndex())

    @classmethod
    def of(cls, cells: dict[str, Cell]) -> "World":
        """Return a World of these cells, with an index of its own."""
        total = sum(cell.mark for cell in cells.values()) & _MASK
        index = KeyIndex()
        index.add_all(cells)
        return cls(immutables.Map(cells), total, index)

    def __len__(self) -> int:
        return len(self.cells)

    def get(self, key: str) -> Cell | None:
        """Return the cell, stale or not, or None."""
        return self.cells.get(key)

    def scan(self, prefix: str = "", after: str | None = None) -> Iterator[tuple[str, Cell]]:
        """Give (key, cell) in key order for all keys that start with `prefix`, or only for those
        behind the key `after`."""
        get = self.cells.get
        behind = after is not None and after >= prefix
        for key in self.index.walk(max(prefix, after or ""), after=behind):
            if not key.startswith(prefix):
                return
            cell = get(key)
            if cell is not None:
                yield key, cell

    def draft(self) -> "Draft":
        """Return a mutable draft of the next version."""
        return Draft(self)

    def apart(self) -> "World":
        """Return this version with an index whose new keys the others do not hear of."""
        return World(self.cells, self.total, IndexBeside(self.index))


class Draft:
    """The next version of a World while one Entry is applied to it; `done` gives the World."""

    __slots__ = ("_index", "cells", "total")

    def __init__(self, world: World) -> None:
        self.cells = world.cells.mutate()
        self.total = world.total
        self._index = world.index

    def note_new(self, key: str) -> None:
        """Put a key that the World did not have into the index. Code that writes into `cells`
        (core/state does, on its hot path) tells this first, and keeps `total` up to date."""
        self._index.add(key)

    def remove(self, key: str) -> bool:
        """Remove a key; False if there was none. The index keeps it: older versions may need it."""
        old = self.cells.pop(key, None)
        if old is None:
            return False
        self.total -= old.mark
        return True

    def get(self, key: str) -> Cell | None:
        """Return the cell as drafted so far."""
        return self.cells.get(key)

    def done(self) -> World:
        """Return the finished version; the draft is spent."""
        return World(self.cells.finish(), self.total & _MASK, self._index)
