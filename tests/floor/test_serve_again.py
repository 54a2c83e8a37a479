"""A whole node that was killed, or lost its power, and is back: nothing acked is lost."""

from functools import partial
from pathlib import Path
from typing import Any

import cbor2
import pytest
import trio

from rmf.core import messages as m
from rmf.core.effects import RecordDraft
from rmf.core.events import CheckpointAsked
from rmf.core.record import SEAL
from rmf.floor.node_clock import boot_id
from rmf.storage.directory import DataDirectory
from rmf.storage.ledger import LedgerWriter
from rmf.storage.scan import LedgerScan
from rmf.storage.segments import GENESIS
from tests.floor.factory import Factory, bystander, factory, lose_dlq, segments
from tests.floor.process import a_process, refused
from tests.floor.wire import packet, until
from tests.storage.ledger_kit import data_end_of, overwrite

pytestmark = pytest.mark.slow


async def picture(node: Factory, *filters: str) -> dict[str, Any]:
    """What a display sees first."""
    display = await node.display(*(filters or ("#",)))
    snapshot = await display.expect(m.Snapshot)
    assert (snapshot.kind, snapshot.more) == (m.FULL, False)
    return {cell.key: cbor2.loads(cell.value) for cell in snapshot.cells}


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
        await probe.send(packet(3, "keep/it", ttl_ms=200))
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
            x = record
            draft = RecordDraft(x.kind, x.index, x.term, x.chain, x.body, x.commit)
            writer.append([draft])
    writer.close()
    directory.close()


def test_the_boot_has_an_id_that_stays() -> None:
    assert len(boot_id()) == 16
    assert boot_id() == boot_id()


@pytest.mark.long
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
        # The newest Entries are told again by the core, once they are committed once more.
        assert await node.letters_when(lambda found: len(found) == 2) == before
        assert (await node.status_when(lambda x: bool(x["dlq"])))["dlq"]["complete"]
