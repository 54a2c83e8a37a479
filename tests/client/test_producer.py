"""Exactly once, from the producer's side, against a small model of a node."""

from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.client.producer import ProducerLog, clip_run
from rmf.core import messages as m
from rmf.core.codec import decode
from rmf.core.packet import PAYLOAD, SEQ, TTL_MS
from rmf.errors import ProtocolFault, Refused
from tests.scripted_node import facts

MS = limits.MS


def welcome(epoch: int, last_seq: int, **announced: int) -> m.Welcome:
    return m.Welcome({**facts(), "epoch": epoch, "last_seq": last_seq, "limits": announced})


def rows(*payloads: bytes, ttl_ms: int = 1000) -> list[list[Any]]:
    return [["t", 0, 1, ttl_ms, payload] for payload in payloads]


def packets_of(frame: bytes) -> list[list[Any]]:
    message = decode(frame[4:])
    assert isinstance(message, m.Send)
    return message.packets


def applied(seq: int, packets: int = 1, *, duplicate: bool = False) -> m.Run:
    return m.Run(seq, packets, m.APPLIED, duplicate, 1, 5, seq, None, None)


def opened(last_seq: int = 0, **announced: int) -> ProducerLog:
    log = ProducerLog()
    log.hello_said()
    log.welcomed(welcome(1, last_seq, **announced))
    return log


# --- The model ----------------------------------------------------------------------------


class Model:
    """What a node does with the frames of one producer (protocol/README.md section 8)."""

    def __init__(self) -> None:
        self.latched: list[bytes] = []  # payloads, by seq - 1
        self.epoch = 0
        self.inbox: deque[bytes] = deque()
        self.outbox: deque[m.Message] = deque()
        self.busy = False

    def hello(self) -> m.Welcome:
        self.epoch += 1
        self.inbox.clear()
        self.outbox.clear()
        return welcome(self.epoch, len(self.latched), frame_packets=3, frames_in_flight=4)

    def take(self) -> None:
        """Judge the oldest frame."""
        if not self.inbox:
            return
        packets = packets_of(self.inbox.popleft())
        assert 1 <= len(packets) <= 3
        first, last = packets[0][SEQ], packets[-1][SEQ]
        assert [packet[SEQ] for packet in packets] == list(range(first, last + 1))
        expected = len(self.latched) + 1
        if self.busy or first > expected:
            code = "busy" if self.busy else "seq_gap"
            self.outbox.append(m.Refuse(first, code, expected, None, code))
            return
        for packet in packets:
            if packet[SEQ] < expected:
                assert self.latched[packet[SEQ] - 1] == packet[PAYLOAD]
                self.outbox.append(m.Ack([applied(packet[SEQ], duplicate=True)]))
            else:
                self.latched.append(packet[PAYLOAD])
        if last >= expected:
            fresh = max(first, expected)
            self.outbox.append(m.Ack([applied(fresh, last - fresh + 1)]))


def all_frames(log: ProducerLog, now_ns: int) -> list[bytes]:
    """All frames that may be sent now."""
    found: list[bytes] = []
    while more := log.frames(now_ns):
        found += more
    return found


class World:
    """A producer, a node, and a clock."""

    def __init__(self) -> None:
        self.log = ProducerLog()
        self.node = Model()
        self.now_ns = 0
        self.made: list[bytes] = []
        self.outcomes: dict[int, m.Run] = {}
        self.connect()

    def connect(self) -> None:
        self.log.lost()
        self.log.hello_said()
        self.log.welcomed(self.node.hello())

    def add(self, packets: int) -> None:
        payloads = [b"%d" % (len(self.made) + i) for i in range(packets)]
        first = self.log.add(rows(*payloads), self.now_ns)
        assert first == len(self.made) + 1
        self.made += payloads

    def write(self) -> None:
        self.node.inbox.extend(self.log.frames(self.now_ns))
        assert len(self.node.inbox) <= 4

    def read(self) -> None:
        if not self.node.outbox:
            return
        message = self.node.outbox.popleft()
        if isinstance(message, m.Refuse):
            self.log.refused(message, self.now_ns, 0.5)
            return
        assert isinstance(message, m.Ack)
        for run in self.log.acked(message):
            for seq in range(run.seq, run.seq + run.packets):
                assert seq not in self.outcomes, "a second outcome"
                self.outcomes[seq] = clip_run(run, seq, seq)

    def act(self, name: str) -> None:
        if name == "busy":
            self.node.busy = not self.node.busy
        elif name == "wait":
            self.now_ns += 700 * MS
        elif name in {"take", "read", "write", "connect"}:
            getattr(self.node if name == "take" else self, name)()
        else:
            self.add(int(name))

    def settle(self) -> None:
        """Let everything come to its end; a producer that waits for nothing hangs here."""
        self.node.busy = False
        for _ in range(20 * len(self.made) + 20):
            for name in ("write", "take", "read", "read", "wait"):
                self.act(name)


