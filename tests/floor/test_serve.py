"""A whole node: how it starts, stops, is killed and comes back."""

import os
import resource
import shutil
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import cbor2
import pytest
import trio

from rmf import config, limits
from rmf.core import messages as m
from rmf.core.effects import RecordDraft
from rmf.core.events import CheckpointAsked, Disk
from rmf.core.record import SEAL
from rmf.errors import DirectoryInUse, ForeignDirectory
from rmf.floor.serve import Node, boot_id
from rmf.storage.directory import DataDirectory
from rmf.storage.ledger import LedgerWriter
from rmf.storage.scan import LedgerScan
from rmf.storage.segments import GENESIS
from tests.floor.factory import Factory, bystander, factory, letters_in
from tests.floor.process import a_process, a_process_on_a_small_disk, can_mount, refused
from tests.floor.wire import Wire, packet, until
from tests.storage.ledger_kit import data_end_of, overwrite

pytestmark = pytest.mark.slow


def segments(data: Path) -> list[Path]:
    return sorted((data / "ledger").glob("*.seg"))


async def picture(node: Factory, *filters: str) -> dict[str, Any]:
    """What a display sees first."""
    display = await node.display(*(filters or ("#",)))
    snapshot = await display.expect(m.Snapshot)
    assert (snapshot.kind, snapshot.more) == (m.FULL, False)
    return {cell.key: cbor2.loads(cell.value) for cell in snapshot.cells}


# --- Start ------------------------------------------------------------------------------------


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
            Node(config.load(flags, {}))
        code, said = await trio.to_thread.run_sync(refused, tmp_path)
        assert code == 1
        assert f"{tmp_path} is in use by the process {os.getpid()}" in said


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
            Node(config.load({"data": str(mixed), "listen": "127.0.0.1:0"}, {}))


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


# --- Killed and back --------------------------------------------------------------------------


async def test_a_node_that_was_killed_has_everything_that_was_acked(tmp_path: Path) -> None:
    acked: list[m.Run] = []
    for life in range(3):
        with a_process(tmp_path) as node:
            probe = await node.producer("probe")
            assert probe.last_seq >= sum(run.packets for run in acked)
            acked = [run for run in acked if run.seq <= probe.last_seq]
            first = probe.last_seq + 1
            for seq in range(first, first + 200):
                await probe.send(packet(seq, "count" if seq % 5 else "raises"))
            heard = 0
            while heard < 50 * (life + 1):
                runs = (await probe.expect(m.Ack)).runs
                acked += runs
                heard += sum(run.packets for run in runs)
            node.popen.kill()
            await node.ended()
    async with factory(tmp_path) as again:
        back = await again.producer("probe")
        last = back.last_seq
        assert last >= max(run.seq for run in acked)
        for run in acked:  # and every outcome is what it was
            await back.send(packet(run.seq, "count" if run.seq % 5 else "raises"))
            (answer,) = await back.outcomes(1)
            assert answer.duplicate
            if answer.outcome != m.UNKNOWN:
                assert answer[4:] == run[4:]
        assert await back.get("count") == sum(1 for seq in range(1, last + 1) if seq % 5)
        assert [x.seq for x in again.letters("handler_error")] == [
            seq for seq in range(1, last + 1) if not seq % 5
        ]


async def test_cells_go_on_ageing_while_the_node_is_down(tmp_path: Path) -> None:
    async with factory(tmp_path) as node:
        probe = await node.producer("probe")
        await probe.send(packet(1, "cell/brief", ttl_ms=400), packet(2, "cell/long"))
        await probe.outcomes(2)
        await probe.send(packet(3, "keep/it", ttl_ms=1))
        await probe.outcomes(1)
        before = (await probe.status())["tick"]
        display = await node.display("cell/brief")
        (cell,) = (await display.expect(m.Snapshot)).cells
        await node.kill()
    async with factory(tmp_path) as node:
        display = await node.display("#")
        first = await display.expect(m.Snapshot)
        assert first.tick > before
        shown = {x.key: x.expires for x in first.cells}
        assert {"cell/long", "keep/it"} <= shown.keys()
        if "cell/brief" in shown:  # the restart took less than its life
            assert shown["cell/brief"] == cell.expires
            gone = await display.expect_where(m.Snapshot, lambda x: x.removed)
            assert gone.removed == [["cell/brief", "expired"]]
            assert gone.tick >= (cell.expires or 0)
        assert (await picture(node)).keys() == {"cell/long", "keep/it"}


async def test_after_a_power_cut_nothing_comes_back_fresh_that_may_be_old(
    tmp_path: Path,
) -> None:
    """Another boot wrote the ledger: nobody can tell how long the cells lay."""
    async with factory(tmp_path) as node:
        probe = await node.producer("probe")
        await probe.produce("cell/a", "keep/b", "raises")
        last_seq = probe.last_seq
        await node.stop()
    of_another_boot(tmp_path)
    async with factory(tmp_path) as node:
        display = await node.display("#", every_tick=True, from_tick=0)
        gone = await display.expect_where(m.Snapshot, lambda x: x.removed)
        assert gone.removed == [["cell/a", "age_unknown"]]
        assert await picture(node) == {"keep/b": 2}
        again = await node.producer("probe")
        assert again.last_seq == last_seq  # who sent what is known all the same
        assert [row["age_unknown"] for row in node.said("reign")] == [True]


