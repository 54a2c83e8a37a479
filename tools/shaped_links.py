"""Links between nodes on loopback that are as slow and as far as one wants: a proxy for each.

Everything that one node says to others shares its uplink: so many bits a second, first in, first
out, and then so long on its way. Nothing is lost and little is buffered, as on a switched network;
what does not fit waits at the sender. The proxies run in a thread of their own; what is said over
them they do not know.
"""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import trio

from rmf import limits

__all__ = ["ShapedLinks"]

_TURN_S = 0.002  # on an uplink, of one link: so much is read at once
_TURN_BYTES_MAX = 64 * 1024
_TURN_BYTES_MIN = 1500
_LATE_S = 0.01  # how late this process may be, and the uplink is used all the same
_BUFFER_BYTES = 64 * 1024  # of a proxy's socket, each way

Pair = tuple[str, str]


class ShapedLinks:
    """The links of a cluster; use it as a context manager. `set` may be called at any time."""

    def __init__(self, mbit: float, round_trip_ms: float) -> None:
        self._default = (mbit, round_trip_ms)
        self._uplinks: dict[str, _Uplink] = {}
        self._links: dict[Pair, tuple[socket.socket, tuple[str, int]]] = {}
        self._stop = trio.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: trio.run(self._run), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._token is not None
        self._token.run_sync_soon(self._stop.set)
        self._thread.join()

    def set(self, name: str, mbit: float) -> None:
        """Give a node an uplink, and everybody's links to it, of so many Mbit/s."""
        self._uplink(name).mbit = mbit
        for caller, called in self._links:
            if called == name:
                self._uplink(f"{caller}>{called}").mbit = mbit

    def carried(self, name: str) -> int:
        """Return how many bytes the other nodes have sent to this one."""
        return sum(
            self._uplink(f"{caller}>{called}").bytes
            for caller, called in self._links
            if called == name
        )

    def between(self, name: str, peer: str, address: str) -> str:
        """Return where `name` has to dial in order to reach `peer` at `address`."""
        host, _, port = address.rpartition(":")
        if (name, peer) not in self._links:
            listening = socket.create_server(("127.0.0.1", 0))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            self._links[name, peer] = (listening, (host, int(port)))
            assert self._token is not None
            self._token.run_sync_soon(self._serve, (name, peer))
        listening = self._links[name, peer][0]
        return f"127.0.0.1:{listening.getsockname()[1]}"

    def _uplink(self, name: str) -> "_Uplink":
        return self._uplinks.setdefault(name, _Uplink(*self._default))

    # --- In the thread ----------------------------------------------------------------------------

    async def _run(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._token = trio.lowlevel.current_trio_token()
            self._ready.set()
            await self._stop.wait()
            self._nursery.cancel_scope.cancel()

    def _serve(self, pair: Pair) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._accept, pair)

    async def _accept(self, pair: Pair) -> None:
        assert self._nursery is not None
        listening, target = self._links[pair]
        async with trio.SocketListener(trio.socket.from_stdlib_socket(listening)) as listener:
            while True:
                near = await listener.accept()
                self._nursery.start_soon(self._join, near, pair, target)

    async def _join(self, near: trio.SocketStream, pair: Pair, target: tuple[str, int]) -> None:
        """Carry both ways until one side ends."""
        caller, called = pair
        with suppress(OSError):
            far = await trio.open_tcp_stream(*target)
            async with near, far, trio.open_nursery() as nursery:
                for source, sink, name, to in (
                    (near, far, caller, called),
                    (far, near, called, caller),
                ):
                    ways = [self._uplink(name), self._uplink(f"{name}>{to}")]
                    nursery.start_soon(_carry, source, sink, ways, nursery.cancel_scope)
            return
        await trio.aclose_forcefully(near)


class _Uplink:
    """One at a time, in the order in which they come."""

    def __init__(self, mbit: float, round_trip_ms: float) -> None:
        self.mbit = mbit
        self.delay_s = round_trip_ms / 2000
        self.bytes = 0  # that went through
        self._free_s = 0.0

    @property
    def turn_bytes(self) -> int:
        """How much goes through in one turn."""
        return min(max(int(self.mbit * 125_000 * _TURN_S), _TURN_BYTES_MIN), _TURN_BYTES_MAX)

    def through_s(self, size: int) -> float:
        """Return when so many bytes are through that come now."""
        self.bytes += size
        begins_s = max(self._free_s, trio.current_time() - _LATE_S)
        self._free_s = begins_s + size * 8e-6 / self.mbit
        return self._free_s


async def _carry(
    source: trio.SocketStream,
    sink: trio.SocketStream,
    ways: list[_Uplink],
    scope: trio.CancelScope,
) -> None:
    send, arriving = trio.open_memory_channel[tuple[float, bytes]](limits.BENCH_LINK_READS)

    async def arrive() -> None:
        async for at_s, data in arriving:
            await trio.sleep_until(at_s)
            await sink.send_all(data)

    async def leave() -> None:
        while data := bytes(await source.receive_some(min(way.turn_bytes for way in ways))):
            through_s = max(trio.current_time(), *(way.through_s(len(data)) for way in ways))
            await trio.sleep_until(through_s)
            await send.send((through_s + ways[0].delay_s, data))

    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(arrive)
            await leave()
            await send.aclose()  # what is on its way arrives
    scope.cancel()
