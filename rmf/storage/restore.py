"""From a Checkpoint to the state it holds, verified: where recovery and replay begin (R25, R26).

Decides which of several starts is the one to begin at: the first, in the caller's order, whose
Checkpoint verifies. A node asks for the newest, a replay for the oldest. It applies no Entries; who
does, goes on behind `start.base`.
"""

from collections.abc import Iterable
from typing import Any

import attrs

from rmf.core.shelf import Shelf
from rmf.core.state import State, genesis_state, state_of
from rmf.core.world import Cell, mark_of
from rmf.errors import CheckpointDamaged
from rmf.storage import checkpoint
from rmf.storage.archive import Start

__all__ = ["Restored", "restore"]


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
    head, rows = checkpoint.load(start.checkpoint, cluster)
    cells = {row[0]: Cell(*row[1:], mark_of(*row)) for row in rows}
    state = state_of(head, cells)
    if state.digest() != head["digest"]:
        raise CheckpointDamaged(
            f"{start.checkpoint}: its cells and tables have the digest "
            f"{state.digest().hex()}, its head states {head['digest'].hex()}. It is not used."
        )
    return Restored(start, state, Shelf.of(state.world, state.void_before), head)
