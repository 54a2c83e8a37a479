"""Keys in their order, in many small parts: one search finds a key or the place for it.

A key of a World is new or gone once in its life, but then it is looked for among all of them, and a
million keys lie all over memory: that search was a third of what a new cell cost, and it was done
twice. It is a list of lists, as in sortedcontainers, without what nothing here asks for.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

__all__ = ["SortedKeys"]

_PART_KEYS = 512  # of a part that is made; with twice as many it becomes two


class SortedKeys:
    """Texts, none twice, in the order of their code points. Each part is made with `part_keys`."""

    __slots__ = ("_count", "_lasts", "_part_keys", "_parts")

    def __init__(self, part_keys: int = _PART_KEYS) -> None:
        self._part_keys = part_keys
        self._parts: list[list[str]] = []  # none of them empty
        self._lasts: list[str] = []  # the last key of each
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: str) -> bool:
        at = bisect_left(self._lasts, key)
        if at == len(self._parts):
            return False
        part = self._parts[at]
        return part[bisect_left(part, key)] == key

    def add(self, key: str) -> bool:
        """Put a key in its place; False if it is there already."""
        at = bisect_left(self._lasts, key)
        if at == len(self._parts):
            self._append(key)
            return True
        part = self._parts[at]
        i = bisect_left(part, key)
        if part[i] == key:
            return False
        part.insert(i, key)
        self._count += 1
        if len(part) >= 2 * self._part_keys:
            self._split(at)
        return True

    def add_sorted(self, keys: list[str]) -> None:
        """Add keys that are in order, some of which may be there; many of them at once."""
        if len(keys) * 8 < self._count:
            for key in keys:
                self.add(key)
            return
        both = [*self.walk(""), *keys]
        both.sort()  # of two runs: next to nothing
        both, size = list(dict.fromkeys(both)), self._part_keys
        self._parts = [both[at : at + size] for at in range(0, len(both), size)]
        self._lasts = [part[-1] for part in self._parts]
        self._count = len(both)

    def discard(self, key: str) -> None:
        """Take a key out, if it is there."""
        at = bisect_left(self._lasts, key)
        if at == len(self._parts):
            return
        part = self._parts[at]
        i = bisect_left(part, key)
        if part[i] != key:
            return
        del part[i]
        self._count -= 1
        if len(part) <= self._part_keys // 4:
            self._join(at)
        elif i == len(part):
            self._lasts[at] = part[-1]

    def walk(self, start: str, *, after: bool = False) -> Iterator[str]:
        """Give the keys from `start` on (or only those after it); do not change it meanwhile."""
        search = bisect_right if after else bisect_left
        at = search(self._lasts, start)
        if at < len(self._parts):
            part = self._parts[at]
            yield from part[search(part, start) :]
            for i in range(at + 1, len(self._parts)):
                yield from self._parts[i]

    def _append(self, key: str) -> None:
        """Add a key behind all others."""
        self._count += 1
        if not self._parts:
            self._parts.append([key])
            self._lasts.append(key)
            return
        self._parts[-1].append(key)
        self._lasts[-1] = key
        if len(self._parts[-1]) >= 2 * self._part_keys:
            self._split(len(self._parts) - 1)

    def _split(self, at: int) -> None:
        part, size = self._parts[at], self._part_keys
        self._parts[at : at + 1] = [part[:size], part[size:]]
        self._lasts[at : at + 1] = [part[size - 1], part[-1]]

    def _join(self, at: int) -> None:
        """Let a part that has become small be one with a neighbour, or be gone, if it is empty."""
        begin = max(0, at - 1)
        both = [key for part in self._parts[begin : begin + 2] for key in part]
        size = self._part_keys
        halves = [both] if len(both) < 2 * size else [both[:size], both[size:]]
        kept = [part for part in halves if part]
        self._parts[begin : begin + 2] = kept
        self._lasts[begin : begin + 2] = [part[-1] for part in kept]
