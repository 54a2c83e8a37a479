"""Nodes that were away come back by themselves: by Entries or a Checkpoint (R25, R28, R39)."""

import random
from pathlib import Path

import pytest
import trio

import rmf
from tests.e2e.cluster import Cluster
from tests.e2e.load import TTL_MS, loaded

thread = trio.to_thread.run_sync
BIG = b"x" * 700_000


async def send(cluster: Cluster, producer: str, *packets: tuple[str, object]) -> list[str]:
    """Send packets; return what became of each."""
    addresses = list(cluster.addresses.values())
    async with rmf.connect(addresses, producer=producer) as factory:
        receipts = await factory.send_many([(*packet, TTL_MS) for packet in packets])
    return [receipt.outcome for receipt in receipts]


async def move_on(cluster: Cluster, big: int = 16, letters: int = 5) -> None:
    """Let the ledger grow by more than a segment, with big cells and letters in it."""
    await send(cluster, "letters", *[("nobody/wants", number) for number in range(letters)])
    await send(cluster, "big", *[(f"store/{number}", BIG) for number in range(big)])
    await send(cluster, "letters", *[("nobody/wants", number) for number in range(letters)])


async def forget_history(cluster: Cluster) -> None:
    """Leave nodes that run nothing but Checkpoints and what follows, in memory neither."""
    names = [name for name, node in cluster.nodes.items() if node.runs]
    for name in names:
        await thread(cluster.forget_history, name)
    for name in names:
        await thread(cluster.kill, name)
    await thread(cluster.begin, *names)


async def check_same(cluster: Cluster, letters: int) -> None:
    """All nodes have the same World and, in time, the same letters."""
    await thread(cluster.wait_equal)

    def complete() -> bool:
        statuses = cluster.statuses()
        return len(statuses) == 3 and all(x["dlq"]["complete"] for x in statuses.values())

    await thread(cluster.wait_until, complete, "letters stay incomplete")
    found = [await thread(cluster.dlq, name) for name in cluster.nodes]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == letters


@pytest.mark.slow
async def test_a_follower_that_was_down_reads_on_from_the_ledger(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        away = (await thread(cluster.followers))[0]
        await thread(cluster.kill, away)
        await move_on(cluster)
        await thread(cluster.restart, away)
        await thread(cluster.wait_caught_up, away)
        await check_same(cluster, letters=10)
        assert "core_reloaded" not in cluster.log(away)


@pytest.mark.slow
async def test_where_the_ledger_is_gone_a_checkpoint_is_installed(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        away = (await thread(cluster.followers))[0]
        await thread(cluster.kill, away)
        await move_on(cluster)
        await forget_history(cluster)
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
        away = (await thread(cluster.followers))[0]
        await thread(cluster.kill, away)
        await move_on(cluster, big=60)
        await forget_history(cluster)
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
        away = (await thread(cluster.followers))[0]
        await thread(cluster.kill, away)
        await move_on(cluster, big=60)
        await forget_history(cluster)
        await thread(cluster.nodes[away].start)
        for _ in range(4):
            await trio.sleep(dice.uniform(0.3, 0.8))
            victim = await thread(cluster.leader)
            await thread(cluster.kill, victim)
            await thread(cluster.restart, victim)
        await thread(cluster.wait_caught_up, away)
        await check_same(cluster, letters=10)
