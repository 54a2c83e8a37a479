"""The replicated state, and what one Entry makes of it: the only place that knows (R1, R26).

A State never changes; `apply` returns the next. The Arbiter that proposes an Entry, the node that
recovers, the follower and the replay all call `apply`, so they cannot disagree but by a digest that
says so. The shelf is derived and is kept up to date on the way.
"""

from bisect import bisect_left
from typing import Any

import attrs

from rmf import limits
from rmf.core.cell_writes import write_changes
from rmf.core.entry import (
    Accession,
    Entry,
    Expiry,
    LineId,
    Member,
    Members,
    Settings,
    TickBooks,
    Version,
)
from rmf.core.entry_kinds import CLUSTER_VERSION, SETTINGS_VERSION
from rmf.core.producer_table import OutcomeRun, Table
from rmf.core.shelf import Armed
from rmf.core.triage import Triage
from rmf.core.world import Cell, World

__all__ = [
    "NOTHING",
    "Applied",
    "State",
    "apply",
    "check_version",
    "expiries_of",
    "genesis_state",
    "head_of",
    "state_of",
]

_MASK = (1 << 128) - 1
_ELECTION_MS_BEFORE = (limits.ELECTION_NS_MIN // limits.MS, limits.ELECTION_NS_MAX // limits.MS)


@attrs.frozen
class State:
    """Everything that is replicated, after the Entry `index` of `term`. `latched`, `applied` and
    `bagged` count packets since genesis: latched = applied + bagged (R34). Cells stamped before the
    tick `void_before` have no known age (R6). `version` is the cluster's (R30), `membership` the
    index of the Entry that names the `members`, `election_ms` the bounds of time-outs (R28)."""

    cluster: bytes
    period_ns: int
    members: tuple[Member, ...]
    term: int
    index: int
    tick: int
    line: LineId
    void_before: int
    world: World
    producers: Table
    latched: int
    applied: int
    bagged: int
    version: int = CLUSTER_VERSION
    membership: int = 0
    election_ms: tuple[int, int] = _ELECTION_MS_BEFORE

    def digest(self) -> bytes:
        """Return the fingerprint of World and producers' table: 16 bytes (R26)."""
        return ((self.world.total + self.producers.total) & _MASK).to_bytes(16, "big")


@attrs.frozen
class Applied:
    """What an Entry did: keys written, keys gone with the reason, and per frame the run that its
    producer's row now holds."""

    changed: frozenset[str]
    removed: dict[str, str]
    runs: list[OutcomeRun]


NOTHING = Applied(frozenset(), {}, [])


def genesis_state(cluster: bytes) -> State:
    """Return the state before the first Entry."""
    line = LineId("", 0, b"")
    return State(cluster, 1, (), 0, 0, 0, line, 0, World.empty(), Table.of({}), 0, 0, 0)


def apply(state: State, entry: Entry, term: int, index: int, shelf: Armed) -> tuple[State, Applied]:
    """Return the state after an Entry and what changed. The caller compares the digests.

    Raises ValueError for a cluster version that this release does not know (R30)."""
    assert index == state.index + 1
    books = entry.books
    if isinstance(books, TickBooks):
        assert entry.tick > state.tick
        return _apply_tick(state, entry, books, term, index, shelf)
    if isinstance(books, Accession):
        state = attrs.evolve(state, term=term, index=index, tick=entry.tick, line=books.line)
        if books.age_unknown:
            state = attrs.evolve(state, void_before=entry.tick)
            shelf.look_through()
        return state, NOTHING
    state = attrs.evolve(state, term=term, index=index, tick=entry.tick)
    if isinstance(books, Members):
        return attrs.evolve(state, members=tuple(books.members), membership=index), NOTHING
    if isinstance(books, Triage):
        return state, NOTHING  # it is about letters, and these are in the DLQ
    if isinstance(books, Settings):
        return attrs.evolve(state, election_ms=books.election_ms), NOTHING
    if isinstance(books, Version):
        check_version(books.version, books.release)
        return attrs.evolve(state, version=books.version), NOTHING
    check_version(books.version, "")
    members = tuple(books.members)
    state = attrs.evolve(state, period_ns=books.period_ns, members=members, membership=index)
    if books.version >= SETTINGS_VERSION:
        state = attrs.evolve(state, election_ms=limits.ELECTION_MS)
    return attrs.evolve(state, version=books.version), NOTHING


def check_version(version: int, release: str) -> None:
    """Raise ValueError if this release does not know a cluster version: never a skip (R30)."""
    if version > CLUSTER_VERSION:
        raise ValueError(
            f"the cluster's version is {version}, this release of RMF knows versions up to"
            f" {CLUSTER_VERSION}; install RMF {release or 'of a later release'} or newer here"
        )


def _apply_tick(
    state: State, entry: Entry, books: TickBooks, term: int, index: int, shelf: Armed
) -> tuple[State, Applied]:
    table, runs = _apply_producers(state.producers, entry.tick, term, books)
    draft = state.world.draft()
    removed: dict[str, str] = {}
    for key, reason, _ in books.expiries:
        if draft.remove(key):
            shelf.disarm(key)
            removed[key] = reason
    changed = write_changes(
        draft, shelf, removed, entry, books, term, state.period_ns, state.line.name
    )
    packets = sum(frame.packets for frame in books.frames)
    first_slot = books.frames[0].first_slot if books.frames else 0
    bagged = sum(1 for bag in books.bags if books.frames and bag.slot >= first_slot)
    after = State(
        state.cluster,
        state.period_ns,
        state.members,
        term,
        index,
        entry.tick,
        state.line,
        state.void_before,
        draft.done(),
        table,
        state.latched + packets,
        state.applied + packets - bagged,
        state.bagged + bagged,
        state.version,
        state.membership,
        state.election_ms,
    )
    return after, Applied(changed, removed, runs)


def _apply_producers(
    table: Table, tick: int, term: int, books: TickBooks
) -> tuple[Table, list[OutcomeRun]]:
    for leaver in books.leavers:
        table = table.without(leaver.producer)
    for name, epoch, identity, ephemeral in books.registers:
        table = table.registered(name, epoch, identity, ephemeral=ephemeral, tick=tick)
    runs: list[OutcomeRun] = []
    bagged = [bag.slot for bag in books.bags]  # in order: each frame finds its own
    for frame in books.frames:
        first, end = frame.first_slot, frame.first_slot + frame.packets
        mine = books.bags[bisect_left(bagged, first) : bisect_left(bagged, end)]
        bags = tuple((bag.slot - first, bag.reason) for bag in mine)
        run = OutcomeRun(frame.first_seq, frame.packets, term, tick, first, bags)
        table = table.latched(frame.producer, run)
        runs.append(run)
    return table, runs


def expiries_of(keys: list[str], state: State, listens: Any) -> list[Expiry]:
    """Return the expiries of a Tick, with slots from 0 on for the keys the line listens to."""
    expiries: list[Expiry] = []
    slot = 0
    for key in keys:
        cell = state.world.get(key)
        assert cell is not None
        reason = "age_unknown" if cell.tick < state.void_before else "expired"
        if listens(key):
            expiries.append(Expiry(key, reason, slot))
            slot += 1
        else:
            expiries.append(Expiry(key, reason, None))
    return expiries


def head_of(state: State) -> dict[str, Any]:
    """Return everything but the cells and the producers' table as CBOR values, for a Checkpoint
    (R25): these two come in slices (see table_slices)."""
    return {
        "cluster": state.cluster,
        "period_ns": state.period_ns,
        "members": [list(member) for member in state.members],
        "term": state.term,
        "index": state.index,
        "tick": state.tick,
        "line": list(state.line),
        "void_before": state.void_before,
        "latched": state.latched,
        "applied": state.applied,
        "bagged": state.bagged,
        "version": state.version,
        "membership": state.membership,
        "election_ms": list(state.election_ms),
        "digest": state.digest(),
    }


def state_of(head: dict[str, Any], producers: Table, cells: dict[str, Cell]) -> State:
    """Return the state that a Checkpoint holds; the caller compares `head["digest"]`. Releases
    before cluster version 4 wrote neither `membership` nor `election_ms`, 0.1 no `version`."""
    low_ms, high_ms = head.get("election_ms", _ELECTION_MS_BEFORE)
    return State(
        cluster=head["cluster"],
        period_ns=head["period_ns"],
        members=tuple(Member(*member) for member in head["members"]),
        term=head["term"],
        index=head["index"],
        tick=head["tick"],
        line=LineId(*head["line"]),
        void_before=head["void_before"],
        world=World.of(cells),
        producers=producers,
        latched=head["latched"],
        applied=head["applied"],
        bagged=head["bagged"],
        version=head.get("version", 1),
        membership=head.get("membership", head["index"]),
        election_ms=(low_ms, high_ms),
    )
