"""The latch: what of the ingest queue enters a Tick, in which order, and what is refused (R4, R11).

The queue holds what producers offered and was not latched yet; producers take turns, a frame each.
`latch` decides and answers; it changes nothing but the queue. Order: expiries first, by (expires,
key); then per packet epoch, seq, preset verdict, ttl, fence; the handler's part comes later. How a
HELLO is latched stands in hellos.
"""

from collections import Counter, OrderedDict, deque
from operator import itemgetter

import attrs

from rmf import limits
from rmf.core import messages as m
from rmf.core.bag import Evidence
from rmf.core.clock import TickClock, ticks_of_ms
from rmf.core.effects import FrameGroup
from rmf.core.entry import Expiry, Frame, Leaver, Register
from rmf.core.events import Joined, Left, Offered
from rmf.core.outcome import Outcome
from rmf.core.packet import FENCE, TTL_MS, PresetVerdict, Row
from rmf.core.producer_table import ProducerRow
from rmf.core.state import State

__all__ = [
    "IngestQueue",
    "Latched",
    "Waiting",
    "cut_back",
    "latch_packets",
    "producer_of",
]

_ttl_of = itemgetter(TTL_MS)


class IngestQueue:
    """What waits for a Tick. Bounded by its owner, who stops taking in when it is `full`.

    `aside` are producers whose last packet cost the line its time: until one of their frames has
    run well they get Ticks of their own, so that no packet waits for them twice (R20). `speakers`
    are the names with a living connection, one that says HELLO included; `parted` those that lost
    their last one since the last look (see forgetting)."""

    def __init__(self, depth_packets_max: int) -> None:
        self.depth_packets_max = depth_packets_max
        self.packets = 0
        self.bytes = 0
        self.joined: deque[Joined] = deque()
        self.aside: set[str] = set()
        self.speakers: Counter[str] = Counter()
        self.parted: list[str] = []
        self._turns: OrderedDict[str, deque[Offered | Left]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._turns or self.joined)

    @property
    def full(self) -> bool:
        """Whether nothing more should be taken in for now (R16: the edge waits)."""
        return self.packets >= self.depth_packets_max or self.bytes >= limits.INGEST_QUEUE_BYTES_MAX

    def push(self, item: Offered | Left) -> None:
        """Append to its producer's turn."""
        self._turns.setdefault(item.producer, deque()).append(item)
        self._count(item, 1)

    def push_back(self, item: Offered) -> None:
        """Put back what a Tick had no room for: it is the first of its producer, who is next."""
        self._turns.setdefault(item.producer, deque()).appendleft(item)
        self._turns.move_to_end(item.producer, last=False)
        self._count(item, 1)

    def set_aside(self, producer: str) -> None:
        """Let all others have their turn before this producer, and share no Tick with it."""
        self.aside.add(producer)
        if producer in self._turns:
            self._turns.move_to_end(producer)

    def peek(self) -> Offered | Left | None:
        """Return the next item: the first of the producer whose turn it is."""
        for items in self._turns.values():
            return items[0]
        return None

    def pop(self) -> Offered | Left:
        """Take the next item; its producer goes to the end of the queue."""
        name, items = next(iter(self._turns.items()))
        item = items.popleft()
        if items:
            self._turns.move_to_end(name)
        else:
            del self._turns[name]
        self._count(item, -1)
        return item

    def drain(self) -> list[Offered | Left]:
        """Take everything that producers offered."""
        return [self.pop() for _ in range(sum(map(len, self._turns.values())))]

    def _count(self, item: Offered | Left, sign: int) -> None:
        if isinstance(item, Offered):
            self.packets += sign * len(item.rows)
            self.bytes += sign * len(item.frame)
            assert self.packets >= 0 <= self.bytes


@attrs.define
class Waiting:
    """Answers that wait for the commit of whatever they depend on (R3), by connection: resends,
    answered from the table, and last words to connections whose epoch is void."""

    duplicates: list[tuple[int, list[m.Run]]] = attrs.Factory(list)
    farewells: list[tuple[int, m.Error]] = attrs.Factory(list)


