"""A step that keeps the Arbiter's loop too long is counted by its length, and told (R45)."""

import io
import json
from collections.abc import Iterator

import pytest

from rmf import limits
from rmf.core import events as ev
from rmf.core.effects import Stopped
from rmf.floor import log
from rmf.floor.arbiter.steps import StepWatch
from rmf.floor.instruments import Steps


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the process's log says."""
    stream = io.StringIO()
    log.configure("json", stream)
    yield stream
    log.configure("json", io.StringIO())


def clocks(*times_s: float, work: tuple[float, ...]) -> StepWatch:
    """A watch whose clocks show these times, one after the other."""
    return StepWatch(iter(times_s).__next__, iter(work).__next__)


def test_a_step_is_counted_and_a_short_one_is_not_too_long() -> None:
    steps = Steps()
    watch = StepWatch()
    watch.begin()
    watch.decided()
    assert not watch.end(steps)
    assert sum(steps.time.counts) == sum(steps.work.counts) == 1


def test_a_long_step_names_what_was_in_it(written: io.StringIO) -> None:
    watch = clocks(6.0, 7.0, 7.001, 7.002 + limits.LONG_STEP_S, work=(1.0, 3.0, 3.002))
    watch.begin()
    watch.decided()
    assert watch.end(Steps())
    watch.tell([ev.Beat(), ev.Beat()], [Stopped()], 10**6)
    line = json.loads(written.getvalue())
    assert (line["level"], line["event"]) == ("warning", "long_step")
    assert (line["seconds"], line["work"], line["decided"]) == (0.052, 0.002, 0.001)
    assert (line["events"], line["effects"], line["cells"]) == ("2 Beat", "1 Stopped", 10**6)


def test_the_clock_of_work_is_not_read_for_short_steps() -> None:
    """To read it costs as much as such a step: here it would run out."""
    watch = clocks(7.0, *(7.0 + n * 0.0001 for n in range(6)), work=(3.0,))
    steps = Steps()
    for _ in range(3):
        watch.begin()
        watch.end(steps)
    assert steps.work.counts == steps.time.counts


def test_a_step_of_middling_length_counts_no_more_work_than_it_took() -> None:
    """The reading before may be older than the step."""
    took_s = limits.STEP_MARK_S * 2
    watch = clocks(7.0, 7.001, 7.001 + took_s, work=(3.0, 4.0))
    steps = Steps()
    watch.begin()
    watch.end(steps)
    assert steps.work.counts == steps.time.counts
