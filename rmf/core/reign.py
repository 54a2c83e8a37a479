"""One reign: Ticks are latched, executed, written as Entries and proposed (R1, R3, R4).

A Reign holds everything that is speculative: the state that runs ahead of what is committed, the
batch on the bench, the Entries in flight. When a reign ends the object is dropped, and with it all
that was uncommitted. It decides what a Tick is; who may reign is the Arbiter's business.
"""

from collections import deque
from collections.abc import Callable, Collection

import attrs

from rmf import limits
from rmf.core import events as ev
from rmf.core.clock import TickClock
from rmf.core.effects import Answer, Batch, Effect, Execute, ExpiredCell, Note
from rmf.core.entry import (
    Accession,
    Books,
    Entry,
    Genesis,
    LineId,
    TickBooks,
    decode_entry,
    encode_entry,
)
from rmf.core.entry_kinds import READS_VERSION, SPANS_VERSION
from rmf.core.expiring import Expiring
from rmf.core.forgetting import Forgetting
from rmf.core.hellos import latch_hellos
from rmf.core.in_flight import InFlight, Room
from rmf.core.latch import (
    IngestQueue,
    Latched,
    Waiting,
    cut_back,
    latch_packets,
    producer_of,
)
from rmf.core.owed import owed_index
from rmf.core.raft.raft_log import RaftLog
from rmf.core.raft.raft_node import Raft
from rmf.core.shelf import Shelf
from rmf.core.state import State, apply

__all__ = ["Reign"]

_NO_CHANGES = b"\x80"  # an empty array
_NO_CLOCK = TickClock(1, 0, 0)


