"""What subscribers may see: the newest World, and which keys changed in which Tick (R35).

The Feed keeps the last published World and a ring of changed keys, bounded in Ticks and keys. It
makes selections and deltas for a filter; who gets which, and how often, is floor/publisher's part.
A delta that would reach back beyond the ring is not made: the subscriber gets a full picture.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator

import attrs

from rmf import limits
from rmf.core import topics
from rmf.core.answers import wire_cell
from rmf.core.effects import Publish
from rmf.core.messages import WireCell
from rmf.core.world import World

__all__ = ["Delta", "Feed", "Selector"]


class Selector:
    """Topic filters over keys; equal filters share one memory of what matches (bounded)."""

    def __init__(self, filters: tuple[str, ...]) -> None:
        self.filters = filters
        self._matchers: list[Callable[[str], bool]] = [topics.matcher(x) for x in filters]
        self._known: dict[str, bool] = {}

    def __call__(self, key: str) -> bool:
        """Return whether one of the filters matches the key."""
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= limits.HANDLER_CACHE_TOPICS:
                self._known.clear()
            known = self._known[key] = any(match(key) for match in self._matchers)
        return known

    @property
    def exact_keys(self) -> list[str] | None:
        """The keys, where every filter names just one; else None."""
        if any("+" in x or "#" in x for x in self.filters):
            return None
        return sorted(set(self.filters))


@attrs.frozen
class Delta:
    """What changed for a filter since a tick; `ticks` counts the Ticks that changed anything."""

    cells: list[WireCell]
    removed: list[list[str]]
    ticks: int


@attrs.frozen
class _Turn:
    """One ring entry: the keys that a Tick wrote or removed."""

    tick: int
    changed: frozenset[str]
    removed: dict[str, str]


class Feed:
    """The newest publication and the ring behind it. `since_tick` is the oldest tick from which a
    delta can still be made."""

    def __init__(self) -> None:
        self.newest: Publish | None = None
        self.since_tick = 0
        self._ring: deque[_Turn] = deque()
        self._keys = 0
        self._selectors: OrderedDict[tuple[str, ...], Selector] = OrderedDict()

    def publish(self, publication: Publish) -> None:
        """Take in what a Tick changed; the oldest leave the ring at its bounds."""
        if self.newest is None:
            self.since_tick = publication.tick
        elif publication.index > self.newest.index + 1:
            self._ring.clear()  # Ticks are missing: nobody gets a delta across them
            self._keys = 0
            self.since_tick = publication.tick
        elif publication.index == self.newest.index + 1:
            turn = _Turn(publication.tick, publication.changed, publication.removed)
            self._ring.append(turn)
            self._keys += len(turn.changed) + len(turn.removed)
        self.newest = publication
        while len(self._ring) > limits.CHANGED_TICKS_KEPT or self._keys > limits.CHANGED_KEYS_KEPT:
            gone = self._ring.popleft()
            self._keys -= len(gone.changed) + len(gone.removed)
            self.since_tick = gone.tick

    def selector(self, filters: tuple[str, ...]) -> Selector:
        """Return the shared Selector of these filters."""
        found = self._selectors.get(filters)
        if found is None:
            found = self._selectors[filters] = Selector(filters)
            if len(self._selectors) > limits.CONNECTIONS_MAX:
                self._selectors.popitem(last=False)
        return found

    def delta(self, selector: Selector, since_tick: int) -> Delta | None:
        """Return what changed after `since_tick`, or None if the ring does not reach back so far.

        Costs as much as what changed meanwhile.
        """
        assert self.newest is not None
        if since_tick < self.since_tick:
            return None
        changed: set[str] = set()
        removed: dict[str, str] = {}
        ticks = 0
        for turn in reversed(self._ring):
            if turn.tick <= since_tick:
                break
            mine = {key for key in turn.changed if selector(key)}
            gone = {key: why for key, why in turn.removed.items() if selector(key)}
            ticks += bool(mine or gone)
            changed |= mine
            removed = gone | removed  # the newest reason wins
        get = self.newest.world.get
        cells, lost = [], []
        for key in sorted(changed | removed.keys()):
            cell = get(key)
            if cell is not None:
                cells.append(wire_cell(key, cell))
            else:
                lost.append([key, removed.get(key, "removed")])
        return Delta(cells, lost, ticks)

    @staticmethod
    def select(world: World, selector: Selector) -> Iterator[list[WireCell]]:
        """Give the whole selection of one World in key order, in slices (empty ones included): let
        others run between two. The caller pins the key index meanwhile."""
        keys = selector.exact_keys
        if keys is not None:
            found = ((key, world.get(key)) for key in keys)
            yield [wire_cell(key, cell) for key, cell in found if cell is not None]
            return
        prefix = _common_prefix(selector.filters)
        last, more = prefix, True
        first = True
        while more:
            slice_, last, more = _slice(world, selector, prefix, last, after=not first)
            first = False
            yield slice_


def _slice(
    world: World, selector: Selector, prefix: str, start: str, *, after: bool
) -> tuple[list[WireCell], str, bool]:
    """Return the matching cells of the next keys, the last key looked at, and if there are more."""
    cells: list[WireCell] = []
    looked_at, last = 0, start
    for key in world.index.walk(start, after=after):
        if not key.startswith(prefix):
            return cells, last, False
        looked_at, last = looked_at + 1, key
        if selector(key):
            cell = world.get(key)
            if cell is not None:
                cells.append(wire_cell(key, cell))
        if looked_at >= limits.SCAN_SLICE_KEYS:
            return cells, last, True
    return cells, last, False


def _common_prefix(filters: tuple[str, ...]) -> str:
    """Return text that every matching key starts with."""
    if len(filters) != 1:
        return ""
    levels = []
    for level in filters[0].split("/"):
        if level in {"+", "#"}:
            break
        levels.append(level)
    prefix = "/".join(levels)
    # `a/#` matches `a` itself, so the slash is no part of what all matches share.
    return prefix if filters[0].endswith("#") or not prefix else prefix + "/"
