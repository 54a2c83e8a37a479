"""Worlds that know who looks: one notes what a handler reads, one holds only what was noted.

For taking a failure out of a factory (rmf-dlq export) and for running it again elsewhere: the
cells that a handler read are all that it needs, as long as it goes the same way. Where it goes
another one, the World that holds only these says so: a cell that is not known was not absent.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from rmf.core.world import Cell, World
from rmf.errors import RmfError

__all__ = ["KnownWorld", "NotKnown", "Witness"]

Note = Callable[[str, str], None]  # ("key" or "scan", the key or the prefix)


class NotKnown(RmfError):
    """A handler read what this World does not know about."""


class _Looked:
    """Stands where the cells of a World stand, for those who only get."""

    __slots__ = ("_get", "_note")

    def __init__(self, get: Callable[[str], Cell | None], note: Note) -> None:
        self._get = get
        self._note = note

    def get(self, key: str) -> Cell | None:
        """Return the cell; note that it was looked for."""
        self._note("key", key)
        return self._get(key)


class Witness(World):
    """A World that notes which keys were looked for and which prefixes were scanned."""

    __slots__ = ("_note",)

    def __init__(self, world: World, note: Note) -> None:
        cells = cast("Any", _Looked(world.cells.get, note))
        super().__init__(cells, world.total, world.index)
        self._note = note

    def scan(self, prefix: str = "", after: str | None = None) -> Iterator[tuple[str, Cell]]:
        """Give (key, cell) in key order; the whole prefix is noted, however far it is walked."""
        self._note("scan", prefix)
        return super().scan(prefix, after)


class KnownWorld(World):
    """A World of these cells, None where a key is known to be absent, in which all keys under the
    prefixes `scanned` are known. A read of others gets NotKnown."""

    __slots__ = ("_absent", "_cells", "_scanned")

    def __init__(self, known: Mapping[str, Cell | None], scanned: tuple[str, ...] = ()) -> None:
        self._cells = {key: cell for key, cell in known.items() if cell is not None}
        self._absent = known.keys() - self._cells.keys()
        self._scanned = scanned
        whole = World.of(self._cells)
        cells = cast("Any", _Looked(self._cells.get, self._check))
        super().__init__(cells, whole.total, whole.index)

    def scan(self, prefix: str = "", after: str | None = None) -> Iterator[tuple[str, Cell]]:
        """Give (key, cell) in key order. Raises NotKnown."""
        if not prefix.startswith(self._scanned or ("\0",)):
            raise NotKnown(
                f"the handler scans {prefix!r}, which was not recorded: export the letter again"
                f" with this line, or add the cells, and the prefix to `scanned`"
            )
        return super().scan(prefix, after)

    def _check(self, _what: str, key: str) -> None:
        if key in self._cells or key in self._absent:
            return
        if type(key) is str and key.startswith(self._scanned or ("\0",)):
            return
        raise NotKnown(
            f"the handler reads {key!r}, which was not recorded: export the letter again with this"
            f" line, or add its cell to `cells`, or the key to `absent`"
        )