def of_another_boot(data: Path) -> None:
    """Rewrite the ledger as if another boot of this machine had written it."""
    directory = DataDirectory.open(data, node="n1")
    records = list(LedgerScan(directory.ledgers, directory.cluster, GENESIS))
    for path in segments(data):
        overwrite(path, 200, bytes(path.stat().st_size - 200))
    scan = LedgerScan(directory.ledgers, directory.cluster, GENESIS)
    list(scan)
    writer = LedgerWriter(
        directory.ledger_path, scan, boot_id=b"another boot  id", boot_ns=lambda: 7
    )
    for record in records:
        if record.kind != SEAL:
            draft = RecordDraft(record.kind, record.index, record.term, record.chain, record.body)
            writer.append([draft])
    writer.close()
    directory.close()


def test_the_boot_has_an_id_that_stays() -> None:
    assert len(boot_id()) == 16
    assert boot_id() == boot_id()


async def test_a_torn_tail_is_cut_and_said_at_the_start(tmp_path: Path) -> None:
    async with factory(tmp_path) as node:
        await (await node.producer("probe")).produce("cell/a", "cell/b")
        await node.stop()
    (segment,) = segments(tmp_path)
    overwrite(segment, data_end_of(segment), b"\x00\x00\x02\x00 and then the power went")
    async with factory(tmp_path) as node:
        (said,) = node.said("torn_tail_cut")
        assert (said["level"], said["file"]) == ("warning", str(segment))
        assert await picture(node) == {"cell/a": 1, "cell/b": 2}
        assert (await node.producer("probe")).last_seq == 2
    async with factory(tmp_path) as node:
        assert node.said("torn_tail_cut") == []


async def test_damage_is_named_and_nothing_is_cut(tmp_path: Path) -> None:
    async with factory(tmp_path) as node:
        await (await node.producer("probe")).produce("cell/a", "cell/b")
        await node.stop()
    (segment,) = segments(tmp_path)
    before = segment.read_bytes()
    damaged = before[:300] + b"\xff\xff" + before[302:]
    segment.write_bytes(damaged)
    code, said = await trio.to_thread.run_sync(refused, tmp_path)
    assert code == 1
    assert segment.name in said
    assert "rmf-replay" in said
    assert "Traceback" not in said
    assert segment.read_bytes() == damaged


# --- Checkpoints ------------------------------------------------------------------------------


async def test_a_checkpoint_while_the_line_runs(tmp_path: Path) -> None:
    """Nobody notices; a restart begins at it; the letters are complete."""
    async with factory(tmp_path) as node:
        probe = await node.producer("probe")
        for i in range(5):
            await probe.produce(*[f"keep/{i}/{j}" for j in range(400)], "raises")
        async with bystander(node) as beside:
            acked = beside.acked
            for _ in range(2):
                before = checkpoints(tmp_path)
                await node.happen(CheckpointAsked())
                await until(partial(grown, tmp_path, before))
            assert beside.acked > acked
        await probe.produce("keep/last", "raises")
        status = await probe.status()
        await node.kill()
    async with factory(tmp_path) as node:
        again = await node.producer("probe")
        assert again.last_seq == probe.last_seq
        assert await again.get("keep/4/399") is not None
        assert await again.get("keep/last") is not None
        back = await again.status()
        assert back["packets"]["latched"] == status["packets"]["latched"]
        letters = await node.letters_when(lambda found: len(found) == 6)
        assert len({x.id for x in letters}) == 6
        assert (await node.status_when(lambda x: bool(x["dlq"])))["dlq"]["complete"]


def grown(data: Path, before: list[Path]) -> bool:
    return len(checkpoints(data)) > len(before)


def checkpoints(data: Path) -> list[Path]:
    return sorted((data / "checkpoints").glob("*.ckpt"))


def lose_dlq(data: Path) -> None:
    for path in data.glob("dlq.sqlite*"):
        path.unlink()


async def test_a_lost_dlq_is_filled_again_from_the_ledger(tmp_path: Path) -> None:
    async with factory(tmp_path) as node:
        probe = await node.producer("probe")
        await probe.produce("raises", "cell/a")
        await node.happen(CheckpointAsked())
        await until(lambda: bool(checkpoints(tmp_path)))
        await probe.produce("object")
        before = await node.letters_when(lambda found: len(found) == 2)
        await node.stop()
    lose_dlq(tmp_path)
    async with factory(tmp_path) as node:
        assert node.letters() == before
        assert (await node.status_when(lambda x: bool(x["dlq"])))["dlq"]["complete"]


# --- A full disk -------------------------------------------------------------------------------


