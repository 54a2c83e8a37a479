"""The log in memory: the Entries that peers may still need, and how far they are settled (R28).

Decides whether Entries of a leader fit, what of the log is voided by them, and which Entry may have
been the last that two logs share. It knows no peers, no roles and no disk: it hears
what is durable. What is older than `base` is in the ledger only.
"""

from collections import deque
from collections.abc import Iterable, Sequence

import crc32c

from rmf import limits
from rmf.core.raft.peer_messages import WireEntry
from rmf.core.raft.raft_values import LogEntry, Place
from rmf.core.record import chain_of

__all__ = ["Accepted", "LogDiverged", "Mismatch", "RaftLog", "Uncompared"]


class Accepted:
    """Entries fit: `matched` is the last index verified by them; `news` were not here before, and
    the first of them voids what stood at or above its index."""

    __slots__ = ("matched", "news")

    def __init__(self, matched: int, news: Sequence[LogEntry]) -> None:
        self.matched = matched
        self.news = news


class Mismatch(Place):
    """The Entry before does not match; this is the last one of ours that may (raft-cases 27)."""

    __slots__ = ()


class Uncompared:
    """They lie before what memory holds, and are committed here: it is unknown yet whether they
    are the same."""

    __slots__ = ()


class LogDiverged:
    """What is committed here differs from the leader's, or two Entries of one index and term do: no
    Raft log does that, so one of the two is damaged. `index` says where."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


class RaftLog:
    """Invariants: base.index <= commit <= last.index; durable <= last.index; no index is left out;
    nothing at or below `commit` is ever truncated (raft-cases 24)."""

    def __init__(self, cluster: bytes, place: Place, tail: Iterable[LogEntry] = ()) -> None:
        """`place` is where the committed state stands, `tail` what the disk holds behind it."""
        self.base = place
        self.commit = place.index
        self._cluster = cluster
        self._entries: deque[LogEntry] = deque()  # its ends are cheap, and its middle is rare
        self.bytes = 0
        self.last = place  # that of the last Entry
        for entry in tail:
            self._push(entry)
        self.durable = self.last.index

    def _push(self, entry: LogEntry) -> None:
        assert entry.index == self.last.index + 1, "a hole in the log"
        self._entries.append(entry)
        self.bytes += len(entry.body)
        self.last = Place(*entry[:3])

    # --- Reading ------------------------------------------------------------------------------

    def holds(self, index: int) -> bool:
        """Return whether term and chain of this index are known in memory."""
        return self.base.index <= index <= self.base.index + len(self._entries)

    def place(self, index: int) -> Place:
        """Return the place of an index that the log `holds`."""
        if index == self.base.index:
            return self.base
        return Place(*self.entry(index)[:3])

    def entry(self, index: int) -> LogEntry:
        """Return an Entry in memory."""
        assert self.base.index < index, "memory let go of it"
        return self._entries[index - self.base.index - 1]

    def behind(self, index: int, bytes_max: int) -> list[WireEntry]:
        """Return the Entries behind an index that the log `holds`, in order and as they travel: as
        many as fit into `bytes_max`, their heads counted, but at least one if there is any."""
        found: list[WireEntry] = []
        room, entries, before = bytes_max, self._entries, self.base.index
        assert before <= index, "memory let go of what comes behind it"
        for i in range(index - before, len(entries)):
            _, term, _, body, crc = entries[i]
            room -= len(body) + limits.ENTRY_HEAD_BYTES
            if found and room < 0:
                break
            found.append(WireEntry(term, crc, body))
        return found

    def likely_match(self, index: int, term: int) -> Place:
        """Return our last place at or below `index` whose term is at most `term`: whatever lies
        above it cannot match a log that has this place (raft-cases 27, in both directions)."""
        at = min(index, self.last.index)
        while at > self.base.index and self.entry(at).term > term:
            at -= 1
        if at < self.base.index:
            return Place(at, 0, b"")  # compacted here: only the index is known
        return self.place(at)

    # --- Appending ----------------------------------------------------------------------------

    def append(self, term: int, body: bytes) -> LogEntry:
        """Append an Entry of the leader itself."""
        last = self.last
        assert term >= last.term, "a term goes back in the log"
        index = last.index + 1
        chain = chain_of(last.chain, self._cluster, index, term, body)
        entry = LogEntry(index, term, chain, body, crc32c.crc32c(body))
        self._push(entry)
        return entry

    def accept(
        self, before: Place, entries: Sequence[WireEntry]
    ) -> Accepted | Mismatch | Uncompared | LogDiverged:
        """Take Entries of a leader behind `before`, or say why not. An Entry that is here already
        is left alone, so a late or short append truncates nothing (raft-cases 23)."""
        if before.index < self.base.index:
            skip = self.base.index - before.index
            if len(entries) < skip:
                return Uncompared()
            if self._behind(before, entries[:skip]) != self.base:
                return LogDiverged(self.base.index)
            before, entries = self.base, entries[skip:]
        elif before.index > self.last.index:
            return Mismatch(*self.likely_match(before.index, before.term))
        mine = self.place(before.index)
        if mine.term != before.term and before.index > self.commit:
            return Mismatch(*self.likely_match(before.index - 1, before.term))
        if mine.chain != before.chain:
            return LogDiverged(before.index)
        return self._take(before, entries)

    def _behind(self, at: Place, entries: Sequence[WireEntry]) -> Place:
        """Return the place of the last of these Entries, which stand behind `at`."""
        for term, _, body in entries:
            index = at.index + 1
            at = Place(index, term, chain_of(at.chain, self._cluster, index, term, body))
        return at

    def differs(self, place: Place) -> bool:
        """Return whether what is committed here is another Entry, as far as memory can tell."""
        known = self.base.index <= place.index <= self.commit
        return known and self.place(place.index) != place

    def _take(self, before: Place, entries: Sequence[WireEntry]) -> Accepted | LogDiverged:
        at, matched = before.index, before.index + len(entries)
        while at < min(matched, self.last.index):
            mine, theirs = self.entry(at + 1), entries[at - before.index]
            if mine.term != theirs.term:
                break
            if mine.crc != theirs.crc:
                return LogDiverged(at + 1)
            at += 1
        if at == matched:
            return Accepted(matched, ())
        if at < self.commit:
            return LogDiverged(at + 1)
        self.truncate(at)
        news = []
        for term, crc, body in entries[at - before.index :]:
            last = self.last
            index = last.index + 1
            chain = chain_of(last.chain, self._cluster, index, term, body)
            self._push(LogEntry(index, term, chain, body, crc))
            news.append(self._entries[-1])
        assert self.last.index == matched, "the log does not end where it was verified to"
        return Accepted(matched, news)

    def truncate(self, last_index: int) -> None:
        """Void what stands above `last_index`; never what is committed (raft-cases 24)."""
        assert last_index >= self.commit, "what is committed would be voided"
        while self._entries and self._entries[-1].index > last_index:
            self.bytes -= len(self._entries.pop().body)
        self.last = Place(*self._entries[-1][:3]) if self._entries else self.base
        self.durable = min(self.durable, last_index)

    # --- Settling -----------------------------------------------------------------------------

    def is_durable(self, index: int, term: int) -> None:
        """Note that the disk has everything up to this Entry, unless it was voided meanwhile: a
        write that was begun under an older leader says nothing of what replaced it (raft-cases 37).
        """
        if self.holds(index) and self.place(index).term == term:
            self.durable = max(self.durable, index)

    def commit_to(self, index: int) -> bool:
        """Note that everything up to `index` is committed; return whether that is news."""
        assert index <= self.last.index, "more is committed than there is"
        if index <= self.commit:
            return False
        self.commit = index
        return True

    def compact(self, through: int, bytes_max: int) -> bool:
        """Drop the oldest Entries while there are more than `bytes_max` bytes of them, but of
        none above `through`, which a part here still needs, nor of what is not settled. Takes a
        slice of them; returns whether more have to go (R45)."""
        settled = min(through, self.commit, self.durable)
        index, gone = self.base.index, None
        end = min(settled, index + limits.LOG_SLICE_ENTRIES)
        while index < end and self.bytes > bytes_max:
            gone = self._entries.popleft()
            self.bytes -= len(gone.body)
            index += 1
        if gone is not None:
            self.base = Place(*gone[:3])
            assert self.base.index <= min(self.commit, self.durable), "it is not settled"
        return index < settled and self.bytes > bytes_max
