"""Restarts that are spent: the node strikes, says why, and goes on to serve what it has (R17)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import cbor2
import pytest
import trio

from rmf import limits
from rmf.core import messages as m
from rmf.core.bag import Letter
from tests.floor.factory import Factory, factory, impossible_offer
from tests.floor.wire import Wire, packet


@pytest.mark.long
async def test_an_arbiter_that_fails_again_and_again_strikes_and_still_answers(
    tmp_path: Path,
) -> None:
    async with factory(tmp_path) as node:
        probe = await node.producer("probe")
        await probe.produce("cell/a")
        for frame in (b"1", b"2", b"3", b"4"):
            await node.happen(impossible_offer(probe, frame))
            await node.letters_when(newest_is(frame))
        status = await node.status_when(lambda found: found["strike"] is not None)
        assert status["strike"]["kind"] == "state"
        assert "task arbiter failed 4 times" in status["strike"]["why"]
        assert (status["role"], status["tick"] > 0) == ("follower", True)
        assert [x.packet for x in node.letters()] == [b"1", b"2", b"3", b"4"]
        await it_serves_its_last_picture(node)
        # Even what a core on strike cannot bear does not take the process away.
        await node.happen(attrs.evolve(impossible_offer(probe, b"5"), rows=[]))
        await node.letters_when(newest_is(b"5"))
        await it_serves_its_last_picture(node)
        assert await node.stop() == 0
    async with factory(tmp_path) as node:  # an operator started it again
        again = await node.producer("probe")
        assert (again.last_seq, await again.get("cell/a")) == (1, 1)


def newest_is(packet: bytes) -> Callable[[list[Letter]], bool]:
    return lambda found: [letter.packet for letter in found[-1:]] == [packet]


async def it_serves_its_last_picture(node: Factory) -> None:
    """A node on strike: no intake, no acks; status, GET and Snapshots go on, marked stale."""
    refused = await node.connect()
    with pytest.raises(AssertionError, match="closed before Welcome"):
        await refused.hello("newcomer")
    display = await node.display("#")
    snapshot = await display.expect(m.Snapshot)
    assert (snapshot.kind, snapshot.live) == (m.FULL, False)
    assert [(x.key, cbor2.loads(x.value)) for x in snapshot.cells] == [("cell/a", 1)]
    keepalive = await display.expect(m.Snapshot)
    assert (keepalive.kind, keepalive.live) == (m.KEEPALIVE, False)
    assert await display.get("cell/a", linearizable=False) == 1
    await display.say(m.Get(6, "cell/a", True))
    end = await display.expect(m.End)
    assert (end.request, end.code) == (6, "strike")
    await display.say(m.Query(5, "dlq.stats", {}))
    assert (await display.expect(m.Item)).body["letters"] >= 0


@pytest.mark.slow
async def test_a_keeper_without_its_store_strikes_the_node(tmp_path: Path) -> None:
    """A store that is closed under the DLQ keeper fails it at each restart."""
    async with factory(tmp_path) as node:
        probe = await node.producer("probe")
        await probe.produce("cell/a")
        node.node.ground.store().close()
        await probe.produce("raises")  # acked: the letter is in the ledger
        status = await node.status_when(lambda found: found["strike"] is not None)
        assert status["strike"]["kind"] == "state"
        assert "task dlq_keeper failed 11 times" in status["strike"]["why"]
        refusal = await refused_send(probe, packet(3))
        assert refusal.code == "strike"
        # Bytes that cannot be sealed any more hold up nobody, neither who sent them nor the stop.
        await probe.say(m.Send([["no seq"]]))
        error = await probe.expect(m.Error)
        assert (error.code, error.letter) == ("no_seq", None)
        with trio.fail_after(limits.STOP_S_MAX / 2):
            assert await node.stop() == 0
    async with factory(tmp_path) as node:  # nothing was lost: recovery stores it from the ledger
        letters = await node.letters_when(bool)
        assert [x.reason for x in letters if x.stage == "line"] == ["handler_error"]


async def refused_send(wire: Wire, *rows: Any) -> m.Refuse:
    await wire.send(*rows)
    return await wire.expect(m.Refuse)