async def test_a_disk_that_takes_no_more_strikes_the_node_and_loses_nothing_acked(
    tmp_path: Path,
) -> None:
    """Every file of the node may grow no further: the next write fails."""
    with a_process(tmp_path) as node:
        display = await node.connect()
        await display.hello()
        await display.say(m.Subscribe(1, ["cell/#"], {}))
        await display.expect(m.Snapshot)
        probe = await node.producer("probe")
        other = await node.producer("other")
        await probe.produce("cell/a", "raises")
        await other.produce("cell/other")
        resource.prlimit(node.popen.pid, resource.RLIMIT_FSIZE, (16, 16))
        await probe.send(packet(3, "cell/never"))  # in flight when the disk fails: no answer
        while (status := await probe.status())["strike"] is None:
            assert status["packets"]["latched"] == 3
        assert status["strike"]["kind"] == "disk"
        assert "File too large" in status["strike"]["why"]
        for wire, seq, expected in ((other, 2, 2), (probe, 4, 3)):
            await wire.send(packet(seq))
            refusal = await wire.expect(m.Refuse)
            assert (refusal.code, refusal.expected) == ("strike", expected)
        assert not any(isinstance(x, m.Ack) for x in probe.waiting)
        stale = await display.expect_where(m.Snapshot, lambda x: not x.live)
        assert stale.tick > 0
        assert await other.get("cell/other") == 1  # what there is is still shown
        # Bytes that cannot be sealed any more hold up nobody, not even who sent them.
        await other.say_bytes(b"\x00\x00\x00\x01\xff")
        assert any(isinstance(x, m.Error) for x in await other.rest())
        node.popen.send_signal(signal.SIGTERM)
        code, _ = await node.ended()
        assert code == 0
    async with factory(tmp_path) as again:
        back = await again.producer("probe")
        assert back.last_seq == 2
        assert await back.get("cell/a") == 1
        assert [x.reason for x in letters_in(tmp_path) if x.stage == "line"] == ["handler_error"]


SMALL_DISKS = ["64m"] if can_mount() else []


@pytest.mark.parametrize("size", SMALL_DISKS)
async def test_a_disk_that_fills_up_is_busy_for_packets_and_works_again_with_room(
    tmp_path: Path, size: str
) -> None:
    """A real file system, nearly full: nobody is cut, nothing is lost, the mark ends by itself."""
    with a_process_on_a_small_disk(tmp_path / "data", size) as (node, disk):
        display = await node.connect()
        await display.hello()
        await display.say(m.Subscribe(1, ["cell/#"], {}))
        probe = await node.producer("probe")
        await probe.send(packet(1, "cell/brief", ttl_ms=300), packet(2, "cell/long"))
        await probe.outcomes(2)
        ballast = disk / "ballast"
        fill(ballast, leave_bytes=limits.DISK_HARD_FREE_BYTES // 2)
        seq = 3
        while not isinstance(answer := await told_of(probe, packet(seq, "cell/more")), m.Refuse):
            seq += 1
        assert (answer.code, answer.expected) == ("busy", seq)
        assert (await probe.status())["disk"] == "hard"
        await display.expect_where(m.Snapshot, lambda x: x.removed == [["cell/brief", "expired"]])
        assert await probe.get("cell/long") == 2
        # A letter of the edge, and who a producer is, still find room.
        newcomer = await node.producer("newcomer")
        await newcomer.say_bytes(b"\x00\x00\x00\x01\xff")
        assert (await newcomer.expect(m.Error)).letter is not None
        ballast.unlink()
        while isinstance(answer := await told_of(probe, packet(seq, "cell/more")), m.Refuse):
            assert answer.code == "busy"
        assert [run.outcome for run in answer.runs] == [m.APPLIED]
        assert (await probe.status())["packets"]["latched"] == seq


async def told_of(wire: Wire, row: Any) -> m.Ack | m.Refuse:
    """Send a packet; return what came of it."""
    await wire.send(row)
    answer = await wire.hear()
    assert isinstance(answer, m.Ack | m.Refuse), answer
    return answer


def fill(ballast: Path, *, leave_bytes: int) -> None:
    """Leave so much room on the disk."""
    found = os.statvfs(ballast.parent)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - leave_bytes)


async def test_packets_are_refused_above_the_hard_mark_and_taken_again_below_it(
    tmp_path: Path,
) -> None:
    """Nearly no space left: `busy` to packets only, while expiries and displays go on (R38)."""
    async with factory(tmp_path) as node:
        probe = await node.producer("probe")
        display = await node.display("#")
        await probe.send(packet(1, "cell/brief", ttl_ms=150))
        await probe.outcomes(1)
        await node.happen(Disk("hard", 0))
        await probe.send(packet(2, "cell/a"))
        refusal = await probe.expect(m.Refuse)
        assert (refusal.code, refusal.expected) == ("busy", 2)
        await display.expect_where(m.Snapshot, lambda x: x.removed == [["cell/brief", "expired"]])
        await node.producer("newcomer")  # who they are is no packet
        await node.happen(Disk("ok", limits.DISK_SOFT_FREE_BYTES))
        await probe.send(packet(2, "cell/a"))
        assert [run.outcome for run in await probe.outcomes(1)] == [m.APPLIED]
