"""The cells that a glove box receives: with a batch, when it misses some, and in pages (R19).

Read from the World that the batch names, which never changes. It decides what goes along unasked;
how it gets there is the glove box keeper's matter.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from rmf import limits
from rmf.core.effects import Batch
from rmf.core.packet import TOPIC
from rmf.core.world import World
from rmf.line.glovebox.pipe import BatchDone, BoxBroken, KnownCell

__all__ = ["CellsAlong", "keys_of", "known", "page_of"]


class CellsAlong:
    """Which cells go along with a batch: none for a line that reads none; those of the topics of a
    small batch; and, batch by batch, all others, until half of what the box may know is full.
    `memory_bytes` is what its line may take."""

    def __init__(self, memory_bytes: int = limits.BOX_MEMORY_BYTES) -> None:
        self._reads = self._own = False
        self._fill: Iterator[str] | None = None
        self._fill_bytes = memory_bytes // limits.BOX_CACHE_SHARE // 2

    def learn(self, done: BatchDone) -> None:
        """Take note of how the line reads."""
        self._reads, self._own = done.reads, done.own

    def cells(self, batch: Batch) -> Sequence[KnownCell]:
        """Return the cells to send along."""
        if not self._reads:
            return ()
        found: list[KnownCell] = []
        if self._fill is None:
            self._fill = iter(batch.world.cells.keys())
        if self._fill_bytes > 0:
            found = known(islice(self._fill, limits.BOX_FILL_CELLS), batch.world)
            self._fill_bytes -= len(found) * limits.BOX_CELL_BYTES
            self._fill_bytes -= sum([len(fields[0]) for _, fields in found if fields is not None])
        if self._own and batch.slots <= limits.BOX_CELLS_ALONG:
            found += known(_topics(batch), batch.world)
        return found


def _topics(batch: Batch) -> set[str]:
    """Return the topics that are to be run; what the latch has bagged may have none."""
    return {
        row[TOPIC]
        for group in batch.groups
        for at, row in enumerate(group.rows)
        if at not in group.verdicts
    }


def known(keys: Iterable[str], world: World) -> list[KnownCell]:
    """Return cells as a box receives them: that of the first key in any case, and no more than a
    frame should hold. A box may ask for those of a whole Tick; if it misses some, it asks again."""
    get = world.cells.get
    found: list[KnownCell] = []
    size = 0
    for key in keys:
        cell = get(key)
        if cell is None:
            found.append((key, None))
            continue
        found.append((key, cell[:-1]))
        size += len(cell[0])
        if size >= limits.BOX_PAGE_BYTES:
            break
    return found


def keys_of(found: object) -> list[str]:
    """Return the keys that a box NEEDs. Raises BoxBroken."""
    if type(found) is not list or not found or not set(map(type, found)) <= {str}:
        raise BoxBroken("NEED names what are no keys")
    return found


def page_of(found: object, world: World) -> tuple[list[KnownCell], bool]:
    """Return a page of a SCAN, and whether there is more. Raises BoxBroken."""
    match found:
        case [str(prefix), (str() | None) as after]:
            pass
        case _:
            raise BoxBroken("SCAN names no prefix")
    page: list[KnownCell] = []
    size = 0
    for key, cell in world.scan(prefix, after):
        if len(page) >= limits.BOX_PAGE_CELLS or size >= limits.BOX_PAGE_BYTES:
            return page, True
        page.append((key, cell[:-1]))
        size += len(cell.value)
    return page, False
