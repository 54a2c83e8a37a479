"""The port for other nodes: accepts their connections, each served by a task of its own (R28).

It knows nothing of what they say (see peer_connection). Connections are bounded; one that fails is
our bug: that becomes a letter, and no other notices.

Errors: when the port itself fails it is opened again by the supervisor, on the same number.
Shutdown: cancel it; who was here is said to be lost, where a task still listens.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from rmf import limits
from rmf.core.raft import wire
from rmf.core.raft.greetings import Refusal
from rmf.errors import NO_CONNECTION, UsageError, why_no_connection
from rmf.floor.accepting import accept, open_listeners
from rmf.floor.peer_connection import PeerConnection, PeerPort
from rmf.floor.supervisor import Hands, caught, seal
from rmf.notation import Address, address_text

__all__ = ["Listening", "run"]


class Listening:
    """Where to listen; once bound, `port` is the real one, and it stays over restarts."""

    def __init__(self, address: Address) -> None:
        self.host, self.port = address
        self.open = 0
        self._bound: list[trio.SocketListener] = []

    @property
    def address(self) -> str:
        """Where it listens, as text."""
        return address_text((self.host, self.port))

    async def bind(self) -> None:
        """Have the port, before anything is served. Raises UsageError if it cannot be had."""
        try:
            self._bound = await open_listeners(self.host, self.port)
        except NO_CONNECTION as exc:
            raise UsageError(
                f"cannot listen on {self.address}: {why_no_connection(exc)}. Stop what listens "
                f"there, or choose another address with --peer-listen (port 0: a free one)."
            ) from exc
        if self.port == 0:
            self.port = self._bound[0].socket.getsockname()[1]

    async def close(self) -> None:
        """Give the port up, if it is bound and not served."""
        for listener in self._bound:
            await listener.aclose()
        self._bound = []

    async def listeners(self) -> list[trio.SocketListener]:
        """Return the listeners to serve; after a failure they are opened again on the same port."""
        if not self._bound:
            await self.bind()
        bound, self._bound = self._bound, []
        return bound


async def run(
    listening: Listening,
    port: PeerPort,
    hands: Hands,
    *,
    node: str,
    letters: trio.MemorySendChannel[Any],
    wall_ns: Callable[[], int],
) -> None:
    """Accept and serve connections until cancelled. `letters` takes what a failed connection leaves
    behind. Raises UsageError if the port cannot be had."""
    hands.free()  # it holds no packets
    listeners = await listening.listeners()
    explain = partial(seal, "peer_port", node=node, letters=letters, wall_ns=wall_ns)
    async with trio.open_nursery() as nursery:
        door = _Door(listening, port, nursery, explain)
        for listener in listeners:
            nursery.start_soon(door.accept_all, listener)


class _Door:
    """Accepts within the bound and looks after the connections."""

    def __init__(
        self,
        listening: Listening,
        port: PeerPort,
        nursery: trio.Nursery,
        explain: Callable[..., Any],
    ) -> None:
        self._listening = listening
        self._port = port
        self._nursery = nursery
        self._explain = explain

    async def accept_all(self, listener: trio.SocketListener) -> None:
        """Accept for ever."""
        async with listener:
            while True:
                stream = await accept(listener)
                self._listening.open += 1
                self._nursery.start_soon(self._serve, stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            if self._listening.open > limits.PEER_CONNECTIONS_MAX:
                await _turn_away(stream)
                return
            connection = PeerConnection(stream, _address_of(stream), self._port)
            exc = await caught(connection.serve)
            if exc is not None:
                cancelled = await self._explain(exc, Hands())
                if cancelled is not None:
                    raise cancelled
        finally:
            self._listening.open -= 1
            await trio.aclose_forcefully(stream)


def _address_of(stream: trio.SocketStream) -> str:
    try:
        name = stream.socket.getpeername()
    except OSError:
        return "gone"
    return address_text((name[0], name[1]))


async def _turn_away(stream: trio.SocketStream) -> None:
    most = limits.PEER_CONNECTIONS_MAX
    refusal = Refusal("too_many_connections", f"at most {most} connections are served")
    with trio.move_on_after(limits.GOODBYE_S_MAX):
        try:
            await stream.send_all(wire.PREFACE + wire.encode(refusal))
            await stream.receive_some(limits.PEER_HELLO_BYTES_MAX)  # else a reset may overtake it
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
