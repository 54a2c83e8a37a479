"""Each task of a node, failing: what it held is in the DLQ with the evidence, the nursery lives,
the task is back and works again (R15).

Nothing is patched: a task is handed what no other task would hand it.
"""

import socket
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from rmf import limits
from rmf.core import messages as m
from rmf.core.bag import Letter
from rmf.core.effects import Persist, ReadChunk, ReadEntries, RecordDraft, WriteCheckpoint
from rmf.core.events import Beat, CheckpointAsked, Heard, PeerLost, PeerMet
from rmf.core.producer_table import Table
from rmf.core.raft.peer_messages import ReadAsk
from rmf.core.record import ENTRY
from rmf.core.world import World
from rmf.errors import Refused
from rmf.floor.arbiter import beats
from rmf.floor.data import dlq_keeper
from rmf.floor.doors import Doors, dial_door
from rmf.floor.items import EdgeLetter, Linked, PeeringFacts, Through, WhoIsKnown
from rmf.floor.links import peer_link
from rmf.floor.links.dialling import Peer
from rmf.floor.links.letter_fetch import LetterFetch
from rmf.floor.web import http
from tests.floor.factory import Factory, bystander, factory, impossible_offer
from tests.floor.kit import bench
from tests.floor.peers import here, own_of
from tests.floor.port import listening_socket, open_port
from tests.floor.wire import PATIENCE_S, POLL_S, Wire, packet, until

Test = Callable[[Path], Awaitable[None]]
TASKS: dict[str, Test] = {}


def task(test: Test) -> Test:
    """Note which task a test is about: its name says so."""
    TASKS[test.__name__.removeprefix("when_").removesuffix("_fails")] = test
    return test


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
    """A connection of a core that was lost: its client is told to connect anew (RMF-11)."""
    *before, last = await wire.rest()
    assert all(isinstance(x, m.Ack | m.Error | m.Refuse) for x in before)
    assert isinstance(last, m.Goaway)
    assert last.code == "no_reign"


@task
async def when_arbiter_fails(tmp_path: Path) -> None:
    async with factory(tmp_path) as node:
        probe = await node.producer("probe")
        await probe.produce("cell/a", "raises")
        await node.happen(impossible_offer(probe))
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
        draft = RecordDraft(ENTRY, 10**6, 1, b"", b"no such entry", 0)
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
        node.doors.publications.put(object())  # type: ignore[arg-type]
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
        wish = WriteCheckpoint(1, None, Table.of({}), World.empty())  # type: ignore[arg-type]
        node.doors.wish_for(wish)
        letter = await one_evidence(node, "TypeError")
        assert letter.packet == b""
        await node.happen(CheckpointAsked())
        await until(lambda: any((tmp_path / "checkpoints").glob("*.ckpt")))


@task
async def when_catch_up_fails(tmp_path: Path) -> None:
    async with factory(tmp_path) as node, bystander(node):
        node.doors.catch_up.send_nowait(ReadEntries("n2", None, 1))  # type: ignore[arg-type]
        letter = await one_evidence(node, "TypeError")
        assert letter.packet == b""
        await node.happen(CheckpointAsked())
        await until(lambda: any((tmp_path / "checkpoints").glob("*.ckpt")))
        node.doors.catch_up.send_nowait(ReadChunk("n2", None, 0))
        await until(lambda: not node.doors.catch_up.statistics().current_buffer_used)
        assert len(node.letters()) == 1


@task
async def when_dry_run_fails(tmp_path: Path) -> None:
    """What is no question fails the task; the next one is answered."""
    async with factory(tmp_path) as node, bystander(node):
        node.doors.dry_runs.send_nowait("no question")  # type: ignore[arg-type]
        letter = await one_evidence(node, "AttributeError")
        assert letter.packet == b""


@task
async def when_letter_fetch_fails(tmp_path: Path) -> None:
    """A list of peers that is none; once it is one, the letters are complete."""
    with bench(tmp_path) as alone:
        alone.store.set_complete(False)
        through = Through(50, 3, 10)
        fetch = LetterFetch(alone.doors)
        keep = partial(dlq_keeper.run, alone.doors, alone.store, [])
        alone.doors.restored.put(through)
        async with (
            here(own_of("n2")) as other,
            alone.supervised("dlq_keeper", keep),
            alone.supervised("letter_fetch", fetch.run),
        ):
            wrong: Any = (None,)
            await tell_peers(alone.doors, wrong)
            await until(lambda: bool(alone.letters()))
            (letter,) = alone.letters()
            assert "AttributeError" in letter.error.message
            assert letter.packet == b""
            await tell_peers(alone.doors, (Peer("n2", other.own.incarnation, other.address),))
            await until(lambda: alone.store.stats().complete)


