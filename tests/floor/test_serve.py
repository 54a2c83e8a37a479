"""A whole node: how it starts, and how it stops in order (R18)."""

import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from rmf import config
from rmf.core import messages as m
from rmf.errors import DirectoryInUse, ForeignDirectory
from rmf.floor.boxes.line_front import LineFront
from rmf.floor.serve import Node
from rmf.interpreter import interpreter
from tests.floor.factory import bystander, factory, lose_dlq, segments
from tests.floor.process import a_process, refused
from tests.floor.wire import PATIENCE_S, packet


def node_of(flags: dict[str, str | None]) -> Node:
    settled = config.load({"glovebox": "inline", **flags}, {})
    return Node(settled, LineFront(settled))


pytestmark = pytest.mark.slow


async def test_it_says_where_it_listens_and_welcome_says_the_same(tmp_path: Path) -> None:
    with a_process(tmp_path) as node:
        probe = await node.producer("probe")
        status = await probe.status()
        address = f"127.0.0.1:{node.address[1]}"
        assert node.ready == {
            "event": "ready",
            "node": "n1",
            "listen": address,
            "peer_listen": None,
            "http": None,
            "data": str(tmp_path),
        }
        assert [member["address"] for member in status["members"]] == [address]
        again = await node.connect()
        assert (await again.hello("probe")).facts["leader"] == address
        node.popen.send_signal(signal.SIGTERM)
        code, _ = await node.ended()
        assert code == 0


async def test_it_says_which_interpreter_it_runs_on(tmp_path: Path) -> None:
    with a_process(tmp_path) as node:
        status = await (await node.producer("probe")).status()
        assert status["interpreter"] == interpreter()
        node.popen.send_signal(signal.SIGTERM)
        _, log = await node.ended()
    (said,) = (row for row in log if row["event"] == "starting")
    assert (said["interpreter"], said["of"]) == (interpreter(), sys.executable)


async def test_the_address_for_clients_may_be_another(tmp_path: Path) -> None:
    async with factory(tmp_path, advertise="gate.example:7410") as node:
        client = await node.connect()
        assert (await client.hello()).facts["leader"] == "gate.example:7410"


async def test_a_directory_in_use_is_refused_and_the_node_in_it_does_not_notice(
    tmp_path: Path,
) -> None:
    async with factory(tmp_path) as node, bystander(node):
        flags: dict[str, str | None] = {"data": str(tmp_path), "listen": "127.0.0.1:0"}
        with pytest.raises(DirectoryInUse, match=rf"in use by the process {os.getpid()}\. Stop"):
            node_of(flags)
        code, said = await trio.to_thread.run_sync(refused, tmp_path)
        assert code == 1
        assert f"{tmp_path} is in use by the process {os.getpid()}" in said


@pytest.mark.long
async def test_the_directory_of_another_node_is_refused(tmp_path: Path) -> None:
    async with factory(tmp_path / "n1") as node:
        await (await node.producer("probe")).produce("cell/a")
        assert await node.stop() == 0
    before = {path: path.read_bytes() for path in segments(tmp_path / "n1")}
    code, said = await trio.to_thread.run_sync(refused, tmp_path / "n1", "--node", "n2")
    assert code == 1
    assert "belongs to node 'n1'" in said
    assert "Start with --node n1, or name another directory with --data" in said
    assert {path: path.read_bytes() for path in segments(tmp_path / "n1")} == before


async def test_a_copy_of_a_members_directory_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """R28: it would vote and ack as if it remembered what was promised since."""
    async with factory(tmp_path / "n1") as node:
        await (await node.producer("probe")).produce("cell/a")
        assert await node.stop() == 0
    shutil.copytree(tmp_path / "n1", tmp_path / "copy")
    peers = ("--peers", "n1=127.0.0.1:1,n2=127.0.0.1:2", "--peer-listen", "127.0.0.1:0")
    code, said = await trio.to_thread.run_sync(refused, tmp_path / "copy", *peers)
    assert code == 1
    assert "is a copy of the data of 'n1'" in said
    assert "`rmf-admin add n1 HOST:PORT`" in said


@pytest.mark.long
async def test_parts_of_another_cluster_are_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        async with factory(tmp_path / name) as node:
            await (await node.producer("probe")).produce("cell/a", "raises")
            await node.stop()
    for part in ("dlq.sqlite", "ledger"):
        mixed = tmp_path / f"mixed-{part}"
        shutil.copytree(tmp_path / "one", mixed)
        if part == "ledger":
            shutil.rmtree(mixed / part)
            shutil.copytree(tmp_path / "other" / part, mixed / part)
        else:
            lose_dlq(mixed)
            shutil.copy(tmp_path / "other" / part, mixed / part)
        with pytest.raises(ForeignDirectory, match="cluster"):
            node_of({"data": str(mixed), "listen": "127.0.0.1:0"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lisen = '127.0.0.1:0'\n", "did you mean listen?"),
        ("listen = 7410\n", "listen"),
        ("ingest_depth = 0\n", "expected"),
        ("tick = '1 fortnight'\n", "tick"),
        ("this is no TOML\n", "line 1"),
        ("node = 'n1'\nnode = 'n2'\n", "line 2"),
        (None, "no such file"),
        (b"\xff\xfe", "rmf.toml"),
    ],
    ids=range(8),
)
async def test_a_configuration_that_cannot_be_read_is_said_and_nothing_is_made(
    tmp_path: Path, text: str | bytes | None, words: str
) -> None:
    file = tmp_path / "rmf.toml"
    if text is not None:
        file.write_bytes(text.encode() if isinstance(text, str) else text)
    data = tmp_path / "data"
    code, said = await trio.to_thread.run_sync(refused, data, "--config", str(file))
    assert code == 2
    assert words.lower() in said.lower()
    assert "Traceback" not in said
    assert not data.exists()


