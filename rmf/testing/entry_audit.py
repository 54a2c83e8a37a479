"""What an Entry may hold, judged as it is committed: each rule of faults.md §2 that one history
can break by itself.

Exactly once (each seq of a producer once, in order, and as it was sent), conservation, the tick
law, verdicts, expiries, letters, the digest. It applies each Entry to a state of its own, and
counts the counters of the line by itself, if it has any, so that an effect that came twice shows.
"""

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Any, Protocol

import cbor2

from rmf import limits
from rmf.core.entry import Accession, Entry, Frame, Leaver, TickBooks, decode_entry
from rmf.core.packet import letter_id
from rmf.core.shelf import Shelf
from rmf.core.state import State, apply, genesis_state
from rmf.testing.books import Books, KnownEntry
from rmf.testing.outages import Outages
from rmf.testing.violation import Violation
from rmf.testing.workload import SIMULATED, Workload, datum_of

__all__ = ["EntryAudit", "Outcome"]

# How much longer than its shelf life a cell may be shown: clocks drift, news of a tick travel, and
# with a reign change some of it is lost; an outage is not (R6).
_AGE_SLACK_NS = 8 * limits.SECOND

# How much sooner than its time it may go, beside what clocks drift (see `_check_youth`): the
# counter leads the clock by up to 50 ms, and a clock that follows is behind by the way that news
# takes, which the next reign's may not be.
_EARLY_SLACK_NS = 400 * limits.MS

# (term, tick, slot, reason or None) of a packet.
Outcome = tuple[int, int, int, str | None]


class Sender(Protocol):
    """A producer, as the audit knows it: what it sent under each seq, and how many there are of
    each datum."""

    @property
    def sent(self) -> Mapping[int, list[list[Any]]]:
        """Every packet that was ever sent under a seq."""
        ...

    @property
    def made(self) -> Mapping[str, int]:
        """How many there are of each datum."""
        ...


