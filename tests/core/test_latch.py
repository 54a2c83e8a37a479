"""The latch (R4, R8, R10, R11, R33): what enters a Tick, in which order, what is refused."""

from typing import Any

from rmf import limits
from rmf.core.entry import TickBooks
from rmf.core.events import Left, Offered
from rmf.core.latch import IngestQueue
from rmf.core.packet import Row
from tests.core.kit import Playbook
from tests.core.surroundings import BOOT_NS, Producer, frame_of, row_of


def offered(producer: str, *rows: Row, connection: int = 1) -> Offered:
    return Offered(connection, producer, 1, frame_of(list(rows)), list(rows), 0, {}, 0)


def books(play: Playbook) -> TickBooks:
    """The newest Tick."""
    return play.ticks[-1][1]


def taken(play: Playbook) -> list[tuple[str, int, int]]:
    """Frames of the newest Tick: producer, first seq, packets."""
    return [(frame.producer, frame.first_seq, frame.packets) for frame in books(play).frames]


# --- The queue and its turns --------------------------------------------------------------------


def test_producers_take_turns_a_frame_each() -> None:
    """R4: round robin."""
    queue = IngestQueue(100)
    for name, seq in [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("c", 1), ("c", 2)]:
        queue.push(offered(name, row_of(seq)))
    order = [queue.pop() for _ in range(6)]
    found = [(x.producer, x.rows[0][1]) for x in order if isinstance(x, Offered)]
    assert found == [("a", 1), ("b", 1), ("c", 1), ("a", 2), ("c", 2), ("a", 3)]
    assert queue.peek() is None


def test_what_a_tick_had_no_room_for_is_next() -> None:
    queue = IngestQueue(100)
    queue.push(offered("a", row_of(1)))
    queue.push(offered("b", row_of(2)))
    queue.push_back(offered("b", row_of(1)))
    order = [queue.pop() for _ in range(3)]
    found = [(x.producer, x.rows[0][1]) for x in order if isinstance(x, Offered)]
    assert found == [("b", 1), ("a", 1), ("b", 2)]


def test_who_is_set_aside_goes_last_even_if_nothing_of_it_waits() -> None:
    queue = IngestQueue(100)
    for name in ("a", "b", "c"):
        queue.push(offered(name, row_of(1)))
    queue.push_back(offered("a", row_of(0)))
    queue.set_aside("a")
    queue.set_aside("d")
    order = [queue.pop() for _ in range(4)]
    found = [(x.producer, x.rows[0][1]) for x in order if isinstance(x, Offered)]
    assert found == [("b", 1), ("c", 1), ("a", 0), ("a", 1)]
    assert queue.aside == {"a", "d"}
    assert queue.peek() is None


def test_the_queue_counts_packets_and_bytes() -> None:
    queue = IngestQueue(3)
    one = offered("a", row_of(1), row_of(2))
    queue.push(one)
    assert (queue.packets, queue.bytes, queue.full) == (2, len(one.frame), False)
    queue.push(offered("b", row_of(1)))
    assert queue.full
    queue.push(Left(1, "a", 1))
    assert len(queue.drain()) == 3
    assert (queue.packets, queue.bytes, bool(queue)) == (0, 0, False)


