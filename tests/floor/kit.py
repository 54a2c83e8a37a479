"""Tasks of the floor alone: a data directory, a DLQ and all doors, and nothing that runs.

    with bench(tmp_path) as alone:
        async with alone.supervised("disk_watch", partial(disk_watch.run, …)) as spent:
            ...

The directory is real, so are disk and threads; a test plays whoever stands at the other ends of the
doors. `served` runs one connection over streams in memory, and `Pictures` makes publications.
"""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import cbor2
import trio
import trio.testing

from rmf import limits
from rmf.core import messages as m
from rmf.core.arbiter import Arbiter, NodeIdentity
from rmf.core.bag import Letter
from rmf.core.effects import Persist, Publish, Reload
from rmf.core.entry import Member
from rmf.core.events import Asked, Joined, Offered, Persisted
from rmf.core.intake import open_send
from rmf.core.packet import Row
from rmf.core.world import Cell, World, mark_of
from rmf.floor.arbiter import arbiter_loop
from rmf.floor.arbiter.recover_node import Recovered, recover
from rmf.floor.asking import file_turn
from rmf.floor.doors import Doors, connection_doors
from rmf.floor.edge.connection import Port, ServerConnection
from rmf.floor.edge.receiving import Passes
from rmf.floor.edge.strangers import Strangers
from rmf.floor.instruments import Instruments
from rmf.floor.items import EdgeLetter, Opened
from rmf.floor.node_clock import boot_ns, now
from rmf.floor.supervisor import Child, InProgress, supervise
from rmf.line.inline import Inline
from rmf.storage.directory import DataDirectory
from rmf.storage.dlq_store import DlqStore
from rmf.testing.rebirth import core_at
from tests.floor.factory import letters_in
from tests.floor.lines import shop
from tests.floor.wire import PATIENCE_S, Wire, until
from tests.scripted_node import facts

BOOT_ID = b"boot-id-of-tests"
SEGMENT_BYTES = 4 * limits.KIB

Streams = Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]]


class Bench:
    """What the tasks of a node share."""

    def __init__(self, data: Path, *, found: bool = True) -> None:
        self.data = data
        self.directory = DataDirectory.open(
            data, node="n1", found=found, first_segment_bytes=SEGMENT_BYTES
        )
        cluster = self.directory.cluster
        self.store = DlqStore.open(self.directory.dlq_path, cluster=cluster, node="n1")
        self.doors = Doors()
        self.instruments = Instruments()
        self.runner = Inline(shop)

    def close(self) -> None:
        """Let go of the directory."""
        self.store.close()
        self.directory.close()

    def file_turn(self) -> AbstractAsyncContextManager[None]:
        """Wait for the turn to move files of the ledger, and have it in the block."""
        return file_turn(self.doors.file_turns)

    def letters(self, reason: str | None = None) -> list[Letter]:
        """The letters that are stored."""
        return letters_in(self.data, reason)

    def take_edge_letters(self) -> list[Letter]:
        """Take the letters of the edge that wait at the door."""
        found = []
        while self.doors.letters_out.statistics().current_buffer_used:
            item = self.doors.letters_out.receive_nowait()
            assert isinstance(item, EdgeLetter)
            found.append(item.letter)
        return found

    def recover(self, boot_id: bytes = BOOT_ID) -> Recovered:
        """Read the disk, as a node does at start."""
        return recover(self.directory, self.store, boot_id=boot_id, boot_ns=lambda: now().boot_ns)

    def core(self, recovered: Recovered, *, depth: int = limits.INGEST_DEPTH_PACKETS) -> Arbiter:
        """Return a core that goes on from there."""
        own = ("n1", b"i" * 16, shop.identity)
        return core_at(
            NodeIdentity(*own, limits.TICK_PERIOD_NS, "here:1", "rmf/test"),
            self.directory.cluster,
            recovered.standing,
            recovered.state,
            recovered.shelf,
            bridge=recovered.bridge,
            listens=shop.listens,
            members=(Member("n1", b"i" * 16, "", "here:1"),),
            depth_packets_max=depth,
        )

    @asynccontextmanager
    async def supervised(
        self, name: str, run: Callable[[InProgress], Awaitable[Any]], **policy: Any
    ) -> AsyncIterator[list[str]]:
        """Run a task under the supervisor; gives the list of reasons for which it gave up."""
        spent: list[str] = []

        async def on_spent(why: str) -> None:
            spent.append(why)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                partial(
                    supervise,
                    Child(name, run, **policy),
                    node="n1",
                    letters=self.doors.letters,
                    wall_ns=lambda: now().wall_ns,
                    on_spent=on_spent,
                )
            )
            yield spent
            nursery.cancel_scope.cancel()


