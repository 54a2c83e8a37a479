"""Many filters at once: which of them, and so whose, match a key (R45).

A tree by the levels of the filters, as brokers of MQTT keep one: a key is looked up level by level,
once for all filters, so that what a key costs depends on its own levels and on who matches them,
not on how many filters there are. What matches what, `topics` says in words.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["FilterTree"]

Owner = TypeVar("Owner", bound=Hashable)


class _Node(Generic[Owner]):
    """A level: what may follow, and whose filters end here. `rest`: with `#` as their last."""

    __slots__ = ("any", "here", "next", "rest")

    def __init__(self) -> None:
        self.next: dict[str, _Node[Owner]] = {}
        self.any: _Node[Owner] | None = None
        self.here: set[Owner] = set()
        self.rest: set[Owner] = set()

    @property
    def is_bare(self) -> bool:
        return not (self.next or self.any or self.here or self.rest)


class FilterTree(Generic[Owner]):
    """Filters, each with its owners. One owner may have several; a filter it has is added once."""

    def __init__(self) -> None:
        self._root = _Node[Owner]()
        self._exact: dict[str, set[Owner]] = {}
        self._exact_keys: set[str] = set()

    def add(self, pattern: str, owner: Owner) -> None:
        """Add a filter of this owner."""
        levels = _levels(pattern)
        if levels is None:
            self._exact.setdefault(pattern, set()).add(owner)
            self._exact_keys.add(pattern)
            return
        node = self._root
        for level in levels:
            node = self._child(node, level)
        (node.rest if pattern.endswith("#") else node.here).add(owner)

    def discard(self, pattern: str, owner: Owner) -> None:
        """Take out a filter of this owner, and the levels that no filter needs any more."""
        levels = _levels(pattern)
        if levels is None:
            owners = self._exact.get(pattern, set())
            owners.discard(owner)
            if not owners:
                self._exact.pop(pattern, None)
                self._exact_keys.discard(pattern)
            return
        way = [self._root]
        for level in levels:
            after = way[-1].any if level == "+" else way[-1].next.get(level)
            if after is None:
                return
            way.append(after)
        (way[-1].rest if pattern.endswith("#") else way[-1].here).discard(owner)
        for level in reversed(levels):
            if not way.pop().is_bare:
                return
            if level == "+":
                way[-1].any = None
            else:
                del way[-1].next[level]

    def match(self, key: str) -> set[Owner]:
        """Return the owners of the filters that match the key; the set is the caller's."""
        found = set(self._exact.get(key, ()))
        nodes = [self._root]
        if self._root.is_bare:
            return found
        found |= self._root.rest
        for level in key.split("/"):
            after = [node.next[level] for node in nodes if level in node.next]
            after += [node.any for node in nodes if node.any is not None]
            if not after:
                return found
            for node in after:
                if node.rest:
                    found |= node.rest
            nodes = after
        for node in nodes:
            found |= node.here
        return found

    @property
    def exact_keys(self) -> set[str] | None:
        """The keys, where every filter names just one (to be read only); else None."""
        return self._exact_keys if self._root.is_bare else None

    @staticmethod
    def _child(node: _Node[Owner], level: str) -> _Node[Owner]:
        if level != "+":
            return node.next.setdefault(level, _Node())
        if node.any is None:
            node.any = _Node()
        return node.any


def _levels(pattern: str) -> list[str] | None:
    """Return the levels of a filter, without a last `#`; None if it names just one key."""
    if "+" not in pattern and "#" not in pattern:
        return None
    levels = pattern.split("/")
    return levels[:-1] if levels[-1] == "#" else levels
