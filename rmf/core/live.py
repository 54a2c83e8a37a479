"""Whether a node may call what it shows live, and why not (R36).

Live means that it shows what the factory shows by now: it has applied what the reign named lately,
and what it names includes the Entries that take off what is no longer good. Decides from what
consensus and the DLQ keeper are known to have done; it takes nothing off, and tells no other.
"""

from rmf import limits
from rmf.core.in_flight import InFlight
from rmf.core.owed import first_end_of
from rmf.core.raft.raft_node import Raft

__all__ = ["Live"]


class Live:
    """`value` is what was judged last. `judge` it before anything is sent."""

    def __init__(self, raft: Raft) -> None:
        self.value = False
        self._raft = raft
        self._named_ns = -1  # when a node that leads named something last
        self._letters_ns: int | None = None  # since when letters wait of which none was taken

    def letters_wait(self, now_ns: int) -> None:
        """Letters are handed to the DLQ keeper."""
        if self._letters_ns is None:
            self._letters_ns = now_ns

    def letters_taken(self, letters: int, now_ns: int) -> None:
        """The DLQ keeper took some; so many wait still."""
        self._letters_ns = now_ns if letters else None

    def applied(self, done: InFlight, now_ns: int) -> None:
        """An Entry is applied, and about to be shown: what it wrote may be over already."""
        pace, freshness = self._raft.pace, self._raft.freshness
        ended_ns = None
        if freshness.outlasts(pace.said_ns(done.state.tick, now_ns)):  # seldom: it is no small look
            end = first_end_of(done.state.world, done.applied.changed)
            ended_ns = None if end is None else pace.said_ns(end, now_ns)
        freshness.applied(done.index, ended_ns)

    def judge(self, now_ns: int, *, in_touch: bool) -> bool:
        """Judge again. A node that leads names to itself what it names to others."""
        raft = self._raft
        leads = raft.leadership
        if leads is None:
            self._named_ns = -1
        elif not self.value or now_ns - self._named_ns >= limits.NAMING_NS:
            self._named_ns = now_ns
            raft.freshness.named(leads.acked(now_ns), now_ns)
        self.value = in_touch and now_ns < self.until_ns()
        return self.value

    def until_ns(self) -> int:
        """Return the boot time at which what is shown is live no more if nothing happens."""
        leads, fresh_ns = self._raft.leadership, self._raft.freshness.fresh_ns
        until_ns = fresh_ns + limits.LIVE_NS
        if leads is not None and fresh_ns == self._named_ns:
            until_ns = leads.fresh_until_ns  # what it named was here: it would know of any other
        patience_ns = self._raft.timing.election_max_ns
        for since_ns in (self._raft.durable.oldest_ns, self._letters_ns):
            if since_ns is not None:
                until_ns = min(until_ns, since_ns + patience_ns)
        return until_ns

    def why_not(self, now_ns: int) -> str | None:
        """Return in words why a node without a strike is not live, or None if it is."""
        raft, patience_ns = self._raft, self._raft.timing.election_max_ns
        hung_ns = now_ns - (raft.durable.oldest_ns or now_ns)
        waited_ns = now_ns - (self._letters_ns or now_ns)
        if hung_ns >= patience_ns:
            return f"its disk has not finished a write for {hung_ns / limits.SECOND:.1f} s"
        if waited_ns >= patience_ns:
            return f"its dead letters have not been stored for {waited_ns / limits.SECOND:.1f} s"
        if raft.freshness.is_fresh(now_ns):
            return None
        return _old(raft, now_ns)


def _old(raft: Raft, now_ns: int) -> str:
    leads, applied = raft.leadership, raft.freshness.index
    if leads is None:
        newest = max(raft.freshness.newest, raft.log.commit)
        if newest > applied:
            return f"it is catching up: it has applied Entry {applied} of {newest}"
        return "the reign has not said lately that this is all there is"
    if now_ns >= leads.fresh_until_ns:
        return "no majority has answered its reign lately"
    if not leads.has_committed:
        return "its reign has committed nothing yet"
    return "cells whose shelf life is over are still being taken off"
