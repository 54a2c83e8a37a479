"""What the nemesis planned does not happen any more once everything is healed."""

from rmf import limits
from rmf.testing.cluster import SimulatedCluster
from rmf.testing.options import Options


def test_a_vote_that_was_to_be_split_does_not_kill_a_leader_after_all_is_healed() -> None:
    found = SimulatedCluster(
        Options(seed=1, spares=0, faults={"split_votes": 1.0}, fault_every_ms=1.0)
    )
    found.begin()
    found.agenda.run_until(2 * limits.SECOND)
    found.nemesis.begin()
    while not found.env.splits_votes:
        found.agenda.run_until(found.agenda.now_ns + limits.MS)
    found.nemesis.heal(None)
    lives = {name: node.life for name, node in found.nodes.items()}
    assert len(lives) == 3
    found.agenda.run_until(found.agenda.now_ns + 5 * limits.SECOND)
    assert {name: node.life for name, node in found.nodes.items() if node.running} == lives
