"""What is on its way to the disk, and what must not leave before it is there (R2, R13).

Tickets rise and the disk has one order (R23), so one number says how far it is. It knows nothing of
what a write means: the caller gets back what it lets wait here.
"""

from collections import deque
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from rmf.core.effects import Persist, RecordDraft
from rmf.core.raft.serials import SerialRun
from rmf.core.record import ENTRY

__all__ = ["WriteDone", "Writes"]

T = TypeVar("T")


class WriteDone(NamedTuple):
    """A write that is durable: index and term of the last of its Entries that are still the newest
    of their indices on the way to the disk, and the numbers of all their records. None: it held no
    such Entry."""

    last: tuple[int, int] | None
    run: SerialRun | None


class _Write(NamedTuple):
    ticket: int
    begun_ns: int
    records: Sequence[RecordDraft]
    void_from: int | None = None  # Entries from here on were overwritten by a later write

    def done(self, first_serial: int) -> WriteDone:
        """Return what is durable with it, its records numbered from there on. Its Entries follow
        one another, and a hard state at most goes before them: so none is looked at by itself."""
        heads = int(self.records[0].kind != ENTRY)
        entries = len(self.records) - heads
        first = self.records[heads].index if entries else 0
        if self.void_from is not None:
            entries = min(entries, self.void_from - first)
        if entries <= 0:
            return WriteDone(None, None)
        last = self.records[heads + entries - 1]
        assert last.index == first + entries - 1, "the Entries of a write do not follow one another"
        return WriteDone((last.index, last.term), SerialRun(first, first_serial + heads, entries))


class Writes(Generic[T]):
    """Writes under way, oldest first, and the things that wait for them. Tickets go on from
    `ticket`."""

    def __init__(self, ticket: int = 0) -> None:
        self.ticket = ticket
        self._underway: deque[_Write] = deque()
        self._waiting: deque[tuple[int, T]] = deque()
        self._serial = 0  # of the last record that is known to be durable

    @property
    def idle(self) -> bool:
        """Whether everything that was written is durable."""
        return not self._underway

    @property
    def waiting(self) -> int:
        """How many things wait."""
        return len(self._waiting)

    def oldest_ns(self) -> int | None:
        """Return when the oldest write under way was begun, or None."""
        return self._underway[0].begun_ns if self._underway else None

    def begin(self, records: list[RecordDraft], now_ns: int) -> Persist:
        """Return the Persist of these records."""
        self.ticket += 1
        self._underway.append(_Write(self.ticket, now_ns, records))
        return Persist(self.ticket, records)

    def void(self, from_index: int) -> None:
        """Entries from this index on are about to be overwritten: that an older one of them is
        durable says nothing any more, not even if the same Entry comes back (raft-cases 37)."""
        for i, write in enumerate(self._underway):
            if write.void_from is None or write.void_from > from_index:
                self._underway[i] = write._replace(void_from=from_index)

    def wait(self, thing: T) -> bool:
        """Keep a thing until all that is written by now is durable; False: it is already."""
        if not self._underway:
            return False
        self._waiting.append((self.ticket, thing))
        return True

    def done(self, ticket: int, serial: int) -> tuple[list[WriteDone], list[T]]:
        """Take note of what the disk has; return these writes, and what waited for them. `serial`
        is that of the last record of the write `ticket`; those before it count back from there,
        since the keeper numbers the records of one fsync without a gap."""
        assert ticket <= self.ticket, "the disk has what it was never given"
        writes: list[_Write] = []
        while self._underway and self._underway[0].ticket <= ticket:
            writes.append(self._underway.popleft())
        done: list[WriteDone] = []
        newest = serial
        for write in reversed(writes):
            serial -= len(write.records)
            done.append(write.done(serial + 1))
        done.reverse()
        if writes:
            assert serial >= self._serial, "two records have one number"
            self._serial = newest
        released: list[T] = []
        while self._waiting and self._waiting[0][0] <= ticket:
            released.append(self._waiting.popleft()[1])
        return done, released