def test_what_is_acked_before_it_is_sent_again_takes_no_room() -> None:
    """Else a producer waits for ever to be allowed to add to packets that it does not have."""
    world = World()
    for name in ("7", "write", "take", "connect", "busy", "write", "take"):
        world.act(name)
    world.settle()
    assert world.log.unacked == 0
    assert world.log.has_room


ACTIONS = st.sampled_from(["1", "2", "7", "write", "write", "take", "take", "read", "connect"])


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(ACTIONS, st.sampled_from(["busy", "wait", "read"])), max_size=60))
def test_each_packet_has_exactly_one_outcome_whatever_happens(actions: list[str]) -> None:
    world = World()
    for name in actions:
        world.act(name)
    world.settle()
    assert world.node.latched == world.made
    assert sorted(world.outcomes) == list(range(1, len(world.made) + 1))
    assert all(run.slot == seq for seq, run in world.outcomes.items())
    assert world.log.unacked == 0
    assert world.log.has_room


# --- By example ---------------------------------------------------------------------------


def test_seqs_go_on_from_the_last_seq_of_welcome() -> None:
    log = opened(last_seq=41)
    assert log.add(rows(b"a", b"b"), 0) == 42
    assert log.last_seq == 43
    [frame] = log.frames(0)
    assert [packet[SEQ] for packet in packets_of(frame)] == [42, 43]


def test_a_frame_keeps_the_announced_bounds() -> None:
    log = opened(frame_packets=2, frames_in_flight=3)
    log.add(rows(*[b"x"] * 9), 0)
    assert [len(packets_of(frame)) for frame in log.frames(0)] == [2, 2, 2]
    assert log.frames(0) == []
    log.acked(m.Ack([applied(1, 2)]))
    assert len(log.frames(0)) == 1


def test_frames_of_big_payloads_stay_within_their_bytes() -> None:
    log = opened()
    log.add(rows(*[b"x" * limits.PAYLOAD_BYTES_MAX] * 3), 0)
    frames = log.frames(0)
    assert len(frames) == 3
    assert all(len(frame) - 4 <= limits.FRAME_BYTES_MAX for frame in frames)


def test_a_resend_has_only_the_ttl_that_is_left() -> None:
    log = opened()
    log.add(rows(b"a"), 0)
    [first] = log.frames(0)
    assert packets_of(first)[0][TTL_MS] == 1000
    log.lost()
    log.hello_said()
    log.welcomed(welcome(2, 0))
    [second] = log.frames(400 * MS)
    assert packets_of(second)[0][TTL_MS] == 600
    assert packets_of(second)[0][PAYLOAD] == b"a"


def test_a_packet_that_expired_here_is_sent_for_the_node_to_judge() -> None:
    log = opened()
    log.add(rows(b"a"), 0)
    [frame] = log.frames(5000 * MS)
    assert packets_of(frame)[0][TTL_MS] == 1


def test_a_refusal_stops_sending_until_its_back_off_is_over() -> None:
    log = opened(frame_packets=1)
    log.add(rows(b"a", b"b"), 0)
    log.frames(0)
    log.refused(m.Refuse(1, "busy", 1, None, "full"), 0, 0.0)
    log.refused(m.Refuse(2, "seq_gap", 1, None, "first"), 0, 0.0)
    assert log.due_ns() == 1000 * MS
    assert log.frames(999 * MS) == []
    assert [packets_of(frame)[0][SEQ] for frame in log.frames(1000 * MS)] == [1, 2]