async def tell_peers(doors: Doors, peers: tuple[Peer, ...]) -> None:
    """Answer the next one who wants to know whom to ask."""
    with trio.fail_after(PATIENCE_S):
        item = await doors.peering_out.receive()
    assert isinstance(item, WhoIsKnown)
    with item.reply:
        item.reply.send_nowait(PeeringFacts(own_of("n1"), peers))


@task
async def when_peering_fails(tmp_path: Path) -> None:
    """What is no question fails the task; the next one is answered."""
    async with factory(tmp_path) as node, bystander(node):
        node.doors.peering.send_nowait("no question")  # type: ignore[arg-type]
        letter = await one_evidence(node, "AttributeError")
        assert letter.packet == b""
        reply, reply_out = trio.open_memory_channel[PeeringFacts](1)
        await node.doors.peering.send(WhoIsKnown(reply))
        with trio.fail_after(PATIENCE_S):
            known = await reply_out.receive()
        assert [x.name for x in known.own.members] == ["n1"]


@task
async def when_peer_link_fails(tmp_path: Path) -> None:
    """Something at its door that is no message; the next connection carries what comes then."""
    with bench(tmp_path) as alone:
        events = alone.doors.events
        _, dials = dial_door()
        async with here(own_of("n2")) as other:
            peer = Peer("n2", other.own.incarnation, other.address)
            run = partial(peer_link.run, peer, own_of("n1"), dials, events)
            async with alone.supervised("peer_link.n2", run):
                assert isinstance(await other.event(), PeerMet)
                linked = await alone.doors.events_out.receive()
                assert isinstance(linked, Linked)
                linked.hurrying.send_nowait(7)  # type: ignore[arg-type]
                item = await alone.doors.letters_out.receive()
                assert isinstance(item, EdgeLetter)
                assert (item.letter.reason, item.letter.packet) == ("task_failed", b"")
                assert await other.event() == PeerLost("n1")
                assert isinstance(await other.event(), PeerMet)
                linked = await alone.doors.events_out.receive()
                assert isinstance(linked, Linked)
                linked.hurrying.send_nowait(ReadAsk(1, 7))
                assert await other.event() == Heard("n1", ReadAsk(1, 7))


@task
async def when_peer_port_fails(tmp_path: Path) -> None:
    """It is opened again on the same number."""
    async with factory(tmp_path, peer_listen="127.0.0.1:0") as node, bystander(node):
        address = node.ready["peer_listen"]
        with listening_socket(int(address.rpartition(":")[2])) as listener:
            listener.shutdown(socket.SHUT_RDWR)
        await one_evidence(node, "OSError")
        await until_open(address)


@task
async def when_http_fails(tmp_path: Path) -> None:
    """A failing port is opened again by itself (see test_http); this is a failure of its own."""
    listening: Any = http.HttpListening(("127.0.0.1", 0))
    await listening.bind()
    (listener,) = listening._bound
    await listener.aclose()
    listening._bound = [None]
    with bench(tmp_path) as alone:
        sources: Any = None
        async with alone.supervised("http", partial(http.run, listening, sources)):
            item = await alone.doors.letters_out.receive()
            assert isinstance(item, EdgeLetter)
            assert (item.letter.reason, item.letter.packet) == ("task_failed", b"")
            await until_open(listening.address)


async def until_open(address: str) -> None:
    """Wait until somebody accepts connections there."""
    host, port = address.rsplit(":", 1)
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                stream = await trio.open_tcp_stream(host, int(port))
            except OSError:
                await trio.sleep(POLL_S)
            else:
                await stream.aclose()
                return


@task
async def when_disk_watch_fails(tmp_path: Path) -> None:
    async with factory(tmp_path) as node, bystander(node):
        directory: Any = node.node.ground.directory
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


@task
async def when_companion_fails(tmp_path: Path) -> None:
    """The demo: where it fails again and again, the node goes on without it."""
    async with factory(tmp_path, fails_at_once) as node:
        probe = await node.producer("probe")
        await node.letters_when(lambda found: len(found) == limits.EDGE_RESTARTS_MAX + 1)
        assert all(is_evidence(letter, "of its own") for letter in node.letters())
        assert (await probe.produce("cell/a"))[0].outcome == m.APPLIED
        assert (await probe.status())["strike"] is None


async def fails_at_once(_address: str) -> None:
    raise LookupError("a bug of its own")


@pytest.mark.slow
async def test_a_companion_that_is_refused_is_no_task_that_fails(tmp_path: Path) -> None:
    """Somebody took the name of the demo: that is no failure, and leaves no letter (F1)."""
    async with factory(tmp_path, refused_at_once) as node:
        probe = await node.producer("probe")
        assert (await probe.produce("cell/a"))[0].outcome == m.APPLIED
        assert (await probe.status())["strike"] is None
        assert list(node.letters()) == []


async def refused_at_once(_address: str) -> None:
    raise Refused("superseded", "somebody else connected under this name")


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
async def test_when_it_fails(name: str, tmp_path: Path) -> None:
    await TASKS[name](tmp_path)
