"""Rounds of contact: which is the newest, and when each was begun (raft-cases 65, 66).

A leader numbers its rounds; every answer names one. That a round was answered proves contact at the
time when it was *begun*, not when the answer came. Numbers only rise within a leadership and are
never used twice. It knows no peers.

Theory. Linearizable reads may begin thousands of rounds a second, and a slow peer answers one that
is long past. So not every round is kept: the time of a round that is not, is taken to be that of
the newest kept one before it, which is earlier by ROUND_GRAIN_NS at most.
"""

from bisect import bisect_right
from typing import Final

from rmf import limits

__all__ = ["Rounds"]

_KEPT: Final = 2 * limits.ELECTION_NS_MAX // limits.ROUND_GRAIN_NS


class Rounds:
    """`newest` is the number of the newest round; 0 before the first."""

    def __init__(self) -> None:
        self.newest = 0
        self._numbers: list[int] = []
        self._begun_ns: list[int] = []

    def begin(self, now_ns: int) -> int:
        """Begin a round; return its number."""
        self.newest += 1
        if not self._begun_ns or now_ns - self._begun_ns[-1] >= limits.ROUND_GRAIN_NS:
            self._numbers.append(self.newest)
            self._begun_ns.append(now_ns)
            if len(self._numbers) > _KEPT:
                del self._numbers[0], self._begun_ns[0]
        return self.newest

    def begun_ns(self, number: int) -> int | None:
        """Return when a round was begun, or a little earlier; None: too long ago to matter, or
        never."""
        at = bisect_right(self._numbers, number)
        return self._begun_ns[at - 1] if at and number <= self.newest else None
