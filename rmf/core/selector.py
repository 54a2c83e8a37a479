"""What one selection has of the last Ticks (R35): marks, changes, and the filters of subscribers.

Values and small state for core/feed, which fills it: what matches is decided here, what is kept and
for how long there.
"""

from collections import deque
from collections.abc import Collection, Generator, Iterable
from typing import NamedTuple

from rmf import limits
from rmf.core.effects import Publish
from rmf.core.filter_tree import FilterTree

__all__ = ["Own", "SelectionMark", "Selector", "TickChange"]


class SelectionMark(NamedTuple):
    """Where a picture stands: an Entry, by its term, tick, index and digest."""

    term: int
    tick: int
    entry_index: int
    digest: bytes

    @classmethod
    def of(cls, at: Publish) -> "SelectionMark":
        """Return the mark of a publication."""
        return cls(at.term, at.tick, at.index, at.digest)


class TickChange:
    """One ring entry: the keys that a Tick wrote or removed, whose filters match some of them, and,
    as long as a display gets every Tick, the cells as they were then, encoded."""

    __slots__ = ("changed", "encoded", "mark", "owners", "removed")

    def __init__(
        self, mark: SelectionMark, changed: frozenset[str], removed: dict[str, str]
    ) -> None:
        self.mark = mark
        self.changed = changed
        self.removed = removed
        self.owners: list[Selector] = []
        self.encoded: dict[str, bytes] | None = None

    @property
    def keys(self) -> Collection[str]:
        """All keys that it wrote or removed."""
        return (*self.changed, *self.removed) if self.removed else self.changed


Own = tuple[TickChange, Collection[str]]  # a Tick, and what of it belongs to a selection


class Selector:
    """The filters of some subscriptions, and what was theirs of the Ticks in the ring: equal
    filters share one. `turns` is complete behind `since`. `users` subscribe, and `loggers` of
    them get every Tick."""

    def __init__(self, filters: Iterable[str]) -> None:
        self.filters = tuple(filters)
        self.takes_all = "#" in self.filters
        self.users = 0
        self.loggers = 0
        self.since = SelectionMark(0, 0, 0, b"")
        self.turns: deque[Own] = deque()
        self.filling: Generator[None] | None = None
        self._tree: FilterTree[None] = FilterTree()
        for pattern in set(self.filters):
            self._tree.add(pattern, None)

    def __call__(self, key: str) -> bool:
        """Return whether one of the filters matches the key."""
        return self.takes_all or bool(self._tree.match(key))

    @property
    def exact_keys(self) -> list[str] | None:
        """The keys, where every filter names just one; else None."""
        keys = self._tree.exact_keys
        return None if keys is None else sorted(keys)

    @property
    def newest_tick(self) -> int:
        """The last Tick in the ring that changed something of the selection; 0 if none did."""
        return self.turns[-1][0].mark.tick if self.turns else 0

    def own_keys(self, change: TickChange) -> Generator[None, None, Collection[str]]:
        """Work out what of a Tick this selects."""
        if self.takes_all:
            return change.keys
        exact = self._tree.exact_keys
        if exact is not None:
            return [*(change.changed & exact), *(change.removed.keys() & exact)]
        found: list[str] = []
        for i, key in enumerate(change.keys):
            if self._tree.match(key):
                found.append(key)
            if i % limits.FEED_STEP_KEYS == limits.FEED_STEP_KEYS - 1:
                yield
        return found
