"""Those who speak on a Link, and the clock they share with it."""

import time

import pytest

from rmf.client.producing import Production
from rmf.client.questions import Questions
from rmf.client.speaker import Speaker, clock_ns
from rmf.client.watching import Watching, subscription


def _watching() -> Watching:
    wanted = subscription("#", mode="full", rate_hz=None, every_tick=False, from_tick=None)
    return Watching({}, wanted)


@pytest.mark.parametrize("speaker", [Production({"producer": "p"}), Questions({})])
def test_a_client_that_has_said_nothing_is_owed_nothing(speaker: Speaker) -> None:
    assert not speaker.owed()
    assert speaker.due_ns() is None
    assert speaker.outgoing(0) == []


def test_a_subscriber_is_owed_keepalives_once_it_has_subscribed() -> None:
    speaker: Speaker = _watching()
    assert not speaker.owed()
    assert len(speaker.outgoing(0)) == 1
    assert speaker.owed()


def test_shelf_lives_are_measured_on_the_clock_that_counts_suspend() -> None:
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert before <= clock_ns() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
