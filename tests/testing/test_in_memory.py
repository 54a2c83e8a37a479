"""A cluster in memory: what a test tells it, it does, and what breaks a promise is found."""

import pytest

from rmf import UsageError
from rmf.client.client_values import Parcel
from rmf.testing import Cluster, Violation
from tests.simulation.planted import planted
from tests.testing.lines import greenhouse, workshop

TEMP = "greenhouse/3/temp"


def test_a_packet_is_committed_and_every_node_has_it() -> None:
    cluster = Cluster(greenhouse)
    receipt = cluster.send(TEMP, {"celsius": 21.5}, ttl_ms=60_000)
    assert receipt.outcome == "applied"
    cluster.run(1)
    for node in cluster.nodes:
        assert cluster.world(node)["average/3"] == 21.5
    cell = cluster.cell(TEMP)
    assert cell is not None
    assert receipt.stamp == (cell.term, cell.tick, cell.slot)
    assert len(set(cluster.digests().values())) == 1


def test_the_same_seed_gives_the_same_history() -> None:
    def told(seed: int) -> tuple[object, ...]:
        cluster = Cluster(greenhouse, seed=seed)
        receipts = [cluster.send(TEMP, {"celsius": i}, ttl_ms=60_000) for i in range(3)]
        cluster.kill(cluster.leader)
        receipts.append(cluster.send(TEMP, {"celsius": 4}, ttl_ms=60_000))
        return (*receipts, cluster.leader, cluster.now)

    assert told(1) == told(1)
    assert told(1) != told(2)


def test_the_leader_dies_and_nothing_acked_is_lost() -> None:
    cluster = Cluster(workshop, nodes=3, seed=4)
    cluster.send("keep/a", 1, ttl_ms=60_000)
    first, term = cluster.leader, cluster.term
    cluster.kill(first)
    cluster.send("keep/b", 2, ttl_ms=60_000)
    assert cluster.leader not in {None, first}
    assert cluster.term > term
    assert first not in cluster.digests()
    with pytest.raises(UsageError, match="is down"):
        cluster.world(first)
    cluster.heal()
    assert cluster.world(first) == {"keep/a": 1, "keep/b": 2}


def test_a_leader_cut_off_acks_nothing_and_its_packets_have_one_outcome() -> None:
    cluster = Cluster(workshop, nodes=3, seed=5)
    cluster.send("keep/a", 1, ttl_ms=60_000)
    old = cluster.leader
    assert old is not None
    cluster.isolate(old)
    (sent,) = cluster.offer([("keep/b", 2, 60_000)])
    cluster.run(0.05)
    assert sent.receipt is None
    cluster.run_until(lambda: sent.receipt is not None)
    assert cluster.leader != old
    assert "keep/b" not in cluster.world(old)
    cluster.heal()
    assert cluster.world(old) == {"keep/a": 1, "keep/b": 2}


def test_without_a_majority_nothing_is_committed() -> None:
    cluster = Cluster(workshop)
    cluster.send("keep/a", 1, ttl_ms=60_000)
    cluster.kill("n2")
    cluster.kill("n3")
    with pytest.raises(TimeoutError, match="5 virtual seconds"):
        cluster.send("keep/b", 2, ttl_ms=60_000, seconds=5)
    assert cluster.leader is None
    cluster.start("n2")
    cluster.run_until(lambda: cluster.leader is not None)
    cluster.run(5)
    assert cluster.world()["keep/b"] == 2


def test_a_partition_leaves_the_majority_at_work() -> None:
    cluster = Cluster(workshop, nodes=5, seed=2)
    cluster.send("keep/a", 1, ttl_ms=60_000)
    cluster.partition(["n1", "n2"], ["n3", "n4", "n5"])
    cluster.run(3)
    cluster.send("keep/b", 1, ttl_ms=60_000)
    assert cluster.leader in {"n3", "n4", "n5"}
    assert "keep/b" not in cluster.world("n1")
    cluster.heal()
    assert "keep/b" in cluster.world("n1")


