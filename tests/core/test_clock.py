"""The factory's time (R6, R8): numbers of Ticks from boot time, and shelf lives in ticks."""

from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.clock import TickClock, ticks_of_ms

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
