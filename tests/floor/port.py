"""The port alone: real sockets, real connections, and the test in the place of the Arbiter."""

import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import trio

from rmf.core import messages as m
from rmf.core.events import Asked
from rmf.floor.edge import ingest
from rmf.floor.edge.connection import Port
from rmf.floor.edge.strangers import Strangers
from rmf.floor.items import Closed, Opened
from rmf.floor.node_clock import now
from tests.floor.kit import Bench
from tests.floor.wire import Wire
from tests.scripted_node import facts

Inquire = Callable[[m.Query, trio.MemorySendChannel[bytes]], Awaitable[None]]


class OpenPort:
    """A port that is served under the supervisor."""

    def __init__(
        self, alone: Bench, listening: ingest.ClientListening, strangers: Strangers
    ) -> None:
        self.alone = alone
        self.listening = listening
        self.strangers = strangers
        self.guests: dict[int, trio.MemorySendChannel[list[m.Message]]] = {}
        self._wires: list[Wire] = []

    async def connect(self) -> Wire:
        """Connect, and say nothing."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.listening.port)
        self._wires.append(Wire(stream))
        return self._wires[-1]

    async def client(self) -> Wire:
        """Connect and shake hands."""
        wire = await self.connect()
        await wire.hello()
        return wire

    async def welcome_all(self) -> None:
        """Answer what connections ask, as the Arbiter does."""
        async for item in self.alone.doors.events_out:
            match item:
                case Opened():
                    self.guests[item.connection] = item.answers
                case Closed():
                    del self.guests[item.connection]
                case Asked(subject="welcome"):
                    self.guests[item.connection].send_nowait([m.Welcome(facts())])
                case Asked(subject="ping"):
                    self.guests[item.connection].send_nowait([m.Pong(item.request, 1, 1)])

    async def hang_up(self) -> None:
        """Close all connections."""
        for wire in self._wires:
            await trio.aclose_forcefully(wire.stream)


async def nothing_to_say(query: m.Query, pages: trio.MemorySendChannel[bytes]) -> None:
    """Answer no question."""
    pages.close()


@asynccontextmanager
async def open_port(alone: Bench, inquire: Inquire = nothing_to_say) -> AsyncIterator[OpenPort]:
    """Listen on loopback."""
    listening, strangers = ingest.ClientListening("127.0.0.1", 0), Strangers()
    await listening.bind()
    opened = OpenPort(alone, listening, strangers)
    port = Port(alone.doors, "n1", lambda: alone.directory.cluster, now, strangers, inquire)
    async with alone.supervised("ingest", partial(ingest.run, listening, port)):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opened.welcome_all)
            yield opened
            nursery.cancel_scope.cancel()
        await opened.hang_up()


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """This process may open no file and accept no connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def listening_socket(port: int) -> socket.socket:
    """Return another handle on the socket of this process that listens there."""
    for place in Path("/proc/self/fd").iterdir():
        try:
            handle = socket.fromfd(int(place.name), socket.AF_INET, socket.SOCK_STREAM)
        except OSError:
            continue  # gone meanwhile
        try:
            listens = handle.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listens and handle.getsockname()[1] == port:
                return handle
        except OSError:
            pass  # no socket
        handle.close()
    raise LookupError(port)
