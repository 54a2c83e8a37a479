"""Clients that do not read, creep, or vanish: they cost nobody anything."""

from pathlib import Path

import pytest
import trio

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from tests.floor.at_work import lives, node_at_work
from tests.floor.wire import Wire, packet

pytestmark = pytest.mark.slow


async def test_a_producer_that_never_reads_is_cut_or_kept_but_no_other_waits(
    tmp_path: Path,
) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        deaf = await node.producer("deaf")
        ask = b"".join(codec.encode(m.Get(i, "cell/big", True)) for i in range(500))
        await probe.send(packet(1, "cell/big", payload="x" * 500_000))
        await probe.outcomes(1)
        probe.last_seq = 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_push, deaf, ask)
            with trio.fail_after(10):
                while not node.said("slow_reader"):  # noqa: ASYNC110 the log tells nobody
                    await trio.sleep(limits.BEAT_S)
            nursery.cancel_scope.cancel()
        await lives(probe)


async def _push(wire: Wire, data: bytes) -> None:
    try:
        await wire.stream.send_all(data)
    except trio.BrokenResourceError:
        return


async def test_a_display_that_never_reads_costs_no_other_anything(tmp_path: Path) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        displays = [await node.display("#", rate_hz=1000, every_tick=i % 2 == 1) for i in range(6)]
        for _ in range(50):
            probe.last_seq += 1
            await probe.send(packet(probe.last_seq, "cell/big", payload="x" * 100_000))
            await probe.outcomes(1)
        await lives(probe)
        for display in displays:  # late, but it was never cut off
            await display.expect_where(
                m.Snapshot, lambda x: any(cell.key == "cell/alive" for cell in x.cells)
            )


async def test_one_that_sends_a_byte_now_and_then_holds_up_no_other(tmp_path: Path) -> None:
    """Its deadline is tested on a clock that jumps (test_connection); here it costs nothing."""
    async with node_at_work(tmp_path) as (node, probe):
        slow = [await node.connect() for _ in range(20)]
        said = codec.PREFACE + codec.encode(m.Hello({"versions": [1, 1], "producer": "slow"}))
        for byte in said[:-1]:
            for wire in slow:
                await wire.say_bytes(bytes([byte]))
            await lives(probe)
        await slow[0].say_bytes(said[-1:])
        assert (await slow[0].expect(m.Welcome)).facts["last_seq"] == 0


async def test_many_that_vanish_at_once_leave_nothing_behind(tmp_path: Path) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        wires = [await node.producer(f"fleeting-{i}") for i in range(30)]
        for i, wire in enumerate(wires):
            await wire.say_bytes(codec.encode(m.Send([packet(1, f"cell/{i}")]))[: 5 * i])
            await wire.say(m.Subscribe(1, ["#"], {}))
        for wire in wires:
            await trio.aclose_forcefully(wire.stream)
        await lives(probe)
        status = await probe.status()
        assert status["producers"] == 32
        assert node.letters("task_failed") == []
