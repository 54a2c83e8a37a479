"""A full disk: what is refused, what goes on, and what the node says (R17, R38)."""

import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from rmf import limits
from rmf.core import messages as m
from rmf.core.events import DiskMark
from tests.floor.factory import factory, letters_in
from tests.floor.process import a_process, a_process_on_a_small_disk, can_mount
from tests.floor.wire import Wire, packet

pytestmark = pytest.mark.slow


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
        await probe.status_when(lambda x: x["dlq"]["letters"] == 1)  # else the DLQ fails first
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
        # What there is is still shown.
        assert await other.get("cell/other", linearizable=False) == 1
        # Bytes that cannot be sealed any more hold up nobody, not even who sent them.
        await other.say_bytes(b"\x00\x00\x00\x01\xff")
        assert (await other.expect(m.Error)).letter is None
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
        await node.happen(DiskMark("hard", 0))
        await probe.send(packet(2, "cell/a"))
        refusal = await probe.expect(m.Refuse)
        assert (refusal.code, refusal.expected) == ("busy", 2)
        await display.expect_where(m.Snapshot, lambda x: x.removed == [["cell/brief", "expired"]])
        await node.producer("newcomer")  # who they are is no packet
        await node.happen(DiskMark("ok", limits.DISK_SOFT_FREE_BYTES))
        await probe.send(packet(2, "cell/a"))
        assert [run.outcome for run in await probe.outcomes(1)] == [m.APPLIED]
