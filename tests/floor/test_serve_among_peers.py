"""A whole node with HTTP, and one whose peers are not there: it listens, and says what it waits for
(R17, R29, R36)."""

import signal
from pathlib import Path
from typing import Any

import pytest
import trio

from rmf import limits
from rmf.core import messages as m
from rmf.core.entry import Member
from rmf.storage.directory import DataDirectory
from rmf.storage.genesis_draft import write_draft
from tests.floor.factory import Factory, factory
from tests.floor.http_kit import Answer, Caller
from tests.floor.process import a_process

pytestmark = pytest.mark.slow

NOBODY = "n1=127.0.0.1:1,n2=127.0.0.1:2,n3=127.0.0.1:3"
AMONG_PEERS = {"http": "127.0.0.1:0", "peers": NOBODY, "peer_listen": "127.0.0.1:0"}


async def get(node: Factory, path: str) -> Answer:
    """Ask the node's HTTP port."""
    host, port = node.ready["http"].rsplit(":", 1)
    caller = Caller(await trio.open_tcp_stream(host, int(port)))
    async with caller.stream:
        return await caller.ask(path)


# --- HTTP -----------------------------------------------------------------------------------------


async def test_a_lone_node_is_live_ready_and_leads(tmp_path: Path) -> None:
    async with factory(tmp_path, http="127.0.0.1:0") as node:
        await (await node.producer("probe")).produce("cell/a", "raises")
        assert (await get(node, "/livez")).body == "live\n"
        assert (await get(node, "/readyz")).body == "ready\n"
        leader = await get(node, "/leader")
        assert (leader.status, leader.body[:9]) == (200, "n1 reigns")
        metrics = await get(node, "/metrics")
        assert metrics.status == 200
        for line in ("rmf_packets_latched_total 2.0", "rmf_packets_unaccounted 0.0"):
            assert line in metrics.body.splitlines()
        assert (await get(node, "/")).status == 404


async def test_without_http_there_is_no_such_port(tmp_path: Path) -> None:
    async with factory(tmp_path) as node:
        assert (node.ready["http"], node.ready["peer_listen"]) == (None, None)


async def test_a_node_on_strike_lives_and_is_not_ready(tmp_path: Path) -> None:
    async with factory(tmp_path, http="127.0.0.1:0") as node:
        wire = await node.client()
        await wire.say(m.Query(7, "admin.strike", {"why": "to look at it"}))
        await wire.expect_where(m.End, lambda x: x.request == 7)
        live = await get(node, "/livez")
        assert (live.status, live.body) == (200, "live, on strike: admin: to look at it\n")
        ready = await get(node, "/readyz")
        assert ready.status == 503
        assert "[-]no_strike failed: admin: to look at it" in ready.body


# --- Peers that are not there ---------------------------------------------------------------------


async def waits(node: Factory, words: str) -> dict[str, Any]:
    """Return the status once it says in these words what the node waits for."""
    return await node.status_when(lambda x: x["strike"] is not None and words in x["strike"]["why"])


async def test_a_node_whose_peers_are_not_there_listens_and_says_for_whom_it_waits(
    tmp_path: Path,
) -> None:
    began = trio.current_time()
    async with factory(tmp_path, **AMONG_PEERS) as node:
        assert trio.current_time() - began < limits.ACCESSION_S_MAX + 2
        assert node.ready["peer_listen"] is not None
        status = await waits(node, "n2")
        assert status["strike"]["kind"] == "no_reign"
        assert (status["leader"], status["index"], status["world"]["cells"]) == (None, 0, 0)
        assert (await get(node, "/livez")).status == 200
        ready = await get(node, "/readyz")
        assert ready.status == 503
        assert "[-]no_strike failed: no_reign: " in ready.body
        assert "[-]leader_known failed" in ready.body
        assert (await get(node, "/leader")).status == 503
        probe = await node.connect()
        await probe.greet("probe")
        (refusal,) = await probe.rest()
        assert isinstance(refusal, m.Refuse)
        assert refusal.code == "no_reign"
        display = await node.client()
        await display.say(m.Get(1, "cell/a", False))
        value = await display.expect(m.Value)
        assert (value.cell, value.live) == (None, False)
        assert await node.stop() == 0
    assert not (tmp_path / "ledger").is_dir() or not list((tmp_path / "ledger").glob("*.seg"))


async def test_a_member_without_a_majority_shows_what_it_has_and_takes_nothing_in(
    tmp_path: Path,
) -> None:
    """It founded a cluster, and the others never came: Genesis waits for a majority."""
    directory = DataDirectory.open(tmp_path, node="n1", found=False)
    members = [
        Member("n1", directory.incarnation, "127.0.0.1:1"),
        Member("n2", b"2" * 16, "127.0.0.1:2"),
        Member("n3", b"3" * 16, "127.0.0.1:3"),
    ]
    write_draft(tmp_path, b"c" * 16, members)
    directory.found(b"c" * 16)
    directory.close()
    async with factory(tmp_path, **AMONG_PEERS) as node:
        status = await node.status_when(lambda x: len(x["members"]) == 3)
        assert status["strike"]["kind"] == "no_reign"
        assert (status["index"], status["commit"], status["applied"]) == (1, 0, 0)
        await trio.sleep(3 * limits.ELECTION_NS_MAX / limits.SECOND)
        again = await node.status_when(lambda _: True)
        assert again["term"] == status["term"]  # a pre-vote that nobody answers raises no term
        refused = await node.connect()
        await refused.greet("probe")
        (refusal,) = await refused.rest()
        assert isinstance(refusal, m.Refuse)
        assert refusal.code == "no_reign"
        assert await node.stop() == 0


async def test_a_signal_ends_a_process_that_waits_for_its_peers(tmp_path: Path) -> None:
    options = ["--peers", NOBODY, "--peer-listen", "127.0.0.1:0"]
    with a_process(tmp_path, *options) as node:
        assert node.ready["peer_listen"].startswith("127.0.0.1:")
        wire = await node.connect()
        await wire.hello()
        assert (await wire.status())["strike"]["kind"] == "no_reign"
        node.popen.send_signal(signal.SIGTERM)
        assert [x.code for x in await wire.rest() if isinstance(x, m.Goaway)] == ["stopping"]
        code, log = await node.ended()
        assert code == 0
        assert [row["event"] for row in log if row["level"] == "error"] == []


async def test_a_member_among_its_peers_is_no_lone_node_again(tmp_path: Path) -> None:
    """A lone node that is started with `--peers` later stays what its ledger says: alone."""
    async with factory(tmp_path) as node:
        await (await node.producer("probe")).produce("keep/a")
        assert await node.stop() == 0
    async with factory(tmp_path, **AMONG_PEERS) as node:
        status = await node.status_when(lambda x: x["strike"] is None)
        assert (status["role"], [x["node"] for x in status["members"]]) == ("leader", ["n1"])
        again = await node.producer("probe")
        assert (again.last_seq, await again.get("keep/a")) == (1, 1)
