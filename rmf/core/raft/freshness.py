"""How fresh what a node has applied is: what the reign named, and when it was said (R36).

A reign names an Entry from time to time: a node that has applied it shows all that was true when it
was named. So what a node shows is as old as the last naming that it has caught up with, whatever it
heard since: contact alone makes nothing fresh. It knows no clock and no peers.

A naming answers for what stands up to the Entry that it names, and for nothing behind it. A Tick
may be on the bench for long: what was before it is named all the while, and then it writes cells
whose time, which counts from the Tick, was over long ago. A node that shows them is no fresher than
their end, until something is named that answers for them, too.
"""

from collections import deque
from typing import Final

from rmf import limits
from rmf.core.raft.peer_messages import INDEX_MAX

__all__ = ["Freshness"]

_NEVER_NS: Final = -(2**62)


class Freshness:
    """`fresh_ns` is the boot time at which what is applied here, up to Entry `index`, was still all
    that there was; `newest` is what was named last.

    What was named and is not applied yet is remembered for LIVE_NS, one naming in each NAMING_NS.
    """

    def __init__(self, applied: int) -> None:
        self.fresh_ns = _NEVER_NS
        self.index = applied
        self.newest = 0
        self._named: deque[tuple[int, int]] = deque()

    def named(self, index: int, said_ns: int) -> None:
        """The reign named this Entry, at that time; INDEX_MAX: it cannot name any."""
        named = self._named
        while named and named[0][1] <= said_ns - limits.LIVE_NS:
            named.popleft()  # catching up with that makes nothing live any more
        if index < INDEX_MAX:
            self.newest = index
        if index == self.index:
            self.fresh_ns = max(self.fresh_ns, said_ns)
        elif index < self.index:
            return  # it was late on its way, and answers for less than is shown here
        elif index < INDEX_MAX and (not named or said_ns - named[-1][1] >= limits.NAMING_NS):
            named.append((index, said_ns))

    def aged(self, late_ns: int) -> None:
        """The clock by which all namings were dated turns out to have been late by so much: they
        were said earlier. A node that stood still finds old ones in its sockets, oldest first; the
        first sets its clock, and what comes behind it shows how old that was."""
        if late_ns:
            self.fresh_ns -= late_ns
            self._named = deque((index, said_ns - late_ns) for index, said_ns in self._named)

    def outlasts(self, tick_ns: int) -> bool:
        """Whether something that a Tick of that time wrote may have been over, for longer than an
        end may be late, when that was named which is fresh here."""
        return tick_ns + limits.OWED_LATE_NS < self.fresh_ns

    def applied(self, index: int, ended_ns: int | None = None) -> None:
        """All up to this Entry is applied. `ended_ns`: when the first cell ended that it wrote; no
        matter unless its Tick is outlasted."""
        assert index >= self.index, "what is applied goes back"
        self.index = index
        if ended_ns is not None:
            self.fresh_ns = min(self.fresh_ns, ended_ns + limits.OWED_LATE_NS)
        while self._named and self._named[0][0] <= index:
            self.fresh_ns = max(self.fresh_ns, self._named.popleft()[1])

    def is_fresh(self, now_ns: int) -> bool:
        """Whether what is applied here may be called live, as far as that goes."""
        return now_ns < self.fresh_ns + limits.LIVE_NS
