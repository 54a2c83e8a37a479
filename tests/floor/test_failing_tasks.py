"""Each task of a node, failing: what it held is in the DLQ with the evidence, the nursery lives,
the task is back and works again (R15).

Nothing is patched: a task is handed what no other task would hand it.
"""

import socket
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import cbor2
import pytest
import trio

from rmf import limits
from rmf.core import messages as m
from rmf.core.bag import Letter
from rmf.core.effects import Persist, RecordDraft, WriteCheckpoint
from rmf.core.events import Beat, CheckpointAsked, Offered
from rmf.core.record import ENTRY
from rmf.core.world import World
from rmf.floor import beats
from rmf.floor.doors import EdgeLetter
from tests.floor.factory import Factory, bystander, factory
from tests.floor.kit import bench
from tests.floor.port import listening_socket, open_port
from tests.floor.wire import Wire, packet, until

Test = Callable[[Path], Awaitable[None]]
TASKS: dict[str, Test] = {}


def task(test: Test) -> Test:
    """Note which task a test is about: its name says so."""
    TASKS[test.__name__.removeprefix("when_").removesuffix("_fails")] = test
    return test


def impossible_offer(frame: bytes = b"the bytes in hand") -> Offered:
    """Packets of `probe` that no codec decoded: the latch cannot but fail."""
    return Offered(99, "probe", 1, frame, [[None]], 0, {}, 0)


def is_evidence(letter: Letter, error: str) -> bool:
    """Whether this is the letter of a failed task, with the evidence."""
    return (
        (letter.reason, letter.stage) == ("task_failed", "task")
        and error in letter.error.type + letter.error.message
        and "Traceback" in letter.error.traceback
        and letter.id.startswith("n1:edge:")
    )


async def one_evidence(node: Factory, error: str) -> Letter:
    """Return the one letter of a failed task, once it is stored."""
    letters = await node.letters_when(bool)
    assert len(letters) == 1, letters
    assert is_evidence(letters[0], error), letters[0]
    return letters[0]


async def gone(wire: Wire) -> None:
    """A connection of a core that was lost: it is closed, so that its client connects anew."""
    assert all(isinstance(x, m.Ack | m.Error | m.Refuse) for x in await wire.rest())


@task
async def when_arbiter_fails(tmp_path: Path) -> None:
    async with factory(tmp_path) as node:
        probe = await node.producer("probe")
        await probe.produce("cell/a", "raises")
        await node.happen(impossible_offer())
        await gone(probe)
        letters = await node.letters_when(lambda found: len(found) == 2)
        assert is_evidence(letters[1], "IndexError")
        assert letters[1].packet == b"the bytes in hand"
        # The core was loaded from the disk again; a resend has the one outcome it had.
        again = await node.producer_again("probe")
        assert again.last_seq == 2
        await again.send(packet(1), packet(2, "raises"), packet(3, "count"))
        runs = sorted(await again.outcomes(3))
        assert [(x.outcome, x.duplicate) for x in runs] == [(0, True), (1, True), (0, False)]
        assert runs[0].term < runs[2].term  # type: ignore[operator]
        assert await again.get("cell/a") == 1
        status = await again.status()
        assert (status["role"], status["strike"]) == ("leader", None)
        assert status["packets"]["latched"] == 3


@task
async def when_ledger_keeper_fails(tmp_path: Path) -> None:
    async with factory(tmp_path) as node:
        probe = await node.producer("probe")
        await probe.produce("cell/a")
        draft = RecordDraft(ENTRY, 10**6, 1, b"", b"no such entry")
        node.doors.ledger.send_nowait(Persist(10**6, [draft]))
        await gone(probe)
        letter = await one_evidence(node, "AssertionError")
        assert letter.packet == b"no such entry"
        again = await node.producer_again("probe")
        assert again.last_seq == 1
        assert (await again.produce("cell/b"))[0].outcome == m.APPLIED
    async with factory(tmp_path) as node:  # and the disk is well
        reader = await node.client()
        assert (await reader.get("cell/a"), await reader.get("cell/b")) == (1, 2)


