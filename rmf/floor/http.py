"""The HTTP port: health and metrics for probes, scrapers and people (`--http`).

Connections are bounded; each is served by a task of its own. Whatever fails here stays here: it is
logged, and the port is opened again. A node never strikes because its health cannot be read.

Errors: none leave `run`. Shutdown: cancel it; an answer under way is cut.
"""

from contextlib import suppress
from types import ModuleType

import trio

from rmf import limits
from rmf.errors import NO_CONNECTION, UsageError, why_no_connection
from rmf.floor import log
from rmf.floor.accepting import accept, open_listeners
from rmf.floor.http_answers import Answers
from rmf.floor.readings import Sources
from rmf.floor.supervisor import Hands
from rmf.notation import Address, address_text

__all__ = ["Listening", "run"]

_CROWDED = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\nRetry-After: 1\r\n\r\ntoo many connections\n"
)


class Listening:
    """Where to listen; once bound, `port` is the real one, and it stays over restarts. Names in
    `also` are served beside loopback and the host itself."""

    def __init__(self, address: Address, *, also: frozenset[str] = frozenset()) -> None:
        self.host, self.port = address
        self.also = also
        self.open = 0
        self._bound: list[trio.SocketListener] = []

    @property
    def address(self) -> str:
        """Where it listens, as text."""
        return address_text((self.host, self.port))

    async def bind(self, *, asked_for: bool) -> bool:
        """Have the port, before anything is served. One that was not asked for and that cannot be
        had is no reason not to start: that is logged, and False returned. Raises UsageError."""
        try:
            await self._open()
        except NO_CONNECTION as exc:
            what = f"cannot listen on {self.address}: {why_no_connection(exc)}"
            if not asked_for:
                log.note("warning", "http_off", text=f"{what}; --http says where else, or off")
                return False
            raise UsageError(
                f"{what}. Stop what listens there, or choose another address with --http "
                f"(port 0: a free one; off: none)."
            ) from exc
        return True

    async def listeners(self) -> list[trio.SocketListener]:
        """Return the listeners to serve; after a failure they are opened again on the same port.
        Raises OSError."""
        if not self._bound:
            await self._open()
        bound, self._bound = self._bound, []
        return bound

    async def _open(self) -> None:
        self._bound = await open_listeners(self.host, self.port)
        if self.port == 0:
            self.port = self._bound[0].socket.getsockname()[1]


async def run(listening: Listening, sources: Sources, hands: Hands) -> None:
    """Accept and serve connections until cancelled; a port that fails is opened again."""
    hands.free()  # it holds no packets
    async with trio.open_nursery() as connections:
        door = _Door(listening, Answers(sources, listening.host, listening.also), connections)
        connections.start_soon(door.load_ahead)
        while True:
            try:
                listeners = await listening.listeners()
            except OSError as exc:
                log.note("error", "http_port_lost", address=listening.address, error=str(exc))
            else:
                async with trio.open_nursery() as accepting:
                    for listener in listeners:
                        accepting.start_soon(door.accept_all, listener, accepting.cancel_scope)
            await trio.sleep(limits.HTTP_RETRY_S)


class _Door:
    """Accepts within the bound and looks after the connections."""

    def __init__(self, listening: Listening, answers: Answers, connections: trio.Nursery) -> None:
        self._listening = listening
        self._answers = answers
        self._connections = connections
        self._exchange: ModuleType | None = None

    async def load_ahead(self) -> None:
        """Have what speaks HTTP imported while the node gets to work: no start waits for its 50 ms,
        and it is of the release that runs, even if the package is replaced meanwhile."""
        with suppress(Exception):  # said when it is needed, and tried once more
            await self._load()

    async def _load(self) -> ModuleType:
        self._exchange = await trio.to_thread.run_sync(_load_exchange)
        return self._exchange

    async def accept_all(self, listener: trio.SocketListener, scope: trio.CancelScope) -> None:
        """Accept until the listener fails, and then cancel the others of the port."""
        async with listener:
            while True:
                try:
                    stream = await accept(listener, "http_accept_failed")
                except OSError as exc:
                    log.note("error", "http_accept_failed", error=str(exc))
                    scope.cancel()
                    return
                self._listening.open += 1
                self._connections.start_soon(self._serve, stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            if self._listening.open > 2 * limits.HTTP_CONNECTIONS_MAX:
                return  # even words take a descriptor for a while
            if self._listening.open > limits.HTTP_CONNECTIONS_MAX:
                await _turn_away(stream)
                return
            exchange = self._exchange if self._exchange is not None else await self._load()
            await exchange.Exchange(stream, self._answers).serve()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            pass  # the client is gone, or does not read
        except Exception as exc:  # noqa: BLE001 one connection never ends the others
            error = f"{type(exc).__name__}: {exc}"
            log.note("error", "http_connection_failed", error=error)
        finally:
            self._listening.open -= 1
            await trio.aclose_forcefully(stream)


def _load_exchange() -> ModuleType:
    from rmf.floor import http_exchange  # noqa: PLC0415 see load_ahead

    return http_exchange


async def _turn_away(stream: trio.SocketStream) -> None:
    with trio.move_on_after(limits.GOODBYE_S_MAX):
        await stream.send_all(_CROWDED)
        await stream.send_eof()
        while await stream.receive_some(limits.HTTP_READ_BYTES):
            pass
