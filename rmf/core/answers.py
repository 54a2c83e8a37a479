"""What a node tells of what is committed: acks, WELCOME, VALUE, the status; also a Checkpoint.

Pure functions: each takes the values or the parts that it tells of, and changes nothing.
"""

from typing import Any

from rmf.core import messages as m
from rmf.core.address_book import AddressBook
from rmf.core.clock import TickClock
from rmf.core.codec import announced_limits
from rmf.core.committed_state import CommittedState
from rmf.core.effects import Answer, WriteCheckpoint
from rmf.core.entry import LineId
from rmf.core.events import Asked
from rmf.core.latch import Latched
from rmf.core.line_versions import Kinship
from rmf.core.node_health import NodeHealth
from rmf.core.producer_sessions import ProducerSessions
from rmf.core.producer_table import ProducerRow, acks_with, wire_runs
from rmf.core.raft.raft_node import Raft
from rmf.core.state import Applied, State, head_of
from rmf.core.surroundings import Reported
from rmf.core.world import Cell

__all__ = ["acks_of", "checkpoint_of", "status_of", "value_of", "welcome_of", "wire_cell"]


def wire_cell(key: str, cell: Cell) -> m.WireCell:
    """Return a cell as subscribers get it."""
    value, term, tick, slot, producer, harvested_at, expires, _ = cell
    return m.WireCell(key, value, term, tick, slot, producer, harvested_at, expires or None)


def acks_of(latched: Latched, applied: Applied) -> list[Answer]:
    """Return the acks of a Tick, one per connection that it took packets from."""
    runs: dict[int, list[m.Run]] = {}
    for offer, run in zip(latched.offers, applied.runs, strict=True):
        last = run.first_seq + run.packets - 1
        mine = wire_runs(run, run.first_seq, last, duplicate=False)
        runs.setdefault(offer.connection, []).extend(mine)
    return [Answer(connection, [*acks_with(mine)]) for connection, mine in runs.items()]


def checkpoint_of(
    state: State, chain: bytes, serial: int, clock: TickClock | None, boot_ns: int
) -> WriteCheckpoint:
    """Return the wish for a Checkpoint of a state: its head, and what comes in slices: the versions
    of producers and cells, which never change (R25, R45). `chain` is that of its Entry, and
    `serial` the number of that Entry's own record in this node's ledger; `clock` relates a tick to
    `boot_ns`, where it is known."""
    head = head_of(state)
    head["clock"] = [clock.tick_at(boot_ns), boot_ns] if clock is not None else None
    head["chain"] = chain
    head["serial"] = serial
    return WriteCheckpoint(state.index, head, state.producers, state.world)


def welcome_of(
    book: AddressBook,
    state: State,
    raft: Raft,
    health: NodeHealth,
    *,
    epoch: int | None = None,
    row: ProducerRow | None = None,
) -> m.Welcome:
    """Return the answer to a HELLO; epoch and row are those of a producer."""
    facts: dict[str, Any] = {
        "version": m.VERSION_MAX,
        "node": book.identity.node,
        "cluster": state.cluster,
        "agent": book.identity.agent,
        "term": raft.term,
        "tick": health.tick,
        "period_ns": state.period_ns,
        "leader": book.address_of(raft.leader) if health.strike is None else None,
        "nodes": book.addresses,
        "limits": announced_limits(),
    }
    if row is not None:
        facts |= {"epoch": epoch, "last_seq": row.last_seq, "ephemeral": row.ephemeral}
    return m.Welcome(facts)


def value_of(asked: Asked, state: State, health: NodeHealth) -> m.Value:
    """Return the answer to GET: what is committed here; a cell that is stale by the factory's clock
    is not shown (R9). What makes it linearizable, core/current knows."""
    cell = state.world.get(asked.key)
    if cell is not None and cell.expires:
        stale = cell.expires <= health.tick or cell.tick < state.void_before
        cell = None if stale else cell
    wire = wire_cell(asked.key, cell) if cell is not None else None
    return m.Value(asked.request, state.term, state.tick, state.index, health.is_live, wire)


def status_of(
    book: AddressBook,
    settled: CommittedState,
    raft: Raft,
    health: NodeHealth,
    sessions: ProducerSessions,
    reported: Reported,
    kinship: Kinship,
    uptime_ns: int,
) -> dict[str, Any]:
    """Return what `rmf-status` shows (INTERFACES)."""
    identity, state, queue = book.identity, settled.state, sessions.queue
    strike = health.strike
    return {
        "node": identity.node,
        "role": raft.role,
        "strike": {"kind": strike[0], "why": strike[1]} if strike is not None else None,
        "live": health.is_live,
        "live_why": health.why_not_live(),
        "term": raft.term,
        "tick": state.tick,
        "index": raft.log.last.index,
        "commit": raft.log.commit,
        "applied": state.index,
        "leader": raft.leader,
        "members": book.members(),
        "ingest": {"depth": queue.packets, "capacity": queue.depth_packets_max},
        "packets": {
            "latched": state.latched,
            "applied": state.applied,
            "bagged": state.bagged,
            "duplicate": sessions.duplicates,
        },
        "expiries": dict(settled.expiries),
        "dlq": reported.dlq_facts,
        "world": {"cells": len(state.world)},
        "digest": state.digest(),
        "line": _lines_of(identity.line, state.line),
        "line_behind": kinship == "behind",
        "line_mismatch": kinship == "other",
        "glovebox": {"restarts": reported.box_restarts},
        "disk": reported.mark,
        "producers": len(state.producers.rows),
        "producers_left": dict(sessions.departures.counts),
        "uptime_s": round(uptime_ns / 1e9, 3),
        "interpreter": identity.interpreter,
        "cluster": state.cluster.hex(),
        "version": state.version,
        "election_ms": list(state.election_ms),
        "whole": raft.whole,
    }


def _lines_of(own: LineId, ledger: LineId) -> dict[str, Any]:
    """Return this node's line, and the one of the accession in force, if there was any."""
    told = [
        {"name": line.name, "version": line.version, "digest": line.digest.hex()}
        for line in (own, ledger)
    ]
    return {**told[0], "ledger": told[1] if ledger.version else None}