def test_a_paused_leader_is_replaced_and_follows_when_it_goes_on() -> None:
    cluster = Cluster(workshop, seed=3)
    cluster.send("keep/a", 1, ttl_ms=60_000)
    old = cluster.leader
    assert old is not None
    cluster.pause(old)
    cluster.run(3)
    assert cluster.leader not in {None, old}
    cluster.resume(old)
    cluster.send("keep/b", 1, ttl_ms=60_000)
    cluster.heal()
    assert cluster.world(old) == {"keep/a": 1, "keep/b": 1}


def test_a_power_cut_of_all_leaves_nothing_of_unknown_age() -> None:
    cluster = Cluster(workshop)
    cluster.send("keep/a", 1, ttl_ms=1000)
    cluster.send("cell/a", 1, ttl_ms=600_000)
    for node in cluster.nodes:
        cluster.power_cut(node)
    cluster.run(1)
    cluster.heal()
    assert cluster.world() == {"keep/a": 1}


def test_a_restart_of_all_keeps_what_is_still_fresh() -> None:
    cluster = Cluster(workshop)
    cluster.send("cell/a", 1, ttl_ms=600_000)
    for node in cluster.nodes:
        cluster.restart(node)
    cluster.heal()
    assert cluster.world() == {"cell/a": 1}


def test_letters_are_the_same_on_every_node() -> None:
    cluster = Cluster(workshop)
    receipts = cluster.send_many([("raise/a", 1, 60_000), ("zzz", 1, 60_000)])
    assert [x.reason for x in receipts] == ["handler_error", "no_handler"]
    cluster.heal()
    for node in cluster.nodes:
        letters = cluster.letters(node)
        assert [x.id for x in letters] == [x.letter for x in receipts]
        assert letters[0].error.type == "RuntimeError"


def test_bad_weather_and_slow_disks_cost_time_only() -> None:
    cluster = Cluster(workshop, seed=6, latency_ms=2.0)
    cluster.weather(loss=0.2, doubling=0.2, latency_ms=5.0)
    cluster.slow_disk("n1", 40.0)
    cluster.checkpoint("n2")
    receipts = cluster.send_many([Parcel("keep/a", i, 60_000) for i in range(50)], seconds=60)
    assert [x.seq for x in receipts] == list(range(1, 51))
    cluster.heal()
    assert cluster.world("n3") == {"keep/a": 49}


@pytest.mark.slow
def test_many_steps_are_no_fault() -> None:
    cluster = Cluster(workshop)
    cluster.send("keep/a", 1, ttl_ms=60_000)
    cluster.run(400)
    assert cluster.send("keep/a", 2, ttl_ms=60_000).outcome == "applied"
    assert cluster.tick() > 4_000_000


def test_one_node_is_a_cluster_too() -> None:
    cluster = Cluster(greenhouse, nodes=1)
    assert cluster.send(TEMP, {"celsius": 1}, ttl_ms=1000, fence=2).outcome == "applied"
    assert cluster.nodes == ["n1"]


def test_what_makes_no_sense_is_said() -> None:
    with pytest.raises(UsageError, match="unexpected keyword argument 'latency'"):
        Cluster(greenhouse, latency=5)
    cluster = Cluster(greenhouse)
    with pytest.raises(UsageError, match="no node 'n9': n1, n2, n3"):
        cluster.kill("n9")
    with pytest.raises(UsageError, match="no node 'n9'"):
        cluster.partition(["n1", "n9"])
    with pytest.raises(UsageError, match="found 2"):
        cluster.offer([("a", 1)])
    for node in cluster.nodes:
        cluster.kill(node)
    with pytest.raises(UsageError, match="no node is running"):
        cluster.world()
    with pytest.raises(TimeoutError):
        cluster.offer([("keep/a", 1, 1000)], producer="late", seconds=2)
    cluster.kill(cluster.leader)  # nobody


def many_leaders_die() -> None:
    for seed in range(1, 20):
        cluster = Cluster(workshop, seed=seed, fsync_ms=5.0)
        for i in range(20):
            cluster.send("keep/a", i, ttl_ms=60_000)
            cluster.kill(cluster.leader)
            cluster.heal()


def test_a_core_that_breaks_a_promise_is_found_in_the_test_of_a_user() -> None:
    with planted("the_leader_counts_its_own_disk_before_the_fsync"), pytest.raises(Violation):
        many_leaders_die()
