"""The arithmetic of majorities: pure functions over what voters are known to have (raft-cases 30).

An empty set of voters has no majority: nothing is ever decided without voters.
"""

from collections.abc import Collection, Mapping

__all__ = ["has_majority", "majority", "quorum_value"]


def majority(voters: int) -> int:
    """Return how many of so many voters are a majority; any two majorities share a voter."""
    return voters // 2 + 1


def has_majority(agreed: Collection[str], voters: Collection[str]) -> bool:
    """Return whether those who agreed include a majority of the voters; others never count."""
    return bool(voters) and sum(name in agreed for name in voters) >= majority(len(voters))


def quorum_value(known: Mapping[str, int], voters: Collection[str]) -> int | None:
    """Return the highest value that a majority of voters has reached; who is not `known` has
    reached nothing. None: no majority has reached anything, or there are no voters."""
    values = sorted([known[name] for name in voters if name in known])
    needed = majority(len(voters))
    return values[-needed] if voters and len(values) >= needed else None
