"""A disk in memory that a test holds in its hands: what is written becomes durable one Persist at a
time, and a crash keeps as much of the rest as the test says.
"""

from functools import lru_cache

from rmf.core import events as ev
from rmf.core.effects import Persist
from rmf.core.entry import Entry, decode_entry
from rmf.core.record import ENTRY, Record
from rmf.testing.disk import SimulatedDisk
from rmf.testing.performer import Arms

__all__ = ["BOOT_ID", "HeldDisk"]

BOOT_ID = b"boot-id-of-tests"  # of every boot that writes to one


@lru_cache(4096)
def _entry_in(body: bytes) -> Entry | None:
    try:
        return decode_entry(body)
    except ValueError:
        return None


class HeldDisk(SimulatedDisk):
    """Who drives a core writes what waits (`write_one`), but for while the disk is `held`."""

    def __init__(self, cluster: bytes, incarnation: bytes) -> None:
        super().__init__(cluster, incarnation)
        self.held = False
        self._tickets = 0

    def hold(self) -> None:
        """From now on nothing becomes durable by itself."""
        self.held = True

    def arms(self) -> Arms:
        """What this part does."""
        return {Persist: self.take}

    def take(self, persist: Persist) -> None:
        """Take a core's: tickets only rise, for there is one order of fsyncs (R2). Or what is
        written before there is a core."""
        if persist.ticket:
            assert persist.ticket == self._tickets + 1
            self._tickets = persist.ticket
        super().take(persist)

    def write_one(self, boot_ns: int = 0) -> ev.Persisted:
        """Make the oldest Persist durable."""
        later = self.waiting.copy()
        self.waiting.clear()
        self.waiting.append(later.popleft())
        self.begin(0, BOOT_ID, boot_ns)
        self.waiting += later
        return ev.Persisted(*self.finish(0))

    def end(self, kept: int = 0) -> None:
        """The process dies: of what waits, the first `kept` records are on the disk."""
        self._tickets = 0
        self.begin(0, BOOT_ID, 0)
        self.crash(kept, copied=False)

    @property
    def entries(self) -> list[tuple[Record, Entry]]:
        """The durable Entries, decoded; those of another release can't be read."""
        found = ((x, _entry_in(x.body)) for x in self.records if x.kind == ENTRY)
        return [(record, entry) for record, entry in found if entry is not None]

    def has_tick(self, term: int, tick: int) -> bool:
        """Whether the Entry of that Tick, of that term, is durable."""
        mine = (x for x in reversed(self.records) if x.kind == ENTRY and x.term == term)
        found = (_entry_in(x.body) for x in mine)
        return any(entry is not None and entry.tick == tick for entry in found)
