"""What a test gets to see: the World, Letters and Snapshots, decoded, from the core's own values.

Pure; it decides only how they look to the author of a test, which is how `rmf.connect` and
`rmf-dlq` show them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import cbor2

from rmf.client.client_values import ClientCell, Snapshot
from rmf.client.opened_letters import open_packet
from rmf.core import bag
from rmf.core.effects import Publish
from rmf.core.packet import Stamp
from rmf.core.world import Cell, World

__all__ = ["Letter", "Picture", "cell_of", "letter_of", "snapshot_of"]


class Picture(Mapping[str, Any]):
    """A World as a mapping of keys to values, in key order, each decoded when it is looked at.

    It compares equal to a dict of the same values: `assert factory.world == {"a": 1}`.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def __getitem__(self, key: str) -> Any:
        cell = self._world.get(key)
        if cell is None:
            raise KeyError(key)
        return cbor2.loads(cell.value)

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self._world.scan())

    def __len__(self) -> int:
        return len(self._world.cells)

    def __contains__(self, key: object) -> bool:
        return type(key) is str and self._world.get(key) is not None

    def __repr__(self) -> str:
        return f"{dict(self)!r}"

    def scan(self, prefix: str = "") -> list[tuple[str, Any]]:
        """Return (key, value) of all keys that start with `prefix`, in key order."""
        return [(key, cbor2.loads(cell.value)) for key, cell in self._world.scan(prefix)]

    def cell(self, key: str) -> ClientCell | None:
        """Return the cell of a key with its Stamp, maker and shelf life, or None."""
        cell = self._world.get(key)
        return None if cell is None else cell_of(cell)


def cell_of(cell: Cell) -> ClientCell:
    """Return a cell as clients see it."""
    value, term, tick, slot, producer, harvested_at, expires, _ = cell
    return ClientCell(value, term, tick, slot, producer, harvested_at, expires or None)


@attrs.frozen
class Letter:
    """One bag (R38). `error` has `type`, `message` and `traceback`; `payload` is decoded, None if
    it cannot be. Of an expired cell whose handler failed `topic` is the key, `payload` its value,
    and there is no seq."""

    id: str
    reason: str
    stage: str
    producer: str | None
    topic: str | None
    seq: int | None
    stamp: Stamp | None
    payload: Any
    error: bag.Evidence
    packet: bytes


def letter_of(letter: bag.Letter) -> Letter:
    """Return a Letter as tests see it."""
    term, tick, slot = letter.term, letter.tick, letter.slot
    known = term is not None and tick is not None and slot is not None
    body = {"packet": letter.packet, "stage": letter.stage, "seq": letter.seq}
    return Letter(
        letter.id,
        letter.reason,
        letter.stage,
        letter.producer,
        letter.topic,
        letter.seq,
        Stamp(term, tick, slot) if known else None,  # type: ignore[arg-type]
        open_packet(body).payload,
        letter.error,
        letter.packet,
    )


def snapshot_of(found: Publish) -> Snapshot:
    """Return the delta that a subscriber of everything gets for this Tick (R35)."""
    changed = ((key, found.world.get(key)) for key in sorted(found.changed))
    cells = {key: cell_of(cell) for key, cell in changed if cell is not None}
    return Snapshot(
        found.term,
        found.tick,
        found.index,
        found.digest,
        "delta",
        0,
        found.live,
        cells,
        dict(sorted(found.removed.items())),
    )
