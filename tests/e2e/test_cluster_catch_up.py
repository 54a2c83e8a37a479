"""Nodes that come back by themselves: by Entries or by a Checkpoint (R25, R28, R39)."""

import random
from pathlib import Path

import pytest
import trio

from tests.e2e.cluster import Cluster
from tests.e2e.history import check_same, forget_history, move_on
from tests.e2e.load import loaded
from tools.shaped_links import ShapedLinks

thread = trio.to_thread.run_sync


async def left_behind(cluster: Cluster, big: int = 16) -> str:
    """End a follower, and leave the others no ledger that it could read on from."""
    away: str = (await thread(cluster.followers))[0]
    await thread(cluster.kill, away)
    await move_on(cluster, big=big)
    await forget_history(cluster)
    return away


@pytest.mark.long
async def test_a_follower_that_was_down_reads_on_from_the_ledger(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        away = (await thread(cluster.followers))[0]
        await thread(cluster.kill, away)
        await move_on(cluster)
        await thread(cluster.restart, away)
        await thread(cluster.wait_caught_up, away)
        await check_same(cluster, letters=10)
        assert "core_reloaded" not in cluster.log(away)


@pytest.mark.long
async def test_where_the_ledger_is_gone_a_checkpoint_is_installed(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        away = await left_behind(cluster)
        async with loaded(list(cluster.addresses.values())) as load:
            await thread(cluster.restart, away)
            await thread(cluster.wait_caught_up, away)
            await load.until_acked(200)
        assert "installed" in cluster.log(away)
        await check_same(cluster, letters=10)
        await thread(cluster.kill, away)  # what was installed is on the disk
        await thread(cluster.restart, away)
        await check_same(cluster, letters=10)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8))
async def test_an_install_goes_on_after_kills(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    with Cluster(tmp_path, patience_s=40) as cluster:
        away = await left_behind(cluster, big=60)
        for _ in range(6):
            await thread(cluster.nodes[away].start)
            await trio.sleep(dice.uniform(0.3, 1.2))
            await thread(cluster.kill, away)
        await thread(cluster.restart, away)
        await thread(cluster.wait_caught_up, away)
        await check_same(cluster, letters=10)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
async def test_an_install_goes_on_with_another_leader(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    with Cluster(tmp_path, patience_s=40) as cluster:
        away = await left_behind(cluster, big=60)
        await thread(cluster.nodes[away].start)
        for _ in range(4):
            await trio.sleep(dice.uniform(0.3, 0.8))
            victim = await thread(cluster.leader)
            await thread(cluster.kill, victim)
            await thread(cluster.restart, victim)
        await thread(cluster.wait_caught_up, away)
        await check_same(cluster, letters=10)


@pytest.mark.long
async def test_a_checkpoint_and_what_lies_behind_it_arrive_over_10_mbit(tmp_path: Path) -> None:
    with (
        ShapedLinks(1000, 20) as shaped,
        Cluster(tmp_path, proxies=shaped, patience_s=90) as cluster,
    ):
        away = await left_behind(cluster)
        leader = await thread(cluster.leader)
        size = max(x.stat().st_size for x in (cluster.data(leader) / "checkpoints").iterdir())
        shaped.set(away, 10)
        carried = shaped.carried(away)
        async with loaded(list(cluster.addresses.values())) as load:
            await thread(cluster.restart, away)
            await thread(cluster.wait_caught_up, away)
            await load.until_acked(200)
        assert "installed" in cluster.log(away)
        assert shaped.carried(away) - carried <= 1.5 * size + 2_000_000
        assert await thread(cluster.leader) == leader
        await check_same(cluster, letters=10)
