"""What HTTP answers: routes, methods, and for which Host (R44).

A page in a browser can make a name of its own point at 127.0.0.1 and read what answers there (DNS
rebinding); its requests then carry that name as Host. So only names that belong to this node are
served; an address is no name that could be pointed elsewhere. It knows requests and answers as
values, no sockets. Metrics are loaded when they are asked for the first time: an idle node neither
waits for them nor holds them.
"""

import ipaddress
from collections.abc import Awaitable, Callable
from types import ModuleType
from urllib.parse import parse_qs

import attrs
import trio

from rmf import limits
from rmf.floor import log
from rmf.floor.web import health
from rmf.floor.web.readings import DiskFacts, Sources
from rmf.notation import is_loopback

__all__ = ["Answers", "Request", "Response", "host_fault", "plain"]

_TEXT = "text/plain; charset=utf-8"
_METHODS = ("GET", "HEAD")


@attrs.frozen
class Request:
    """What was asked. `host` is None where HTTP/1.0 leaves it out."""

    method: str
    target: str
    host: str | None
    accept: str = ""


@attrs.frozen
class Response:
    """What is answered, whole: an answer is at most a page of metrics."""

    status: int
    body: bytes
    kind: str = _TEXT
    headers: tuple[tuple[str, str], ...] = ()


def plain(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """Return an answer of text."""
    return Response(status, text.encode("utf-8", "backslashreplace"), headers=headers)


def host_fault(host: str | None, listens: str, also: frozenset[str] = frozenset()) -> str:
    """Return why a Host is not served, "" if it is: loopback, the host where HTTP listens, and the
    names in `also` are; where it listens beyond loopback, so is any address."""
    if host is None:
        return ""  # HTTP/1.0: browsers always send one
    name = _without_port(host).lower()
    if is_loopback(name) or name in {listens.lower(), *also}:
        return ""
    if not is_loopback(listens) and _is_address(name):
        return ""
    return "this node does not serve the host that the request names; use its address"


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Answers:
    """Answers requests from `sources`, for requests to `listens` and to the names in `also`."""

    def __init__(self, sources: Sources, listens: str, also: frozenset[str] = frozenset()) -> None:
        self._sources = sources
        self._listens = listens
        self._also = also
        self._disk_limiter = trio.CapacityLimiter(1)  # a hung disk takes one thread, not many
        self._metrics_module: ModuleType | None = None
        self._routes: dict[str, Callable[[Request, str], Awaitable[Response]]] = {
            "/livez": self._live,
            "/readyz": self._ready,
            "/leader": self._leader,
            "/metrics": self._metrics,
        }

    async def to(self, request: Request) -> Response:
        """Return the answer to a request. Raises what a source raises."""
        fault = host_fault(request.host, self._listens, self._also)
        if fault:
            return plain(421, f"{fault}\n")
        path, _, query = request.target.partition("?")
        route = self._routes.get(path)
        if route is None:
            return plain(404, f"There is nothing here. There are {', '.join(self._routes)}\n")
        if request.method not in _METHODS:
            allowed = ", ".join(_METHODS)
            return plain(405, f"Only {allowed} are served here\n", ("Allow", allowed))
        await self._sources.refresh()
        return await route(request, query)

    async def _live(self, _request: Request, _query: str) -> Response:
        return plain(*health.live(self._sources.facts(), self._sources.last_step_age_s()))

    async def _ready(self, _request: Request, query: str) -> Response:
        options = parse_qs(query, keep_blank_values=True)
        exclude = {name for text in options.get("exclude", []) for name in text.split(",") if name}
        verdict = health.ready(
            self._sources.facts(),
            self._sources.last_step_age_s(),
            verbose="verbose" in options,
            exclude=exclude,
        )
        return plain(*verdict)

    async def _leader(self, _request: Request, _query: str) -> Response:
        return plain(*health.leader(self._sources.facts()))

    async def _metrics(self, request: Request, _query: str) -> Response:
        if self._metrics_module is None:
            self._metrics_module = await trio.to_thread.run_sync(_load_metrics)
        disk = await self._look_at_disk()
        body, kind = self._metrics_module.render(self._sources, disk, request.accept)
        return Response(200, body, kind)

    async def _look_at_disk(self) -> DiskFacts | None:
        """Look at the disk in a thread; None if it takes too long or cannot be asked."""
        with trio.move_on_after(limits.HTTP_DISK_S_MAX):
            try:
                return await trio.to_thread.run_sync(
                    self._sources.disk, abandon_on_cancel=True, limiter=self._disk_limiter
                )
            except OSError as exc:
                log.note("error", "disk_not_asked", error=str(exc))
        return None


def _load_metrics() -> ModuleType:
    """Import what makes metrics: 0.1 s, of which the first scrape waits and no other."""
    from rmf.floor.web import metrics  # noqa: PLC0415 see above

    return metrics
