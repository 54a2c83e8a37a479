"""kill -9 of leaders and of whole clusters under load: nothing is lost, nothing applied twice.

R2, R3, R32, R33, R36, R37. What producers were acked, what displays saw, and what lies on the disks
is compared afterwards.
"""

import random
from pathlib import Path

import pytest
import trio

import rmf
from tests.e2e.cluster import Cluster
from tests.e2e.load import Books, loaded, world

thread = trio.to_thread.run_sync


async def compare(cluster: Cluster, books: Books) -> None:
    """All books say the same: the acks, the counters in the World, status, disks."""
    status = await thread(cluster.wait_equal)
    cells = await world(list(cluster.addresses.values()))
    assert cells == {f"count/{name}": acked for name, acked in books.acked.items()}
    packets = status["packets"]
    assert packets["latched"] == packets["applied"] == books.packets
    assert packets["bagged"] == 0
    for name in cluster.nodes:
        await thread(cluster.stop, name)
    reports = await thread(cluster.replays)
    for report in reports.values():
        del report["packets_per_s"]
        assert report["identical"]
        assert report["packets"] == books.packets
    first, *others = reports.values()
    assert all(report["digest"] == first["digest"] for report in others)


@pytest.mark.parametrize(
    "kills",
    [pytest.param(3, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.long)],
)
async def test_users_carry_on_when_leaders_are_killed(tmp_path: Path, kills: int) -> None:
    with Cluster(tmp_path) as cluster:
        addresses = list(cluster.addresses.values())
        async with loaded(addresses, watch=addresses) as load:
            for _ in range(kills):
                leader = await thread(cluster.leader)
                await thread(cluster.kill, leader)
                await load.until_acked(300)
                await thread(cluster.restart, leader)
                await thread(cluster.wait_caught_up, leader)
        books = load.books
        assert len(books.terms) >= kills + 1
        assert books.gaps == []
        assert {term for _, _, term, live in books.shown if live} >= books.terms
        assert any(not live for _, _, _, live in books.shown)
        await compare(cluster, books)


@pytest.mark.parametrize(
    "kills",
    [pytest.param(2, marks=pytest.mark.long), pytest.param(25, marks=pytest.mark.long)],
)
async def test_nothing_acked_is_lost_when_all_nodes_are_killed_at_once(
    tmp_path: Path, kills: int
) -> None:
    """In every second round they are killed again while they come back."""
    dice = random.Random(kills)
    with Cluster(tmp_path) as cluster:
        addresses = list(cluster.addresses.values())
        async with loaded(addresses, watch=addresses) as load:
            for number in range(kills):
                await load.until_acked(dice.randrange(1, 300))
                for name in cluster.nodes:
                    await thread(cluster.kill, name)
                for _ in range(number % 2 * 2):
                    for node in cluster.nodes.values():
                        await thread(node.start)
                    await trio.sleep(dice.random())
                    for name in cluster.nodes:
                        await thread(cluster.kill, name)
                await thread(cluster.begin, *cluster.nodes)
        await compare(cluster, load.books)


@pytest.mark.parametrize(
    "rounds",
    [pytest.param(1, marks=pytest.mark.long), pytest.param(4, marks=pytest.mark.long)],
)
async def test_a_cell_ages_on_while_leaders_are_killed(tmp_path: Path, rounds: int) -> None:
    """R6, R9: it goes when its shelf life is over, however many reigns that took."""
    ttl_s = 3.0 * rounds
    with Cluster(tmp_path) as cluster:
        addresses = list(cluster.addresses.values())
        async with rmf.connect(addresses, producer="p") as factory, factory.watch("#") as watching:
            await factory.send("store/x", 1, ttl_ms=round(ttl_s * 1000))
            born_s = trio.current_time()
            for _ in range(rounds):
                leader = await thread(cluster.leader)
                await thread(cluster.kill, leader)
                assert await factory.get("store/x", linearizable=True) == 1
                await thread(cluster.restart, leader)
            async for snapshot in watching:
                if "store/x" not in snapshot.cells:
                    break
            age_s = trio.current_time() - born_s
        assert ttl_s - 0.1 < age_s < ttl_s + 1
        assert len({status["term"] for status in cluster.statuses().values()}) == 1
        assert 'age_unknown": true' not in "".join(cluster.log(name) for name in cluster.nodes)
