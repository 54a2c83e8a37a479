"""Linearizable reads by read-index (dissertation §6.4): what waits for which round of contact.

A read may be answered at the index that was committed when it came, once a majority has answered a
round of contact that was begun after it came: then no other leader can have committed anything
before. Rounds only rise and are never used twice (raft-cases 65). It knows no peers.
"""

from collections import deque

from rmf import limits

__all__ = ["Reads"]


class Reads:
    """Reads of one leadership, in the order in which they came."""

    def __init__(self) -> None:
        self._new: list[object] = []
        self._bound: deque[tuple[int, int, object]] = deque()  # round, index, token

    @property
    def waiting(self) -> bool:
        """Whether any read waits."""
        return bool(self._new or self._bound)

    def add(self, token: object) -> bool:
        """Let a read wait; False: too many do already."""
        if len(self._new) + len(self._bound) >= limits.READS_WAITING_MAX:
            return False
        self._new.append(token)
        return True

    def bind(self, round_: int, commit: int) -> bool:
        """Let the reads that came lately wait for a round that begins now; return whether there
        are any. While another round is awaited they wait, so that many reads share one."""
        if not self._new or self._bound:
            return False
        self._bound.extend((round_, commit, token) for token in self._new)
        self._new.clear()
        return True

    def take(self, confirmed_round: int) -> list[tuple[object, int]]:
        """Take off what this round confirms: (token, index)."""
        found: list[tuple[object, int]] = []
        while self._bound and self._bound[0][0] <= confirmed_round:
            _, index, token = self._bound.popleft()
            found.append((token, index))
        return found

    def drop_all(self) -> list[object]:
        """Take off everything: the leadership is over."""
        tokens = [token for _, _, token in self._bound] + self._new
        self._bound.clear()
        self._new.clear()
        return tokens
