"""A line rolled out node by node under load, and audits on the nodes that follow (R21)."""

import os
from pathlib import Path
from typing import Any

import pytest
import trio

import rmf
from tests.e2e.cluster import Cluster
from tests.e2e.load import TTL_MS, loaded, world

thread = trio.to_thread.run_sync
LINES = "tests.e2e.rolling"
INLINE = ("--glovebox", "inline")


def versions(cluster: Cluster) -> dict[str, int]:
    return {name: status["line"]["version"] for name, status in cluster.statuses().items()}


def behind(cluster: Cluster) -> set[str]:
    return {name for name, status in cluster.statuses().items() if status["line_behind"]}


async def roll(cluster: Cluster, name: str) -> None:
    """As the README says it: stop, start with the new line, wait until it has caught up."""
    await thread(cluster.stop, name)
    await thread(cluster.give_line, name, f"{LINES}:two")
    await thread(cluster.restart, name)
    await thread(cluster.wait_caught_up, name)


@pytest.mark.slow
async def test_a_line_is_rolled_out_under_load_and_no_ack_fails(tmp_path: Path) -> None:
    """Followers first; with the leader's turn the newer line takes over, and its node leads on."""
    with Cluster(tmp_path, line=f"{LINES}:one", options=[*INLINE, "--audit", "on"]) as cluster:
        addresses = list(cluster.addresses.values())
        leader = await thread(cluster.leader)
        first, second = await thread(cluster.followers)
        async with loaded(addresses) as load:
            await load.until_acked(50)
            await roll(cluster, first)
            await load.until_acked(50)
            # The ledger is still written by version 1: a node that follows with 2 applies it.
            status = await thread(cluster.ask, first)
            assert (status["line"]["version"], status["line"]["ledger"]["version"]) == (2, 1)
            assert not status["line_behind"]
            await thread(cluster.admin, "transfer", first)
            await load.until_acked(50)
            await thread(
                cluster.wait_until, lambda: behind(cluster) == {leader, second}, "two are behind"
            )
            await roll(cluster, leader)
            await load.until_acked(50)
            # n2 or n3 is the last of the old ones: whoever leads now runs the new line.
            assert await thread(behind, cluster) == {second}
            await thread(cluster.kill, first)
            await load.until_acked(50)
            # The one that is behind may lead now, if it alone has the last Entry: for as long as
            # it does the ledger is written by version 1 again, and nothing that is acked is lost.
            await thread(cluster.restart, first)
            await thread(cluster.wait_caught_up, first)
            await roll(cluster, second)
            await load.until_acked(50)
        assert await thread(behind, cluster) == set()
        assert set((await thread(versions, cluster)).values()) == {2}
        found: dict[str, Any] = await world(addresses)
        assert found.pop("version") == 2
        assert found == {f"count/{name}": acked for name, acked in load.books.acked.items()}
        status = await thread(cluster.wait_equal)
        assert status["packets"]["applied"] == load.books.packets
        for name in cluster.nodes:
            assert await thread(cluster.diverged, name) == []
        assert load.books.longest_gap_s() < 2.0


@pytest.mark.slow
@pytest.mark.parametrize("glovebox", [pytest.param("inline", marks=pytest.mark.long), "process"])
async def test_what_comes_out_differently_on_a_follower_is_a_letter_there(
    tmp_path: Path, glovebox: str
) -> None:
    options = ["--glovebox", glovebox, "--audit", "on"]
    with Cluster(tmp_path, line=f"{LINES}:odd", options=options, http=True) as cluster:
        leader = await thread(cluster.leader)
        async with rmf.connect([cluster.addresses[leader]], producer="p") as factory:
            sound = [("count/a", 0, TTL_MS)] * 20
            await factory.send_many([*sound, ("odd/x", 0, TTL_MS), *sound, ("odd/y", 0, TTL_MS)])
            pid = await factory.get("odd/x")
        for name in await thread(cluster.followers):
            await thread(
                cluster.wait_until,
                lambda: len(cluster.diverged(name)) == 2,  # noqa: B023
                "two letters",
            )
            for letter, key in zip(await thread(cluster.diverged, name), "xy", strict=True):
                assert (letter["topic"], letter["stage"]) == (f"odd/{key}", "task")
                assert letter["letter"].startswith(f"{name}:edge:")
                text = letter["error"]["message"]
                assert f"tick {letter['tick']}, slot {letter['slot']}, " in text
                assert f'key "odd/{key}": the ledger has {pid}, run again here it is ' in text
                assert f"it is {pid} " not in text
                assert "in unsound" in letter["error"]["traceback"]
        assert await thread(cluster.diverged, leader) == []
        status = await thread(cluster.wait_equal)  # the ledger's changes stand
        assert status["packets"]["bagged"] == 0
        assert (await thread(cluster.ask, leader))["term"] == status["term"]


@pytest.mark.slow
async def test_an_audit_never_runs_what_killed_the_glove_box(tmp_path: Path) -> None:
    """It was run by those that reigned, and by no audit; what came beside it is compared."""
    options = ["--glovebox", "process", "--audit", "on"]
    trace = tmp_path / "trace"
    with Cluster(tmp_path, line=f"{LINES}:odd", options=options) as cluster:
        leader = await thread(cluster.leader)
        async with rmf.connect([cluster.addresses[leader]], producer="p") as factory:
            kill = ("kill/x", str(trace), TTL_MS)
            await factory.send_many([("count/a", 0, TTL_MS), kill, ("count/a", 0, TTL_MS)])
            await factory.send("odd/x", 0, ttl_ms=TTL_MS)
        for name in await thread(cluster.followers):
            # Samples are taken in order: this one comes behind the poison's.
            await thread(
                cluster.wait_until,
                lambda: [x["topic"] for x in cluster.diverged(name)] == ["odd/x"],  # noqa: B023
                "a letter",
            )
        assert {int(word) for word in trace.read_text().split()} == {os.nice(0)}
        status = await thread(cluster.wait_equal)
        assert status["packets"]["bagged"] == 1
