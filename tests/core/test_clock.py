"""The factory's time (R6, R8): numbers of Ticks from boot time, and shelf lives in ticks."""

from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.clock import Pace, TickClock, ticks_of_ms

PERIODS = st.sampled_from(
    [limits.TICK_PERIOD_NS_MIN, limits.TICK_PERIOD_NS, 333_333, limits.TICK_PERIOD_NS_MAX]
)
CLOCKS = st.builds(TickClock, PERIODS, st.integers(0, 2**40), st.integers(0, 2**60))
ELAPSED_NS = st.integers(0, 10**12)
CLOCK = TickClock(100_000, 1000, 5_000_000)


def test_a_tick_is_the_number_of_periods_elapsed_on_the_clock_of_the_reign() -> None:
    assert CLOCK.tick_at(5_000_000) == 1000
    assert CLOCK.tick_at(5_099_999) == 1000
    assert CLOCK.tick_at(5_100_000) == 1001


def test_idle_costs_nothing_and_the_counter_moves_on_by_itself() -> None:
    """R6: max(previous + 1, periods elapsed)."""
    assert CLOCK.next_tick(1000, 5_000_000 + 3600 * limits.SECOND) == 1000 + 36_000_000


def test_a_tick_is_above_the_one_before_even_within_one_period() -> None:
    assert CLOCK.next_tick(1000, 5_000_001) == 1001
    assert CLOCK.next_tick(1001, 5_000_001) == 1002


def test_a_tick_leads_the_clock_by_fifty_milliseconds_at_most() -> None:
    """R6: then the Arbiter waits."""
    assert CLOCK.next_tick(1499, 5_000_000) == 1500
    assert CLOCK.next_tick(1500, 5_000_000) is None
    assert CLOCK.may_latch_at(1500) == 5_100_000
    assert CLOCK.next_tick(1500, 5_100_000) == 1501


def test_time_before_the_base_is_the_base() -> None:
    """A frame that was complete before the reign began was taken in with its first tick."""
    assert CLOCK.tick_at(0) == 1000


def test_with_a_long_period_the_counter_never_leads() -> None:
    slow = TickClock(limits.TICK_PERIOD_NS_MAX, 7, 0)
    assert slow.next_tick(7, limits.TICK_PERIOD_NS_MAX - 1) is None
    assert slow.next_tick(7, limits.TICK_PERIOD_NS_MAX) == 8


@settings(deadline=None, max_examples=150)
@given(CLOCKS, ELAPSED_NS)
def test_the_clock_first_shows_a_tick_when_it_says_so(clock: TickClock, elapsed_ns: int) -> None:
    tick = clock.tick_at(clock.base_ns + elapsed_ns)
    assert clock.tick_at(clock.ns_of(tick)) == tick
    assert clock.tick_at(clock.ns_of(tick + 1)) == tick + 1
    assert clock.tick_at(clock.ns_of(tick + 1) - 1) == tick


@settings(deadline=None, max_examples=150)
@given(CLOCKS, ELAPSED_NS, st.integers(-10_000, 10_000))
def test_a_number_is_given_exactly_from_the_time_that_is_said(
    clock: TickClock, elapsed_ns: int, ahead: int
) -> None:
    now_ns = clock.base_ns + elapsed_ns
    previous = clock.tick_at(now_ns) + ahead
    assume(previous >= clock.base_tick)
    tick = clock.next_tick(previous, now_ns)
    assert (tick is not None) == (now_ns >= clock.may_latch_at(previous))
    if tick is not None:
        assert tick > previous
        assert tick * clock.period_ns <= (
            clock.tick_at(now_ns) * clock.period_ns + limits.TICK_LEAD_NS_MAX
        )


@settings(deadline=None, max_examples=150)
@given(st.integers(1, limits.TTL_MS_MAX), PERIODS)
def test_a_shelf_life_is_rounded_up(ms: int, period_ns: int) -> None:
    """R8: ceil(ttl / period); nothing is stale before its time, nor a whole tick after."""
    exact = Fraction(ms * limits.MS, period_ns)
    assert exact <= ticks_of_ms(ms, period_ns) < exact + 1


@pytest.mark.parametrize(
    ("ms", "period_ns", "ticks"),
    [(1, 100_000, 10), (1, 1_000_000, 1), (1, 1_000_001, 1), (2, 1_999_999, 2), (1, 10**10, 1)],
)
def test_the_edges_of_the_rounding(ms: int, period_ns: int, ticks: int) -> None:
    assert ticks_of_ms(ms, period_ns) == ticks


# --- What a node that follows knows ---------------------------------------------------------------

PERIOD_NS = limits.TICK_PERIOD_NS
DAY_NS = 24 * 3600 * limits.SECOND