@contextmanager
def bench(data: Path, *, found: bool = True) -> Iterator[Bench]:
    """Open a bench over a data directory, which belongs to a cluster unless it is not `found`."""
    opened = Bench(data, found=found)
    try:
        yield opened
    finally:
        opened.close()


# --- The Arbiter with nobody around -----------------------------------------------------------


class Reign:
    """The Arbiter's loop, running, with a test in the place of connections and ledger keeper."""

    def __init__(self, alone: Bench, core: Arbiter) -> None:
        self.core = core
        self.doors = alone.doors
        self.in_progress = InProgress()
        self._instruments = alone.instruments
        self.writes = True
        self._serial = 0  # of the last record
        self.reload: Reload | None = None
        self.ended = trio.Event()

    async def rule(self, runner: arbiter_loop.BlockingRunner) -> None:
        """Run the loop until it ends by itself."""
        loop = partial(arbiter_loop.run, self.core, self.doors, runner, self.in_progress, now)
        self.reload = await loop(self._instruments)
        self.ended.set()

    async def reigns(self) -> None:
        """Return once it reigns over all that there was before."""
        assert await self.doors.standing_out.receive() == "reigns"

    async def keep(self) -> None:
        """Say of everything that it is on the disk, at once, while `writes`."""
        async for persist in self.doors.ledger_out:
            await until(lambda: self.writes)
            await self.persisted(persist)

    async def persisted(self, persist: Persist) -> None:
        """Say that this is on the disk."""
        self._serial += len(persist.records)
        await self.doors.events.send(Persisted(persist.ticket, self._serial))

    async def join(self, name: str = "probe", connection: int = 1) -> "Guest":
        """A producer connects and is welcomed."""
        answers, answers_out, *_ = connection_doors()
        await self.doors.events.send(Opened(connection, answers))
        await self.doors.intake.send(Joined(connection, name, f"self-declared:{name}", False))
        await self.doors.events.send(Asked(connection, 0, "ping"))
        guest = Guest(self.doors, name, connection, answers_out)
        guest.epoch = (await guest.hear(m.Welcome)).facts["epoch"]
        return guest


@attrs.define
class Guest:
    """A producer's connection, played by the test."""

    doors: Doors
    name: str
    connection: int
    answers_out: trio.MemoryReceiveChannel[list[m.Message]]
    heard: list[m.Message] = attrs.Factory(list)
    epoch: int = 1

    def offer(self, *rows: Row) -> Offered:
        """Return these packets as one offer."""
        frame = cbor2.dumps([3, list(rows)])
        (offered,) = open_send(
            frame,
            list(rows),
            connection=self.connection,
            producer=self.name,
            epoch=self.epoch,
            arrived_ns=now().boot_ns,
        ).offers
        return offered

    async def send(self, *rows: Row) -> None:
        """Offer packets."""
        await self.hand_in(self.offer(*rows))

    async def hand_in(self, offered: Offered) -> None:
        """Put an offer into the intake door, and wake the Arbiter."""
        await self.doors.intake.send(offered)
        await self.doors.events.send(Asked(self.connection, 0, "ping"))

    async def hear(self, kind: type[Any]) -> Any:
        """Return the next answer of this kind; others are passed over."""
        with trio.fail_after(PATIENCE_S):
            while True:
                while not self.heard:
                    self.heard += await self.answers_out.receive()
                message = self.heard.pop(0)
                if isinstance(message, kind):
                    return message


