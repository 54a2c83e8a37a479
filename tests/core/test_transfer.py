"""A leader without room lets another one lead (R38)."""

import pytest

from rmf.core import events as ev
from tests.core.cluster import Cluster
from tests.core.kit import Playbook


@pytest.fixture
def play() -> Cluster:
    return Cluster()


def test_a_leader_whose_disk_is_full_lets_another_one_lead(play: Cluster) -> None:
    """R38: it would say `busy` to packets for ever, while others have room."""
    n1 = play["n1"]
    play.advance(1_100)
    n1.happen(ev.DiskMark("hard", 0))
    play.advance(100)
    assert not n1.core.reigns
    (leader,) = play.reigning()
    leader.join("probe").send(1)
    play.advance(50)
    assert n1.core.committed.applied == 1  # it takes part: votes and acks have room


def test_full_nodes_do_not_pass_leadership_round_and_round(play: Cluster) -> None:
    for node in play.nodes.values():
        node.happen(ev.DiskMark("hard", 0))
    term = play.reigning()[0].core.raft.term
    play.advance(3_000)
    assert play.reigning()[0].core.raft.term - term <= 3


def test_a_full_node_that_is_alone_goes_on_leading() -> None:
    play = Playbook()
    play.join("p")
    play.core.step([ev.DiskMark("hard", 0)], play.now())
    assert play.core.reigns
