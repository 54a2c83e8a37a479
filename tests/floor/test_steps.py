"""A step that keeps the Arbiter's loop too long is counted by its length, and told (R45)."""

import io
import json
from collections.abc import Iterator

import pytest

from rmf import limits
from rmf.core import events as ev
from rmf.core.effects import Stopped
from rmf.floor import log
from rmf.floor.instruments import Steps
from rmf.floor.steps import Step


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the process's log says."""
    stream = io.StringIO()
    log.configure("json", stream)
    yield stream
    log.configure("json", io.StringIO())


def test_a_step_is_counted_and_a_short_one_is_not_told(written: io.StringIO) -> None:
    steps = Steps()
    step = Step()
    step.decided()
    step.ended(steps, [ev.Beat()], [], 10**6)
    assert sum(steps.time.counts) == sum(steps.work.counts) == 1
    assert written.getvalue() == ""


def test_a_long_step_names_what_was_in_it(written: io.StringIO) -> None:
    clock = iter((7.0, 7.001, 7.002 + limits.LONG_STEP_S))
    step = Step(clock.__next__, iter((3.0, 3.002)).__next__)
    step.decided()
    step.ended(Steps(), [ev.Beat(), ev.Beat()], [Stopped()], 10**6)
    line = json.loads(written.getvalue())
    assert (line["level"], line["event"]) == ("warning", "long_step")
    assert (line["seconds"], line["work"], line["decided"]) == (0.052, 0.002, 0.001)
    assert (line["events"], line["effects"], line["cells"]) == ("2 Beat", "1 Stopped", 10**6)
