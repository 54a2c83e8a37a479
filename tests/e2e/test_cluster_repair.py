"""Damage on one node's disk: its peers have what it lost; meanwhile it promises nothing (R24)."""

import random
from pathlib import Path

import pytest
import trio

from tests.e2e.cluster import Cluster
from tests.e2e.factory import Node, run
from tests.e2e.history import check_same, forget_history, move_on
from tests.e2e.load import loaded

thread = trio.to_thread.run_sync


def flip(path: Path, dice: random.Random, low: float, high: float) -> None:
    """Change one byte somewhere between these shares of what is written in a file."""
    data = bytearray(path.read_bytes())
    used = len(bytes(data).rstrip(b"\0"))
    at = dice.randrange(int(used * low), max(int(used * high), 1))
    data[at] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def ledger_of(cluster: Cluster, name: str) -> Path:
    """The oldest segment of a node's ledger."""
    return min((cluster.data(name) / "ledger").glob("*.seg"))


def is_whole(cluster: Cluster, name: str) -> bool:
    status = cluster.status(name)
    return (
        status is not None
        and status["whole"]
        and not status["strike"]
        and not (cluster.data(name) / "repairing").exists()
    )


@pytest.mark.parametrize(
    "seed",
    [pytest.param(0, marks=pytest.mark.slow)]
    + [pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 8)],
)
async def test_a_damaged_ledger_is_fetched_again(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    with Cluster(tmp_path) as cluster:
        await move_on(cluster, big=2)
        hurt = (await thread(cluster.followers))[0]
        async with loaded(list(cluster.addresses.values())) as load:
            await load.until_acked(100)
            await thread(cluster.kill, hurt)
            flip(ledger_of(cluster, hurt), dice, 0.1, 0.5)
            await load.until_acked(50)
            await thread(cluster.restart, hurt)
            await thread(cluster.wait_until, lambda: is_whole(cluster, hurt), "it stays damaged")
            await load.until_acked(50)
        assert "ledger_damaged" in cluster.log(hurt)
        assert "ledger_set_aside" in cluster.log(hurt)
        await check_same(cluster, letters=10)
        # It counts again: with it, and without another one, there is a majority.
        await thread(cluster.kill, next(x for x in cluster.nodes if x != hurt))
        async with loaded(list(cluster.addresses.values()), 1) as load:
            await load.until_acked(10)


@pytest.mark.long
async def test_who_repairs_itself_does_not_vote(tmp_path: Path) -> None:
    """With the leader gone, a whole node and a damaged one make no majority: what the damaged one
    promised is forgotten."""
    with Cluster(tmp_path) as cluster:
        await move_on(cluster, big=4)
        leader = await thread(cluster.leader)
        hurt, other = await thread(cluster.followers)
        await thread(cluster.kill, hurt)
        await thread(cluster.kill, leader)
        flip(ledger_of(cluster, hurt), random.Random(0), 0.1, 0.5)  # not the unsealed end
        await thread(cluster.restart, hurt)
        term = (await thread(cluster.ask, other))["term"]
        await trio.sleep(2)
        for name in (hurt, other):
            status = await thread(cluster.ask, name)
            assert status["leader"] is None
            assert status["strike"]["kind"] == "no_reign"
            assert status["term"] == term
        assert (cluster.data(hurt) / "repairing").exists()
        assert not (await thread(cluster.ask, hurt))["whole"]
        await thread(cluster.restart, leader)
        await thread(cluster.wait_until, lambda: is_whole(cluster, hurt), "it stays damaged")
        await check_same(cluster, letters=10)


@pytest.mark.long
async def test_a_damaged_node_whose_peers_have_no_history_gets_a_checkpoint(
    tmp_path: Path,
) -> None:
    with Cluster(tmp_path) as cluster:
        await move_on(cluster)
        hurt = (await thread(cluster.followers))[0]
        await thread(cluster.kill, hurt)
        flip(ledger_of(cluster, hurt), random.Random(0), 0.1, 0.5)
        await forget_history(cluster)
        await thread(cluster.restart, hurt)
        await thread(cluster.wait_until, lambda: is_whole(cluster, hurt), "it stays damaged")
        await check_same(cluster, letters=10)


@pytest.mark.long
@pytest.mark.parametrize("history", [True, False])
async def test_damaged_checkpoints_are_passed_over_or_repaired(
    tmp_path: Path, *, history: bool
) -> None:
    """With the whole ledger there, nothing is lost; without, the peers have what is needed."""
    dice = random.Random(0)
    with Cluster(tmp_path) as cluster:
        await move_on(cluster)
        hurt = (await thread(cluster.followers))[0]
        if history:
            await thread(cluster.admin, "checkpoint", hurt)
        else:
            await thread(cluster.forget_history, hurt)
        await thread(cluster.kill, hurt)
        found = list((cluster.data(hurt) / "checkpoints").glob("*.ckpt"))
        assert len(found) == 1 if history else 2
        for path in found:
            flip(path, dice, 0.2, 0.8)
        await thread(cluster.restart, hurt)
        await thread(cluster.wait_until, lambda: is_whole(cluster, hurt), "it stays damaged")
        assert ("checkpoint_damaged" if history else "ledger_set_aside") in cluster.log(hurt)
        await check_same(cluster, letters=10)


@pytest.mark.long
async def test_a_damaged_copy_of_the_vote_is_said_and_does_no_harm(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        hurt = (await thread(cluster.followers))[0]
        await thread(cluster.kill, hurt)
        flip(cluster.data(hurt) / "vote", random.Random(0), 0.1, 0.9)
        await thread(cluster.restart, hurt)
        assert "vote_copy_damaged" in cluster.log(hurt)
        await thread(cluster.wait_until, lambda: is_whole(cluster, hurt), "it stays damaged")
        await thread(cluster.kill, await thread(cluster.leader))
        async with loaded(list(cluster.addresses.values()), 1) as load:
            await load.until_acked(10)


@pytest.mark.long
async def test_damage_found_again_and_again_is_repaired_each_time(tmp_path: Path) -> None:
    dice = random.Random(0)
    with Cluster(tmp_path) as cluster:
        await move_on(cluster, big=2)
        for _ in range(5):
            hurt = dice.choice(list(cluster.nodes))
            await thread(cluster.kill, hurt)
            flip(ledger_of(cluster, hurt), dice, 0.1, 0.5)
            await thread(cluster.restart, hurt)
            if dice.random() < 0.5:  # once more while it repairs itself
                await thread(cluster.kill, hurt)
                await thread(cluster.restart, hurt)
            await thread(cluster.wait_until, lambda: is_whole(cluster, hurt), "it stays damaged")  # noqa: B023
            assert len(list(cluster.data(hurt).glob("damaged-*"))) <= 2
        await check_same(cluster, letters=10)


@pytest.mark.slow
def test_a_lone_node_stops_and_says_where_and_what_to_do(tmp_path: Path) -> None:
    with Node(tmp_path / "data") as node:
        options = ["--producer", "p", "--topic", "t", "--ttl", "1h", "-o", "summary"]
        lines = "".join(f'{{"number": {number}}}\n' for number in range(1000))
        for _ in range(3):  # so that what is damaged is sealed by what stands behind it
            assert run("tools.rmf_send", "-c", node.address, *options, text=lines).returncode == 0
        node.kill()
        segment = min((tmp_path / "data" / "ledger").glob("*.seg"))
        flip(segment, random.Random(0), 0.1, 0.3)
        done = run("rmf", "serve", "--data", tmp_path / "data", "--http", "off")
        assert done.returncode == 1
        assert segment.name in done.stderr
        assert "byte " in done.stderr
        assert "rmf-replay" in done.stderr