@task
async def when_dlq_keeper_fails(tmp_path: Path) -> None:
    async with factory(tmp_path) as node, bystander(node):
        probe = await node.producer("probe")
        sound = await a_letter(node)
        broken = sound._replace(id="", packet=b"the bytes in hand", reason=None)  # type: ignore[arg-type]
        await node.doors.letters.send(EdgeLetter(broken, None))
        letters = await node.letters_when(lambda found: len(found) >= 2)
        assert is_evidence(letters[1], "TypeError")
        assert letters[1].packet == b"the bytes in hand"
        # What came with it and after it is stored, once.
        await probe.produce("raises", "object")
        letters = await node.letters_when(lambda found: len(found) >= 4)
        assert [x.reason for x in letters[2:]] == ["handler_error", "result_invalid"]
        assert (await probe.status())["strike"] is None


async def a_letter(node: Factory) -> Letter:
    """Let a stranger to the labels leave a letter; return it."""
    wire = await node.producer("careless")
    await wire.say(m.Send([["no seq"]]))
    assert (await wire.expect(m.Error)).code == "no_seq"
    return node.letters()[0]


@task
async def when_publisher_fails(tmp_path: Path) -> None:
    async with factory(tmp_path) as node, bystander(node):
        display = await node.display("cell/#")
        await display.expect(m.Snapshot)
        node.doors.publications.send_nowait([object()])  # type: ignore[list-item]
        end = await display.expect(m.End)
        assert (end.request, end.code) == (1, "internal")
        letter = await one_evidence(node, "AttributeError")
        assert letter.packet == b""
        # The display comes back on the same connection, under the same number.
        await display.say(m.Subscribe(1, ["cell/#"], {}))
        assert (await display.expect(m.Snapshot)).kind == m.FULL
        probe = await node.producer("probe")
        await probe.produce("cell/a")
        delta = await display.expect_where(m.Snapshot, lambda x: x.cells)
        assert [cell.key for cell in delta.cells] == ["cell/a"]


@task
async def when_checkpoint_keeper_fails(tmp_path: Path) -> None:
    async with factory(tmp_path) as node, bystander(node):
        node.doors.checkpoints.send_nowait(WriteCheckpoint(1, {"no": "head"}, World.empty()))
        letter = await one_evidence(node, "CheckpointDamaged")
        assert letter.packet == b""
        await node.happen(CheckpointAsked())
        await until(lambda: any((tmp_path / "checkpoints").glob("*.ckpt")))


@task
async def when_disk_watch_fails(tmp_path: Path) -> None:
    async with factory(tmp_path) as node, bystander(node):
        directory: Any = node.node._directory
        path, directory.path = directory.path, None  # a directory that is nowhere
        letter = await one_evidence(node, "TypeError")
        assert letter.packet == b""
        directory.path = path
        await until(lambda: bool(node.said("task_failed")))


