"""The port: connections come in, each is served by a task of its own (floor/connection).

Connections are bounded; one that fails is our bug: what it held becomes a letter, its client hears
`internal`, and no other notices.

Errors: when the port itself fails it is opened again by the supervisor, on the same number.
Shutdown: cancel it; clients receive a GOAWAY before (see serve).
"""

from functools import partial
from itertools import count

import trio

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.floor.edge import acceptor
from rmf.floor.edge.acceptor import Acceptor, last_words, linger, peer_name
from rmf.floor.edge.connection import Port, ServerConnection
from rmf.floor.supervisor import InProgress, caught, seal

__all__ = ["ClientListening", "run"]


class ClientListening(acceptor.Listening):
    """Where to listen for clients. `strangers` have not said HELLO yet."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__((host, port), "--listen")
        self.numbers = count(1)
        self.strangers = 0

    @property
    def is_crowded(self) -> bool:
        """Whether one connection more, or one stranger more, is too many."""
        return (
            self.open > limits.CONNECTIONS_MAX
            or self.strangers > limits.CONNECTIONS_BEFORE_HELLO_MAX
        )


async def run(listening: ClientListening, port: Port, in_progress: InProgress) -> None:
    """Accept and serve connections until cancelled. Raises OSError if the port fails."""
    in_progress.free()  # each connection has hands of its own
    listeners = await listening.listeners()
    async with trio.open_nursery() as connections:
        connections.start_soon(port.reader.run)
        serve = partial(_serve, listening, port)
        await Acceptor(listening, connections, serve).accept(listeners)
        await trio.sleep_forever()  # the connections have theirs still to hear


async def _serve(listening: ClientListening, port: Port, stream: trio.SocketStream) -> None:
    in_progress = InProgress()
    stranger = _BeforeHello(listening)
    try:
        if listening.is_crowded:
            await last_words(stream, _CROWDED)
            return
        number = next(listening.numbers)
        with port.passes.watched():
            connection = ServerConnection(number, _peer_of(stream), stream, port)
            exc = await caught(partial(connection.serve, in_progress, stranger.is_known))
        if exc is not None:
            await _explain(port, exc, in_progress, stream)
        await linger(stream)
    finally:
        stranger.is_known()


async def _explain(
    port: Port, exc: BaseException, in_progress: InProgress, stream: trio.SocketStream
) -> None:
    cancelled = await seal(
        "ingest",
        exc,
        in_progress,
        node=port.node,
        letters=port.doors.letters,
        wall_ns=lambda: port.now().wall_ns,
    )
    if cancelled is not None:
        raise cancelled
    error = m.Error("internal", "the node failed while it served this connection", None)
    await last_words(stream, codec.encode(error))


class _BeforeHello:
    """Counts one connection among those that have not said HELLO yet, until it is known."""

    def __init__(self, listening: ClientListening) -> None:
        self._listening: ClientListening | None = listening
        listening.strangers += 1

    def is_known(self) -> None:
        """Count it no longer; a second call does nothing."""
        if self._listening is not None:
            self._listening.strangers -= 1
            self._listening = None


def _peer_of(stream: trio.SocketStream) -> str:
    name = peer_name(stream)
    return "gone" if name is None else f"{name[0]}:{name[1]}"


_CROWDED = codec.PREFACE + codec.encode(
    m.Error(
        "too_many_connections", f"at most {limits.CONNECTIONS_MAX} connections are served", None
    )
)
