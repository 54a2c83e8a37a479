"""What the Arbiter tells of what is committed: acks, pictures, WELCOME, VALUE, the status.

Pure functions over the fields of an Office; they change nothing. A Checkpoint is told here, too.
"""

from typing import TYPE_CHECKING, Any

from rmf.core import messages as m
from rmf.core.codec import announced_limits
from rmf.core.effects import Answer, Publish, WriteCheckpoint
from rmf.core.entry import LineId, Member
from rmf.core.producers import ProducerRow, wire_runs
from rmf.core.state import Applied, State, head_of
from rmf.core.world import Cell

if TYPE_CHECKING:
    from rmf.core.events import Asked, Now
    from rmf.core.latch import Latched
    from rmf.core.office import Office

__all__ = [
    "acks_of",
    "checkpoint_of",
    "members_of",
    "nodes_of",
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


def picture_of(office: "Office", state: State, applied: Applied) -> Publish:
    """Return what subscribers may see of a state, and what changed with it (R36)."""
    return Publish(
        term=state.term,
        tick=state.tick,
        index=state.index,
        digest=state.digest(),
        live=office.is_live,
        world=state.world,
        changed=applied.changed,
        removed=applied.removed,
        clock=office.raft.pace.clock_at(office.now_ns),
    )


def checkpoint_of(office: "Office", now: "Now") -> WriteCheckpoint:
    """Return the wish for a Checkpoint of what is committed: its head, and what comes in slices:
    the versions of producers and cells, which never change (R25, R45). `clock`
    relates a tick to boot time; null where this node does not know it. `serial` is the number of
    the Entry's own record in this node's ledger."""
    state, raft = office.committed, office.raft
    head = head_of(state)
    clock = raft.pace.clock
    head["clock"] = [clock.tick_at(now.boot_ns), now.boot_ns] if clock is not None else None
    head["chain"] = office.unapplied.place.chain
    head["serial"] = raft.durable.serials.of(state.index)
    return WriteCheckpoint(state.index, head, state.producers, state.world)


def welcome_of(
    office: "Office", *, epoch: int | None = None, row: ProducerRow | None = None
) -> m.Welcome:
    """Return the answer to a HELLO; epoch and row are those of a producer."""
    identity, state = office.identity, office.committed
    facts: dict[str, Any] = {
        "version": m.VERSION_MAX,
        "node": identity.node,
        "cluster": state.cluster,
        "agent": identity.agent,
        "term": office.raft.term,
        "tick": office.present_tick,
        "period_ns": state.period_ns,
        "leader": office.address_of(office.raft.leader) if office.strike is None else None,
        "nodes": nodes_of(office),
        "limits": announced_limits(),
    }
    if row is not None:
        facts |= {"epoch": epoch, "last_seq": row.last_seq, "ephemeral": row.ephemeral}
    return m.Welcome(facts)


def nodes_of(office: "Office") -> list[str]:
    """Return where clients reach the members, as far as it is known."""
    known = [office.address_of(member.name) for member in office.raft.members]
    return [address for address in known if address]


def value_of(office: "Office", asked: "Asked") -> m.Value:
    """Return the answer to GET: what is committed here; a cell that is stale by the factory's clock
    is not shown (R9). What makes it linearizable, core/current knows."""
    state = office.committed
    cell = state.world.get(asked.key)
    if cell is not None and cell.expires:
        tick = max(state.tick, office.raft.pace.tick_at(office.now_ns))
        stale = cell.expires <= tick or cell.tick < state.void_before
        cell = None if stale else cell
    wire = wire_cell(asked.key, cell) if cell is not None else None
    live = office.is_live
    return m.Value(asked.request, state.term, state.tick, state.index, live, wire)


def status_of(office: "Office", now: "Now") -> dict[str, Any]:
    """Return what `rmf-status` shows (INTERFACES)."""
    identity, state, raft = office.identity, office.committed, office.raft
    queue = office.petitions.queue
    strike = None
    if office.strike is not None:
        strike = {"kind": office.strike[0], "why": office.strike[1]}
    return {
        "node": identity.node,
        "role": raft.role,
        "strike": strike,
        "live": office.is_live,
        "live_why": None if office.is_live else _why_not_live(office),
        "term": raft.term,
        "tick": state.tick,
        "index": raft.log.last.index,
        "commit": raft.log.commit,
        "applied": state.index,
        "leader": raft.leader,
        "members": members_of(office),
        "ingest": {"depth": queue.packets, "capacity": queue.depth_packets_max},
        "packets": {
            "latched": state.latched,
            "applied": state.applied,
            "bagged": state.bagged,
            "duplicate": office.petitions.duplicates,
        },
        "expiries": dict(office.settled.expiries),
        "dlq": office.dlq_facts,
        "world": {"cells": len(state.world)},
        "digest": state.digest(),
        "line": _lines_of(identity.line, state.line),
        "line_behind": office.kinship == "behind",
        "line_mismatch": office.kinship == "other",
        "glovebox": {"restarts": office.box_restarts},
        "disk": office.mark,
        "producers": len(state.producers.rows),
        "producers_left": dict(office.petitions.departures.counts),
        "uptime_s": round((now.boot_ns - office.started_ns) / 1e9, 3),
        "cluster": state.cluster.hex(),
        "version": state.version,
        "election_ms": list(state.election_ms),
        "whole": raft.whole,
    }


def _why_not_live(office: "Office") -> str:
    """Return why what this node shows may be old."""
    if office.strike is not None:
        return office.strike[1]
    return office.live.why_not(office.now_ns) or "it has not been judged yet"


def _lines_of(own: LineId, ledger: LineId) -> dict[str, Any]:
    """Return this node's line, and the one of the accession in force, if there was any."""
    told = [
        {"name": line.name, "version": line.version, "digest": line.digest.hex()}
        for line in (own, ledger)
    ]
    return {**told[0], "ledger": told[1] if ledger.version else None}


def members_of(office: "Office") -> list[dict[str, Any]]:
    """Return what is known here of the members."""
    return [_member_of(office, member) for member in office.raft.members]


def _member_of(office: "Office", member: Member) -> dict[str, Any]:
    """Return what is known here of one member; `match` only the leader knows."""
    raft, name = office.raft, member.name
    role = "follower" if member.voter else "learner"
    match = None
    if name == office.identity.node:
        role, match = raft.role, raft.log.durable
    elif name == raft.leader:
        role = "leader"
    elif raft.leadership is not None:
        match = raft.leadership.peers[name].match
    return {
        "node": name,
        "address": office.address_of(name),
        "peer_address": member.peer_address or None,
        "role": role,
        "match": match,
        "voter": member.voter,
    }
