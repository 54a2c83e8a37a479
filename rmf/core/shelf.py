"""The shelf: which cells may have become stale, earliest first (R9). Derived from the World.

Every cell with a finite shelf life is armed at most once at a time, and never later than it is due.
A cell that is written again with a later expiry is left where it is: when its old time comes it is
armed again. So a hot key costs nothing here, and a cell that is removed is taken off. On every node
there are no more entries than cells (R45), but for those in `_near` whose keys were taken off
meanwhile: they go when their time comes, a moment later.

    _buckets  numbers of buckets, SHELF_BUCKET_TICKS wide, and their keys, in no order
    _near     a heap of (tick, key), of all buckets before `_near_number`
    _coming   keys of the last of these that are still to be put there
    _owed     keys that are due, on a node that follows: an Entry of the reign will remove them
    _walk     the World is still to be looked through behind this key: its cells were loaded, or
              their ages became unknown all at once (R6); None: it was

Nothing here costs the World in one piece: the caller says how much may be looked at. The shelf
decides nothing: `due` proposes, the Entry that removes the cells decides.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

from sortedcontainers import SortedDict

from rmf import limits
from rmf.core.shards import Shards
from rmf.core.world import Cell, World

__all__ = ["Armed", "NoShelf", "Shelf", "due_tick", "is_due"]

_WIDTH = limits.SHELF_BUCKET_TICKS.bit_length() - 1


def due_tick(cell: Cell, void_before: int) -> int:
    """Return from which tick on a cell with a finite shelf life has to go: at its expiry, or at
    once if it was stamped before `void_before`, for then its age is unknown (R6)."""
    return void_before if cell.tick < void_before else cell.expires


def is_due(cell: Cell | None, tick: int, void_before: int) -> bool:
    """Whether a cell is there and has to go at `tick`."""
    return cell is not None and bool(cell.expires) and due_tick(cell, void_before) <= tick


class Armed(Protocol):
    """What hears of the cells that an Entry writes and removes."""

    def arm(self, key: str, tick: int) -> None:
        """See to it that the key is looked at when `tick` has come."""
        ...

    def disarm(self, key: str) -> None:
        """Take a key off that the World has no more."""
        ...

    def look_through(self) -> None:
        """See to it that the whole World is looked through once more."""
        ...


class NoShelf:
    """For a World of which nothing falls due while Entries are applied to it. Who needs a shelf
    afterwards has `Shelf.of` look through what is left: to keep one meanwhile took a third of the
    time in which a ledger is read."""

    def arm(self, _key: str, _tick: int) -> None:
        """Nothing is looked at."""

    def disarm(self, _key: str) -> None:
        """Nothing was armed."""

    def look_through(self) -> None:
        """Nothing is looked through."""


class Shelf:
    """Armed keys by tick. `armed` has each key's."""

    def __init__(self) -> None:
        self.armed = Shards()
        self._buckets: SortedDict = SortedDict()
        self._first: int | None = None  # the earliest tick in `_buckets`, while it is known
        self._near: list[tuple[int, str]] = []
        self._near_number = 0
        self._coming: set[str] = set()
        self._owed: set[str] = set()
        self._walk: str | None = None

    @classmethod
    def of(cls, world: World, void_before: int) -> "Shelf":
        """Return the shelf of a World that was loaded. All but its first cells are still to be
        looked through: that goes in slices, by `due` and `tend`. For `void_before` see there."""
        shelf = cls()
        shelf.look_through()
        shelf._walk_on(world, void_before, limits.SHELF_LOOKS)
        return shelf

    @property
    def entries(self) -> int:
        """How many entries there are, which is what the law of memory is about."""
        buckets = sum(map(len, self._buckets.values()))
        return buckets + len(self._near) + len(self._coming) + len(self._owed)

    # --- Arming -------------------------------------------------------------------------------

    def arm(self, key: str, tick: int) -> None:
        """See to it that the key is looked at when `tick` has come."""
        part = self.armed.part_of(key)
        if key in part:
            self._take_off(key, part[key])
        part[key] = tick
        self._place(key, tick)

    def _put(self, key: str, tick: int) -> None:
        self.armed[key] = tick
        self._place(key, tick)

    def _place(self, key: str, tick: int) -> None:
        number = tick >> _WIDTH
        if number < self._near_number:
            heappush(self._near, (tick, key))
            return
        bucket = self._buckets.get(number)
        if bucket is None:
            self._buckets[number] = {key}
        else:
            bucket.add(key)
        if self._first is not None and tick < self._first:
            self._first = tick

    def disarm(self, key: str) -> None:
        """Take a key off that the World has no more."""
        at = self.armed.pop(key)
        if at is not None:
            self._take_off(key, at)

    def _take_off(self, key: str, at: int) -> None:
        number = at >> _WIDTH
        if number < self._near_number:
            self._coming.discard(key)
            self._owed.discard(key)  # in `_near` it is passed over when its time comes
            return
        bucket = self._buckets[number]
        bucket.remove(key)
        if not bucket:
            del self._buckets[number]
            self._first = None

    def look_through(self) -> None:
        """See to it that every cell of the World is looked at, from the first key on."""
        self._walk = ""

    # --- Looking ------------------------------------------------------------------------------

    @property
    def may_hold_any(self) -> bool:
        """Whether a cell of the World may have a finite shelf life."""
        return bool(self.armed) or self._walk is not None

    def next_tick(self) -> int | None:
        """Return the tick at which something may be due; it may turn out a false alarm."""
        if self._walk is not None or self._owed or self._coming:
            return 0
        if self._near:
            return self._near[0][0]
        if self._first is None and self._buckets:
            number, keys = self._buckets.peekitem(0)
            few = len(keys) <= limits.SHELF_EXACT_KEYS
            self._first = min(map(self.armed.__getitem__, keys)) if few else number << _WIDTH
        return self._first

    def due(self, tick: int, world: World, void_before: int) -> list[str]:
        """Take off the shelf what is stale at `tick`, in the order (expires, key).

        At most TICK_EXPIRIES_MAX keys and TICK_BYTES_MAX bytes of them, after at most SHELF_LOOKS
        looks; the rest stays for the next Tick, and `next_tick` says so. Cells stamped before
        `void_before` are due whatever their expiry says.
        """
        found: list[tuple[int, str]] = []
        room = limits.TICK_BYTES_MAX

        def take(key: str, cell: Cell) -> bool:
            nonlocal room
            del self.armed[key]
            found.append((cell.expires, key))
            room -= 4 * len(key)
            return len(found) < limits.TICK_EXPIRIES_MAX and room > 0

        half = limits.SHELF_LOOKS // 2  # what the walk finds waits for no end of it
        looks = half + self._walk_on(world, void_before, half)
        self._look(tick, world, void_before, self._call_in(looks), take)
        found.sort()
        return [key for _, key in found]

    def tend(self, tick: int, world: World, void_before: int, looks: int) -> None:
        """Put the shelf of a node that follows right up to `tick`, with so many looks: what was
        rewritten is armed again, what is due waits for the Entry that removes it."""

        def wait(key: str, _cell: Cell) -> bool:
            self._owed.add(key)
            return True

        looks = self._walk_on(world, void_before, looks)
        self._look(tick, world, void_before, looks, wait)

    def _call_in(self, looks: int) -> int:
        """Put what an Entry of another's reign was to remove among what is near."""
        while self._owed and looks > 0:
            key = self._owed.pop()
            heappush(self._near, (self.armed[key], key))
            looks -= 1
        return looks

    def _walk_on(self, world: World, void_before: int, looks: int) -> int:
        """Look through the next cells of the World, and arm what is not armed or too late."""
        if self._walk is None or looks <= 0:
            return looks
        armed, get = self.armed, world.cells.get
        for key in world.index.walk(self._walk, after=bool(self._walk)):
            if looks <= 0:
                return 0
            looks -= 1
            self._walk = key
            cell = get(key)
            if cell is not None and cell.expires:
                tick, at = due_tick(cell, void_before), armed.get(key)
                if at is None or tick < at:
                    self.arm(key, tick)
        self._walk = None
        return looks

    def _look(
        self,
        tick: int,
        world: World,
        void_before: int,
        looks: int,
        take: Callable[[str, Cell], bool],
    ) -> None:
        """Look at what is armed up to `tick`, earliest first, as long as `take` wants more."""
        near, armed, get = self._near, self.armed, world.cells.get
        while looks > 0:
            if self._coming:
                looks = self._bring(world, void_before, looks)
                continue
            if not near or near[0][0] > tick:
                if not self._buckets or self._buckets.peekitem(0)[0] > tick >> _WIDTH:
                    return
                number, self._coming = self._buckets.popitem(0)
                self._near_number, self._first = number + 1, None
                continue
            looks -= 1
            at, key = heappop(near)
            if armed.get(key) != at or key in self._owed:
                continue  # taken off since, or armed again
            cell = get(key)
            if cell is None or not cell.expires:
                del armed[key]
                continue
            due = due_tick(cell, void_before)
            if due > at:
                self._put(key, due)
            elif not take(key, cell):
                return

    def _bring(self, world: World, void_before: int, looks: int) -> int:
        """Bring the next keys of a bucket near; what is due later by now goes where it belongs."""
        coming, near, armed, get = self._coming, self._near, self.armed, world.cells.get
        count = min(looks, len(coming))
        for _ in range(count):
            key = coming.pop()
            at, cell = armed[key], get(key)
            if cell is None or not cell.expires:
                del armed[key]
            elif (due := due_tick(cell, void_before)) > at:
                self._put(key, due)
            else:
                heappush(near, (at, key))
        return looks - count
