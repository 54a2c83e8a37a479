"""What a reign owes to whoever shows its World (R36): ends that are late, Entries that hang."""

import pytest

from rmf import limits
from rmf.core.owed import first_end_of
from rmf.core.raft.peer_messages import INDEX_MAX
from tests.core.kit import Playbook

LATE_MS = limits.OWED_LATE_NS // limits.MS


def owed(play: Playbook) -> int:
    leads = play.core.raft.leadership
    assert leads is not None
    return leads.owed(play.boot_ns)


def test_a_reign_at_rest_owes_nothing() -> None:
    play = Playbook()
    play.join("p").send(1)
    assert owed(play) == 0


def test_what_is_in_flight_for_a_moment_is_not_owed() -> None:
    play = Playbook()
    probe = play.join("p")
    play.disk.hold()
    probe.send(1)
    play.boot_ns += (LATE_MS - 1) * limits.MS
    assert owed(play) == 0


def test_an_entry_that_hangs_is_owed() -> None:
    """The World lacks it, and what it replaced may have ended meanwhile."""
    play = Playbook()
    probe = play.join("p")
    play.disk.hold()
    probe.send(1)
    play.boot_ns += (LATE_MS + 1) * limits.MS
    assert owed(play) == play.core.raft.log.last.index > play.core.committed.index


def test_an_end_that_should_be_written_and_is_not_cannot_be_named() -> None:
    play = Playbook()
    play.join("p").send(1, ttl_ms=1000)
    play.boot_ns += (1000 + LATE_MS + 1) * limits.MS
    assert owed(play) == INDEX_MAX


@pytest.mark.parametrize("topic", ["cell/a", "cell/loud/a"])
def test_an_end_that_was_late_is_owed_from_its_entry_on(topic: str) -> None:
    """However new that Entry is; and as long as it is on the bench, it cannot be named."""
    play = Playbook()
    play.join("p").send(1, topic=topic, ttl_ms=1000)
    play.disk.hold()
    play.runner.held = True
    play.boot_ns += 5 * limits.SECOND
    play.happen()
    if play.batch is not None:
        assert owed(play) == INDEX_MAX
        play.run()
    assert owed(play) == play.core.raft.log.last.index > play.core.committed.index


def test_before_it_begins_a_reign_can_name_nothing() -> None:
    """It has not looked yet at what ended while nobody reigned."""
    play = Playbook()
    leads = play.core.raft.leadership
    assert leads is not None
    fresh = type(leads)(
        "n1",
        9,
        play.core.raft.log,
        play.core.raft.membership,
        play.core.raft.pace,
        play.core.raft.timing,
        play.boot_ns,
    )
    assert fresh.acked(play.boot_ns) == INDEX_MAX


def test_the_first_end_of_cells_is_that_of_those_which_are_there_and_end() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send(1, topic="cell/a", ttl_ms=3000)
    probe.send(2, topic="cell/b", ttl_ms=2000)
    probe.send(3, topic="keep", payload=1)
    world = play.core.committed.world
    first = world.cells["cell/b"].expires
    assert first_end_of(world, ["cell/a", "cell/b", "keep", "never/there"]) == first
    assert first_end_of(world, ["keep", "never/there"]) is None
    assert first_end_of(world, []) is None
