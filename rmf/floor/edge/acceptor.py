"""How every port of a node takes connections in: for clients, for other nodes, for HTTP.

It knows sockets and nothing of what is said over them, nor who is too many: each port knows that,
and with which words it turns a connection away.

Lack of descriptors or memory, and a host name that cannot be resolved at present, are no failures
of a port: they are logged and waited out. Connections that were reset before they were accepted are
passed over by trio.
"""

import errno
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import trio

from rmf import limits
from rmf.errors import NO_CONNECTION, UsageError, why_no_connection
from rmf.floor import log
from rmf.notation import Address, address_text

__all__ = ["Acceptor", "Listening", "last_words", "linger", "peer_name"]

_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError)


class Listening:
    """Where to listen; once bound, `port` is the real one, and it stays over restarts. `option`
    chooses the address on the command line. `quiet` is an Event of the next moment without a
    connection."""

    def __init__(self, address: Address, option: str, hint: str = "port 0: a free one") -> None:
        self.host, self.port = address
        self.open = 0
        self.quiet = trio.Event()
        self._advice = f"{option} ({hint})"
        self._bound: list[trio.SocketListener] = []
        self._accepting = trio.CancelScope()

    @property
    def address(self) -> str:
        """Where it listens, as text."""
        return address_text((self.host, self.port))

    async def bind(self) -> None:
        """Bind the port, before anything is served. Raises UsageError if that is not possible."""
        try:
            await self._open()
        except NO_CONNECTION as exc:
            raise UsageError(
                f"cannot listen on {self.address}: {why_no_connection(exc)}. Stop what listens "
                f"there, or choose another address with {self._advice}."
            ) from exc

    async def listeners(self) -> list[trio.SocketListener]:
        """Return the listeners to serve; after a failure they are opened again on the same port.
        Raises OSError."""
        while not self._bound:
            try:
                await self._open()
            except OSError as exc:
                if exc.errno not in _SHORT and not isinstance(exc, socket.gaierror):
                    raise
                log.note("error", "listen_failed", address=self.address, error=str(exc))
                await trio.sleep(limits.ACCEPT_RETRY_S)
        bound, self._bound = self._bound, []
        return bound

    async def _open(self) -> None:
        """Open them. Port 0 gives one: a name with several addresses would get several ports."""
        self._bound = await trio.open_tcp_listeners(self.port, host=self.host)
        if self.port == 0:
            for listener in self._bound[1:]:
                await listener.aclose()
            del self._bound[1:]
            self.port = self._bound[0].socket.getsockname()[1]

    async def close(self) -> None:
        """Give the port up, if it is bound and not served."""
        for listener in self._bound:
            await listener.aclose()
        self._bound = []

    def shut(self) -> None:
        """Accept no connection any more: clients of a node that stops go elsewhere at once."""
        self._accepting.cancel()

    def accepting(self) -> trio.CancelScope:
        """Return the scope to accept in from now on, which `shut` cancels."""
        self._accepting = trio.CancelScope()
        return self._accepting

    def opened(self) -> None:
        """Count a connection in."""
        self.open += 1

    def closed(self) -> None:
        """Count a connection out; `quiet` is set when there is none."""
        self.open -= 1
        if not self.open:
            self.quiet.set()
            self.quiet = trio.Event()


class Acceptor:
    """Accepts the connections of a port. Each is served by a task in `connections`, counted while
    it is open, and closed when `serve` returns; what `serve` raises leaves `connections`."""

    def __init__(
        self,
        listening: Listening,
        connections: trio.Nursery,
        serve: Callable[[trio.SocketStream], Awaitable[None]],
        event: str = "accept_failed",
    ) -> None:
        self._listening = listening
        self._connections = connections
        self._serve = serve
        self._event = event

    async def accept(self, listeners: Sequence[trio.SocketListener]) -> None:
        """Accept until the port is shut. Raises a group with the OSError of a listener that fails;
        the others of the port are closed with it."""
        with self._listening.accepting():
            async with trio.open_nursery() as accepting:
                for listener in listeners:
                    accepting.start_soon(self._accept_all, listener)

    async def _accept_all(self, listener: trio.SocketListener) -> None:
        async with listener:
            while True:
                stream = await self._accept_one(listener)
                self._listening.opened()
                self._connections.start_soon(self._serve_one, stream)

    async def _accept_one(self, listener: trio.SocketListener) -> trio.SocketStream:
        """Return the next connection; without descriptors, log it and wait for some (faults.md §7,
        trap 1)."""
        while True:
            try:
                return await listener.accept()
            except OSError as exc:
                if exc.errno not in _SHORT:
                    raise
                log.note("error", self._event, error=str(exc))
                await trio.sleep(limits.ACCEPT_RETRY_S)

    async def _serve_one(self, stream: trio.SocketStream) -> None:
        try:
            await self._serve(stream)
        finally:
            self._listening.closed()
            await trio.aclose_forcefully(stream)


def peer_name(stream: trio.SocketStream) -> Address | None:
    """Return the address of the other side, None if it is gone."""
    try:
        name = stream.socket.getpeername()
    except OSError:
        return None
    return name[0], name[1]


async def last_words(stream: trio.SocketStream, data: bytes) -> None:
    """Send this, if the other side takes it within GOODBYE_S_MAX."""
    with trio.move_on_after(limits.GOODBYE_S_MAX), suppress(*_GONE):
        await stream.send_all(data)


async def linger(stream: trio.SocketStream, silence_s: float = limits.LINGER_S) -> None:
    """Let the other side read what it was sent, until it closes or is silent for so long: to close
    on what it still sends would take away all that its machine has not confirmed yet, the last acks
    too (RFC 9112 §9.6). Takes at most GOODBYE_S_MAX."""
    with trio.move_on_after(limits.GOODBYE_S_MAX), suppress(*_GONE):
        await stream.send_eof()
        data = b"still here"
        while data:
            with trio.move_on_after(silence_s) as silence:
                data = await stream.receive_some(limits.RECEIVE_BYTES)
            if silence.cancelled_caught:
                return
