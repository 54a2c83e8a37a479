"""Three nodes found one cluster, whatever their order and whoever dies meanwhile (R29)."""

import random
import threading
import time
from itertools import permutations
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster

STOP_S_MAX = 5.0
ORDERS = list(permutations(["n1", "n2", "n3"]))


def check_one_cluster(cluster: Cluster) -> None:
    """All nodes are voters of one cluster, one leads, and it takes packets in."""
    cluster.leader()
    cluster.wait_equal()
    statuses = cluster.statuses()
    assert len(statuses) == len(cluster.nodes)
    assert len({status["cluster"] for status in statuses.values()}) == 1
    for status in statuses.values():
        assert {m["node"]: m["voter"] for m in status["members"]} == dict.fromkeys(statuses, True)
    with cluster.nodes[cluster.leader()].connect(producer="first") as connection:
        assert connection.welcome["epoch"] >= 1


def a_moment(seconds: float) -> None:
    """Let that much of a genesis happen: when exactly the kill comes is the very question."""
    threading.Event().wait(seconds)


@pytest.mark.long
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_the_order_of_starts_is_of_no_matter(tmp_path: Path, order: tuple[str, ...]) -> None:
    cluster = Cluster(tmp_path)
    try:
        for name in order:
            cluster.begin(name)  # each says `ready` by itself, quorum or not
        check_one_cluster(cluster)
    finally:
        cluster.__exit__(None, None, None)


@pytest.mark.parametrize(
    "late",
    [pytest.param("n1", marks=pytest.mark.long), pytest.param("n3", marks=pytest.mark.long)],
)
def test_two_of_three_wait_and_say_for_whom(tmp_path: Path, late: str) -> None:
    cluster = Cluster(tmp_path)
    there = sorted({"n1", "n2", "n3"} - {late})
    try:
        cluster.begin(*there)
        for name in there:
            status = cluster.ask(name)
            assert status["strike"]["kind"] == "no_reign"
            assert status["role"] == "follower"
            assert status["leader"] is None
        words = f"no answer yet from {late}" if late != "n1" else "n1, the lowest of the listed"
        cluster.wait_until(lambda: words in cluster.log(there[0]), f"{there[0]} does not say why")
        strike = cluster.ask(there[0])["strike"]
        assert words in strike["why"], strike
        began_s = time.monotonic()
        cluster.stop(there[0])
        assert time.monotonic() - began_s < STOP_S_MAX  # nothing holds up who has nothing
        cluster.begin(there[0], late)
        check_one_cluster(cluster)
    finally:
        cluster.__exit__(None, None, None)


@pytest.mark.slow
def test_different_lists_are_said_and_found_nothing(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, lists={"n3": ["n1", "n3"]})
    try:
        cluster.begin("n1", "n2", "n3")
        words = "n3 lists n1, n3; this node n1, n2, n3: see --peers"
        cluster.wait_until(lambda: words in cluster.log("n1"), "n1 does not say why")
        assert words in cluster.ask("n1")["strike"]["why"]
        for name in cluster.nodes:
            assert cluster.ask(name)["leader"] is None
    finally:
        cluster.__exit__(None, None, None)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(30))
def test_kills_during_genesis_found_no_second_cluster(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    cluster = Cluster(tmp_path)
    try:
        for node in cluster.nodes.values():
            node.start()
        for _ in range(dice.randrange(1, 5)):
            victim = dice.choice(["n1", "n1", "n2", "n3"])
            cluster.nodes[victim].wait_ready()
            a_moment(dice.uniform(0, 0.35))
            cluster.kill(victim)
            a_moment(dice.uniform(0, 0.2))
            cluster.nodes[victim].start()
        for name in cluster.nodes:
            cluster.nodes[name].wait_ready()
        check_one_cluster(cluster)
    finally:
        cluster.__exit__(None, None, None)
