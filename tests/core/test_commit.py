"""What is committed is applied and let out; who counts letters counts with the DLQ keeper (R38)."""

import pytest

from rmf.core import events as ev
from tests.core.kit import Playbook


def test_letters_that_wait_are_as_many_as_were_handed_over_and_not_stored() -> None:
    play = Playbook()
    play.dlq.held = True
    play.join("p").send(1, topic="poison")
    assert play.core.commit.letters_unstored == 1
    play.happen(ev.LettersStored(1, play.core.committed.index, {}))
    assert play.core.commit.letters_unstored == 0


def test_no_more_letters_are_stored_than_were_handed_over() -> None:
    """A keeper that counts otherwise than the core would let it latch what has no room."""
    play = Playbook()
    with pytest.raises(AssertionError):
        play.core.step([ev.LettersStored(1, play.core.committed.index, {})], play.now())
