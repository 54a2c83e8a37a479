"""A whole node in the process of the test: real directory, real disk, real threads, real sockets.

    async with factory(tmp_path / "data") as node:
        probe = await node.producer("probe")
        assert (await probe.produce("cell/a"))[0].outcome == m.APPLIED

It stops in order at the end; `kill` ends it as a crash does. A `bystander` produces all the time
beside what a test is about, and fails if it notices anything.
"""

import gc
import io
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import trio

from rmf import config
from rmf.core import messages as m
from rmf.core.bag import Letter
from rmf.core.events import Event, Offered
from rmf.floor import log
from rmf.floor.boxes.line_front import LineFront
from rmf.floor.companion import Companion
from rmf.floor.doors import Doors
from rmf.floor.serve import Node
from rmf.floor.supervisor import Supervisor
from rmf.storage.dlq_reader import DlqReader
from tests.floor.wire import PATIENCE_S, POLL_S, Wire, packet, until

LINE = "tests.floor.lines:shop"


class Factory:
    """A node that listens."""

    def __init__(
        self,
        node: Node,
        data: Path,
        said: io.StringIO,
        out: io.StringIO,
        companion: Companion | None,
    ) -> None:
        self.node = node
        self.data = data
        self.exit_code: int | None = None
        self.address = ("", 0)
        self._said = said
        self._companion = companion
        self._out = out
        self._wires: list[Wire] = []
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the node; started once it listens."""

        async def listens(address: str) -> None:
            host, port = address.rsplit(":", 1)
            if self.address == ("", 0):
                self.address = (host, int(port))
                task_status.started()
            if self._companion is not None:
                await self._companion(address)

        try:
            with self._scope:
                self.exit_code = await self.node.main(listens)
        finally:
            self._ended.set()

    @property
    def ready(self) -> dict[str, Any]:
        """The line it wrote when it was ready."""
        ready: dict[str, Any] = json.loads(self._out.getvalue())
        return ready

    @property
    def doors(self) -> Doors:
        """The doors, to hand things in that no connection would."""
        return self.node.ground.doors

    async def happen(self, event: Event) -> None:
        """Let the Arbiter know of something."""
        await self.doors.events.send(event)

    # --- Clients ----------------------------------------------------------------------------------

    async def connect(self) -> Wire:
        """Connect, and say nothing."""
        self._wires.append(Wire(await trio.open_tcp_stream(*self.address)))
        return self._wires[-1]

    async def client(self, **options: Any) -> Wire:
        """Connect as somebody who watches and asks."""
        wire = await self.connect()
        await wire.hello(**options)
        return wire

    async def producer(self, name: str, **options: Any) -> Wire:
        """Connect as a producer."""
        wire = await self.connect()
        await wire.hello(name, **options)
        return wire

    async def producer_again(self, name: str) -> Wire:
        """Connect as a producer, again and again until the node is back."""
        with trio.fail_after(PATIENCE_S):
            while True:
                try:
                    wire = await self.connect()
                    await wire.greet(name)
                    if isinstance(answer := await wire.hear(), m.Welcome):
                        wire.last_seq = answer.facts["last_seq"]
                        return wire
                    assert isinstance(answer, m.Refuse), answer
                    assert answer.code == "no_reign"
                except OSError:
                    await trio.sleep(POLL_S)

    async def display(self, *filters: str, **options: Any) -> Wire:
        """Connect and subscribe, as number 1."""
        wire = await self.client()
        await wire.say(m.Subscribe(1, list(filters), options))
        return wire

    # --- What came of it --------------------------------------------------------------------------

    def letters(self, reason: str | None = None) -> list[Letter]:
        """The letters in the DLQ, oldest first."""
        return letters_in(self.data, reason)

    async def letters_when(self, enough: Callable[[list[Letter]], bool]) -> list[Letter]:
        """Return the letters once they are as expected: the DLQ keeper stores in its own time."""
        await until(lambda: enough(self.letters()))
        return self.letters()

    async def status_when(self, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the status once it is as expected."""
        wire = await self.client()
        async with wire.stream:
            return await wire.status_when(enough)

    def said(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log with this event."""
        log.flush()
        rows = [json.loads(line) for line in self._said.getvalue().splitlines()]
        return [row for row in rows if row["event"] == event]

    # --- The end ----------------------------------------------------------------------------------

    async def stop(self) -> int | None:
        """Stop in order, as SIGTERM does; return the exit code."""
        os.kill(os.getpid(), signal.SIGTERM)
        await self.ended()
        return self.exit_code

    async def kill(self) -> None:
        """End it in the middle of everything."""
        self._scope.cancel()
        await self.ended()

    async def hang_up(self) -> None:
        """Close all connections at once."""
        for wire in self._wires:
            await trio.aclose_forcefully(wire.stream)

    def close_sockets(self) -> None:
        """Leave nothing open, whatever became of a test."""
        for wire in self._wires:
            if isinstance(wire.stream, trio.SocketStream):
                wire.stream.socket.close()

    async def ended(self) -> None:
        """Wait until it has ended."""
        with trio.fail_after(PATIENCE_S):
            await self._ended.wait()


@asynccontextmanager
async def factory(
    data: Path,
    companion: Companion | None = None,
    /,
    *,
    line: str = LINE,
    supervisor: Any = Supervisor,
    stop: Any = None,
    **settings: str,
) -> AsyncIterator[Factory]:
    """Run a node with its data there; `settings` as on the command line. A test may bring what
    supervises the tasks, and what bounds the stop."""
    flags: dict[str, str | None] = {"data": str(data), "listen": "127.0.0.1:0", "line": line}
    flags |= {"http": "off", "glovebox": "inline"}
    said = io.StringIO()
    log.configure("json", said)
    thresholds, collects = gc.get_threshold(), gc.isenabled()
    settled = config.load({**flags, **settings}, {})
    line_front = LineFront(settled)
    node = Node(settled, line_front, supervisor=supervisor, stop=stop)
    out = io.StringIO()
    running = Factory(node, data, said, out, companion)
    try:
        with redirect_stdout(out):
            async with trio.open_nursery() as nursery:
                await nursery.start(running.run)
                yield running
                await running.kill()
                await running.hang_up()
    finally:
        running.close_sockets()
        node.close()
        line_front.close()
        gc.set_threshold(*thresholds)
        (gc.enable if collects else gc.disable)()
        log.configure("json", io.StringIO())


def letters_in(data: Path, reason: str | None = None) -> list[Letter]:
    """The letters in the DLQ of a data directory, oldest first."""
    reader = DlqReader.open(data / "dlq.sqlite")
    try:
        return [stored.letter for stored in reader.letters(reason=reason, limit=100_000)]
    finally:
        reader.close()


def segments(data: Path) -> list[Path]:
    """The segments of the living ledger, oldest first."""
    return sorted((data / "ledger").glob("*.seg"))


def lose_dlq(data: Path) -> None:
    """Remove the DLQ of a node that does not run."""
    for path in data.glob("dlq.sqlite*"):
        path.unlink()


def impossible_offer(probe: Wire, frame: bytes = b"the bytes in hand") -> Offered:
    """Packets of `probe` that no codec decoded: the latch cannot but fail."""
    return Offered(99, "probe", probe.epoch, frame, [[None]], 0, {}, 0)


class Bystander:
    """A producer that sends packet after packet and takes each ack; anything else fails."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.acked = 0

    async def produce(self) -> None:
        """Produce until cancelled."""
        while True:
            seq = self.acked + 1
            await self.wire.send(packet(seq, "count"))
            message = await self.wire.hear()
            assert isinstance(message, m.Ack), message
            (run,) = message.runs
            assert (run.seq, run.packets, run.outcome) == (seq, 1, m.APPLIED), run
            assert not run.duplicate
            self.acked = seq

    async def goes_on(self) -> None:
        """Wait for the next acks: the line moves."""
        wanted = self.acked + 2  # the next one may be on its way already
        with trio.fail_after(PATIENCE_S):
            while self.acked < wanted:  # noqa: ASYNC110 nothing tells it
                await trio.lowlevel.checkpoint()


@asynccontextmanager
async def bystander(node: Factory, name: str = "bystander") -> AsyncIterator[Bystander]:
    """Produce beside what happens in the block, and notice nothing of it."""
    someone = Bystander(await node.producer(name))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(someone.produce)
        await someone.goes_on()
        yield someone
        await someone.goes_on()
        nursery.cancel_scope.cancel()
