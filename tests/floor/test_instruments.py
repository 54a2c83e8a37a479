"""Instruments: what they count, and what an observation costs."""

import time

import pytest

from rmf.floor.instruments import BOUNDS_S, Durations, LeaderChanges, Reasons


def test_a_duration_is_counted_within_the_smallest_bound_that_holds_it() -> None:
    durations = Durations()
    for seconds in (0.0, BOUNDS_S[0], BOUNDS_S[0] * 1.01, BOUNDS_S[-1], BOUNDS_S[-1] * 2):
        durations.observe(seconds)
    assert durations.counts == (2, 1, *([0] * (len(BOUNDS_S) - 3)), 1, 1)
    assert durations.sum_s == pytest.approx(sum((BOUNDS_S[0] * 2.01, BOUNDS_S[-1] * 3)))


def test_an_observation_costs_next_to_nothing() -> None:
    durations, times = Durations(), 20_000
    best_ns = min(_observed_ns(durations, times) for _ in range(5))
    assert best_ns / times < 2000  # 200 ns when nobody else is at work


def _observed_ns(durations: Durations, times: int) -> int:
    began = time.perf_counter_ns()
    for _ in range(times):
        durations.observe(0.003)
    return time.perf_counter_ns() - began


def test_reasons_add_up_over_entries() -> None:
    reasons = Reasons()
    reasons.count(["expired", "expired"])
    reasons.count(iter(["no_handler", "expired"]))
    reasons.count([])
    assert reasons.counts == {"expired": 3, "no_handler": 1}


def test_a_strike_is_counted_when_it_begins() -> None:
    changes = LeaderChanges()
    for strike in (None, "no_reign", "no_reign", None, "no_reign", "disk", "disk"):
        changes.see(strike, 1, None)
    assert changes.strikes == {"no_reign": 2, "disk": 1}


def test_a_reign_is_counted_once_though_it_is_lost_from_sight() -> None:
    changes = LeaderChanges()
    reigns = [(1, None), (1, "n1"), (1, "n1"), (1, None), (1, "n1"), (2, None), (2, "n1")]
    for term, leader in reigns:
        changes.see(None, term, leader)
    assert changes.leader_changes == 2
