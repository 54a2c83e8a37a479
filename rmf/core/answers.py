"""What the Arbiter tells of what is committed: acks, pictures, WELCOME, VALUE, the status.

Pure functions over the Arbiter's fields; they change nothing. A Checkpoint is told here, too.
"""

from typing import TYPE_CHECKING, Any

from rmf.core import messages as m
from rmf.core.codec import announced_limits
from rmf.core.effects import Answer, Publish, WriteCheckpoint
from rmf.core.producers import wire_runs
from rmf.core.state import Applied, State, head_of
from rmf.core.world import Cell

if TYPE_CHECKING:
    from rmf.core.arbiter import Arbiter
    from rmf.core.clock import TickClock
    from rmf.core.events import Asked, Now
    from rmf.core.latch import Latched

__all__ = [
    "acks_of",
    "checkpoint_of",
    "picture_of",
    "status_of",
    "value_of",
    "welcome_of",
    "wire_cell",
]


def wire_cell(key: str, cell: Cell) -> m.WireCell:
    """Return a cell as subscribers get it."""
    value, term, tick, slot, producer, harvested_at, expires, _ = cell
    return m.WireCell(key, value, term, tick, slot, producer, harvested_at, expires or None)


def acks_of(latched: "Latched", applied: Applied) -> list[Answer]:
    """Return the acks of a Tick, one for each connection that it took packets from."""
    runs: dict[int, list[m.Run]] = {}
    for offer, run in zip(latched.offers, applied.runs, strict=True):
        last = run.first_seq + run.packets - 1
        mine = wire_runs(run, run.first_seq, last, duplicate=False)
        runs.setdefault(offer.connection, []).extend(mine)
    return [Answer(connection, [m.Ack(mine)]) for connection, mine in runs.items()]


def picture_of(arbiter: "Arbiter", state: State, applied: Applied) -> Publish:
    """Return what subscribers may see of a state, and what changed with it (R36)."""
    return Publish(
        term=state.term,
        tick=state.tick,
        index=state.index,
        digest=state.digest(),
        live=arbiter.strike is None,
        world=state.world,
        changed=applied.changed,
        removed=applied.removed,
    )


def checkpoint_of(arbiter: "Arbiter", clock: "TickClock", chain: bytes) -> WriteCheckpoint:
    """Return the wish for a Checkpoint of what is committed: its head, and the cells (R25)."""
    state = arbiter.committed
    head = head_of(state)
    head["clock"] = [clock.base_tick, clock.base_ns]
    head["chain"] = chain
    head["serial"] = arbiter.raft.serial
    return WriteCheckpoint(state.index, head, state.world)


def welcome_of(
    arbiter: "Arbiter", *, epoch: int | None = None, last_seq: int | None = None
) -> m.Welcome:
    """Return the answer to a HELLO; epoch and last seq are those of a producer."""
    identity, state = arbiter.identity, arbiter.committed
    facts: dict[str, Any] = {
        "version": m.VERSION_MAX,
        "node": identity.node,
        "cluster": state.cluster,
        "agent": identity.agent,
        "term": arbiter.raft.term,
        "tick": state.tick,
        "period_ns": state.period_ns,
        "leader": identity.address if arbiter.reigns else None,
        "limits": announced_limits(),
    }
    if epoch is not None:
        facts["epoch"] = epoch
        facts["last_seq"] = last_seq
    return m.Welcome(facts)


def value_of(arbiter: "Arbiter", asked: "Asked") -> m.Value:
    """Return the answer to GET. What is committed here is all that was ever acked (R2), so with one
    member every read is linearizable; a cell that is stale at its Tick is not shown (R9)."""
    state = arbiter.committed
    cell = state.world.get(asked.key)
    if cell is not None and cell.expires:
        stale = cell.expires <= state.tick or cell.tick < state.void_before
        cell = None if stale else cell
    wire = wire_cell(asked.key, cell) if cell is not None else None
    live = arbiter.strike is None
    return m.Value(asked.request, state.term, state.tick, state.index, live, wire)


def status_of(arbiter: "Arbiter", now: "Now") -> dict[str, Any]:
    """Return what `rmf-status` shows (INTERFACES)."""
    identity, state, raft = arbiter.identity, arbiter.committed, arbiter.raft
    strike = None
    if arbiter.strike is not None:
        strike = {"kind": arbiter.strike[0], "why": arbiter.strike[1]}
    return {
        "node": identity.node,
        "role": raft.role,
        "strike": strike,
        "term": raft.term,
        "tick": state.tick,
        "index": raft.last_index,
        "commit": state.index,
        "leader": raft.leader,
        "members": [
            {
                "node": name,
                "address": identity.address if name == identity.node else None,
                "role": raft.role if name == identity.node else None,
                "match": state.index if name == identity.node else None,
                "voter": True,
            }
            for name, _ in state.members
        ],
        "ingest": {"depth": arbiter.queue.packets, "capacity": arbiter.queue.depth_packets_max},
        "packets": {
            "latched": state.latched,
            "applied": state.applied,
            "bagged": state.bagged,
            "duplicate": arbiter.duplicates,
        },
        "dlq": arbiter.dlq_facts,
        "world": {"cells": len(state.world)},
        "digest": state.digest(),
        "line": {"name": identity.line.name, "version": identity.line.version},
        "glovebox": {"restarts": 0},
        "disk": arbiter.mark,
        "producers": len(state.producers.rows),
        "uptime_s": round((now.boot_ns - arbiter.started_ns) / 1e9, 3),
    }