# --- Stop -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """Goaway to all, the last acks delivered, letters stored, exit 0, and nothing acked is lost."""
    with a_process(tmp_path) as node:
        display = await node.connect()
        await display.hello()
        await display.say(m.Subscribe(1, ["#"], {}))
        await display.expect(m.Snapshot)
        probe = await node.producer("probe")
        for seq in range(1, 301):
            await probe.send(packet(seq, "count" if seq % 3 else "raises"))
        await probe.expect(m.Ack)
        node.popen.send_signal(number)
        said = await probe.rest()
        assert [x.code for x in said if isinstance(x, m.Goaway)] == ["stopping"]
        acked = {
            run.seq + i
            for x in said
            if isinstance(x, m.Ack)
            for run in x.runs
            for i in range(run.packets)
        }
        refused_seqs = [x.seq for x in said if isinstance(x, m.Refuse)]
        assert any(isinstance(x, m.Goaway) for x in await display.rest())
        code, log = await node.ended()
        assert code == 0
        assert [row["event"] for row in log if row["level"] == "error"] == []
    last = max(acked)
    assert all(seq > last for seq in refused_seqs)
    async with factory(tmp_path) as again:
        back = await again.producer("probe")
        assert back.last_seq == last
        assert await back.get("count") == sum(1 for seq in range(1, last + 1) if seq % 3)
        letters = again.letters("handler_error")
        assert [x.seq for x in letters] == [seq for seq in range(1, last + 1) if not seq % 3]


async def test_while_it_stops_nothing_is_taken_in(tmp_path: Path) -> None:
    async with factory(tmp_path) as node:
        probe = await node.producer("probe")
        await probe.produce("cell/a")
        deaf = await node.display("#")  # it keeps the node waiting for a moment
        await deaf.expect(m.Snapshot)
        os.kill(os.getpid(), signal.SIGTERM)
        goaway = await probe.expect(m.Goaway)
        assert (goaway.code, goaway.hold_off_ms) == ("stopping", 200)
        with suppress(trio.BrokenResourceError):
            await probe.send(packet(2, "cell/late"))
        said = await probe.rest()
        assert {x.code for x in said if isinstance(x, m.Refuse)} <= {"stopping"}
        assert not any(isinstance(x, m.Ack) for x in said)
        await node.ended()
        assert node.exit_code == 0
    async with factory(tmp_path) as again:
        assert (await again.producer("probe")).last_seq == 1


async def test_a_second_signal_exits_at_once_and_loses_nothing_acked(tmp_path: Path) -> None:
    with a_process(tmp_path) as node:
        probe = await node.producer("probe")
        await probe.produce("cell/a", "raises")
        deaf = await node.producer("deaf")
        await deaf.send(packet(1, "keep/big", payload="x" * 800_000))
        for i in range(20):  # what it does not read holds up the goodbye
            await deaf.say(m.Get(i, "keep/big", False))
        node.popen.send_signal(signal.SIGTERM)
        await probe.expect(m.Goaway)
        node.popen.send_signal(signal.SIGTERM)
        code, _ = await node.ended()
        assert code in {0, 128 + signal.SIGTERM}
    async with factory(tmp_path) as again:
        back = await again.producer("probe")
        assert (back.last_seq, await back.get("cell/a")) == (2, 1)


_LASTING = """
import atexit
import os
import sys

from tests.floor.lines import shop as line


class Large:
    def __del__(self, write=os.write):
        write(2, b"it was taken apart")


sys.large = Large()
atexit.register(print, "the end", file=sys.stderr)
"""


async def test_its_memory_is_left_to_the_system_and_exit_functions_run(tmp_path: Path) -> None:
    """To take a World of a million cells apart took Python longer than all of the stop."""
    file = tmp_path / "lasting.py"
    file.write_text(_LASTING)
    with a_process(tmp_path / "data", "--line", f"{file}:line") as node:
        node.popen.send_signal(signal.SIGTERM)
        with trio.fail_after(PATIENCE_S):
            _, said = await trio.to_thread.run_sync(node.popen.communicate, abandon_on_cancel=True)
        assert node.popen.returncode == 0
    assert said.endswith("the end\n")
    assert "taken apart" not in said
