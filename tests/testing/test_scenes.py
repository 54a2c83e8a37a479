"""Faults of several steps: they begin only where they can be survived, and end by themselves."""

import pytest

from rmf import limits
from rmf.core.raft.membership import members_in
from rmf.testing.cluster import SimulatedCluster
from rmf.testing.dice import Dice
from rmf.testing.fault_state import Faults
from rmf.testing.options import Options
from rmf.testing.scenes import Scenes


def cluster(nodes: int) -> SimulatedCluster:
    options = Options(
        seed=4,
        nodes=nodes,
        spares=0,
        act_every_ms=1e12,
        checkpoint_every_ms=4_000.0,
        log_memory_bytes=0,
        faults={},
    )
    found = SimulatedCluster(options)
    found.begin()
    found.agenda.run_until(9 * limits.SECOND)
    return found


def scenes_of(found: SimulatedCluster) -> Scenes:
    faults = Faults(found.env, found.nodes, found.network, Dice(1).stream("scenes"))
    faults.active = True
    return Scenes(found.env, found.nodes, found.operators, faults)


def test_disks_are_lost_while_one_is_behind_only_where_five_vote() -> None:
    assert not scenes_of(cluster(3)).old_acquaintances()


@pytest.mark.slow
def test_who_was_away_meets_others_with_new_disks_and_all_come_back() -> None:
    found = cluster(5)
    disks = {name: node.disk.incarnation for name, node in found.nodes.items()}
    assert scenes_of(found).old_acquaintances()
    found.agenda.run_until(60 * limits.SECOND)
    assert found.counts["met_again"] == 1
    assert all(node.up for node in found.nodes.values())
    replaced = [name for name, node in found.nodes.items() if node.disk.incarnation != disks[name]]
    assert len(replaced) == 2


def test_a_leader_that_is_to_go_ends_with_the_entry_on_its_own_disk_only() -> None:
    found = cluster(3)
    leader = found.operators.leader()
    assert leader is not None
    assert scenes_of(found).torn_change()
    while leader.up:
        found.agenda.run_until(found.agenda.now_ns + limits.MS)
    [named] = [record for record in leader.disk.records[-2:] if members_in(record.body) is not None]
    others = [node for node in found.nodes.values() if node is not leader]
    assert all(node.disk.last_durable.index < named.index for node in others)
