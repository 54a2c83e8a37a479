"""What the Arbiter tells of itself: WELCOME, VALUE and the status, from what is committed.

Pure functions over the Arbiter's fields; they change nothing.
"""

from typing import TYPE_CHECKING, Any

from rmf.core import messages as m
from rmf.core.codec import announced_limits
from rmf.core.world import Cell

if TYPE_CHECKING:
    from rmf.core.arbiter import Arbiter
    from rmf.core.events import Asked, Now

__all__ = ["status_of", "value_of", "welcome_of", "wire_cell"]


def wire_cell(key: str, cell: Cell) -> m.WireCell:
    """Return a cell as subscribers get it."""
    value, term, tick, slot, producer, harvested_at, expires, _ = cell
    return m.WireCell(key, value, term, tick, slot, producer, harvested_at, expires or None)


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
    member every read is linearizable; a stale cell is not shown (R9)."""
    state = arbiter.committed
    cell = state.world.get(asked.key)
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