class EntryAudit:
    """`outcomes` are those of each (producer, seq), `older` those of a name before it was
    forgotten, `forgotten` how often it was so by no wish of its own; `counters` what each counter
    must hold. `state` is that of all that is committed. `late_ns`: how much later than it is due a
    cell may go, where more of them are due at once than a Tick holds; of time in which a node
    reigns, for after an outage all that was due in it is due at once. `drift_ppm`: by how much any
    node's clock may gain on true time, or lose."""

    def __init__(
        self,
        books: Books,
        cluster: bytes,
        producers: Mapping[str, Sender],
        workload: Workload = SIMULATED,
        late_ns: int = 0,
        drift_ppm: int = 0,
    ) -> None:
        self.state: State = genesis_state(cluster)
        self.outcomes: dict[tuple[str, int], Outcome] = {}
        self.older: dict[tuple[str, int], Outcome] = {}
        self.forgotten: dict[str, int] = {}
        self.counters: dict[str, int] = {}
        self.reasons: dict[str, int] = {}
        self.packets = 0
        self._books = books
        self._producers = producers
        self._late_ns, self._drift_ppm = late_ns, drift_ppm
        self._counters = frozenset(workload.counters)
        self._expected = workload.expected
        self._shelf = Shelf()
        self._rows: dict[str, tuple[int, int]] = {}  # epoch and last seq of each producer
        self._latched: dict[tuple[str, str], int] = {}  # how often a datum was, by producer
        self._epochs: dict[str, int] = {}  # the highest that each name ever had, forgotten or not
        self._term = 0
        self._bagged = 0
        self._expiries: list[tuple[int, str]] = []
        self._deadlines: list[tuple[int, str, tuple[int, int, int]]] = []
        self._now_ns = self._lost_ns = 0  # when the newest was latched, by the true clock
        self._outages_ns, self._outages = Outages(), Outages()  # by the true clock, and in ticks
        self._born: dict[str, tuple[int, int]] = {}  # when a cell was latched; for how long, in ns

    def take(self, known: KnownEntry) -> None:
        """Judge the next Entry of history."""
        entry = decode_entry(known.body)
        before = self.state
        if entry.tick <= before.tick or known.term < self._term:
            self._fail(
                "tick law",
                known,
                f"tick {entry.tick} of term {known.term} after {before.tick} of {self._term}",
            )
        self._term = known.term
        self._shelf = Shelf()  # nothing here is ever due by it
        self.state, _ = apply(before, entry, known.term, known.index, self._shelf)
        if self.state.digest() != entry.digest:
            self._fail("world equality", known, "it states another digest")
        self._books.digests.append(entry.digest)
        self._take_time(known, entry, before)
        if isinstance(entry.books, TickBooks):
            self._take_tick(known, entry, entry.books, before)
        state = self.state
        if (state.latched, state.bagged) != (self.packets, self._bagged) or (
            state.latched != state.applied + state.bagged
        ):
            self._fail("conservation", known, "latched = applied + bagged does not hold")

    @staticmethod
    def _fail(rule: str, known: KnownEntry, text: str) -> None:
        raise Violation(rule, f"Entry {known.index} (term {known.term}): {text}")

    def _take_tick(self, known: KnownEntry, entry: Entry, books: TickBooks, before: State) -> None:
        for leaver in books.leavers:
            self._forget(leaver)
        for name, epoch, _, _ in books.registers:
            row, highest = self._rows.get(name), self._epochs.get(name, 0)
            if epoch <= highest or (row is not None and epoch != row[0] + 1):
                self._fail("epochs", known, f"{name} got epoch {epoch}, after {highest}")
            self._rows[name] = (epoch, row[1] if row is not None else 0)
            self._epochs[name] = epoch
        reasons = {bag.slot: bag.reason for bag in books.bags}
        slot = sum(1 for expiry in books.expiries if expiry.slot is not None)
        for frame in books.frames:
            if frame.first_slot != slot:
                self._fail("tick law", known, f"slot {frame.first_slot} where {slot} was due")
            self._take_frame(known, entry, frame, reasons)
            slot += frame.packets
        for bag in books.bags:
            name = letter_id(known.term, entry.tick, bag.slot)
            if self._books.letters.setdefault(name, known.index) != known.index:
                self._fail("letters once", known, f"letter {name} twice")
            self.reasons[bag.reason] = self.reasons.get(bag.reason, 0) + 1
        self._check_expiries(known, entry, books, before)
        self._check_ages(known, entry, books)
        for topic in {
            row[0] for frame in books.frames for row in frame.rows if type(row[0]) is str
        }:
            if topic in self.counters:
                cell = self.state.world.get(topic)
                if cell is None or cbor2.loads(cell.value) != self.counters[topic]:
                    self._fail("at most one effect", known, f"{topic} is not what was counted")

    def _take_time(self, known: KnownEntry, entry: Entry, before: State) -> None:
        """Where no node of a majority knew how much time went by, what was lost may come back with
        a node that knows it (R6).

        True time is that of the latch: from its Tick on a cell ages (R8), while the Entry is
        written only when the line is done, which may be later than the cell's whole life."""
        now_ns = self._books.latched_ns.pop((known.term, entry.tick), known.written_ns)
        if isinstance(entry.books, Accession):
            self._outages_ns.note(self._now_ns, now_ns)
            self._outages.note(before.tick, entry.tick)
        if isinstance(entry.books, Accession) and entry.books.age_unknown:
            told_ns = (entry.tick - before.tick) * before.period_ns
            self._lost_ns += max(0, now_ns - self._now_ns - told_ns)
        self._now_ns = now_ns

    def _forget(self, leaver: Leaver) -> None:
        """A name leaves; what it was sent before may still be on its way to it."""
        name = leaver.producer
        _, last_seq = self._rows.pop(name, (0, 0))
        for seq in range(1, last_seq + 1):
            self.older[name, seq] = self.outcomes.pop((name, seq))
        if leaver.reason != "bye":
            self.forgotten[name] = self.forgotten.get(name, 0) + 1

    def _take_frame(
        self, known: KnownEntry, entry: Entry, frame: Frame, reasons: dict[int, str]
    ) -> None:
        epoch, last_seq = self._rows.get(frame.producer, (0, 0))
        if frame.epoch != epoch or frame.first_seq != last_seq + 1:
            self._fail(
                "exactly once",
                known,
                f"{frame.producer} {frame.first_seq} in epoch"
                f" {frame.epoch}, after {last_seq} in {epoch}",
            )
        self._rows[frame.producer] = (epoch, last_seq + frame.packets)
        self.packets += frame.packets
        person = self._producers[frame.producer]
        sent = person.sent
        for i, row in enumerate(frame.rows):
            slot, seq = frame.first_slot + i, frame.first_seq + i
            if row[1] != seq or not any(_same(row, mine) for mine in sent.get(seq, ())):
                self._fail("provenance", known, f"{frame.producer} never sent {row} as {seq}")
            reason = reasons.get(slot)
            self._bagged += reason is not None
            if not self._expected(row, known.term, reason):
                self._fail("same verdict", known, f"{row} came to {reason}")
            if (frame.producer, seq) in self.outcomes:
                self._fail("exactly once", known, f"{frame.producer} {seq} twice")
            datum = datum_of(row)
            times = self._latched[frame.producer, datum] = (
                self._latched.get((frame.producer, datum), 0) + 1
            )
            if times > person.made.get(datum, 0):
                self._fail("exactly once", known, f"{frame.producer} {row} again, as {seq}")
            self.outcomes[frame.producer, seq] = (known.term, entry.tick, slot, reason)
            if reason is None and row[0] in self._counters:
                self.counters[row[0]] = self.counters.get(row[0], 0) + 1

    def _check_expiries(
        self, known: KnownEntry, entry: Entry, books: TickBooks, before: State
    ) -> None:
        for key, reason, _ in books.expiries:
            cell = before.world.get(key)
            voided = cell is not None and cell.tick < before.void_before
            if cell is None or not cell.expires or not (voided or cell.expires <= entry.tick):
                self._fail("shelf life", known, f"{key} goes before its time")
            elif reason != ("age_unknown" if voided else "expired"):
                self._fail("shelf life", known, f"{key} goes as {reason}")
            self._check_youth(known, key, voided=voided)
        heap, get = self._expiries, self.state.world.get
        for _, key, value, _ in books.changes:
            cell = get(key) if value is not None else None
            if cell is not None and cell.expires:
                heappush(heap, (cell.expires, key))
        late = self._late_ns // self.state.period_ns
        while heap and self._late_by(heap[0][0], entry.tick, self._outages, late):
            expires, key = heappop(heap)
            cell = get(key)
            if cell is not None and 0 < cell.expires <= expires:
                self._fail("shelf life", known, f"a cell of {cell.expires} outlives it")

    @staticmethod
    def _late_by(due: int, now: int, outages: Outages, late: int) -> bool:
        """Whether it was due so much ago, not counting outages."""
        return due <= now and outages.reigned(due, now) >= late

    def _check_youth(self, known: KnownEntry, key: str, *, voided: bool) -> None:
        """Hold true time against what the ticks say: no cell goes that is fresh (R6).

        The factory's time is the leader's clock, and no node in it has a better one: a clock that
        gains d on true time shows a life of L after L / (1 + d), which is early by less than
        L * d."""
        born_ns, life_ns = self._born.pop(key, (0, 0))
        early_ns = born_ns + life_ns - self._now_ns
        slack_ns = _EARLY_SLACK_NS + life_ns * self._drift_ppm // 1_000_000
        if not voided and early_ns > slack_ns + self._lost_ns:
            text = f"{key} goes {early_ns / limits.SECOND:.2f} s before its time"
            self._fail("factory's time", known, text)

    def _check_ages(self, known: KnownEntry, entry: Entry, books: TickBooks) -> None:
        """Hold true time against what the ticks say: no cell comes back fresh that is old."""
        state, heap, now_ns = self.state, self._deadlines, self._now_ns
        for _, key, value, _ in books.changes:
            cell = state.world.get(key) if value is not None else None
            if cell is not None and cell.expires and cell.tick == entry.tick:
                left_ns = (cell.expires - entry.tick) * state.period_ns
                stamp = (cell.term, cell.tick, cell.slot)
                due_ns = now_ns + left_ns + _AGE_SLACK_NS
                heappush(heap, (due_ns, key, stamp))
                self._born[key] = (now_ns, left_ns)
        while heap and self._late_by(heap[0][0], now_ns, self._outages_ns, self._late_ns):
            _, key, stamp = heappop(heap)
            cell = state.world.get(key)
            if cell is not None and cell[1:4] == stamp and cell.tick >= state.void_before:
                self._fail("no frozen display", known, f"{key} is shown long after its time")


def _same(row: list[Any], sent: list[Any]) -> bool:
    """Whether a row is the packet that was sent: what is left of its ttl apart."""
    return row[:3] == sent[:3] and row[4:] == sent[4:] and row[3] <= sent[3]
