"""What disks suffer in a simulation: never more than the cluster can survive."""

from rmf import limits
from rmf.core.record import ENTRY
from rmf.testing.cluster import SimulatedCluster
from rmf.testing.dice import Dice
from rmf.testing.fault_state import Faults
from rmf.testing.mishaps import Copy, Mishaps
from rmf.testing.options import Options


def cluster() -> SimulatedCluster:
    found = SimulatedCluster(Options(seed=4, spares=0, faults={}))
    found.begin()
    found.agenda.run_until(3 * limits.SECOND)
    return found


def mishaps_of(found: SimulatedCluster) -> Mishaps:
    faults = Faults(found.env, found.nodes, found.network, Dice(1).stream("mishaps"))
    joined = (found.nodes, found.network, found.operators, found.invariants.restored)
    return Mishaps(found.env, *joined, faults)


def test_a_drive_that_lied_loses_only_what_all_others_have() -> None:
    found = cluster()
    before = {name: node.disk.last_durable.index for name, node in found.nodes.items()}
    assert mishaps_of(found).lost_tail()
    [loser] = [x for x in found.nodes.values() if not x.up]
    after = loser.disk.last_durable.index
    assert after < before[loser.name]
    for node in found.nodes.values():
        assert node is loser or node.disk.last_durable.index >= before[loser.name]


def test_what_a_drive_lost_is_in_no_other_way_there() -> None:
    disk = cluster().nodes["n2"].disk
    last = disk.last_durable
    lost = disk.tail(2)
    disk.lose_from(lost[0].serial)
    assert [x.index for x in lost] == [last.index - 1, last.index]
    assert disk.last_durable.index == last.index - 2
    assert disk.entry(last.index) is None
    assert not any(x.kind == ENTRY and x.serial >= lost[0].serial for x in disk.records)


def test_a_copy_does_not_hear_of_what_is_written_later() -> None:
    found = cluster()
    node = found.nodes["n2"]
    copy, before = Copy(node), node.disk.last_durable
    found.agenda.run_until(5 * limits.SECOND)
    assert node.disk.last_durable != before
    node.end(power=False)
    copy.put_back(node)
    assert node.disk.last_durable == before


def test_letters_wait_for_as_long_as_a_dlq_is_stalled() -> None:
    found = cluster()
    for node in found.nodes.values():
        node.performing.letters_wait_until_ns = 8 * limits.SECOND
    before = {name: len(node.performing.dlq.letters) for name, node in found.nodes.items()}
    found.agenda.run_until(8 * limits.SECOND)
    assert {name: len(node.performing.dlq.letters) for name, node in found.nodes.items()} == before
    found.agenda.run_until(9 * limits.SECOND)
    assert all(
        len(node.performing.dlq.letters) > before[name] for name, node in found.nodes.items()
    )
