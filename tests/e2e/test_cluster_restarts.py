"""Orderly restarts, hand-over, and nodes that are paused instead of killed (R18, R28, R36)."""

from pathlib import Path

import pytest
import trio
import trio.testing

import rmf
from tests.e2e.cluster import Cluster
from tests.e2e.load import TTL_MS, loaded

thread = trio.to_thread.run_sync


@pytest.mark.parametrize(
    "rounds",
    [pytest.param(1, marks=pytest.mark.long), pytest.param(5, marks=pytest.mark.long)],
)
async def test_a_rolling_restart_fails_no_ack(tmp_path: Path, rounds: int) -> None:
    with Cluster(tmp_path) as cluster:
        addresses = list(cluster.addresses.values())
        async with loaded(addresses, watch=addresses) as load:
            for _ in range(rounds):
                for name in cluster.nodes:
                    await thread(cluster.stop, name)
                    await load.until_acked(50)
                    await thread(cluster.restart, name)
                    await thread(cluster.wait_caught_up, name)
                    await load.until_acked(50)
        books = load.books
        assert books.gaps == []
        assert books.longest_gap_s() < 1.0
        status = await thread(cluster.wait_equal)
        assert status["packets"]["applied"] == books.packets


@pytest.mark.long
async def test_leadership_is_handed_over_on_order(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        addresses = list(cluster.addresses.values())
        async with loaded(addresses, watch=addresses) as load:
            for _ in range(2):
                for name in cluster.nodes:
                    await thread(cluster.admin, "transfer", name)
                    assert await thread(cluster.leader) == name
                    await load.until_acked(20)
            leader = await thread(cluster.leader)
            await thread(cluster.admin, "transfer")
            assert await thread(cluster.leader) != leader
        assert load.books.longest_gap_s() < 1.0
        status = await thread(cluster.wait_equal)
        assert status["packets"]["applied"] == load.books.packets


@pytest.mark.long
async def test_a_paused_leader_acks_nothing_when_it_wakes(tmp_path: Path) -> None:
    """It slept through an election: what it held is refused, and sent to the new leader once."""
    with Cluster(tmp_path) as cluster:
        addresses = list(cluster.addresses.values())
        async with loaded(addresses, watch=addresses) as load:
            for _ in range(3):
                leader = await thread(cluster.leader)
                await thread(cluster.pause, leader)
                await load.until_acked(100)
                await thread(cluster.resume, leader)
                await thread(cluster.wait_caught_up, leader)
        status = await thread(cluster.wait_equal)
        assert status["packets"]["applied"] == load.books.packets


@pytest.mark.long
async def test_a_leader_that_wakes_answers_nothing_old(tmp_path: Path) -> None:
    """A linearizable read that was asked of it while it slept sees what the others acked."""
    with Cluster(tmp_path) as cluster:
        for _ in range(10):
            leader = await thread(cluster.leader)
            others = [cluster.addresses[x] for x in await thread(cluster.followers)]
            got: list[int] = []
            async with (
                rmf.connect([cluster.addresses[leader]]) as sleepy,
                sleepy.watch("#") as watching,
                rmf.connect(others, producer="p") as writer,
                trio.open_nursery() as nursery,
            ):
                first = (await writer.send("count/x", 0, ttl_ms=TTL_MS)).stamp
                assert first is not None
                assert await sleepy.get("count/x", linearizable=True) is not None
                await thread(cluster.pause, leader)
                newest = (await writer.send("count/x", 0, ttl_ms=TTL_MS)).stamp
                assert newest is not None
                assert newest.term > first.term

                async def read() -> None:
                    got.append(await sleepy.get("count/x", linearizable=True))  # noqa: B023

                nursery.start_soon(read)
                await trio.testing.wait_all_tasks_blocked()
                goal = await writer.get("count/x", linearizable=True)
                await thread(cluster.resume, leader)
                async for snapshot in watching:
                    if snapshot.tick >= newest.tick:
                        break
            assert got == [goal]
            await thread(cluster.wait_caught_up, leader)


@pytest.mark.long
async def test_paused_followers_cost_nothing_but_a_majority(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        addresses = list(cluster.addresses.values())
        async with loaded(addresses, watch=[cluster.addresses[cluster.leader()]]) as load:
            one, two = await thread(cluster.followers)
            leader = await thread(cluster.leader)
            await thread(cluster.pause, one)
            await load.until_acked(100)
            term = (await thread(cluster.ask, leader))["term"]
            assert load.books.terms == {term}
            await thread(cluster.pause, two)
            await thread(
                cluster.wait_until,
                lambda: (cluster.ask(leader)["strike"] or {}).get("kind") == "no_reign",
                "it leads without a majority",
            )
            before = load.books.packets
            assert not await load.books.until(lambda: load.books.packets > before, 1.0)
            assert not load.books.shown[-1][3]  # not live
            await thread(cluster.resume, one)
            await load.until_acked(100)
            await thread(cluster.resume, two)
            await load.until_acked(100)
        status = await thread(cluster.wait_equal)
        assert status["packets"]["applied"] == load.books.packets
