"""A page: what one SNAPSHOT frame holds of cells and removals, encoded as it is filled (R35).

It knows how cells look on the wire and when a frame is full; whose they are, it does not know.
"""

from collections.abc import Iterable, Sequence

import cbor2

from rmf import limits
from rmf.core import own_cbor
from rmf.core.cbor_heads import head
from rmf.core.messages import Snapshot, WireCell

__all__ = ["EMPTY_PAGE", "Page", "Row", "cell_bytes", "pages_of"]

Row = tuple[str, bytes, int, int, int, str, int, int | None]  # the fields of a WireCell

EMPTY_PAGE = b"\x80\x80"  # no cells, no removals

_CELL_ITEMS = 1 + len(WireCell._fields)
_REMOVAL_ITEMS = 3
_ITEMS_MAX = (
    limits.FRAME_ITEMS_MAX - 1 - len(Snapshot._fields) - _CELL_ITEMS * limits.FEED_STEP_KEYS
)


class Page:
    """Cells and removals, encoded one by one. `filled_bytes` counts what they take."""

    __slots__ = ("_cells", "_count", "_removed", "filled_bytes")

    def __init__(self) -> None:
        self.filled_bytes = self._count = 0
        self._cells: list[bytes] = []
        self._removed: list[bytes] = []

    @property
    def is_full(self) -> bool:
        """Whether a frame should leave before more is added: by its bytes, or by its items."""
        items = self._count * _CELL_ITEMS + len(self._removed) * _REMOVAL_ITEMS
        return self.filled_bytes >= limits.SNAPSHOT_CHUNK_BYTES or items >= _ITEMS_MAX

    def add_cell(self, encoded: bytes) -> None:
        """Add a cell that is encoded already."""
        self._add(encoded, 1)

    def add_rows(self, rows: Sequence[Row]) -> None:
        """Add cells, at most FEED_STEP_KEYS, encoded in one piece, which takes half the time. There
        must be room for them in a frame."""
        encoded = own_cbor.encoded(rows)
        self._add(encoded[len(head(4, len(rows))) :], len(rows))

    def _add(self, encoded: bytes, count: int) -> None:
        self._cells.append(encoded)
        self._count += count
        self.filled_bytes += len(encoded)

    def add_removal(self, key: str, why: str) -> None:
        """Add a key that went, and why."""
        encoded = cbor2.dumps([key, why])
        self._removed.append(encoded)
        self.filled_bytes += len(encoded)

    def cut(self) -> bytes:
        """Return the two arrays of a frame, and begin the next page."""
        parts = [head(4, self._count), *self._cells]
        parts += [head(4, len(self._removed)), *self._removed]
        self._cells, self._removed, self.filled_bytes, self._count = [], [], 0, 0
        return b"".join(parts)


def cell_bytes(cell: WireCell) -> bytes:
    """Return the CBOR of a cell."""
    return own_cbor.encoded(tuple(cell))  # what is of a class of its own is not plain


def pages_of(cells: Iterable[bytes | WireCell], removed: Iterable[list[str]]) -> list[bytes]:
    """Return all pages of these cells and removals; one at least."""
    page, done = Page(), []
    for cell in cells:
        page.add_cell(cell if isinstance(cell, bytes) else cell_bytes(cell))
        if page.is_full:
            done.append(page.cut())
    for key, why in removed:
        page.add_removal(key, why)
        if page.is_full:
            done.append(page.cut())
    return [*done, page.cut()] if page.filled_bytes or not done else done
