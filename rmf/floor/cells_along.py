"""The cells that a glove box is told: with a batch, when it misses some, and in pages (R19).

Read from the World that the batch names, which never changes. It decides what goes along unasked;
how it gets there is the glove box keeper's matter.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from rmf import limits
from rmf.core.effects import Batch
from rmf.core.packet import TOPIC
from rmf.core.world import World
from rmf.line.glovebox.pipe import BoxBroken, Done, KnownCell

__all__ = ["CellsAlong", "keys_of", "known", "page_of"]


class CellsAlong:
    """Which cells go along with a batch: none for a line that reads none; those of the topics of a
    small batch; and, batch by batch, all others, until the box knows as much as it may."""

    def __init__(self) -> None:
        self._reads = self._own = False
        self._fill: Iterator[str] | None = None

    def learn(self, done: Done) -> None:
        """Take note of how the line reads."""
        self._reads, self._own = done.reads, done.own

    def cells(self, batch: Batch) -> Sequence[KnownCell]:
        """Return the cells to send along."""
        if not self._reads:
            return ()
        world = batch.world
        if self._fill is None:
            self._fill = islice(iter(world.cells.keys()), limits.BOX_CACHE_CELLS // 2)
        found = known(islice(self._fill, limits.BOX_FILL_CELLS), world)
        if self._own and batch.slots <= limits.BOX_CELLS_ALONG:
            topics = {row[TOPIC] for group in batch.groups for row in group.rows if row}
            found += known((key for key in topics if type(key) is str), world)
        return found


def known(keys: Iterable[str], world: World) -> list[KnownCell]:
    """Return cells as a box is told them. A box may ask for those of a whole Tick."""
    get = world.cells.get
    return [(key, None if (cell := get(key)) is None else cell[:-1]) for key in keys]


def keys_of(found: object) -> list[str]:
    """Return the keys that a box NEEDs. Raises BoxBroken."""
    if type(found) is not list or not set(map(type, found)) <= {str}:
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
