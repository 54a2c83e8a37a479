"""Calling another node: connect, say HELLO, and look at who answers (R28).

The link to a peer, the founding of a cluster and the fetching of letters all begin like this. It
decides whether the answer comes from the node that was meant; what to do about a failure is the
caller's matter.
"""

import socket
from contextlib import suppress

import attrs
import trio

from rmf import limits
from rmf.core.raft import wire
from rmf.core.raft.greetings import GENESIS, Hello, Refusal, Welcome
from rmf.errors import NO_CONNECTION, ConnectionFailed, ProtocolFault, Refused, why_no_connection
from rmf.notation import Address, address_text

__all__ = ["FAILURES", "Dialled", "Peer", "dial"]

FAILURES = (ConnectionFailed, Refused, ProtocolFault)  # what `dial` raises


@attrs.frozen
class Peer:
    """Another node and where it is. `incarnation` None: any data directory will do."""

    name: str
    incarnation: bytes | None
    address: Address


@attrs.frozen
class Dialled:
    """A connection that was let in. `buffer` holds what came behind the WELCOME."""

    stream: trio.abc.Stream
    welcome: Welcome
    buffer: wire.Frames

    async def hear(self) -> wire.Message:
        """Return the next message. Raises ConnectionFailed, ProtocolFault."""
        return await _hear(self.stream, self.buffer)


async def dial(address: Address, hello: Hello) -> Dialled:
    """Return a connection to the node that `hello` names.

    Raises ConnectionFailed (no node there, or no answer in time), Refused (it said no) or
    ProtocolFault (something else is there, or another node than the one that was meant).
    """
    stream = await _connect(address)
    try:
        with trio.move_on_after(limits.PEER_HANDSHAKE_S_MAX):
            await _say(stream, wire.PREFACE + wire.encode(hello))
            buffer = wire.Frames(limits.PEER_HELLO_BYTES_MAX, wire.OPENING)
            welcome = _welcome(hello, await _hear(stream, buffer))
            buffer.frame_bytes_max = limits.PEER_FRAME_BYTES_MAX
            return Dialled(stream, welcome, buffer)
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    await trio.aclose_forcefully(stream)
    raise ConnectionFailed(
        f"{address_text(address)} did not answer within {limits.PEER_HANDSHAKE_S_MAX:g} s"
    )


async def _connect(address: Address) -> trio.SocketStream:
    where = address_text(address)
    with trio.move_on_after(limits.PEER_CONNECT_S_MAX):
        try:
            stream = await trio.open_tcp_stream(*address)
        except NO_CONNECTION as exc:
            raise ConnectionFailed(f"{where}: {why_no_connection(exc)}") from exc
        # A peer that vanished takes nothing and says nothing; without this the system would go on
        # trying for a quarter of an hour.
        with suppress(OSError):
            milliseconds = int(limits.PEER_SILENCE_S_MAX * 1000)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        return stream
    raise ConnectionFailed(f"{where}: no connection within {limits.PEER_CONNECT_S_MAX:g} s")


async def _say(stream: trio.abc.Stream, data: bytes) -> None:
    try:
        await stream.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
        raise ConnectionFailed("the connection was lost") from exc


async def _receive(stream: trio.abc.Stream) -> bytes:
    try:
        data = bytes(await stream.receive_some(limits.PEER_RECEIVE_BYTES))
    except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
        raise ConnectionFailed("the connection was lost") from exc
    if not data:
        raise ConnectionFailed("the other side closed the connection")
    return data


async def _hear(stream: trio.abc.Stream, buffer: wire.Frames) -> wire.Message:
    while True:
        for frame in buffer.frames():
            return wire.decode(frame)
        buffer.feed(await _receive(stream))


def _welcome(hello: Hello, welcome: wire.Message) -> Welcome:
    """Return the answer to HELLO. Raises Refused, or ProtocolFault if another answered than the one
    who was called."""
    if isinstance(welcome, Refusal):
        raise Refused(welcome.code, welcome.text, retry=True)
    if not isinstance(welcome, Welcome):
        raise ProtocolFault("wrong_shape", "HELLO is answered by WELCOME or REFUSAL")
    if welcome.node != hello.to:
        raise ProtocolFault("wrong_node", f"{welcome.node} answers where {hello.to} should be")
    if hello.purpose == GENESIS:
        return welcome
    if hello.to_incarnation not in {None, welcome.incarnation}:
        raise ProtocolFault("wrong_incarnation", f"{hello.to} has another data directory by now")
    if welcome.cluster != hello.cluster:
        raise ProtocolFault("wrong_cluster", f"{hello.to} belongs to another cluster")
    return welcome
