"""Exactly once (R2, R32 to R34) against a sequential model, whatever producers and disks do.

A machine sends, resends, skips, reconnects, speaks as a zombie, sends what is faulty, lets time go
by, holds the disk and the bench back, cuts batches short, crashes. The model is one dict a
producer: seq to what was sent. After each step and at the end:

- each seq has at most one outcome, all answers about it agree, and what was acked is in the ledger,
  once, as it was sent;
- seqs in the ledger have no holes; packets = applied + bagged;
- the count of the line is the number of packets that were applied: none twice, none lost;
- the ledger, replayed, gives the same state and digest.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from rmf.core.entry import TickBooks
from rmf.core.state import head_of
from tests.core.kit import Playbook
from tests.core.surroundings import Producer, replay, row_of

NAMES = ["ada", "bob"]
name = st.sampled_from(NAMES)
topic = st.sampled_from(["count/x", "count/x", "poison", "nowhere", "cell/loud/a", "cell/a"])
LONG_MS = 3_600_000

_FAULTS: list[dict[int, Any]] = [{0: "a/#"}, {2: -1}, {3: 0}, {4: "text"}, {4: b"\xff"}]


class Producers(RuleBasedStateMachine):
    """What the outside does, and what it knows."""

    def __init__(self) -> None:
        super().__init__()
        self.play = Playbook()
        self.sent: dict[str, dict[int, list[Any]]] = {who: {} for who in NAMES}
        self.people: dict[str, list[Producer]] = {who: [] for who in NAMES}
        self.acked: dict[str, dict[int, str]] = {who: {} for who in NAMES}

    @initialize()
    def begin(self) -> None:
        for who in NAMES:
            self.people[who].append(self.play.join(who))

    # --- Producers --------------------------------------------------------------------------------

    def newest(self, who: str) -> Producer | None:
        """Its newest connection, if that one was welcomed and lives."""
        newest = self.people[who][-1]
        return None if newest.closed or newest.epoch is None else newest

    def next_seq(self, who: str) -> int:
        """The seq that a client sends next: after what was latched, else what it was told."""
        row = self.play.core.committed.producers.get(who)
        known = row.last_seq if row is not None else 0
        return max([known, *self.sent[who]]) + 1

    def packet(self, who: str, seq: int, row: list[Any]) -> list[Any]:
        """A resend is the same packet again."""
        return self.sent[who].setdefault(seq, row)

    @rule(who=name, topic=topic, count=st.integers(1, 3), ttl_ms=st.sampled_from([1, 5, LONG_MS]))
    def send(self, who: str, topic: str, count: int, ttl_ms: int) -> None:
        first, newest = self.next_seq(who), self.newest(who)
        if newest is not None:
            seqs = range(first, first + count)
            rows = [row_of(seq, topic=topic, payload=[], ttl_ms=ttl_ms) for seq in seqs]
            newest.send_rows([self.packet(who, row[1], row) for row in rows])

    @rule(who=name, fault=st.sampled_from(_FAULTS), fence=st.booleans())
    def send_what_is_faulty(self, who: str, fault: dict[int, Any], fence: bool) -> None:
        seq, newest = self.next_seq(who), self.newest(who)
        if newest is not None:
            row = row_of(seq, topic="cell/a", ttl_ms=LONG_MS, fence=77 if fence else None)
            for at, value in fault.items():
                row[at] = value
            newest.send_rows([self.packet(who, seq, row)])

    @rule(who=name, back=st.integers(1, 6), count=st.integers(1, 8))
    def resend(self, who: str, back: int, count: int) -> None:
        """What was sent, in part or all, and perhaps a new packet with it."""
        newest, end = self.newest(who), self.next_seq(who)
        if newest is not None:
            first = max(1, end - back)
            seqs = range(first, min(first + count, end + 1))
            rows = [row_of(seq, topic="count/x", payload=[], ttl_ms=LONG_MS) for seq in seqs]
            newest.send_rows([self.packet(who, row[1], row) for row in rows])

    @rule(who=name, ahead=st.integers(1, 3), count=st.integers(1, 2))
    def send_with_a_gap(self, who: str, ahead: int, count: int) -> None:
        newest, first = self.newest(who), self.next_seq(who) + ahead
        if newest is not None:
            newest.send(*range(first, first + count), topic="never", ttl_ms=LONG_MS)

    @rule(who=name, at=st.integers(0, 5))
    def speak_as_a_zombie(self, who: str, at: int) -> None:
        """An older connection goes on as if nothing had been (its close has not reached it)."""
        zombies = [x for x in self.people[who][:-1] if x.epoch is not None]
        if zombies:
            zombies[at % len(zombies)].send(self.next_seq(who), topic="never", ttl_ms=LONG_MS)

    @rule(who=name)
    def connect_again(self, who: str) -> None:
        self.people[who].append(self.play.join(who))

    # --- The rest of the world ----------------------------------------------------------------

    @rule(ms=st.sampled_from([0.1, 1, 6, 100]))
    def wait(self, ms: float) -> None:
        self.play.advance(ms)

    @rule()
    def hold_the_disk(self) -> None:
        self.play.disk.hold()

    @rule(writes=st.integers(1, 2))
    def write_some(self, writes: int) -> None:
        self.play.sync(min(writes, len(self.play.disk.waiting)))

    @rule()
    def let_the_disk_go(self) -> None:
        self.play.sync()
        self.play.disk.held = False

    @rule()
    def hold_the_bench(self) -> None:
        self.play.runner.held = True

    @precondition(lambda self: self.play.batch is not None)
    @rule(part=st.floats(0, 1))
    def run_some(self, part: float) -> None:
        assert self.play.batch is not None
        self.play.run(max(1, round(part * self.play.batch.slots)))

    @rule()
    def let_the_bench_go(self) -> None:
        self.play.runner.held = False
        if self.play.batch is not None:
            self.play.run()

    @rule(bridged=st.booleans(), after_ms=st.sampled_from([0, 3, 1000]))
    def crash(self, bridged: bool, after_ms: int) -> None:
        """What the producers were told stays true; what they sent they may send again."""
        self.note_acks()
        self.play = self.play.restart(bridged=bridged, after_ms=after_ms)
        for who in NAMES:
            self.people[who] = [self.play.join(who)]
            last_seq = self.people[who][0].last_seq
            assert last_seq is not None
            assert last_seq >= max(self.acked[who], default=0)

    # --- What must hold -----------------------------------------------------------------------

    def note_acks(self) -> None:
        for who, people in self.people.items():
            for producer in people:
                for seq, what in producer.told.items():
                    if what != "unknown":
                        assert self.acked[who].setdefault(seq, what) == what

    @invariant()
    def what_is_acked_is_in_the_ledger_once_and_as_it_was_sent(self) -> None:
        self.note_acks()
        found: dict[str, dict[int, str]] = {who: {} for who in NAMES}
        for _, books in self.play.ticks:
            self.read(books, found)
        for who in NAMES:
            assert list(found[who]) == list(range(1, len(found[who]) + 1))
            assert self.acked[who].items() <= found[who].items()

    def read(self, books: TickBooks, found: dict[str, dict[int, str]]) -> None:
        reasons = {bag.slot: bag.reason for bag in books.bags}
        for frame in books.frames:
            for i, row in enumerate(frame.rows):
                assert row == self.sent[frame.producer][row[1]]
                assert row[1] == frame.first_seq + i
                assert row[1] not in found[frame.producer], "latched twice"
                found[frame.producer][row[1]] = reasons.get(frame.first_slot + i, "applied")

    @invariant()
    def every_packet_is_applied_or_bagged(self) -> None:
        state = self.play.core.committed
        assert state.latched == state.applied + state.bagged
        packets = self.play.status["packets"]
        assert packets["latched"] == packets["applied"] + packets["bagged"]

    def teardown(self) -> None:
        self.let_the_bench_go()
        self.let_the_disk_go()
        self.play.advance(100)
        self.what_is_acked_is_in_the_ledger_once_and_as_it_was_sent()
        found: dict[str, dict[int, str]] = {who: {} for who in NAMES}
        counted = 0
        for _, books in self.play.ticks:
            self.read(books, found)
        for who, outcomes in found.items():
            counted += sum(
                what == "applied" and self.sent[who][seq][0] == "count/x"
                for seq, what in outcomes.items()
            )
        state = self.play.core.committed
        assert state.latched == sum(map(len, found.values()))
        assert self.play.world.get("count/x", 0) == counted
        again = replay(self.play.disk).state
        assert head_of(again) == head_of(state)
        assert again.producers.rows == state.producers.rows
        assert again.world.cells == state.world.cells


TestProducers = Producers.TestCase
TestProducers.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
