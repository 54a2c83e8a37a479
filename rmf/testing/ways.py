"""Ways between nodes, as pairs of who speaks and who hears: which of them a trouble closes."""

from collections.abc import Collection, Iterable
from itertools import permutations

__all__ = ["Way", "apart", "around"]

Way = tuple[str, str]


def around(name: str, nodes: Iterable[str]) -> set[Way]:
    """Return the ways between a node and all others, to it and from it."""
    return {pair for x in nodes if x != name for pair in ((name, x), (x, name))}


def apart(nodes: Iterable[str], *groups: Collection[str]) -> set[Way]:
    """Return the ways between nodes that share no group; who is in none is alone."""
    pairs = permutations(nodes, 2)
    return {(one, x) for one, x in pairs if not any(one in g and x in g for g in groups)}