class Reign:
    """The speculative side of a reigning Arbiter.

    `state` is what the next Tick builds on, `line` the one that its Accession names; `clock` is set
    before the first Entry is written.
    Invariant: state.index is that of the log's last Entry, and in flight are the last of these.
    """

    def __init__(
        self,
        state: State,
        shelf: Shelf,
        raft: Raft,
        queue: IngestQueue,
        line: LineId,
        listens: Callable[[str], bool],
    ) -> None:
        self.state = state
        self.clock = _NO_CLOCK
        self.line = line
        self._shelf = shelf
        assert raft.leadership is not None
        self._raft = raft
        self._leadership = raft.leadership
        self._queue = queue
        self._expiring = Expiring(shelf, listens)
        self._looks_on = False
        self._executing: Latched | None = None
        self._batch = raft.term << 32  # so that no late answer of another reign fits
        self._base = state.index  # of the Entry that the batch on the bench was latched upon
        self._in_flight: deque[InFlight] = deque()
        self._unbound: list[Waiting] = []
        self._forgetting = Forgetting(queue)

    @property
    def idle(self) -> bool:
        """Whether nothing is on the bench and nothing in flight."""
        return not self._in_flight and self._executing is None

    @property
    def in_flight(self) -> Collection[InFlight]:
        """The Entries that are proposed and not yet committed, oldest first."""
        return self._in_flight

    @property
    def may_write(self) -> bool:
        """Whether an Entry may be begun: no Tick is on the bench, which has its number already, and
        less is in flight than may be (R4)."""
        return self._executing is None and len(self._in_flight) < limits.ENTRIES_IN_FLIGHT

    @property
    def has_more(self) -> bool:
        """Whether the last turn had to end before it had looked at all that may be due, and wrote
        no Entry after which the next turn would come by itself."""
        return self._looks_on

    @property
    def _may_end_cells(self) -> bool:
        """Whether a Tick may be begun for cells that end: where many end at once, a packet is not
        to wait for as many Entries as may be in flight. A Tick that is begun all the same ends what
        is due: nothing in it sees what is stale (R9)."""
        return len(self._in_flight) < limits.EXPIRIES_IN_FLIGHT

    def next_due_ns(self) -> int | None:
        """Return the boot time at which a Tick may be due, or None while one is under way."""
        if not self.may_write or not self._raft.may_propose:
            return None
        due = self._forgetting.due_ns
        tick = self._expiring.next_tick() if self._may_end_cells else None
        if tick is not None:
            due = min(due, self.clock.ns_of(tick))
        if self._queue:
            due = 0
        return max(due, self.clock.may_latch_at(self.state.tick))

    # --- The first Entries of a reign ---------------------------------------------------------

    def inherit(self, log: RaftLog) -> bool:
        """Build on the Entries of earlier reigns, committed or not (R3): they are in this log, so
        they will be committed with the first Entry of this one. Takes a slice of them; returns
        whether these were all. Raises ValueError, as `apply`."""
        room = Room()
        while room.left and self.state.index < log.last.index:
            found, before = log.entry(self.state.index + 1), self.state
            entry = decode_entry(found.body)
            self.state, applied = apply(before, entry, found.term, found.index, self._shelf)
            room.take(found.body, entry)
            self._in_flight.append(
                InFlight(found.index, entry, before, self.state, applied, None, Waiting())
            )
        return self.state.index == log.last.index

    def accede(
        self, node: str, genesis: Genesis | None, now: ev.Now, *, bridged: bool
    ) -> list[Effect]:
        """Write the Accession, and before it the Genesis of a new cluster.

        Unless `bridged`, it is unknown how long the cells lay: their ages are unknown (R6).
        """
        effects: list[Effect] = []
        self._leadership.owed = self.owed
        self._forgetting.begin_reign(now.boot_ns)
        if genesis is not None:
            effects += self._propose(1, genesis, now, None)
        unknown = not bridged and self._shelf.may_hold_any
        tick = max(self.state.tick + 1, self.clock.tick_at(now.boot_ns))
        effects += self._propose(tick, Accession(node, self.line, unknown), now, None)
        fields = {"term": self._raft.term, "tick": tick, "age_unknown": unknown}
        return [*effects, Note("info", "reign", fields)]

    def owed(self, now_ns: int) -> int:
        """Return the index of the Entry without which what is shown is old by now (R36)."""
        flights, latched = self._in_flight, self._executing
        due = self._expiring.next_tick()
        return owed_index(self.clock, due, self.state, latched, flights, now_ns)

    def decree(self, books: Books, now: ev.Now) -> tuple[int, list[Effect]]:
        """Write an Entry that is no Tick (members, version); return its index. Only while it
        `may_write`."""
        assert self.may_write
        tick = max(self.state.tick + 1, self.clock.tick_at(now.boot_ns))
        effects = self._propose(tick, books, now, None)
        return self.state.index, effects

    def _propose(
        self, tick: int, books: Books, now: ev.Now, latched: Latched | None
    ) -> list[Effect]:
        """Apply an Entry to the speculative state, state its digest, hand it to consensus."""
        before = self.state
        wall_ns = latched.wall_ns if latched is not None else now.wall_ns
        entry = Entry(tick, wall_ns, b"", books)
        index = before.index + 1
        self.state, applied = apply(before, entry, self._raft.term, index, self._shelf)
        entry = Entry(tick, wall_ns, self.state.digest(), books)
        body = encode_entry(entry)
        assert len(body) <= limits.ENTRY_BYTES_MAX
        effects = self._raft.propose(body, now.boot_ns)
        assert self._raft.log.last.index == index, "the log's last Entry is not the reign's"
        waiting = latched.waiting if latched is not None else Waiting()
        self._in_flight.append(
            InFlight(index, entry, before, self.state, applied, latched, waiting)
        )
        return effects

    # --- A Tick ------------------------------------------------------------------------------

    def turn(self, now: ev.Now) -> list[Effect]:
        """Latch a Tick if there is anything to latch and room for it; else return nothing."""
        self._looks_on = False
        due_ns = self.next_due_ns()
        if due_ns is None or due_ns > now.boot_ns:
            return []
        tick = self.clock.next_tick(self.state.tick, now.boot_ns)
        if tick is None:
            return []
        latched = self._latch(tick, now)
        effects: list[Effect] = [Answer(to, [refusal]) for to, refusal in latched.refusals]
        if latched.empty:
            self._hold_back(latched.waiting)
            next_due = self._expiring.next_tick()
            self._looks_on = self._may_end_cells and next_due is not None and next_due <= tick
            return effects
        assert self._executing is None
        assert self.state.index == self._raft.log.last.index
        self._executing, self._base = latched, self.state.index
        self._leadership.handover.busy = True
        self._batch += 1
        if latched.slots:
            return [*effects, Execute(self._batch_of(latched))]
        return effects + self.executed(ev.Executed(self._batch, 0, [], _NO_CHANGES, []), now)

    def _latch(self, tick: int, now: ev.Now) -> Latched:
        latched = Latched(tick, now.wall_ns)
        latched.lead_ticks = tick - self.clock.tick_at(now.boot_ns)
        packets_may_come = True
        if self._queue or self._may_end_cells:
            latched.expiries, packets_may_come = self._expiring.latch(
                tick, self.state, packets_wait=self._queue.packets > 0
            )
        latched.slots = sum(1 for expiry in latched.expiries if expiry.slot is not None)
        latch_hellos(self._queue, self.state, latched, self._forgetting, now.boot_ns)
        if packets_may_come:
            latch_packets(self._queue, self.state, latched, self.clock, self._raft.term)
        return latched

    def _batch_of(self, latched: Latched) -> Batch:
        expired = []
        for expiry in latched.expiries:
            cell = self.state.world.get(expiry.key)
            if expiry.slot is not None and cell is not None:
                expired.append(ExpiredCell(expiry.slot, expiry.key, cell, expiry.reason))
        return Batch(
            number=self._batch,
            term=self._raft.term,
            tick=latched.tick,
            world=self.state.world,
            gone=frozenset(expiry.key for expiry in latched.expiries),
            expired=expired,
            groups=latched.groups,
            slots=latched.slots,
            period_ns=self.state.period_ns,
            wall_ns=latched.wall_ns,
            void_before=self.state.void_before,
            verbatim=self.state.version >= SPANS_VERSION,
        )

    def _hold_back(self, waiting: Waiting) -> None:
        """Keep the answers of a latch without a Tick until what they depend on is committed."""
        if not self._in_flight:
            self._unbound.append(waiting)
            return
        newest = self._in_flight[-1].waiting
        newest.duplicates += waiting.duplicates
        newest.farewells += waiting.farewells

    def take_unbound(self) -> list[Waiting]:
        """Take off the answers that depend on nothing uncommitted."""
        unbound, self._unbound = self._unbound, []
        return unbound

    def executed(self, event: ev.Executed, now: ev.Now) -> list[Effect]:
        """Write the Entry of the batch on the bench; what was not done waits for the next Tick."""
        latched = self._executing
        if latched is None or event.batch != self._batch:
            return []  # a batch of a reign that is over
        assert self.state.index == self._base, "an Entry was written while a Tick was on the bench"
        assert 0 <= event.done <= latched.slots
        self._executing = None
        self._leadership.handover.rest(now.boot_ns)
        last = producer_of(latched, event.done - 1)
        self._expiring.ran(latched.expiries, event.done, latched.slots, cut_short=event.cut_short)
        if event.done < latched.slots:
            for item in reversed(cut_back(latched, event.done)):
                self._queue.push_back(item)
        if last is not None:
            if event.cut_short:
                self._queue.set_aside(last)
            elif event.done == latched.slots:
                self._queue.aside.discard(last)
        outcomes = event.outcomes
        if self.state.version < READS_VERSION:  # a member may not know them yet (R30)
            outcomes = [attrs.evolve(x, error=x.error._replace(reads=())) for x in outcomes]
        bags = latched.verdicts + outcomes
        bags.sort(key=lambda bag: bag.slot)
        books = TickBooks(
            line_version=self.line.version,
            registers=latched.registers,
            leavers=latched.leavers,
            expiries=latched.expiries,
            frames=latched.frames,
            listed=event.listed,
            encoded=event.encoded,
            bags=bags,
            verbatim=event.verbatim,
        )
        return self._propose(latched.tick, books, now, latched)

    # --- Commit ------------------------------------------------------------------------------

    def take_next(self) -> InFlight:
        """Take off the oldest Entry in flight: it is committed."""
        return self._in_flight.popleft()

    def reads(self) -> list[object]:
        """Return the reads that wait for a majority of this reign."""
        return self._leadership.reads.drop_all()

    def unfinished(self) -> tuple[list[ev.Offered], list[ev.Joined], list[Waiting]]:
        """Return what was latched and is not committed, and the answers that waited for a commit:
        no client must wait for them. If the disk has a packet all the same, its resend is a
        duplicate (R33)."""
        found = [*(entry.latched for entry in self._in_flight), self._executing]
        latches = [latched for latched in found if latched is not None]
        waiting = [*self._unbound, *(entry.waiting for entry in self._in_flight)]
        if self._executing is not None:
            waiting.append(self._executing.waiting)
        offers = [offer for latched in latches for offer in latched.offers]
        return offers, [joined for latched in latches for joined in latched.joined], waiting

    def undo(self, committed: State) -> None:
        """Take back what this reign did to shelf and key index, which all versions share: keys it
        touched in vain are armed again as the committed cells say, or forgotten (R3)."""
        touched: set[str] = set()
        for flight in self._in_flight:
            touched |= flight.applied.changed | flight.applied.removed.keys()
            if isinstance(flight.entry.books, TickBooks):
                touched |= {expiry.key for expiry in flight.entry.books.expiries}
        if self._executing is not None:
            touched |= {expiry.key for expiry in self._executing.expiries}
        index = committed.world.index
        for key in touched:
            if committed.world.get(key) is None:
                index.discard(key)
        self._expiring.arm_again(touched.union(self._expiring.waiting), committed)
