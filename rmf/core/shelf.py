"""The shelf: which cells may have become stale, earliest first (R9). Derived from the World.

Every cell with a finite shelf life is armed at most once at a time. A cell that is written again
with a later expiry is left where it is: when its old time comes it is armed anew. So a hot key
costs one dict look-up a write, and the shelf never holds more than about one entry a cell.

It decides nothing: `due` proposes, the Entry that removes the cells decides.
"""

from heapq import heappop, heappush

from rmf import limits
from rmf.core.world import World

__all__ = ["Shelf"]


class Shelf:
    """Armed keys by tick. `armed` maps each key to the tick it is armed for (read by core/state on
    its hot path)."""

    def __init__(self) -> None:
        self.armed: dict[str, int] = {}
        self._buckets: dict[int, list[str]] = {}
        self._ticks: list[int] = []

    @classmethod
    def of(cls, world: World, void_before: int) -> "Shelf":
        """Return the shelf of a World that was loaded. Cells stamped before `void_before` are due
        whatever their expiry says: their age is unknown (R6)."""
        shelf = cls()
        for key, cell in world.cells.items():
            if cell.expires:
                shelf.arm(key, void_before if cell.tick < void_before else cell.expires)
        return shelf

    def arm(self, key: str, tick: int) -> None:
        """See to it that the key is looked at when `tick` has come."""
        self.armed[key] = tick
        bucket = self._buckets.get(tick)
        if bucket is None:
            self._buckets[tick] = [key]
            heappush(self._ticks, tick)
        else:
            bucket.append(key)

    def void(self, world: World, tick: int) -> None:
        """Arm every cell with a finite shelf life for `tick`: their age is unknown (R6)."""
        for key, cell in world.cells.items():
            if cell.expires:
                self.arm(key, tick)

    def next_tick(self) -> int | None:
        """Return the tick at which something may be due; it may turn out a false alarm."""
        return self._ticks[0] if self._ticks else None

    def due(self, tick: int, world: World, void_before: int) -> list[str]:
        """Take off the shelf what is stale at `tick`, in the order (expires, key).

        At most TICK_EXPIRIES_MAX keys and TICK_BYTES_MAX bytes of them; the rest stays for the next
        Tick. Cells stamped before `void_before` are due whatever their expiry says.
        """
        found: list[tuple[int, str]] = []
        room_bytes = limits.TICK_BYTES_MAX
        looked_at = 0
        while self._ticks and self._ticks[0] <= tick and room_bytes > 0:
            at = self._ticks[0]
            bucket = self._buckets[at]
            while bucket and looked_at < limits.TICK_EXPIRIES_MAX and room_bytes > 0:
                key = bucket.pop()
                looked_at += 1
                expires = self._settle(key, at, tick, world, void_before)
                if expires is not None:
                    found.append((expires, key))
                    room_bytes -= 4 * len(key)
            if bucket:
                break
            heappop(self._ticks)
            del self._buckets[at]
        found.sort()
        return [key for _, key in found]

    def _settle(self, key: str, at: int, tick: int, world: World, void_before: int) -> int | None:
        """Return the expiry of a key that is due, or None after putting the shelf right."""
        if self.armed.get(key) != at:
            return None  # armed anew, earlier, since
        cell = world.get(key)
        if cell is None or not cell.expires:
            del self.armed[key]
            return None
        if cell.expires > tick and cell.tick >= void_before:
            self.arm(key, cell.expires)
            return None
        del self.armed[key]
        return cell.expires
