"""Members come, go, are wiped and come back, under load (R28, R29)."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from tests.e2e.cluster import Cluster
from tests.e2e.load import loaded, world
from tools.bench_cluster import free_ports

thread = trio.to_thread.run_sync


def voters(cluster: Cluster, name: str) -> dict[str, bool]:
    """Who votes and who does not, as a node says."""
    return {m["node"]: m["voter"] for m in cluster.ask(name)["members"]}


async def add_node(
    cluster: Cluster, name: str, ports: list[int] | None = None, options: Sequence[str] = ()
) -> None:
    """Start a new node and admit it."""
    client, peer = ports or free_ports(2)
    cluster.new_node(name, f"127.0.0.1:{client}", f"127.0.0.1:{peer}", *options)
    await thread(cluster.begin, name)
    await thread(cluster.admin, "add", name, f"127.0.0.1:{peer}")


@pytest.mark.long
async def test_a_wiped_node_is_refused_until_it_is_admitted_again(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        addresses = list(cluster.addresses.values())
        async with loaded(addresses, 1) as load:
            wiped = (await thread(cluster.followers))[0]
            await thread(cluster.kill, wiped)
            await thread(cluster.wipe, wiped)
            await thread(cluster.restart, wiped)

            def says_why() -> bool:
                status = cluster.status(wiped)
                return status is not None and f"rmf-admin add {wiped}" in status["strike"]["why"]

            await thread(cluster.wait_until, says_why, "it does not say why")
            assert f"rmf-admin add {wiped}" in cluster.log(wiped)
            other = next(x for x in await thread(cluster.followers) if x != wiped)
            assert voters(cluster, other) == dict.fromkeys(cluster.nodes, True)

            # Two of three: without the other one nothing can be committed, for it has no vote.
            await thread(cluster.pause, other)
            before = load.books.packets + 5  # some may be on their way
            assert not await load.books.until(lambda: load.books.packets > before, 1.5)
            await thread(cluster.resume, other)

            await thread(cluster.admin, "add", wiped, cluster.peer_addresses[wiped])
            await load.until_acked(50)
            await thread(cluster.wait_caught_up, wiped)
        await thread(cluster.wait_equal)
        assert voters(cluster, wiped) == dict.fromkeys(cluster.nodes, True)
        await thread(cluster.kill, other)  # now its vote is good
        async with loaded(addresses, 1) as load:
            await load.until_acked(10)


@pytest.mark.long
async def test_nodes_are_added_and_removed_under_load(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        addresses = list(cluster.addresses.values())
        async with loaded(addresses, watch=addresses) as load:
            await add_node(cluster, "n4")
            await load.until_acked(50)
            await add_node(cluster, "n5")
            await load.until_acked(50)
            assert voters(cluster, "n5") == dict.fromkeys(cluster.nodes, True)

            # Five bear the loss of two.
            lost = (await thread(cluster.followers))[:2]
            for name in lost:
                await thread(cluster.kill, name)
            await load.until_acked(50)
            for name in lost:
                await thread(cluster.restart, name)
                await thread(cluster.wait_caught_up, name)

            leader = await thread(cluster.leader)
            await thread(cluster.admin, "remove", leader)  # it commits its own removal, and goes
            await load.until_acked(50)
            others = [name for name in cluster.nodes if name != leader]
            new = await thread(cluster.leader)
            assert new != leader
            assert set(voters(cluster, new)) == set(others)

            # Who was removed cannot disturb, though it still runs.
            term = cluster.ask(new)["term"]
            await trio.sleep(2)
            assert cluster.ask(new)["term"] == term
            status = cluster.ask(leader)
            assert status["role"] != "leader"
            assert status["strike"]["kind"] == "no_reign"
            await load.until_acked(50)

            follower = next(name for name in others if name != new)
            await thread(cluster.admin, "remove", follower)
            await load.until_acked(50)
            await thread(cluster.stop, follower)
            await thread(cluster.stop, leader)
            del cluster.nodes[follower], cluster.nodes[leader]
            await thread(cluster.kill, new)  # three are left, and bear the loss of one
            await load.until_acked(50)
            await thread(cluster.restart, new)
            await thread(cluster.wait_caught_up, new)
        status = await thread(cluster.wait_equal)
        assert status["packets"]["applied"] == load.books.packets
        left = [cluster.addresses[name] for name in cluster.nodes]
        assert await world(left) == {f"count/{k}": v for k, v in load.books.acked.items()}


@pytest.mark.long
async def test_a_removed_node_comes_back_empty_and_as_it_was(tmp_path: Path) -> None:
    """Under its old name: with the directory it had, and with a new one."""
    with Cluster(tmp_path) as cluster:
        addresses = list(cluster.addresses.values())
        async with loaded(addresses, 1) as load:
            for wipe in (False, True):
                gone = (await thread(cluster.followers))[0]
                await thread(cluster.admin, "remove", gone)
                await load.until_acked(20)
                await thread(cluster.stop, gone)
                if wipe:
                    await thread(cluster.wipe, gone)
                await thread(cluster.restart, gone)
                await load.until_acked(20)
                await thread(cluster.admin, "add", gone, cluster.peer_addresses[gone])
                await thread(cluster.wait_caught_up, gone)
        await thread(cluster.wait_equal)
        assert voters(cluster, gone) == dict.fromkeys(cluster.nodes, True)


@pytest.mark.long
async def test_a_lone_factory_grows_to_three(tmp_path: Path) -> None:
    """`rmf serve --peer-listen`, used for a while, then `rmf-admin add`."""
    with Cluster(tmp_path, nodes=1) as cluster:
        ports = free_ports(4)
        addresses = [*cluster.addresses.values(), *[("127.0.0.1", port) for port in ports[:2]]]
        async with loaded(addresses, watch=addresses) as load:
            await load.until_acked(500)
            await add_node(cluster, "n2", ports[::2])
            await load.until_acked(100)
            await add_node(cluster, "n3", ports[1::2])
            await load.until_acked(100)
            await thread(cluster.wait_caught_up, "n3")
            await thread(cluster.kill, "n1")
            await load.until_acked(100)
            await thread(cluster.restart, "n1")
            await thread(cluster.wait_caught_up, "n1")
        status = await thread(cluster.wait_equal)
        assert status["packets"]["applied"] == load.books.packets
        assert voters(cluster, "n1") == dict.fromkeys(cluster.nodes, True)
