"""How much may be on its way to a peer, so that nothing waits for long behind it (R28).

Measured, not set: a window of bytes is seconds on a slow link and starves a far one. It knows bytes
and times, no messages and no peers; the sender asks whether there is room, and says what was
sent and what has come.

Theory. What is sent while it makes `ahead` bytes on the way is known to have come after a time t. A
way that carries R bytes per second, and takes `base` when it is empty, has t = max(base, ahead /
R). What such a way carries within base + patience is ahead * (base + patience) / t. Where it is not
full (t = base) that is more than `ahead`, so the window grows by what patience is to base; where it
is full, the window settles at R * (base + patience): then whatever comes behind it waits `patience`
longer than on an empty way. `base` is the least t there was; while no more is on the way than may
always be, what takes longer raises it by a quarter of the difference, for ways do change. A send
that did not fill the window says only that at least so much is carried, unless it was slow itself.
"""

from collections import deque
from typing import NamedTuple

from rmf import limits

__all__ = ["Flow"]


class _Sent(NamedTuple):
    mark: int
    size: int
    ahead: int  # bytes on the way once this was sent, itself included
    fills: bool
    at_ns: int


class Flow:
    """One way, from its first byte on. `bytes_min`: what may always be on it, and what counts as
    small; `bytes_max`: the most, however fast it is."""

    def __init__(self, bytes_min: int, bytes_max: int) -> None:
        self.window_bytes = bytes_min
        self.bytes = 0  # on the way
        self._min, self._max = bytes_min, bytes_max
        self._base_ns = 0
        self._sent: deque[_Sent] = deque()

    @property
    def count(self) -> int:
        """How many sends are on the way."""
        return len(self._sent)

    @property
    def has_room(self) -> bool:
        """Whether one more may go out, of any size."""
        return self.bytes < self.window_bytes

    def sent(self, mark: int, size: int, now_ns: int) -> None:
        """Note what was sent; marks only rise."""
        assert not self._sent or self._sent[-1].mark <= mark, "a mark goes back"
        self.bytes += size
        fills = self.bytes >= self.window_bytes
        self._sent.append(_Sent(mark, size, self.bytes, fills, now_ns))

    def came(self, mark: int, now_ns: int) -> None:
        """Everything up to this mark has come."""
        newest = None
        while self._sent and self._sent[0].mark <= mark:
            newest = self._sent.popleft()
            self.bytes -= newest.size
        assert self.bytes >= 0, "more came than was sent"
        if newest is not None:
            self._measure(newest, max(1, now_ns - newest.at_ns))

    def forget(self) -> None:
        """What was on the way is lost, or its answers are."""
        self._sent.clear()
        self.bytes = 0

    def _measure(self, sent: _Sent, took_ns: int) -> None:
        if took_ns < self._base_ns:
            self._base_ns = took_ns
        elif sent.ahead <= self._min:
            slower_ns = took_ns - self._base_ns
            self._base_ns += slower_ns // 4 if self._base_ns else slower_ns
        allowed_ns = self._base_ns + limits.PEER_PATIENCE_NS
        found = min(max(sent.ahead * allowed_ns // took_ns, self._min), self._max)
        if sent.fills or (took_ns > allowed_ns and sent.ahead > self._min):
            self.window_bytes = found
        else:
            self.window_bytes = max(self.window_bytes, found)
