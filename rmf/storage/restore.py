"""From a Checkpoint to the state it holds, verified: where recovery and replay begin (R25, R26).

Decides which of several starts is the one to begin at: the first, in the caller's order, whose
Checkpoint verifies. A node asks for the newest, a replay for the oldest. It applies no Entries; who
does, goes on behind `start.base`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from rmf.core.producer_table import Table
from rmf.core.shelf import Shelf
from rmf.core.state import State, genesis_state, state_of
from rmf.core.table_slices import rows_in, table_in
from rmf.core.world import cells_of, mark_of
from rmf.errors import CheckpointDamaged
from rmf.storage import checkpoint
from rmf.storage.archive import Start

__all__ = ["Restored", "check_digest", "restore"]

_MASK = (1 << 128) - 1


@attrs.frozen
class Restored:
    """The state at a start, and the shelf that belongs to it. `head` is that of the Checkpoint,
    empty at genesis."""

    start: Start
    state: State
    shelf: Shelf
    head: dict[str, Any]


def restore(
    places: Iterable[Start], cluster: bytes
) -> tuple[Restored | None, list[CheckpointDamaged]]:
    """Return the state at the first of these places that verifies, None if none does, and what was
    wrong with those before it. Raises ForeignDirectory, StorageError."""
    faults: list[CheckpointDamaged] = []
    for start in places:
        try:
            return _restored(start, cluster), faults
        except CheckpointDamaged as exc:
            faults.append(exc)
    return None, faults


def _restored(start: Start, cluster: bytes) -> Restored:
    if start.checkpoint is None:
        return Restored(start, genesis_state(cluster), Shelf(), {})
    found = checkpoint.load(start.checkpoint, cluster)
    producers = table_in(found.producers)
    state = state_of(found.head, producers, cells_of(found.cells))
    _compare(start.checkpoint, state.digest(), found.head["digest"])
    return Restored(start, state, Shelf.of(state.world, state.void_before), found.head)


def check_digest(path: Path, cluster: bytes) -> None:
    """Compare what the head of a Checkpoint states with what its rows and cells add up to, without
    a World made of them. Raises CheckpointDamaged, and KeyError, ValueError or TypeError for what
    has another shape."""
    found = checkpoint.load(path, cluster)
    state_of(found.head, Table.of({}), {})  # a head of another release has other fields
    total = sum(row.mark for _, row in rows_in(found.producers))
    total += sum(mark_of(*row) for row in found.cells)
    _compare(path, (total & _MASK).to_bytes(16, "big"), found.head["digest"])


def _compare(path: Path, digest: bytes, stated: bytes) -> None:
    if digest != stated:
        raise CheckpointDamaged(
            f"{path}: its cells and tables have the digest {digest.hex()}, its head states "
            f"{stated.hex()}. It is not used."
        )
