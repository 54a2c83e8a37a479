"""From a disk to a core, as recovery does it: the newest Checkpoint that serves, every record
behind it, the second copy of the vote, and the clock if this boot wrote the last Tick (R6, R23 to
R26).

It decides what rmf/floor/recovery decides, over records instead of files; the steps from there on
(Recovery, Standing, Raft, Arbiter) are the very ones of production.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import cbor2

from rmf import limits
from rmf.core.arbiter import Arbiter, NodeIdentity
from rmf.core.bag import Letter
from rmf.core.clock import Pace, TickClock
from rmf.core.entry import Member
from rmf.core.raft.raft_node import Raft
from rmf.core.raft.raft_values import Place, Standing, Timing
from rmf.core.record import GENESIS_CHAIN
from rmf.core.recovery import Recovery, higher_of
from rmf.core.shelf import Shelf
from rmf.core.state import State, genesis_state, state_of
from rmf.core.table_slices import slices_of, table_in
from rmf.core.world import Cell, mark_of
from rmf.testing.disk import DiskStart, SimulatedDisk, StoredCheckpoint

__all__ = ["Reborn", "come_back", "core_at", "opened", "packed", "reborn", "unpacked"]

DEPTH_PACKETS = 256


class Reborn(NamedTuple):
    """A core, the letters that the DLQ has not got yet, and through which index letters are missing
    because a Checkpoint stands in their place (0: none are)."""

    core: Arbiter
    letters: list[Letter]
    missing_through: int


class _Start(NamedTuple):
    base: DiskStart
    state: State
    shelf: Shelf
    head: dict[str, Any]


def reborn(
    disk: SimulatedDisk,
    identity: NodeIdentity,
    cursor: int,
    *,
    boot_id: bytes,
    dice: Callable[[], float],
    timing: Timing,
    listens: Callable[[str], bool],
    doubts: int = 0,
    members: tuple[Member, ...] = (),
    depth_packets_max: int = DEPTH_PACKETS,
    audit_ppm: int = 0,
) -> Reborn:
    """Return the core that a disk gives; `members` are those before any Entry. Raises ValueError or
    Diverged for a disk that no node can have written."""
    start = _start_of(disk, cursor)
    comeback = _come_back(disk, start, identity.node, cursor)
    standing = comeback.standing(whole=not disk.repairing)
    core = core_at(
        identity,
        disk.cluster,
        standing,
        comeback.state,
        comeback.shelf(),
        bridge=_bridge(comeback, start, boot_id, tail=bool(standing.tail)),
        listens=listens,
        dice=dice,
        timing=timing,
        doubts=doubts,
        members=members,
        depth_packets_max=depth_packets_max,
        audit_ppm=audit_ppm,
    )
    missing = start.base.place.index if start.base.place.index > cursor else 0
    return Reborn(core, comeback.take_letters(), missing)


def core_at(
    identity: NodeIdentity,
    cluster: bytes,
    standing: Standing,
    state: State,
    shelf: Shelf,
    *,
    listens: Callable[[str], bool],
    bridge: TickClock | None = None,
    dice: Callable[[], float] = lambda: 0.5,
    timing: Timing | None = None,
    doubts: int = 0,
    members: tuple[Member, ...] = (),
    depth_packets_max: int = limits.INGEST_DEPTH_PACKETS,
    audit_ppm: int = 0,
) -> Arbiter:
    """Return the core that stands there; `members` are those before any Entry."""
    raft = Raft(
        identity.node,
        cluster,
        standing,
        state.members or members,
        incarnation=identity.incarnation,
        membership=state.membership,
        pace=Pace(bridge),
        period_ns=state.period_ns if state.index else identity.period_ns,
        dice=dice,
        timing=timing,
        doubts=doubts,
    )
    return Arbiter(
        identity,
        state,
        shelf,
        raft,
        listens=listens,
        depth_packets_max=depth_packets_max,
        audit_ppm=audit_ppm,
    )


def come_back(disk: SimulatedDisk, node: str, cursor: int) -> Recovery:
    """Read a disk as a node does when it starts; its DLQ has all up to `cursor`."""
    return _come_back(disk, _start_of(disk, cursor), node, cursor)


def _come_back(disk: SimulatedDisk, start: _Start, node: str, cursor: int) -> Recovery:
    comeback = Recovery(node, start.state, start.base.place, start.base.serial, cursor)
    for record in disk.records:
        if record.serial > start.base.serial:
            comeback.take(record)
    comeback.remember(higher_of(disk.hard, disk.hard_copy))
    return comeback


def _start_of(disk: SimulatedDisk, cursor: int) -> _Start:
    """Return the best start that verifies: the newest behind which the ledger holds every letter
    that is not stored yet; else the oldest (R39)."""
    whole = [x for x in disk.checkpoints if not x.rotten and x.base.serial >= disk.base.serial]
    for found in reversed([x for x in whole if x.base.place.index <= cursor]):
        return opened(found)
    if not disk.base.place.index:
        base = DiskStart(0, Place(0, 0, GENESIS_CHAIN))
        return _Start(base, genesis_state(disk.cluster), Shelf(), {})
    return opened(whole[0])


def opened(found: StoredCheckpoint) -> _Start:
    """Return the state that a Checkpoint holds. Raises ValueError if it holds another."""
    state = state_of(found.head, found.producers, dict(found.cells))
    if state.digest() != found.head["digest"]:
        raise ValueError(f"the Checkpoint of Entry {state.index} does not hold what it says")
    return _Start(found.base, state, Shelf.of(state.world, state.void_before), found.head)


def _bridge(comeback: Recovery, start: _Start, boot_id: bytes, *, tail: bool) -> TickClock | None:
    last = comeback.last_tick
    if last is not None:
        bridges = last.boot_id == boot_id
        return TickClock(last.period_ns, last.tick, last.boot_ns) if bridges else None
    clock = start.head.get("clock")
    if clock and start.head.get("boot_id") == boot_id and not tail:
        return TickClock(comeback.state.period_ns, *clock)
    return None


# --- A Checkpoint on its way to a peer -----------------------------------------------------------


def packed(found: StoredCheckpoint) -> bytes:
    """Return a Checkpoint as bytes: the head, the producers, then a row for each cell."""
    rows = [[key, *cell[:-1]] for key, cell in sorted(found.cells.items())]
    return cbor2.dumps([found.head, list(slices_of(found.producers)), rows])


def unpacked(content: bytes, base: DiskStart) -> StoredCheckpoint:
    """Return the Checkpoint in bytes as this node's own: it says this node's serial, and neither
    boot nor clock. Raises ValueError if it does not verify."""
    head, slices, rows = cbor2.loads(content)
    head = {**head, "serial": base.serial, "clock": None, "boot_id": None}
    cells = {row[0]: Cell._make([*row[1:], mark_of(*row)]) for row in rows}
    state = state_of(head, table_in(slices), cells)
    if state.digest() != head["digest"]:
        raise ValueError("a Checkpoint came that does not hold what it says")
    if (state.index, state.term, head["chain"]) != tuple(base.place):
        raise ValueError("a Checkpoint came that is not the one that was named")
    return StoredCheckpoint(base, head, state.producers, state.world.cells)


assert DEPTH_PACKETS <= limits.INGEST_DEPTH_PACKETS
