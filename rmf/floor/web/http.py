"""The HTTP port: health and metrics for probes, scrapers and people (`--http`).

Connections are bounded; each is served by a task of its own. Whatever fails here stays here: it is
logged, and the port is opened again. A node never strikes because its health cannot be read.

Errors: none leave `run`. Shutdown: cancel it; an answer under way is cut.
"""

from contextlib import suppress
from types import ModuleType

import trio

from rmf import limits
from rmf.errors import UsageError
from rmf.floor import log
from rmf.floor.edge import acceptor
from rmf.floor.edge.acceptor import Acceptor, last_words, linger
from rmf.floor.supervisor import InProgress
from rmf.floor.web.http_answers import Answers
from rmf.floor.web.readings import Sources
from rmf.notation import Address

__all__ = ["HttpListening", "run"]

_CROWDED = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\nRetry-After: 1\r\n\r\ntoo many connections\n"
)


class HttpListening(acceptor.Listening):
    """Where to listen. Names in `also` are served beside loopback and the host itself."""

    def __init__(self, address: Address, *, also: frozenset[str] = frozenset()) -> None:
        super().__init__(address, "--http", "port 0: a free one; off: none")
        self.also = also

    async def bind_or_warn(self) -> bool:
        """Bind a port that was not asked for: that it cannot be bound is no reason not to start;
        it is logged, and False returned."""
        try:
            await self.bind()
        except UsageError as exc:
            log.note("warning", "http_off", text=str(exc))
            return False
        return True


async def run(listening: HttpListening, sources: Sources, in_progress: InProgress) -> None:
    """Accept and serve connections until cancelled; a port that fails is opened again."""
    in_progress.free()  # it holds no packets
    async with trio.open_nursery() as connections:
        service = _Service(listening, Answers(sources, listening.host, listening.also))
        acceptor = Acceptor(listening, connections, service.serve, "http_accept_failed")
        connections.start_soon(service.load_ahead)
        while True:
            await _accept(listening, acceptor)
            await trio.sleep(limits.HTTP_RETRY_S)


async def _accept(listening: HttpListening, acceptor: Acceptor) -> None:
    """Accept until the port fails."""
    try:
        listeners = await listening.listeners()
    except OSError as exc:
        log.note("error", "http_port_lost", address=listening.address, error=str(exc))
        return
    try:
        await acceptor.accept(listeners)
    except* OSError as group:
        error = "; ".join(map(str, group.exceptions))
        log.note("error", "http_accept_failed", error=error)


class _Service:
    """Serves the connections within their bound."""

    def __init__(self, listening: HttpListening, answers: Answers) -> None:
        self._listening = listening
        self._answers = answers
        self._exchange: ModuleType | None = None

    async def load_ahead(self) -> None:
        """Have what speaks HTTP imported while the node gets to work: no start waits for its 50 ms,
        and it is of the release that runs, even if the package is replaced meanwhile."""
        with suppress(Exception):  # said when it is needed, and tried once more
            await self._load()

    async def _load(self) -> ModuleType:
        self._exchange = await trio.to_thread.run_sync(_load_exchange)
        return self._exchange

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection; its failure is logged."""
        try:
            if self._listening.open > 2 * limits.HTTP_CONNECTIONS_MAX:
                return  # even words take a descriptor for a while
            if self._listening.open > limits.HTTP_CONNECTIONS_MAX:
                await last_words(stream, _CROWDED)
                await linger(stream, limits.GOODBYE_S_MAX)
                return
            exchange = self._exchange if self._exchange is not None else await self._load()
            await exchange.Exchange(stream, self._answers).serve()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            pass  # the client is gone, or does not read
        except Exception as exc:  # noqa: BLE001 one connection never ends the others
            error = f"{type(exc).__name__}: {exc}"
            log.note("error", "http_connection_failed", error=error)


def _load_exchange() -> ModuleType:
    from rmf.floor.web import http_exchange  # noqa: PLC0415 see load_ahead

    return http_exchange
