"""Disks of single nodes that fail, and nodes that are told to strike (R17, R38)."""

import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

import rmf
from tests.e2e.cluster import Cluster
from tests.e2e.history import BIG, send
from tests.e2e.load import loaded

thread = trio.to_thread.run_sync
FAIL_FROM_BYTES = 64


def fail_disk(cluster: Cluster, name: str) -> None:
    """Have every write of a node's process fail from now on, as a full or broken disk would."""
    resource.prlimit(
        cluster.nodes[name].pid, resource.RLIMIT_FSIZE, (FAIL_FROM_BYTES, FAIL_FROM_BYTES)
    )


def is_on_strike(cluster: Cluster, name: str, kind: str) -> bool:
    status = cluster.status(name)
    return status is not None and (status["strike"] or {}).get("kind") == kind


async def check_it_still_answers(cluster: Cluster, name: str, letters: int) -> None:
    """On strike: status, DLQ and the last picture are there, marked as old (R17)."""
    assert len(await thread(cluster.dlq, name)) == letters
    async with (
        rmf.connect([cluster.addresses[name]]) as factory,
        factory.watch("#") as watching,
    ):
        async for snapshot in watching:
            assert not snapshot.live
            assert snapshot.cells
            break


@pytest.mark.parametrize(
    "whose",
    [
        pytest.param("leader", marks=pytest.mark.long),
        pytest.param("follower", marks=pytest.mark.long),
    ],
)
async def test_a_node_whose_disk_fails_strikes_and_the_others_go_on(
    tmp_path: Path, whose: str
) -> None:
    with Cluster(tmp_path) as cluster:
        addresses = list(cluster.addresses.values())
        await send(cluster, "letters", *[("nobody/wants", number) for number in range(5)])
        async with loaded(addresses, watch=addresses) as load:
            leader = await thread(cluster.leader)
            hurt = leader if whose == "leader" else (await thread(cluster.followers))[0]
            fail_disk(cluster, hurt)
            await thread(
                cluster.wait_until, lambda: is_on_strike(cluster, hurt, "disk"), "no strike"
            )
            await load.until_acked(200)
            assert await thread(cluster.leader) != hurt
            await check_it_still_answers(cluster, hurt, 5)

            # It neither votes nor acks: of the other two both are needed now.
            other = next(x for x in await thread(cluster.followers) if x != hurt)
            await thread(cluster.pause, other)
            before = load.books.packets + 15
            assert not await load.books.until(lambda: load.books.packets > before, 1.5)
            await thread(cluster.resume, other)
            await load.until_acked(50)

            await thread(cluster.kill, hurt)
            await thread(cluster.restart, hurt)  # with a disk that is good again
            await thread(cluster.wait_caught_up, hurt)
        status = await thread(cluster.wait_equal)
        assert status["packets"]["applied"] == load.books.packets


@pytest.mark.long
async def test_a_node_strikes_and_works_again_by_order(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        addresses = list(cluster.addresses.values())
        await send(cluster, "letters", *[("nobody/wants", number) for number in range(5)])
        async with loaded(addresses, watch=addresses) as load:
            for _ in range(2):
                leader = await thread(cluster.leader)
                await thread(cluster.admin, "strike", leader, "--why", "a new disk")
                await load.until_acked(100)
                status = await thread(cluster.ask, leader)
                assert status["strike"] == {"kind": "admin", "why": "a new disk"}
                assert await thread(cluster.leader) != leader
                await check_it_still_answers(cluster, leader, 5)
                await thread(cluster.admin, "strike", leader, "--end")
                await thread(cluster.wait_caught_up, leader)
                await load.until_acked(100)
        status = await thread(cluster.wait_equal)
        assert status["packets"]["applied"] == load.books.packets


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 60 MiB, where tests may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.long
async def test_a_leader_whose_disk_fills_up_hands_over_before_it_fails(
    tmp_path: Path, small_disk: Path
) -> None:
    """First there is no room for packets, then for anything: no packet waits for either."""
    full = "n1"
    (small_disk / full).mkdir()
    (tmp_path / full).symlink_to(small_disk / full)
    with Cluster(tmp_path) as cluster:
        await thread(cluster.admin, "transfer", full)
        for number in range(60):
            with trio.fail_after(10):
                assert await send(cluster, "big", ("store/x", BIG + b"%d" % number)) == ["applied"]
            if is_on_strike(cluster, full, "disk"):
                break
        assert "handing_over" in cluster.log(full)
        assert await thread(cluster.leader) != full
        assert is_on_strike(cluster, full, "disk")
        async with rmf.connect([cluster.addresses[full]]) as factory:
            assert (await factory.status())["disk"] == "hard"