def test_the_queue_is_full_by_bytes_too() -> None:
    queue = IngestQueue(limits.INGEST_DEPTH_PACKETS)
    big = Offered(1, "a", 1, bytes(limits.FRAME_BYTES_MAX), [row_of(1)], 0, {}, 0)
    for _ in range(limits.INGEST_QUEUE_BYTES_MAX // limits.FRAME_BYTES_MAX):
        assert not queue.full
        queue.push(big)
    assert queue.full


# --- The Tick and its bounds ------------------------------------------------------------------


def test_a_tick_takes_what_waits_in_turns() -> None:
    play = Playbook()
    a, b = play.join("a"), play.join("b")
    with play.together():
        a.send(1)
        a.send(2)
        b.send(1)
    assert taken(play) == [("a", 1, 1), ("b", 1, 1), ("a", 2, 1)]
    assert [frame.first_slot for frame in books(play).frames] == [0, 1, 2]


def test_a_tick_holds_so_many_packets_and_the_rest_makes_the_next() -> None:
    """R43: TICK_PACKETS_MAX."""
    play = Playbook()
    a = play.join("a")
    with play.together():
        a.send(*range(1, 3001), topic="keep/x", payload=0)
        a.send(*range(3001, 5001), topic="keep/x", payload=0)
    assert [x.frames[0].packets for _, x in play.ticks if x.frames] == [3000, 2000]
    assert set(a.told.values()) == {"applied"}


def test_a_tick_holds_so_many_bytes_and_the_rest_makes_the_next() -> None:
    """R43: TICK_BYTES_MAX; a frame as big as a Tick is taken alone."""
    play = Playbook()
    a, b = play.join("a"), play.join("b")
    with play.together():
        b.send(1)
        a.send(1, payload=bytes(limits.PAYLOAD_BYTES_MAX - 10))
        b.send(2, payload=bytes(limits.PAYLOAD_BYTES_MAX // 2))
    found = [[frame.producer for frame in x.frames] for _, x in play.ticks if x.frames]
    assert found == [["b", "a"], ["b"]]


# --- Seqs (R33) ---------------------------------------------------------------------------------


def test_a_seq_that_comes_too_early_is_refused_and_the_expected_one_named() -> None:
    play = Playbook()
    a = play.join("a")
    a.send(1, 2)
    a.send(4)
    assert a.refusals == [(4, "seq_gap", 3)]
    assert a.told == {1: "applied", 2: "applied"}


def test_after_a_refusal_everything_is_refused_until_that_seq_comes_again() -> None:
    """R33: also what follows the refused frame without a hole, in the same Tick."""
    play = Playbook()
    a = play.join("a")
    with play.together():
        a.send(3, 4)
        a.send(5)
        a.send(1, 2)
        a.send(6)
    a.send(3)
    assert a.refusals == [(3, "seq_gap", 1), (5, "seq_gap", 1), (6, "seq_gap", 3)]
    assert a.told == {1: "applied", 2: "applied", 3: "applied"}


def test_a_resend_is_answered_from_the_table_and_never_applied_again() -> None:
    play = Playbook()
    a = play.join("a")
    a.send(1, 2, topic="count/x")
    first = dict(a.outcomes)
    a.send(1, 2, topic="count/x")
    assert a.duplicates == [1, 2]
    assert a.outcomes == first
    assert play.world == {"count/x": 2}


def test_a_resend_that_goes_on_is_answered_in_part_and_latched_in_part() -> None:
    play = Playbook()
    a = play.join("a")
    a.send(1, 2, topic="count/x")
    a.send(2, 3, 4, topic="count/x")
    assert a.duplicates == [2]
    assert taken(play) == [("a", 3, 2)]
    assert books(play).frames[0].skip == 1
    assert play.world == {"count/x": 4}


def test_verdicts_of_a_resend_stay_with_their_packets() -> None:
    play = Playbook()
    a = play.join("a")
    a.send(1)
    a.send_rows([row_of(1), row_of(2), row_of(3, ttl_ms=0), row_of(4)])
    assert a.told == {1: "applied", 2: "applied", 3: "label_invalid", 4: "applied"}


def test_a_resend_within_one_tick_is_a_duplicate_too() -> None:
    play = Playbook()
    a = play.join("a")
    with play.together():
        a.send(1, topic="count/x")
        a.send(1, 2, topic="count/x")
    assert a.duplicates == [1]
    assert play.world == {"count/x": 2}


def test_a_bagged_packet_is_not_tried_again() -> None:
    play = Playbook()
    a = play.join("a")
    a.send(1, topic="poison")
    a.send(1, topic="cell/well")
    assert a.told == {1: "handler_error"}
    assert a.duplicates == [1]
    assert len(play.letters) == 1


def test_a_frame_with_holes_is_taken_up_to_the_first() -> None:
    play = Playbook()
    a = play.join("a")
    a.send_rows([row_of(seq) for seq in (1, 2, 4, 5)])
    assert a.told == {1: "applied", 2: "applied"}
    assert a.refusals == [(4, "seq_gap", 3)]


# --- ttl and fence (R8, R10, R11) ---------------------------------------------------------------


def latched_after(ms: float, *rows: Row, **more: Any) -> Producer:
    """Packets that wait in the queue so long before they are latched."""
    play = Playbook(**more)
    probe, blocker = play.join("probe"), play.join("blocker")
    play.runner.held = True
    blocker.send(1)
    probe.send_rows(list(rows))
    play.boot_ns += int(ms * limits.MS)
    play.run()
    play.run()
    return probe


def test_a_packet_lives_while_less_than_its_shelf_life_has_passed() -> None:
    """R8: the last tick at which it is fresh, and the first at which it is not."""
    assert latched_after(4.99, row_of(1, ttl_ms=5)).told == {1: "applied"}
    assert latched_after(5.0, row_of(1, ttl_ms=5)).told == {1: "expired"}


def test_a_shelf_life_that_is_no_whole_number_of_periods_is_rounded_up() -> None:
    """R8: ceil(10 ms / 3 ms) = 4 ticks."""
    period_ns = 3 * limits.MS
    assert latched_after(11.9, row_of(1, ttl_ms=10), period_ns=period_ns).told == {1: "applied"}
    assert latched_after(12.1, row_of(1, ttl_ms=10), period_ns=period_ns).told == {1: "expired"}


def test_a_lone_packet_is_fresh_however_far_the_counter_leads() -> None:
    """R6, R8: a counter that leads the clock is no age."""
    play = Playbook(period_ns=10 * limits.MS)
    probe = play.join("probe")
    for seq in range(1, 20):
        probe.send(seq, ttl_ms=20)
        play.advance(0 if seq <= 3 else 10)
    assert set(probe.told.values()) == {"applied"}
    assert play.tick == 1 + (play.boot_ns - BOOT_NS) // play.period_ns + 5


def test_each_packet_of_a_frame_has_its_own_shelf_life() -> None:
    told = latched_after(6, row_of(1, ttl_ms=5), row_of(2, ttl_ms=7), row_of(3, ttl_ms=6)).told
    assert told == {1: "expired", 2: "applied", 3: "expired"}


def test_a_packet_whose_fence_is_another_term_is_bagged() -> None:
    """R10."""
    play = Playbook()
    probe = play.join("probe")
    probe.send(1, fence=1)
    probe.send(2, fence=2)
    probe.send(3, fence=0)
    assert probe.told == {1: "applied", 2: "stale_term", 3: "stale_term"}
    assert "its fence is term 2; term 1 reigns" in play.letters[0].error.message


def test_a_fence_of_the_last_reign_is_stale_in_this_one() -> None:
    play = Playbook().restart()
    probe = play.join("probe")
    probe.send(1, fence=1)
    assert probe.told == {1: "stale_term"}


def test_the_order_is_verdict_then_ttl_then_fence_then_handler() -> None:
    """R11."""
    invalid = row_of(1, topic="poison", ttl_ms=5, fence=9)
    invalid[2] = -1
    rows = [
        invalid,
        row_of(2, topic="poison", ttl_ms=5, fence=9),
        row_of(3, topic="poison", ttl_ms=50, fence=9),
        row_of(4, topic="poison", ttl_ms=50, fence=1),
    ]
    told = latched_after(6, *rows).told
    assert told == {1: "label_invalid", 2: "expired", 3: "stale_term", 4: "handler_error"}


def test_a_resend_of_a_committed_packet_is_answered_and_never_bagged() -> None:
    """R11: epoch and seq go before ttl and fence."""
    play = Playbook()
    probe = play.join("probe")
    probe.send(1)
    play.advance(1000)
    probe.send(1, ttl_ms=1, fence=9)
    assert probe.told == {1: "applied"}
    assert probe.duplicates == [1]


def test_a_gap_is_refused_before_any_verdict() -> None:
    play = Playbook()
    probe = play.join("probe")
    probe.send(2, ttl_ms=0)
    assert probe.refusals == [(2, "seq_gap", 1)]
    assert play.letters == []
