"""What a core knows of its surroundings, and hands on (R15)."""

from rmf.core import events as ev
from rmf.core.arbiter import Arbiter
from rmf.core.surroundings import NOTHING_HEARD, Surroundings
from tests.core.cluster import Cluster


def test_a_core_begins_with_what_the_one_before_knew_of_its_surroundings() -> None:
    """R15: it is told of changes only; the disk is as full as before."""
    play = Cluster()
    n2 = play["n2"]
    assert n2.core.surroundings == NOTHING_HEARD
    n2.happen(ev.DiskMark("hard", 0), ev.BoxLost(3), ev.LettersStored(0, 0, {"letters": 7}))
    known = n2.core.surroundings
    assert known == Surroundings("hard", {"letters": 7}, 3)
    state, raft = n2.core.committed, n2.core.raft
    again = Arbiter(
        n2.core.identity,
        state,
        n2.core.settled.shelf,
        raft,
        listens=lambda _: False,
        depth_packets_max=1,
        around=known,
    )
    assert again.surroundings == known
    assert again.surroundings.mark == "hard"