def following(ppm: int, seconds: int, *, queue_ns: int = 0, jitter_ns: int = 0) -> tuple[Pace, int]:
    """Return the pace of a node that heard a heartbeat each 50 ms, on a crystal so much faster than
    the reign's, and how far it is ahead in the end (ticks). From half time on each waits in a
    queue."""
    pace, ahead = Pace(None), 0
    for beat in range(1, seconds * 20):
        reign_ns = beat * limits.HEARTBEAT_NS
        way_ns = beat % 7 * jitter_ns + (queue_ns if beat > seconds * 10 else 0)
        here_ns = (reign_ns + way_ns) * (1_000_000 + ppm) // 1_000_000
        pace.follow(reign_ns // PERIOD_NS, here_ns, PERIOD_NS, bridged=True)
        ahead = pace.tick_at(here_ns) - (reign_ns + way_ns) // PERIOD_NS
    return pace, ahead


@pytest.mark.parametrize("ppm", [5_000, 10_000, -5_000])
def test_a_node_that_follows_keeps_the_time_of_the_reign(ppm: int) -> None:
    """H4: a fast crystal must not become the factory's time. Here: a minute of one which errs more
    than fifty times as much as any, so without the reign it would be off by 0.3 to 0.6 s."""
    _, ahead = following(ppm, 60)
    assert -10 <= ahead <= 10


def test_a_heartbeat_that_was_long_on_its_way_sets_no_clock_back() -> None:
    _, ahead = following(100, 60, jitter_ns=3 * limits.MS)
    assert -20 <= ahead <= 1


def test_a_queue_on_the_way_makes_no_old_message_look_new() -> None:
    """Two seconds of bulk in front of each heartbeat, for half a minute: the clock goes on."""
    pace, ahead = following(100, 60, queue_ns=2 * limits.SECOND)
    assert -5 <= ahead <= 100
    last_ns = 60 * limits.SECOND - limits.HEARTBEAT_NS
    now_ns = (last_ns + 2 * limits.SECOND) * 10_001 // 10_000
    age_ns = now_ns - pace.said_ns(last_ns // PERIOD_NS, now_ns)
    assert 1_990 * limits.MS <= age_ns <= 2_010 * limits.MS


def test_ticks_stand_still_rather_than_go_back() -> None:
    pace = Pace(TickClock(PERIOD_NS, 1000, 0))
    shown = pace.tick_at(10 * limits.SECOND)
    pace.follow(shown - 100, 10 * limits.SECOND, PERIOD_NS, bridged=True)
    assert pace.tick_at(10 * limits.SECOND) == shown
    assert pace.tick_at(10 * limits.SECOND + 100 * PERIOD_NS) == shown
    assert pace.tick_at(10 * limits.SECOND + 101 * PERIOD_NS) == shown + 1


def test_a_node_that_was_cut_off_for_a_month_takes_the_time_of_the_reign() -> None:
    """At 50 ppm it is two minutes ahead: it goes back, and does not wait for them."""
    pace = Pace(TickClock(PERIOD_NS, 1000, 0))
    now_ns = 30 * DAY_NS
    reign = 1000 + (now_ns - now_ns // 20_000) // PERIOD_NS
    pace.follow(reign, now_ns, PERIOD_NS, bridged=True)
    assert pace.tick_at(now_ns) == reign


def test_a_reign_that_lost_time_takes_it_from_all_who_follow() -> None:
    """Nobody of its majority knew the time after a power cut: it begins behind its last Tick. Who
    was not cut off must not bring the time of before back with the next election."""
    pace = Pace(TickClock(PERIOD_NS, 1000, 0))
    now_ns, reign = 10 * limits.SECOND, 20_000
    assert pace.tick_at(now_ns) > reign + 8 * limits.SECOND // PERIOD_NS
    pace.follow(pace.tick_at(now_ns), now_ns, PERIOD_NS, bridged=True)
    pace.begin(2)
    pace.follow(reign, now_ns, PERIOD_NS, bridged=True)
    assert pace.tick_at(now_ns) == reign


def test_a_leader_that_is_heard_again_brings_no_time_of_before_back() -> None:
    """The node stood still for four seconds: its clock ran, and what its sockets hold is old."""
    pace = Pace(None)
    pace.begin(2)
    pace.follow(50_000, 0, PERIOD_NS, bridged=True)
    now_ns = 4 * limits.SECOND
    shown = pace.tick_at(now_ns)
    pace.begin(2)
    assert pace.follow(51_000, now_ns, PERIOD_NS, bridged=True) == 0
    assert pace.tick_at(now_ns) == shown
    pace.begin(3)
    pace.follow(51_000, now_ns, PERIOD_NS, bridged=True)
    assert pace.tick_at(now_ns) == 51_000


def test_who_took_the_time_of_a_voter_takes_that_of_its_leader_again() -> None:
    """The voter was not there when a reign lost time, and must not bring it back within it."""
    pace = Pace(None)
    pace.begin(2)
    pace.follow(1_000, 0, PERIOD_NS, bridged=True)
    now_ns = limits.SECOND
    pace.compare(900_000, 900_000, now_ns, PERIOD_NS, bridged=True)
    pace.begin(2)
    pace.follow(11_000, now_ns, PERIOD_NS, bridged=True)
    assert pace.tick_at(now_ns) == 11_000


def test_a_quicker_word_shows_how_late_the_clock_was() -> None:
    pace = Pace(None)
    assert pace.follow(1_000, 0, PERIOD_NS, bridged=True) == 0
    assert pace.follow(6_000, PERIOD_NS, PERIOD_NS, bridged=True) == 4_998 * PERIOD_NS
    assert pace.follow(6_001, 2 * PERIOD_NS, PERIOD_NS, bridged=True) == 0


def test_a_node_is_never_behind_a_tick_that_was_committed() -> None:
    pace = Pace(TickClock(PERIOD_NS, 1000, 0))
    pace.reach(1400)
    assert pace.tick_at(0) == 1400
    clock = pace.clock_at(0)
    assert clock is not None
    assert clock.tick_at(PERIOD_NS) == 1401


def test_of_two_clocks_that_one_is_right_which_a_reign_set_later() -> None:
    """H4: a voter that was cut off drags no new reign ahead; nor does a candidate that was."""
    now_ns, month = 30 * DAY_NS, 30 * DAY_NS // PERIOD_NS
    alone = Pace(TickClock(PERIOD_NS, 0, 0))
    followed = Pace(None)
    right = month - 1_296_000
    followed.follow(right - 3, now_ns - 3 * PERIOD_NS, PERIOD_NS, bridged=True)
    told = [(x.tick_at(now_ns), x.heard_tick) for x in (alone, followed)]
    followed.compare(*told[0], now_ns, PERIOD_NS, bridged=True)
    assert followed.tick_at(now_ns) == right
    alone.compare(*told[1], now_ns, PERIOD_NS, bridged=True)
    assert alone.tick_at(now_ns) == right


def test_of_two_clocks_that_were_set_alike_the_later_is_right() -> None:
    """What one of them heard was longer on its way."""
    pace = Pace(TickClock(PERIOD_NS, 1000, 0))
    pace.compare(1040, 900, 3 * PERIOD_NS, PERIOD_NS, bridged=True)
    assert pace.tick_at(3 * PERIOD_NS) == 1040
    pace.compare(1020, 1100, 3 * PERIOD_NS, PERIOD_NS, bridged=True)
    assert pace.tick_at(3 * PERIOD_NS) == 1040


def test_without_a_clock_a_reign_begins_above_the_highest_tick_it_heard_of() -> None:
    assert Pace(None, 90_000).lead(PERIOD_NS, 70, 0) == TickClock(PERIOD_NS, 90_001, 0)
    assert Pace(None, 0).lead(PERIOD_NS, 70, 0) == TickClock(PERIOD_NS, 71, 0)
    ahead = Pace(TickClock(PERIOD_NS, 70_000, 0), 90_000)
    assert ahead.lead(PERIOD_NS, 70, 0) == TickClock(PERIOD_NS, 90_001, 0)


def test_the_lead_of_a_tick_does_not_become_the_time_of_the_next_reign() -> None:
    """Else an overloaded cluster would be ahead by 50 ms more with each failover."""
    clock = TickClock(PERIOD_NS, 70_000, 0)
    lead = limits.TICK_LEAD_NS_MAX // PERIOD_NS
    assert Pace(clock).lead(PERIOD_NS, 70_000 + lead, 0).tick_at(0) == 70_000
    assert Pace(clock).lead(PERIOD_NS, 70_001 + lead, 0).base_tick == 70_002 + lead


def test_a_clock_that_was_shown_differs_once_it_is_off() -> None:
    pace = Pace(TickClock(PERIOD_NS, 1000, 0))
    off = limits.CLOCK_SHOWN_NS // PERIOD_NS
    assert not pace.differs(TickClock(PERIOD_NS, 1000 + off - 1, 0), 0)
    assert pace.differs(TickClock(PERIOD_NS, 1000 + off, 0), 0)
    assert pace.differs(None, 0)
    assert not Pace(None).differs(None, 0)


def test_who_cannot_bridge_the_gap_sets_no_clock() -> None:
    pace = Pace(None)
    pace.follow(70, 0, PERIOD_NS, bridged=False)
    pace.compare(90, 80, 0, PERIOD_NS, bridged=False)
    assert (pace.bridged, pace.tick_at(10**12), pace.clock_at(0)) == (False, 90, None)