@attrs.define
class Latched:
    """What a Tick takes in. `frames`, `groups`, `offers` run in parallel, one per run of packets.
    `verdicts` are bags decided here; `refusals` go out at once. `needs_proof`: what it tells
    a client is so only if no other node reigns by now. `lead_ticks` is how far this Tick leads the
    clock: a lead is no age (R6, R8)."""

    tick: int
    wall_ns: int = 0
    registers: list[Register] = attrs.Factory(list)
    leavers: list[Leaver] = attrs.Factory(list)
    expiries: list[Expiry] = attrs.Factory(list)
    frames: list[Frame] = attrs.Factory(list)
    groups: list[FrameGroup] = attrs.Factory(list)
    offers: list[Offered] = attrs.Factory(list)
    verdicts: list[Outcome] = attrs.Factory(list)
    joined: list[Joined] = attrs.Factory(list)
    waiting: Waiting = attrs.Factory(Waiting)
    needs_proof: bool = False
    refusals: list[tuple[int, m.Refuse]] = attrs.Factory(list)
    lead_ticks: int = 0
    slots: int = 0
    bytes: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write: then there is no Tick. An Entry that says nothing is
        something, too: its commit proves that no other node reigned when it was written."""
        written = self.registers or self.leavers or self.expiries or self.frames
        return not (written or self.needs_proof)


def latch_packets(
    queue: IngestQueue, state: State, latched: Latched, clock: TickClock, term: int
) -> None:
    """Latch what producers offered, up to the bounds of a Tick."""
    held_up = {register.producer for register in latched.registers}
    held_up |= {leaver.producer for leaver in latched.leavers}
    ahead: dict[str, int] = {}
    alone = False
    while (item := queue.peek()) is not None:
        if latched.groups and (alone or item.producer in queue.aside):
            return
        if isinstance(item, Left):
            if item.producer in ahead or item.producer in held_up:
                return  # it leaves in the Tick after its last packets
            queue.pop()
            row = state.producers.get(item.producer)
            if row is not None and row.epoch == item.epoch and row.ephemeral:
                latched.leavers.append(Leaver(item.producer, "bye"))
                held_up.add(item.producer)
            continue
        if latched.groups and (
            latched.slots + len(item.rows) > limits.TICK_PACKETS_GOAL
            or len(latched.frames) >= limits.TICK_FRAMES_GOAL
            or latched.bytes + len(item.frame) > limits.TICK_BYTES_MAX
        ):
            return
        if item.producer in held_up:
            return  # its epoch changes in this Tick: it is judged by the next
        row = state.producers.get(item.producer)
        if row is None or row.epoch != item.epoch:
            queue.pop()
            latched.waiting.farewells.append((item.connection, _void_epoch(item, row)))
            continue
        last_seq = ahead.get(item.producer, row.last_seq)
        first = item.rows[0][1]
        if first <= last_seq and item.producer in ahead:
            return  # a duplicate of this very Tick: answered by the next
        queue.pop()
        if _latch_offer(item, last_seq, state, latched, clock, term):
            ahead[item.producer] = first + len(item.rows) - 1
            alone = item.producer in queue.aside


def _void_epoch(item: Offered, row: ProducerRow | None) -> m.Error:
    if row is None:
        text = f"producer {item.producer!r} left the table; connect again"
        return m.Error("forgotten", text, None)
    text = f"producer {item.producer!r} is in epoch {row.epoch}; this connection's is {item.epoch}"
    return m.Error("superseded", text, None)


def _latch_offer(
    item: Offered, last_seq: int, state: State, latched: Latched, clock: TickClock, term: int
) -> bool:
    """Answer what was latched before, refuse what comes too early, latch the rest (R33). Return
    whether there was a rest."""
    first = item.rows[0][1]
    end = first + len(item.rows)
    if item.after_hole or first > last_seq + 1:
        text = f"seq {first} came where {last_seq + 1} was expected; resend from there"
        refusal = m.Refuse(first, "seq_gap", last_seq + 1, None, text)
        latched.refusals.append((item.connection, refusal))
        return False
    if first <= last_seq:
        known = min(last_seq, end - 1)
        runs = state.producers.outcomes(item.producer, first, known)
        latched.waiting.duplicates.append((item.connection, runs))
        item = _without(item, known + 1 - first)
        if not item.rows:
            return False
    _take(item, state, latched, clock, term)
    return True


def _without(item: Offered, packets: int) -> Offered:
    """Return an offer without its first packets."""
    verdicts = {i - packets: v for i, v in item.verdicts.items() if i >= packets}
    return attrs.evolve(item, rows=item.rows[packets:], skip=item.skip + packets, verdicts=verdicts)


def _take(item: Offered, state: State, latched: Latched, clock: TickClock, term: int) -> None:
    intake_tick = min(clock.tick_at(item.arrived_ns) + latched.lead_ticks, latched.tick)
    verdicts = _verdicts(item, latched.tick - intake_tick, state.period_ns, term)
    slot = latched.slots
    row = state.producers.get(item.producer)
    assert row is not None
    latched.frames.append(
        Frame(
            item.producer,
            item.epoch,
            row.identity,
            intake_tick,
            slot,
            item.rows[0][1],
            item.skip,
            len(item.rows),
            item.frame,
            item.rows,
        )
    )
    latched.groups.append(
        FrameGroup(
            *(item.producer, item.epoch, slot, intake_tick, item.rows, verdicts),
            *(item.frame, item.skip),
        )
    )
    latched.offers.append(item)
    latched.verdicts += [
        Outcome(slot + i, verdict.reason, "latch", Evidence("", verdict.text, ""))
        for i, verdict in sorted(verdicts.items())
    ]
    latched.slots += len(item.rows)
    latched.bytes += len(item.frame)


def _verdicts(item: Offered, age_ticks: int, period_ns: int, term: int) -> dict[int, PresetVerdict]:
    """Return the verdicts of a run by position: preset ones, else ttl, else fence (R8, R10)."""
    rows = item.rows
    if (
        not item.verdicts
        and set(map(len, rows)) == {5}
        and age_ticks < ticks_of_ms(min(map(_ttl_of, rows)), period_ns)
    ):
        return {}
    verdicts = dict(item.verdicts)
    for i, row in enumerate(rows):
        if i not in verdicts:
            verdict = _stale(row, age_ticks, period_ns, term)
            if verdict is not None:
                verdicts[i] = verdict
    return verdicts


def _stale(row: Row, age_ticks: int, period_ns: int, term: int) -> PresetVerdict | None:
    shelf_ticks = ticks_of_ms(row[TTL_MS], period_ns)
    if age_ticks >= shelf_ticks:
        return PresetVerdict(
            "expired", f"latched {age_ticks} ticks after intake; its shelf life was {shelf_ticks}"
        )
    if len(row) > FENCE and row[FENCE] != term:
        return PresetVerdict("stale_term", f"its fence is term {row[FENCE]}; term {term} reigns")
    return None


def producer_of(latched: Latched, slot: int) -> str | None:
    """Return whose packet has this slot; None for the slot of an expired cell."""
    for group in reversed(latched.groups):
        if group.first_slot <= slot:
            return group.producer
    return None


def cut_back(latched: Latched, done: int) -> list[Offered]:
    """Drop the slots from `done` on; return what must wait for the next Tick, in order."""
    rest: list[Offered] = []
    while latched.frames and latched.frames[-1].first_slot >= done:
        latched.frames.pop()
        latched.groups.pop()
        rest.insert(0, latched.offers.pop())
    if latched.frames:
        frame = latched.frames[-1]
        keep = done - frame.first_slot
        if keep < frame.packets:
            rest.insert(0, _without(latched.offers[-1], keep))
            latched.frames[-1] = frame._replace(packets=keep, rows=frame.rows[:keep])
    latched.verdicts = [bag for bag in latched.verdicts if bag.slot < done]
    latched.expiries = [x for x in latched.expiries if x.slot is None or x.slot < done]
    latched.slots = done
    return rest
