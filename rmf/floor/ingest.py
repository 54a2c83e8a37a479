"""The port: connections come in, each is served by a task of its own (floor/connection).

Connections are bounded; one that fails is our bug: what it held becomes a letter, its client hears
`internal`, and no other notices.

Errors: when the port itself fails it is opened again by the supervisor, on the same number.
Shutdown: cancel it; clients receive a GOAWAY before (see serve).
"""

from contextlib import suppress
from functools import partial
from itertools import count

import trio

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.errors import NO_CONNECTION, UsageError, why_no_connection
from rmf.floor.accepting import accept
from rmf.floor.connection import Connection, Port
from rmf.floor.supervisor import Hands, caught, seal

__all__ = ["Listening", "run"]


class Listening:
    """Where to listen; once bound, `port` is the real one, and it stays over restarts. `quiet` is
    an Event of the next moment without a connection."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._bound: list[trio.SocketListener] = []
        self._accepting = trio.CancelScope()
        self.numbers = count(1)
        self.open = 0
        self.strangers = 0
        self.quiet = trio.Event()

    async def bind(self) -> None:
        """Have the port, before anything is served. Raises UsageError if it cannot be had."""
        try:
            self._bound = await trio.open_tcp_listeners(self.port, host=self.host)
        except NO_CONNECTION as exc:
            raise UsageError(
                f"cannot listen on {self.host}:{self.port}: {why_no_connection(exc)}. Stop what "
                f"listens there, or choose another address with --listen (port 0: a free one)."
            ) from exc
        self.port = self._bound[0].socket.getsockname()[1]

    async def listeners(self) -> list[trio.SocketListener]:
        """Return the listeners to serve; after a failure they are opened again on the same port."""
        if not self._bound:
            await self.bind()
        bound, self._bound = self._bound, []
        return bound

    def shut(self) -> None:
        """Accept no client any more: who comes to a node that stops shall go elsewhere at once."""
        self._accepting.cancel()

    def accepting(self) -> trio.CancelScope:
        """Return the scope to accept in from now on, which `shut` cancels."""
        self._accepting = trio.CancelScope()
        return self._accepting

    @property
    def is_crowded(self) -> bool:
        """Whether one connection more, or one stranger more, is too many."""
        return (
            self.open > limits.CONNECTIONS_MAX
            or self.strangers > limits.CONNECTIONS_BEFORE_HELLO_MAX
        )

    def opened(self) -> None:
        """Count a connection in."""
        self.open += 1

    def closed(self) -> None:
        """Count a connection out; `quiet` is set when there is none."""
        self.open -= 1
        if not self.open:
            self.quiet.set()
            self.quiet = trio.Event()


async def run(listening: Listening, port: Port, hands: Hands) -> None:
    """Accept and serve connections until cancelled. Raises UsageError if the port cannot be had."""
    hands.free()  # each connection has hands of its own
    listeners = await listening.listeners()
    async with trio.open_nursery() as nursery:
        door = _Door(listening, port, nursery)
        with listening.accepting():
            async with trio.open_nursery() as accepting:
                for listener in listeners:
                    accepting.start_soon(door.accept_all, listener)
        await trio.sleep_forever()  # the connections have theirs still to hear


class _Door:
    """Accepts within the bounds and looks after the connections."""

    def __init__(self, listening: Listening, port: Port, nursery: trio.Nursery) -> None:
        self._listening = listening
        self._port = port
        self._nursery = nursery

    async def accept_all(self, listener: trio.SocketListener) -> None:
        """Accept for ever."""
        async with listener:
            while True:
                stream = await accept(listener)
                self._listening.opened()
                self._nursery.start_soon(self._serve, stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        hands = Hands()
        listening = self._listening
        stranger = _Stranger(listening)
        try:
            if listening.is_crowded:
                await _turn_away(stream)
                return
            number = next(listening.numbers)
            with self._port.passes.watched():
                connection = Connection(number, _peer_of(stream), stream, self._port)
                exc = await caught(partial(connection.serve, hands, stranger.is_known))
            if exc is not None:
                await self._explain(exc, hands, stream)
            await _linger(stream)
        finally:
            stranger.is_known()
            listening.closed()
            await trio.aclose_forcefully(stream)

    async def _explain(self, exc: BaseException, hands: Hands, stream: trio.SocketStream) -> None:
        cancelled = await seal(
            "ingest",
            exc,
            hands,
            node=self._port.node,
            letters=self._port.doors.letters,
            wall_ns=lambda: self._port.now().wall_ns,
        )
        if cancelled is not None:
            raise cancelled
        await _say_internal(stream)


class _Stranger:
    """Counts one connection among those that have not said HELLO yet, until it is known."""

    def __init__(self, listening: Listening) -> None:
        self._listening: Listening | None = listening
        listening.strangers += 1

    def is_known(self) -> None:
        """Count it no longer; a second call does nothing."""
        if self._listening is not None:
            self._listening.strangers -= 1
            self._listening = None


def _peer_of(stream: trio.SocketStream) -> str:
    try:
        name = stream.socket.getpeername()
    except OSError:
        return "gone"
    return f"{name[0]}:{name[1]}"


async def _turn_away(stream: trio.SocketStream) -> None:
    most = limits.CONNECTIONS_MAX
    error = m.Error("too_many_connections", f"at most {most} connections are served", None)
    await _last_words(stream, codec.PREFACE + codec.encode(error))


async def _say_internal(stream: trio.SocketStream) -> None:
    error = m.Error("internal", "the node failed while it served this connection", None)
    await _last_words(stream, codec.encode(error))


async def _last_words(stream: trio.SocketStream, data: bytes) -> None:
    with trio.move_on_after(limits.GOODBYE_S_MAX), suppress(*_GONE):
        await stream.send_all(data)


async def _linger(stream: trio.SocketStream) -> None:
    """Let the client hear what it was sent: to close on what it still sends would take away all
    that its machine has not confirmed yet, the last acks too (RFC 9112 §9.6)."""
    with trio.move_on_after(limits.GOODBYE_S_MAX), suppress(*_GONE):
        await stream.send_eof()
        data = b"still here"
        while data:
            with trio.move_on_after(limits.LINGER_S) as silence:
                data = await stream.receive_some(limits.RECEIVE_BYTES)
            if silence.cancelled_caught:
                return


_GONE = (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError)