@asynccontextmanager
async def reign(
    alone: Bench,
    runner: arbiter_loop.BlockingRunner | None = None,
    *,
    depth: int = limits.INGEST_DEPTH_PACKETS,
) -> AsyncIterator[Reign]:
    """Run the Arbiter's loop over a core that recovered from the bench's disk; its disk is the
    test's word for it."""
    recovered = alone.recover()
    recovered.writer.close()
    ruling = Reign(alone, alone.core(recovered, depth=depth))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ruling.keep)
        nursery.start_soon(ruling.rule, runner if runner is not None else alone.runner)
        with trio.fail_after(PATIENCE_S):
            await ruling.reigns()
        yield ruling
        nursery.cancel_scope.cancel()


# --- A disk that hangs --------------------------------------------------------------------------


def ledger_threads() -> list[threading.Thread]:
    """The threads that write a ledger, or wait to."""
    return [thread for thread in threading.enumerate() if thread.name == "rmf-ledger"]


# --- One connection ---------------------------------------------------------------------------


class Served:
    """A connection that is served, its client, and the test in the place of the Arbiter."""

    def __init__(self, alone: Bench, wire: Wire) -> None:
        self.doors = alone.doors
        self.wire = wire
        self.in_progress = InProgress()
        self.strangers = Strangers()
        self.known = trio.Event()
        self.ended = trio.Event()
        self.answers: trio.MemorySendChannel[list[m.Message]]

    async def welcome(self, producer: str | None = "probe") -> None:
        """Shake hands on both sides."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.wire.hello, producer)
            await self.opened()
            if producer is not None:
                await self.doors.intake_out.receive()
            extra = {"epoch": 1, "last_seq": 0} if producer is not None else {}
            await self.answers.send([m.Welcome(facts(**extra))])

    async def opened(self) -> None:
        """Take note of the connection, as the Arbiter does; other events are passed over."""
        while not isinstance(item := await self.doors.events_out.receive(), Opened):
            pass
        self.answers = item.answers

    def offered(self) -> list[Any]:
        """Take everything that waits at the intake door."""
        found = []
        while self.doors.intake_out.statistics().current_buffer_used:
            found.append(self.doors.intake_out.receive_nowait())
        return found


async def _nothing_to_say(query: m.Query, pages: trio.MemorySendChannel[bytes]) -> None:
    pages.close()


@asynccontextmanager
async def served(
    alone: Bench,
    *,
    streams: Streams = trio.testing.memory_stream_pair,
    inquire: Callable[[m.Query, trio.MemorySendChannel[bytes]], Awaitable[None]] = _nothing_to_say,
    clock: Callable[[], int] = boot_ns,
) -> AsyncIterator[Served]:
    """Serve one connection over streams in memory, with nobody behind the doors. What it receives
    is dated by that clock."""
    ours, theirs = streams()
    serving = Served(alone, Wire(ours))
    strangers = serving.strangers
    cluster, passes = alone.directory.cluster, Passes(clock)
    port = Port(alone.doors, "n1", lambda: cluster, now, strangers, inquire, passes)
    connection = ServerConnection(1, "tests", theirs, port)

    async def serve() -> None:
        try:
            await connection.serve(serving.in_progress, serving.known.set)
        finally:
            serving.ended.set()
            await trio.aclose_forcefully(theirs)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)  # noqa: ASYNC113 tests wait for what it does
        yield serving
        nursery.cancel_scope.cancel()


# --- Publications -----------------------------------------------------------------------------


class Pictures:
    """Makes one publication after the other: a World that changes tick by tick."""

    def __init__(self) -> None:
        self.tick = 10
        self.index = 1
        self.cells: dict[str, Cell] = {}

    def next(
        self, cells: dict[str, Any] | None = None, removed: dict[str, str] | None = None
    ) -> Publish:
        """Return the publication of the next Tick, which writes and removes these."""
        self.tick += 1
        self.index += 1
        changed = dict(cells or {})
        for key, value in changed.items():
            fields = (cbor2.dumps(value), 1, self.tick, 0, "probe", 0, 0)
            self.cells[key] = Cell(*fields, mark_of(key, *fields))
        for key in removed or {}:
            del self.cells[key]
        return self.again(frozenset(changed), removed or {})

    def again(
        self, changed: frozenset[str] = frozenset(), removed: dict[str, str] | None = None
    ) -> Publish:
        """Return the publication of the present Tick."""
        world = World.of(self.cells)
        digest = world.total.to_bytes(16, "big")
        args = (1, self.tick, self.index, digest, True, world, changed, removed or {})
        return Publish(*args)
