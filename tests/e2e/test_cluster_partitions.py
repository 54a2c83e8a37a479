"""Networks between nodes that cut, stall, delay and corrupt (R28, R36, R42)."""

import random
from pathlib import Path

import pytest
import trio

import rmf
from rmf import limits
from tests.e2e.cluster import Cluster
from tests.e2e.load import TTL_MS, loaded, world
from tests.e2e.proxy import Proxies

thread = trio.to_thread.run_sync


async def check_books(cluster: Cluster, acked: dict[str, int]) -> None:
    """Everything acked was applied once; the disks say the same."""
    status = await thread(cluster.wait_equal)
    assert status["packets"]["applied"] == sum(acked.values())
    cells = await world(list(cluster.addresses.values()))
    assert cells == {f"count/{name}": number for name, number in acked.items()}
    for name in cluster.nodes:
        await thread(cluster.stop, name)
        assert "damaged" not in cluster.log(name)
    for report in (await thread(cluster.replays)).values():
        assert report["identical"]
        assert report["packets"] == sum(acked.values())


@pytest.mark.long
async def test_a_leader_without_a_majority_acks_nothing_and_shows_nothing_as_live(
    tmp_path: Path,
) -> None:
    with Proxies() as proxies, Cluster(tmp_path, proxies=proxies) as cluster:
        addresses = list(cluster.addresses.values())
        async with loaded(addresses, watch=addresses) as load:
            leader = await thread(cluster.leader)
            proxies.isolate(leader)
            await load.until_acked(200)
            status = await thread(cluster.ask, leader)
            assert status["strike"]["kind"] == "no_reign"
            assert status["role"] != "leader"
            async with rmf.connect([cluster.addresses[leader]]) as cut_off:
                async with cut_off.watch("#") as watching:
                    async for snapshot in watching:
                        assert not snapshot.live
                        break
                with trio.move_on_after(1) as patience:
                    await cut_off.send("count/never", 0, ttl_ms=TTL_MS)
                assert patience.cancelled_caught or load.books.packets
            proxies.heal()
            await thread(cluster.wait_caught_up, leader)
            await load.until_acked(100)
        status = await thread(cluster.wait_equal)
        never = await world(addresses)
        acked = dict(load.books.acked)
        if "count/never" in never:  # its client went to another node by itself
            acked["never"] = never["count/never"]
        await check_books(cluster, acked)


@pytest.mark.long
@pytest.mark.parametrize("way", ["deaf", "dumb", "stalled"])
async def test_a_leader_that_is_cut_off_one_way_is_replaced(tmp_path: Path, way: str) -> None:
    with Proxies() as proxies, Cluster(tmp_path, proxies=proxies) as cluster:
        addresses = list(cluster.addresses.values())
        async with loaded(addresses, watch=addresses) as load:
            leader = await thread(cluster.leader)
            for other in await thread(cluster.followers):
                match way:
                    case "deaf":
                        proxies[other, leader].cut = True
                    case "dumb":
                        proxies[leader, other].cut = True
                    case _:
                        proxies[leader, other].stalled = proxies[other, leader].stalled = True
            await load.until_acked(500)
            assert len(load.books.terms) >= 2
            assert await thread(cluster.leader) != leader
            proxies.heal()
            await thread(cluster.wait_caught_up, leader)
            await load.until_acked(100)
        await check_books(cluster, load.books.acked)


@pytest.mark.long
async def test_a_follower_cut_off_from_its_leader_alone_disturbs_no_other(tmp_path: Path) -> None:
    """It hears the third node, which hears the leader: pre-vote and lease keep the term."""
    with Proxies() as proxies, Cluster(tmp_path, proxies=proxies) as cluster:
        async with loaded(list(cluster.addresses.values())) as load:
            leader = await thread(cluster.leader)
            cut = (await thread(cluster.followers))[0]
            term = (await thread(cluster.ask, leader))["term"]
            proxies[leader, cut].cut = proxies[cut, leader].cut = True
            await load.until_acked(300)
            await trio.sleep(2)
            await load.until_acked(300)
            assert (await thread(cluster.ask, leader))["term"] == term
            assert load.books.terms == {term}
            assert (await thread(cluster.ask, cut))["strike"]["kind"] == "no_reign"
            proxies.heal()
            await thread(cluster.wait_caught_up, cut)
            assert (await thread(cluster.ask, leader))["term"] == term
        await check_books(cluster, load.books.acked)


@pytest.mark.parametrize(
    "rounds",
    [pytest.param(1, marks=pytest.mark.long), pytest.param(6, marks=pytest.mark.long)],
)
async def test_corrupted_bytes_end_links_and_damage_nothing(tmp_path: Path, rounds: int) -> None:
    with Proxies(rounds) as proxies, Cluster(tmp_path, proxies=proxies) as cluster:
        async with loaded(list(cluster.addresses.values())) as load:
            for _ in range(rounds):
                for one in cluster.nodes:
                    for other in cluster.nodes:
                        if one != other:
                            proxies[one, other].corrupt_share = 0.02
                await load.until_acked(200, within_s=60)
                await trio.sleep(2)
                proxies.heal()
                # What was corrupted may be a length: the rest of that frame is waited for.
                await load.until_acked(200, within_s=limits.PEER_FRAME_S_MAX + 20)
        assert proxies.corrupted > 5
        await check_books(cluster, load.books.acked)


@pytest.mark.long
@pytest.mark.parametrize("delay_s", [0.01, 0.04])
async def test_slow_links_slow_everything_and_break_nothing(tmp_path: Path, delay_s: float) -> None:
    with Proxies() as proxies, Cluster(tmp_path, proxies=proxies) as cluster:
        addresses = list(cluster.addresses.values())
        async with loaded(addresses, watch=addresses) as load:
            term = (await thread(cluster.ask, await thread(cluster.leader)))["term"]
            for one in cluster.nodes:
                for other in cluster.nodes:
                    if one != other:
                        proxies[one, other].delay_s = delay_s
            await load.until_acked(300)
            assert (await thread(cluster.ask, await thread(cluster.leader)))["term"] == term
        proxies.heal()
        await check_books(cluster, load.books.acked)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
async def test_a_network_gone_mad_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    with Proxies(seed) as proxies, Cluster(tmp_path, proxies=proxies, patience_s=40) as cluster:
        addresses = list(cluster.addresses.values())
        async with loaded(addresses, watch=addresses) as load:
            for _ in range(12):
                for one in cluster.nodes:
                    for other in cluster.nodes:
                        if one != other:
                            link = proxies[one, other]
                            link.cut = dice.random() < 0.3
                            link.stalled = dice.random() < 0.2
                            link.delay_s = dice.choice([0, 0, 0, 0.005, 0.05])
                            link.corrupt_share = dice.choice([0, 0, 0.05])
                if dice.random() < 0.3:
                    name = dice.choice(list(cluster.nodes))
                    await thread(cluster.kill, name)
                    await thread(cluster.restart, name)
                await trio.sleep(dice.uniform(0.1, 2))
                if dice.random() < 0.4:
                    proxies.heal()
                    await load.until_acked(20)
            proxies.heal()
            await load.until_acked(100)
        await check_books(cluster, load.books.acked)
