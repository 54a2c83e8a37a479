"""Entries that wait to be applied, wherever they are: in memory, or in the ledger only (R38, R45).

A follower whose DLQ stalls goes on to write and to acknowledge what the leader sends, and applies
nothing: what it has to keep in memory would grow without a bound. What is committed and on its own
disk it need not keep: it is read again when its turn comes. Decides what is asked for, and that
what comes is what was dropped: each Entry's chain follows, and the last one's is the one the log
remembers. It applies nothing itself.
"""

from collections import deque

from rmf import limits
from rmf.core.effects import ReadEntries
from rmf.core.events import EntriesRead
from rmf.core.raft.raft_log import RaftLog
from rmf.core.raft.raft_node import Raft
from rmf.core.raft.raft_values import LogEntry, Place
from rmf.core.record import chain_of

__all__ = ["Unapplied", "shrink_log"]


def shrink_log(raft: Raft, applied_index: int) -> bool:
    """Bring the log in memory within its bound: what is applied and kept for slow peers goes first,
    then what waits for a DLQ that stalls: it is in the ledger. Takes a slice; returns whether there
    is more of it. A disk that hung may give back a window full of small Entries at once (R45)."""
    alone = len(raft.members) <= 1
    kept_bytes = limits.LONE_LOG_MEMORY_BYTES if alone else limits.LOG_MEMORY_BYTES
    more = raft.log.compact(applied_index, kept_bytes)
    if not more and raft.leadership is None:
        more = raft.log.compact(raft.applicable, limits.LOG_MEMORY_BYTES)
    raft.durable.forget_serials(applied_index)
    return more


class Unapplied:
    """`place` is that of the Entry applied last. `name` is this node's: it asks for itself."""

    def __init__(self, name: str, cluster: bytes, place: Place) -> None:
        self.place = place
        self._name = name
        self._cluster = cluster
        self._read: deque[LogEntry] = deque()
        self._again_ns: int | None = None  # asked, and asked again then
        self._by_ns: int | None = None  # put off until then

    def next(self, log: RaftLog) -> LogEntry | None:
        """Return the next Entry to apply, None where it has to be read first."""
        if self.place.index >= log.base.index:
            return log.entry(self.place.index + 1)
        return self._read[0] if self._read else None

    def applied(self, found: LogEntry) -> None:
        """Stand behind this Entry."""
        assert found.index == self.place.index + 1
        self.place, self._by_ns = Place(*found[:3]), None
        if self._read:
            self._read.popleft()

    def wish(self, log: RaftLog, now_ns: int) -> list[ReadEntries]:
        """Ask for what is in the ledger only; again, if no answer came for a while."""
        self._by_ns = None
        waits = self._again_ns is not None and now_ns < self._again_ns
        if self._read or waits or self.place.index >= log.base.index:
            return []
        self._again_ns = now_ns + limits.REREAD_NS
        return [ReadEntries(self._name, self.place.index, log.base.index)]

    def next_due_ns(self) -> int | None:
        """Return when something has to be done about those that wait, or None."""
        return min((x for x in (self._again_ns, self._by_ns) if x is not None), default=None)

    def puts_off(self, now_ns: int, *, writes: bool) -> bool:
        """Whether the next one is applied later: while the disk or the leader waits for this node,
        but not for long, for the disk may hang."""
        if not writes:
            self._by_ns = None
            return False
        if self._by_ns is None:
            self._by_ns = now_ns + limits.APPLY_LATER_NS
        elif now_ns >= self._by_ns:
            self._by_ns = None
            return False
        return True

    def rest(self) -> None:
        """There is nothing that could be applied at present."""
        self._again_ns = self._by_ns = None

    def take(self, event: EntriesRead, log: RaftLog) -> str | None:
        """Take what was read; return why it cannot be what was dropped, or None. An answer that
        came late is left alone."""
        if self._again_ns is None or self._read or event.after_index != self.place.index:
            return None
        self._again_ns = None
        place = self.place
        if not event.entries:
            return f"the ledger does not hold Entry {place.index + 1} any more"
        for term, crc, body in event.entries[: log.base.index - place.index]:
            index = place.index + 1
            place = Place(index, term, chain_of(place.chain, self._cluster, index, term, body))
            self._read.append(LogEntry(*place, body, crc))
        if place.index == log.base.index and place.chain != log.base.chain:
            self._read.clear()
            return f"Entry {place.index} of the ledger is not the one that was written"
        return None
