"""Nodes that follow scripts, in the test's own loop: loopback sockets, no RMF behind them.

Connections are served at once, each by the next script; a script is a coroutine function of a Peer.
What it asserts or raises ends the test. When a script returns, its connection is closed.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from rmf import limits
from rmf.client.nursery import open_hidden_nursery
from rmf.core import messages as m
from rmf.core.codec import OPENING, PREFACE, FrameBuffer, decode, encode
from tests.scripted_node import facts

__all__ = ["Peer", "Script", "Standing", "acked", "nodes", "producing", "snapshot", "standing"]

_M = TypeVar("_M")


class Peer:
    """The node's end of one connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._frames = FrameBuffer(limits.FRAME_BYTES_MAX, OPENING)
        self._arrived: list[m.Message] = []

    async def receive(self) -> m.Message | None:
        """The next message of the client; None once it has gone."""
        while not self._arrived:
            try:
                data = bytes(await self.stream.receive_some())
            except trio.BrokenResourceError:
                return None
            if not data:
                return None
            self._frames.feed(data)
            self._arrived.extend(decode(frame) for frame in self._frames.frames())
        return self._arrived.pop(0)

    async def expect(self, kind: type[_M]) -> _M:
        """The next message but pings, which must be of this kind."""
        message = await self.receive()
        while isinstance(message, m.Ping):
            message = await self.receive()
        assert isinstance(message, kind), f"expected {kind.__name__}, found {message}"
        return message

    async def send(self, *messages: m.Message) -> None:
        """Send messages in one write."""
        await self.stream.send_all(b"".join(map(encode, messages)))

    async def greet(self) -> m.Hello:
        """Take the client's HELLO and send the preface. Raises trio.BrokenResourceError if it has
        gone before it said anything."""
        hello = await self.receive()
        if hello is None:
            raise trio.BrokenResourceError("the client has gone")
        assert isinstance(hello, m.Hello), f"expected HELLO, found {hello}"
        await self.stream.send_all(PREFACE)
        return hello

    async def welcome(self, **more: Any) -> m.Hello:
        """Shake hands; return the client's HELLO."""
        hello = await self.greet()
        await self.send(m.Welcome(facts(**more)))
        return hello

    async def produce(self, epoch: int | None = None, last_seq: int = 0, **more: Any) -> m.Hello:
        """Shake hands with a producer; its epoch rises by one if no other is named."""
        hello = await self.greet()
        epoch = hello.options.get("epoch", 0) + 1 if epoch is None else epoch
        await self.send(m.Welcome(facts(epoch=epoch, last_seq=last_seq, **more)))
        return hello

    async def wait_for_the_end(self) -> list[m.Message]:
        """Read until the client says BYE or has gone; return what it still said, but pings."""
        said: list[m.Message] = []
        while (message := await self.receive()) is not None:
            if not isinstance(message, m.Ping):
                said.append(message)
            if isinstance(message, m.Bye):
                break
        return said


Script = Callable[[Peer], Awaitable[None]]


def acked(send: m.Send, *, duplicate: bool = False) -> m.Ack:
    """The ACK of a whole frame: applied in tick 5, its seqs as slots."""
    first, packets = send.packets[0][1], len(send.packets)
    return m.Ack([m.Run(first, packets, m.APPLIED, duplicate, 1, 5, first, None, None)])


async def producing(peer: Peer) -> None:
    """Ack whatever comes."""
    await peer.produce()
    while isinstance(message := await peer.receive(), m.Send):
        await peer.send(acked(message))


def snapshot(kind: int, tick: int, *keys: str, **more: Any) -> m.Snapshot:
    """A SNAPSHOT at a tick whose cells say that tick."""
    value = tick.to_bytes(1, "big")
    assert tick < 24, "small ticks are their own CBOR"
    cells = [m.WireCell(key, value, 1, tick, 0, "p", 1, None) for key in keys]
    parts: dict[str, Any] = {"more": False, "live": True, "skipped": 0, "removed": [], **more}
    return m.Snapshot(
        number=1,
        kind=kind,
        term=1,
        tick=tick,
        entry_index=tick,
        digest=bytes(16),
        cells=cells,
        **parts,
    )


@asynccontextmanager
async def nodes(*scripts: list[Script]) -> AsyncIterator[list[str]]:
    """Run a node for each list of scripts; gives their addresses. Leaving waits for the scripts."""
    addresses = []
    async with open_hidden_nursery() as nursery:
        listeners = []
        for mine in scripts:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            listeners.append(listener)
            addresses.append(f"127.0.0.1:{listener.socket.getsockname()[1]}")
            nursery.start_soon(_serve, listener, mine)
        yield addresses
        for listener in listeners:
            await listener.aclose()


async def _serve(listener: trio.SocketListener, scripts: list[Script]) -> None:
    async with open_hidden_nursery() as nursery:
        for script in scripts:
            try:
                stream = await listener.accept()
            except trio.ClosedResourceError:
                raise AssertionError("a script was never needed") from None
            nursery.start_soon(_follow, script, stream)
        await listener.aclose()


class Standing:
    """A node that serves any number of connections, each by its present script, until `killed`."""

    def __init__(self, listener: trio.SocketListener, script: Script) -> None:
        self.script = script
        self.address = f"127.0.0.1:{listener.socket.getsockname()[1]}"
        self.accepted: list[float] = []  # when
        self._listener = listener
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Serve."""
        with self._scope:
            async with self._listener, open_hidden_nursery() as nursery:
                while True:
                    stream = await self._listener.accept()
                    self.accepted.append(trio.current_time())
                    nursery.start_soon(_follow_until_gone, self.script, stream)

    def kill(self) -> None:
        """Close the port and all connections."""
        self._scope.cancel()


@asynccontextmanager
async def standing(*scripts: Script) -> AsyncIterator[list[Standing]]:
    """Run a Standing node for each script; leaving kills them."""
    async with open_hidden_nursery() as nursery:
        found = []
        for script in scripts:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            found.append(Standing(listener, script))
            nursery.start_soon(found[-1].run)
        yield found
        for node in found:
            node.kill()


async def _follow_until_gone(script: Script, stream: trio.SocketStream) -> None:
    try:
        await _follow(script, stream)
    except trio.BrokenResourceError:
        return  # the client has gone in the middle of it, as clients do


async def _follow(script: Script, stream: trio.SocketStream) -> None:
    async with stream:
        await script(Peer(stream))