@task
async def when_beats_fails(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        doors = alone.doors
        door, doors.events = doors.events, door_that_is_closed()
        async with alone.supervised("beats", partial(beats.run, doors)):
            item = await doors.letters_out.receive()
            assert isinstance(item, EdgeLetter)
            assert item.letter.error.type == "ClosedResourceError"
            doors.events = door
            assert await doors.events_out.receive() == Beat()


def door_that_is_closed() -> trio.MemorySendChannel[Any]:
    send, _ = trio.open_memory_channel[Any](1)
    send.close()
    return send


@task
async def when_ingest_fails(tmp_path: Path) -> None:
    """The port itself: it is opened again on the same number, whoever is connected meets a closed
    connection and comes back."""
    async with factory(tmp_path) as node:
        probe = await node.producer("probe")
        await probe.produce("cell/a")
        with listening_socket(node.address[1]) as listener:
            listener.shutdown(socket.SHUT_RDWR)
        await one_evidence(node, "OSError")
        again = await node.producer_again("probe")
        assert again.last_seq == 1
        assert (await again.produce("cell/b"))[0].outcome == m.APPLIED


@task
async def when_connection_fails(tmp_path: Path) -> None:
    """One connection: its client hears `internal`, the others notice nothing."""

    async def broken(query: m.Query, pages: trio.MemorySendChannel[bytes]) -> None:
        raise LookupError(f"no answer to {query.subject}")

    with bench(tmp_path) as alone:
        async with open_port(alone, broken) as port:
            one, other = await port.client(), await port.client()
            await one.say(m.Query(1, "dlq.stats", {}))
            (error,) = await one.rest()
            assert isinstance(error, m.Error)
            assert error.code == "internal"
            await other.ping()
            await (await port.client()).ping()
            (letter,) = alone.take_edge_letters()
            assert (letter.reason, letter.error.type) == ("task_failed", "ExceptionGroup")
            assert "no answer to dlq.stats" in letter.error.message


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
async def test_when_it_fails(name: str, tmp_path: Path) -> None:
    await TASKS[name](tmp_path)


async def test_each_task_of_a_node_has_its_test(tmp_path: Path) -> None:
    async with factory(tmp_path) as node:
        children = {child.name for child in node.node._children()}
    assert children | {"ledger_keeper", "ingest", "connection"} == TASKS.keys()


# --- Restarts that are spent -------------------------------------------------------------------


@pytest.mark.slow
async def test_an_arbiter_that_fails_again_and_again_strikes_and_still_answers(
    tmp_path: Path,
) -> None:
    async with factory(tmp_path) as node:
        probe = await node.producer("probe")
        await probe.produce("cell/a")
        for frame in (b"1", b"2", b"3", b"4"):
            await node.happen(impossible_offer(frame))
            await node.letters_when(newest_is(frame))
        status = await node.status_when(lambda found: found["strike"] is not None)
        assert status["strike"]["kind"] == "state"
        assert "task arbiter failed 4 times" in status["strike"]["why"]
        assert (status["role"], status["tick"] > 0) == ("follower", True)
        assert [x.packet for x in node.letters()] == [b"1", b"2", b"3", b"4"]
        await it_serves_its_last_picture(node)
        # Even what a core on strike cannot bear does not take the process away.
        await node.happen(attrs.evolve(impossible_offer(b"5"), rows=[]))
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
    assert await display.get("cell/a") == 1
    await display.say(m.Query(5, "dlq.stats", {}))
    assert (await display.expect(m.Item)).body["letters"] >= 0


@pytest.mark.slow
async def test_a_keeper_without_its_store_strikes_the_node(tmp_path: Path) -> None:
    """A store that is closed under the DLQ keeper fails it at each restart."""
    async with factory(tmp_path) as node:
        probe = await node.producer("probe")
        await probe.produce("cell/a")
        node.node._store.close()
        await probe.produce("raises")  # acked: the letter is in the ledger
        status = await node.status_when(lambda found: found["strike"] is not None)
        assert status["strike"]["kind"] == "state"
        assert "task dlq_keeper failed 11 times" in status["strike"]["why"]
        refusal = await refused_send(probe, packet(3))
        assert refusal.code == "strike"
        # Bytes that cannot be sealed any more hold up nobody, neither who sent them nor the stop.
        await probe.say(m.Send([["no seq"]]))
        assert any(isinstance(x, m.Error) and x.code == "internal" for x in await probe.rest())
        with trio.fail_after(limits.STOP_S_MAX / 2):
            assert await node.stop() == 0
    async with factory(tmp_path) as node:  # nothing was lost: recovery stores it from the ledger
        letters = await node.letters_when(bool)
        assert [x.reason for x in letters if x.stage == "line"] == ["handler_error"]


async def refused_send(wire: Wire, *rows: Any) -> m.Refuse:
    await wire.send(*rows)
    return await wire.expect(m.Refuse)