def test_nothing_is_resent_while_answers_to_old_frames_are_on_their_way() -> None:
    log = opened(frame_packets=1)
    log.add(rows(b"a", b"b"), 0)
    log.frames(0)
    log.refused(m.Refuse(1, "seq_gap", 1, None, "odd"), 0, 0.0)
    assert log.frames(1) == []
    log.refused(m.Refuse(2, "seq_gap", 1, None, "odd"), 1, 0.0)
    assert len(log.frames(1)) == 2


def test_a_new_connection_has_its_whole_window() -> None:
    log = opened(frame_packets=1, frames_in_flight=2)
    log.add(rows(b"a", b"b", b"c"), 0)
    assert len(log.frames(0)) == 2
    log.lost()
    log.hello_said()
    log.welcomed(welcome(2, 0, frame_packets=1, frames_in_flight=2))
    assert [packets_of(frame)[0][SEQ] for frame in log.frames(0)] == [1, 2]


def test_jitter_makes_the_back_off_longer_never_shorter() -> None:
    log = opened()
    log.add(rows(b"a"), 0)
    log.frames(0)
    log.refused(m.Refuse(1, "busy", 1, None, "full"), 0, 1.0)
    assert log.due_ns() == 2000 * MS


def test_refusals_in_a_row_are_answered_ever_more_slowly_until_an_outcome_comes() -> None:
    log = opened()
    log.add(rows(b"a", b"b"), 0)
    now_ns, waits_ms = 0, []
    for _ in range(12):
        assert log.frames(now_ns)
        log.refused(m.Refuse(1, "no_reign", 1, None, "nobody"), now_ns, 0.0)
        due_ns = log.due_ns()
        assert due_ns is not None
        waits_ms.append((due_ns - now_ns) // MS)
        now_ns = due_ns
    assert waits_ms[:4] == [10, 20, 40, 80]
    assert waits_ms[-1] == limits.RECONNECT_S_MAX * 1000
    log.frames(now_ns)
    log.acked(m.Ack([applied(1)]))
    log.refused(m.Refuse(2, "no_reign", 2, None, "nobody"), now_ns, 0.0)
    assert log.due_ns() == now_ns + 10 * MS


def test_an_ack_between_the_refusals_of_a_burst_is_no_progress() -> None:
    """U2: a negative shift; and a back-off that began anew with each burst."""
    log = opened(frame_packets=1)
    log.add(rows(b"a", b"b", b"c"), 0)
    now_ns, waits_ms = 0, []
    for _ in range(3):
        first, *others = [packets_of(frame)[0][SEQ] for frame in log.frames(now_ns)]
        log.refused(m.Refuse(first, "busy", first, None, "full"), now_ns, 0.0)
        log.acked(m.Ack([applied(1)]))
        for seq in others:
            if seq > 1:
                log.refused(m.Refuse(seq, "busy", first, None, "full"), now_ns, 0.0)
        due_ns = log.due_ns()
        assert due_ns is not None
        waits_ms.append((due_ns - now_ns) // MS)
        now_ns = due_ns
    assert waits_ms == [1000, 2000, 2000]


def test_what_is_sent_again_begins_with_little_and_grows_with_the_outcomes() -> None:
    """M14: else a factory that has just lost its leader gets all windows of all clients at once."""
    first = limits.RESEND_PACKETS_FIRST
    log = opened(frame_packets=100)
    payloads = [b"x"] * 3000
    log.add(rows(*payloads, ttl_ms=10**9), 0)
    assert sum(map(len, map(packets_of, all_frames(log, 0)))) == 3000
    log.lost()
    log.hello_said()
    log.welcomed(welcome(2, 0, frame_packets=100))
    sizes = []
    for _ in range(4):
        sent = [packet[SEQ] for frame in all_frames(log, 0) for packet in packets_of(frame)]
        sizes.append(len(sent))
        log.acked(m.Ack([applied(sent[0], len(sent))]))
    assert sizes == [first, 2 * first, 4 * first, 3000 - 7 * first]


def test_after_a_refusal_little_is_sent_again_too() -> None:
    log = opened()
    log.add(rows(*[b"x"] * 3000, ttl_ms=10**9), 0)
    log.frames(0)
    log.refused(m.Refuse(1, "no_reign", 1, None, "nobody"), 0, 0.0)
    due_ns = log.due_ns()
    assert due_ns is not None
    assert [len(packets_of(x)) for x in all_frames(log, due_ns)] == [limits.RESEND_PACKETS_FIRST]


def test_what_was_never_sent_is_not_held_back() -> None:
    log = opened()
    log.add(rows(*[b"x"] * 3000), 0)
    log.lost()
    log.hello_said()
    log.welcomed(welcome(2, 0))
    assert [len(packets_of(frame)) for frame in log.frames(0)] == [3000]


@pytest.mark.parametrize(
    "code", ["not_leader", "no_reign", "strike", "stopping", "seq_gap", "busy"]
)
def test_a_refused_packet_keeps_its_seq_and_its_bytes(code: str) -> None:
    """W1: it may be on its way to the disk all the same."""
    log = opened()
    log.add(rows(b"a", b"b", ttl_ms=10), 0)
    before = packets_of(log.frames(0)[0])
    log.refused(m.Refuse(1, code, 1, None, code), 0, 0.0)
    log.add(rows(b"c"), 10**12)
    [frame] = log.frames(10**12)
    kept = [[*row[:TTL_MS], *row[TTL_MS + 1 :]] for row in packets_of(frame)]
    assert kept[:2] == [[*row[:TTL_MS], *row[TTL_MS + 1 :]] for row in before]
    assert (kept[2][SEQ], packets_of(frame)[0][TTL_MS]) == (3, 1)


def test_a_node_that_leaves_frames_behind_a_refusal_unanswered_is_noticed() -> None:
    log = opened(frame_packets=1)
    log.add(rows(b"a", b"b"), 0)
    log.frames(0)
    log.refused(m.Refuse(1, "seq_gap", 1, None, "odd"), 0, 0.0)
    due_ns = log.due_ns()
    assert due_ns is not None
    assert not log.stuck(due_ns - 1)
    assert log.stuck(due_ns)


def test_a_refusal_that_may_not_be_retried_is_final() -> None:
    log = opened()
    with pytest.raises(Refused, match="producer_name"):
        log.refused(m.Refuse(0, "producer_name", 0, None, "no"), 0, 0.0)


def test_after_goaway_nothing_is_sent() -> None:
    log = opened()
    log.add(rows(b"a"), 0)
    log.lost()
    assert log.frames(0) == []


def test_a_full_frame_waiting_means_no_room() -> None:
    log = opened(frame_packets=2, frames_in_flight=1)
    log.add(rows(b"a", b"b"), 0)
    assert not log.has_room
    log.frames(0)
    assert log.has_room


def test_an_ack_of_what_was_never_sent_counts_for_nothing() -> None:
    log = opened()
    log.add(rows(b"a"), 0)
    assert log.acked(m.Ack([applied(1, 2**60)])) == []
    log.frames(0)
    assert log.acked(m.Ack([applied(1, 2**60)])) == [applied(1)]


def test_an_ack_is_cut_to_what_is_news() -> None:
    log = opened()
    log.add(rows(b"a", b"b", b"c", b"d"), 0)
    log.frames(0)
    log.acked(m.Ack([applied(2)]))
    assert log.acked(m.Ack([applied(1, 4)])) == [applied(1), applied(3, 2)]


def test_a_name_without_open_packets_takes_over_whatever_last_seq_there_is() -> None:
    log = opened(last_seq=5)
    log.lost()
    log.hello_said()
    log.welcomed(welcome(9, 100))
    assert log.last_seq == 100
    log.welcomed(welcome(1, 0))
    assert log.last_seq == 0


@pytest.mark.parametrize("last_seq", [1, 7])
def test_packets_of_a_stranger_under_our_name_end_the_producer(last_seq: int) -> None:
    log = sent_one(epoch=5)
    with pytest.raises(Refused, match="superseded"):
        log.welcomed(welcome(7, last_seq))


def test_a_hello_of_ours_that_was_never_answered_is_no_stranger() -> None:
    log = opened()
    log.add(rows(b"a"), 0)
    log.frames(0)
    log.lost()
    log.hello_said()
    log.hello_said()
    log.welcomed(welcome(3, 1))
    assert len(log.frames(0)) == 1


def test_more_than_was_ever_sent_is_a_strangers() -> None:
    log = opened()
    log.add(rows(b"a"), 0)
    log.hello_said()
    with pytest.raises(Refused, match="superseded"):
        log.welcomed(welcome(2, 1))


# --- What the factory has forgotten (R32) -------------------------------------------------------


def sent_one(epoch: int, *, acked: bool = False) -> ProducerLog:
    """A producer that sent its first packet and says HELLO again."""
    log = ProducerLog()
    log.hello_said()
    log.welcomed(welcome(epoch, 0))
    log.add(rows(b"a"), 0)
    log.frames(0)
    if acked:
        log.acked(m.Ack([applied(1)]))
    log.lost()
    log.hello_said()
    return log


def test_a_node_that_forgot_what_it_acked_ends_the_producer() -> None:
    log = opened()
    log.add(rows(b"a", b"b"), 0)
    log.frames(0)
    log.acked(m.Ack([applied(1)]))
    with pytest.raises(Refused, match="forgotten"):
        log.refused(m.Refuse(2, "seq_gap", 1, None, "odd"), 0, 0.0)
    log.hello_said()
    with pytest.raises(Refused, match="forgotten"):
        log.welcomed(welcome(2, 0))


def test_a_node_that_went_back_is_noticed_by_a_producer_at_rest() -> None:
    """P9: it would be acked one seq twice, for two data."""
    log = sent_one(epoch=5, acked=True)
    with pytest.raises(Refused, match="forgotten"):
        log.welcomed(welcome(9, 0))
    with pytest.raises(Refused, match="forgotten"):
        log.welcomed(welcome(5, 1))
    log.welcomed(welcome(6, 1))
    assert log.add(rows(b"b"), 0) == 2


@pytest.mark.parametrize("epoch", [1, 5, 90_000])
def test_a_first_window_without_acks_is_not_sent_to_a_name_that_starts_over(epoch: int) -> None:
    """H9: it was applied, and would be again. Epochs of releases that count from 1, too."""
    log = sent_one(epoch=5)
    with pytest.raises(Refused, match="forgotten"):
        log.welcomed(welcome(epoch, 0))
    assert log.frames(0) == []
    unknown = m.Run(1, 1, m.UNKNOWN, False, None, None, None, None, None)
    assert (log.forget(), log.unacked) == ([unknown], 0)


def test_only_what_was_sent_is_unknown() -> None:
    log = opened(frame_packets=2, frames_in_flight=2)
    log.add(rows(*b"abcdefg".splitlines() * 7), 0)
    log.frames(0)
    log.acked(m.Ack([applied(2)]))
    assert [(run.seq, run.packets) for run in log.forget()] == [(1, 1), (3, 2)]
    assert log.unacked == 3
    assert log.forget() == []


def test_who_has_sent_something_names_its_epoch_when_it_comes_back() -> None:
    log = opened()
    assert log.claim == 0
    log.add(rows(b"a"), 0)
    assert log.claim == 0
    log.frames(0)
    assert log.claim == 1
    log.acked(m.Ack([applied(1)]))
    assert log.claim == 1


def test_who_has_sent_nothing_takes_any_history() -> None:
    log = opened(last_seq=7)
    log.lost()
    log.hello_said()
    log.welcomed(welcome(1, 0))
    assert log.add(rows(b"a"), 0) == 1


def test_welcome_without_a_producers_facts_is_a_fault() -> None:
    with pytest.raises(ProtocolFault, match="epoch"):
        ProducerLog().welcomed(m.Welcome(facts()))


def test_a_clipped_run_keeps_slots_with_their_seqs() -> None:
    run = m.Run(10, 5, m.APPLIED, False, 1, 2, 30, None, None)
    assert clip_run(run, 12, 13) == m.Run(12, 2, m.APPLIED, False, 1, 2, 32, None, None)
    unknown = m.Run(10, 5, m.UNKNOWN, True, None, None, None, None, None)
    assert clip_run(unknown, 11, 11).slot is None
