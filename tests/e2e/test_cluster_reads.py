"""What any node answers: current reads, Ticks of long ago, health over HTTP (R31, R36, R37)."""

import urllib.error
import urllib.request
from pathlib import Path

import pytest
import trio

import rmf
from tests.e2e.cluster import Cluster
from tests.e2e.load import TTL_MS, Load, loaded

thread = trio.to_thread.run_sync


@pytest.mark.parametrize(
    "writes",
    [pytest.param(50, marks=pytest.mark.long), pytest.param(1000, marks=pytest.mark.long)],
)
async def test_a_linearizable_get_by_any_node_sees_every_acked_write(
    tmp_path: Path, writes: int
) -> None:
    """Also while leadership changes hands."""
    with Cluster(tmp_path) as cluster:
        addresses = cluster.addresses.values()
        async with rmf.connect(list(addresses), producer="writer") as writer:
            for number in range(1, writes + 1):
                await writer.send("count/x", 0, ttl_ms=TTL_MS)
                if not number % 20:
                    await thread(cluster.admin, "transfer")
                reader = list(addresses)[number % 3]
                async with rmf.connect([reader]) as factory:
                    assert await factory.get("count/x", linearizable=True) == number
        followers = await thread(cluster.followers)
        async with rmf.connect([cluster.addresses[followers[0]]]) as factory:
            assert await factory.get("count/none", linearizable=True) is None


@pytest.mark.long
async def test_every_tick_is_sent_by_a_follower_from_long_ago(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        addresses = list(cluster.addresses.values())
        async with loaded(addresses, 2) as load:
            await load.until_acked(1000)
        follower = (await thread(cluster.followers))[0]
        late = Load([cluster.addresses[follower]])
        goal = {f"count/{name}": acked for name, acked in load.books.acked.items()}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(late.logger, [cluster.addresses[follower]], 0)
            assert await late.books.until(lambda: late.books.counted == goal, 20)
            nursery.cancel_scope.cancel()
        assert late.books.gaps == []
        ticks = {tick for _, tick, _ in load.books.stamps}
        assert {tick for tick, _, _ in late.books.logged} == ticks


def ask_http(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


@pytest.mark.long
async def test_health_is_served_over_http_by_leader_followers_and_who_is_left(
    tmp_path: Path,
) -> None:
    with Cluster(tmp_path, http=True) as cluster:
        http = {f"n{number}": port for number, port in cluster.http.items()}
        leader = await thread(cluster.leader)
        await thread(cluster.wait_equal)
        for name, port in http.items():
            assert (await thread(ask_http, port, "/livez"))[0] == 200
            assert (await thread(ask_http, port, "/readyz"))[0] == 200
            code, _ = await thread(ask_http, port, "/leader")
            assert (code == 200) == (name == leader), (name, code)
            code, text = await thread(ask_http, port, "/metrics")
            assert code == 200
            assert "rmf_" in text
        gone = await thread(cluster.followers)
        for name in gone:
            await thread(cluster.kill, name)

        def not_ready() -> bool:
            return ask_http(http[leader], "/readyz")[0] == 503

        await thread(cluster.wait_until, not_ready, "it stays ready without a majority")
        assert (await thread(ask_http, http[leader], "/livez"))[0] == 200
        assert (await thread(ask_http, http[leader], "/leader"))[0] != 200
        for name in gone:
            await thread(cluster.restart, name)

        def ready() -> bool:
            return all(ask_http(port, "/readyz")[0] == 200 for port in http.values())

        await thread(cluster.wait_until, ready, "they do not get ready")
        leaders = [n for n, p in http.items() if ask_http(p, "/leader")[0] == 200]
        assert leaders == [await thread(cluster.leader)]
