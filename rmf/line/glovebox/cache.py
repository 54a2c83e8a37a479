"""What a glove box knows of the World: cells that it asked for, was sent, or wrote itself (R19).

It is a cache in front of the node's immutable World, not a replica. Within one reign the World
changes by what the box itself wrote, and by expiry, which every cell foretells; so what is known
stays true until another reign begins, or another box has run a batch (which then starts empty). A
line that reads nothing costs nothing here.

It knows no pipe: what is missing is asked for by functions it is given.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from rmf import limits
from rmf.core.clock import ticks_of_ms
from rmf.core.effects import Batch, FrameGroup
from rmf.core.outcome import Change
from rmf.core.packet import HARVESTED_AT, TOPIC, TTL_MS
from rmf.core.world import Cell
from rmf.line.changes import Changes
from rmf.line.glovebox.pipe import KnownCell

__all__ = ["CachedWorld"]

_NO_MARK: Final = 0  # a cell in a box is never part of a digest
_UNKNOWN: Final = ("unknown",)

Fields = tuple[Any, ...]  # of a Cell, but for its mark
Ask = Callable[[list[str]], list[KnownCell]]
AskScan = Callable[[str, str | None], tuple[list[KnownCell], bool]]


class CachedWorld:
    """The World as a view of it needs it: `cells.get(key)` and `scan(prefix)`.

    `reads` says that the line has read cells at all, `own` that among them were cells of the topics
    of packets: both tell the node what to send along. It takes no more than a share of the
    `memory_bytes` that the line may take: else what the box keeps would be laid to a packet's door.
    """

    def __init__(
        self,
        line: str,
        ask: Ask,
        ask_scan: AskScan,
        memory_bytes: int = limits.BOX_MEMORY_BYTES,
    ) -> None:
        self.cells = self
        self.reads = self.own = False
        self._line = line
        self._ask = ask
        self._ask_scan = ask_scan
        self._known: dict[str, Fields | None] = {}
        self._bytes = 0  # of values, about
        self._bytes_max = memory_bytes // limits.BOX_CACHE_SHARE
        self._lineage = 0
        self._batch: Batch | None = None
        self._topics: set[str] | None = None

    # --- What a view asks -------------------------------------------------------------------------

    def get(self, key: str) -> Cell | None:
        """Return the cell of a key before this Tick, asking the node if need be."""
        fields = self._known.get(key, _UNKNOWN)
        if fields is _UNKNOWN:
            fields = self._fetch(key)
        return None if fields is None else Cell._make((*fields, _NO_MARK))

    def _fetch(self, key: str) -> Fields | None:
        if not _may_be_a_key(key):
            return None
        self.reads = True
        wanted = [key]
        topics = self._topics_of_batch()
        if key in topics:
            self.own = True
            # One round trip for all packets of the batch instead of one each.
            wanted += topics - self._known.keys() - {key}
        told = self._ask(wanted)
        self.learn(told)
        return told[0][1]

    def scan(self, prefix: str) -> Iterator[tuple[str, Cell]]:
        """Give the cells before this Tick whose keys start with `prefix`, in key order. They are
        learned: a scan looks at each of them next."""
        if not _may_be_a_key(prefix):
            return
        self.reads = True
        after: str | None = None
        more = True
        while more:
            page, more = self._ask_scan(prefix, after)
            self.learn(page)
            for key, fields in page:
                after = key
                if fields is not None:
                    yield key, Cell._make((*fields, _NO_MARK))

    def _topics_of_batch(self) -> set[str]:
        if self._topics is None:
            groups = self._batch.groups if self._batch is not None else []
            # An empty row is a packet that the latch has bagged.
            self._topics = {row[TOPIC] for group in groups for row in group.rows if row}
        return self._topics

    # --- What keeps it true -----------------------------------------------------------------------

    def begin(self, batch: Batch, cells: Sequence[KnownCell]) -> None:
        """A batch begins: `cells` are of the World that it names."""
        lineage = batch.number >> 32
        if lineage != self._lineage:
            self._lineage = lineage
            self._forget()
        self._batch = batch
        self._topics = None
        self.learn(cells)

    def learn(self, cells: Sequence[KnownCell]) -> None:
        """Take in cells of the World that the present batch names."""
        known = self._known
        cells_bytes = (len(known) + len(cells)) * limits.BOX_CELL_BYTES
        if known and cells_bytes + self._bytes > self._bytes_max:
            self._forget()
        known.update(cells)
        self._bytes += sum([len(fields[0]) for _, fields in cells if fields is not None])

    def end(self, batch: Batch, changes: Changes) -> None:
        """A batch is done: what it changed is the World of the next one (see core/state)."""
        self._batch = None
        if not self.reads:
            return  # nothing is known that could become wrong
        news: list[KnownCell] = [(key, None) for key in batch.gone]
        groups = batch.groups
        at = -1
        for change in changes.last():
            while at + 1 < len(groups) and groups[at + 1].first_slot <= change[0]:
                at += 1
            group = groups[at] if at >= 0 else None
            news.append((change[1], self._fields_of(batch, change, group)))
        self.learn(news)

    def _fields_of(self, batch: Batch, change: Change, group: FrameGroup | None) -> Fields | None:
        slot, _, value, shelf = change
        if value is None:
            return None
        if group is None:
            maker, harvested_at, intake, ttl_ms = f"line:{self._line}", batch.wall_ns, 0, 0
        else:
            row = group.rows[slot - group.first_slot]
            maker, harvested_at = group.producer, row[HARVESTED_AT]
            intake, ttl_ms = group.intake_tick, row[TTL_MS]
        if shelf == 0:
            expires = 0
        elif shelf > 0:
            expires = batch.tick + ticks_of_ms(shelf, batch.period_ns)
        else:
            expires = intake + ticks_of_ms(ttl_ms, batch.period_ns)
        return value, batch.term, batch.tick, slot, maker, harvested_at, expires

    def _forget(self) -> None:
        self._known.clear()
        self._bytes = 0


def _may_be_a_key(text: str) -> bool:
    """Whether a cell may be called so, or begin so: what a handler asks for goes over the pipe, and
    there text is Unicode, and no longer than a key (R43)."""
    try:
        return len(text.encode()) <= limits.KEY_BYTES_MAX
    except UnicodeEncodeError:
        return False
