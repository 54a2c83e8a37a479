"""No stage has grown; and one that did would be found, where noise would not."""

import json
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, TypeVar

import pytest

from rmf.errors import RmfError
from tools.bench_load import payload_of
from tools.budget_ratios import (
    COMMITTED,
    MODES,
    Committed,
    committed_here,
    committed_of,
    grown,
    here,
    ratios,
    with_committed,
)
from tools.budget_stages import STAGES, Pipeline

_T = TypeVar("_T")
Ratios = dict[str, dict[str, float]]


def all_of(ratio: float) -> Ratios:
    return {mode: dict.fromkeys(STAGES, ratio) for mode in MODES}


def changed(ratio: float, mode: str, stage: str) -> Ratios:
    found = all_of(1.0)
    found[mode][stage] = ratio
    return found


BEFORE = Committed(all_of(1.0), all_of(0.04))


def test_what_was_disturbed_once_has_not_grown() -> None:
    attempts = iter([changed(1.9, "lone", "leader: latch"), all_of(1.1)])
    assert grown(BEFORE, lambda: next(attempts)) == []


def test_what_is_a_fifth_above_in_all_measurements_has_grown() -> None:
    attempts = count(1)

    def measure() -> Ratios:
        next(attempts)
        return changed(1.2, "batch", "follower: apply")

    (said,) = grown(BEFORE, measure)
    assert said.startswith("follower: apply (batch) has grown by 20%")
    assert next(attempts) == 4


def test_a_stage_that_differs_by_itself_may_differ() -> None:
    noisy = Committed(
        all_of(1.0), changed(0.3, "batch", "leader: latch") | {"lone": all_of(0)["lone"]}
    )
    assert grown(noisy, lambda: changed(1.5, "batch", "leader: latch")) == []
    assert grown(noisy, lambda: changed(1.7, "batch", "leader: latch")) != []


def test_what_is_committed_is_the_median_with_the_spread_and_stands_beside_others() -> None:
    committed = committed_of([all_of(1.0), all_of(1.2), all_of(1.1)])
    assert committed == Committed(all_of(1.1), all_of(0.2))
    text = with_committed('{"another machine": {"ratios": {}, "spreads": {}}}', here(), committed)
    assert committed_here(text) == committed
    assert "another machine" in json.loads(text)
    assert committed_here("{}") is None


class Slowed(Pipeline):
    """A pipeline one stage of which takes longer than it does, by so much."""

    def __init__(self, stage: str, growth: float) -> None:
        super().__init__(3, payload_of(64))
        self._stage = stage
        self._growth = growth

    def _time(self, stage: str, work: Callable[..., _T], *args: Any) -> _T:
        if stage != self._stage:
            return super()._time(stage, work, *args)
        return super()._time(stage, partial(self._slowly, work), *args)

    def _slowly(self, work: Callable[..., _T], *args: Any) -> _T:
        began_ns = time.thread_time_ns()
        done = work(*args)
        took_ns = time.thread_time_ns() - began_ns
        while time.thread_time_ns() - began_ns < took_ns * (1 + self._growth):
            pass
        return done


@pytest.mark.long
@pytest.mark.parametrize("stage", ["box: handlers", "leader: commit, acks"])
def test_a_stage_that_grows_by_a_quarter_is_found_and_no_other(stage: str) -> None:
    committed = committed_of([ratios() for _ in range(2)])
    found = grown(committed, lambda: ratios(lambda: Slowed(stage, 0.25)))
    assert found
    assert {said.partition(" (")[0] for said in found} == {stage}


@pytest.mark.slow
def test_no_stage_has_grown() -> None:
    """Where that is meant, or a stage has become cheaper: `rmf-bench budget --commit`."""
    committed = committed_here()
    if committed is None:
        pytest.skip(f"{COMMITTED.name} has no ratios of {here()}: rmf-bench budget --commit")
    try:
        found = grown(committed)
    except RmfError as error:
        pytest.fail(str(error))
    assert not found, "\n".join([*found, "if that is meant: rmf-bench budget --commit"])
