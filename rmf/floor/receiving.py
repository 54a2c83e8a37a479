"""Receiving from a socket within one turn of the scheduler: what an ack waits for must not wait.

`trio.SocketStream.receive_some` tries to read before it waits. Where mostly nothing is there yet
that is a call in vain; and where something is, it gives up its turn although it has it.
"""

import os

import trio

__all__ = ["receive"]


async def receive(stream: trio.abc.Stream, bytes_max: int) -> bytes:
    """Receive as `receive_some` does. Raises trio.BrokenResourceError, trio.ClosedResourceError."""
    if not isinstance(stream, trio.SocketStream):
        return bytes(await stream.receive_some(bytes_max))
    while True:
        if stream.socket.fileno() < 0:
            raise trio.ClosedResourceError("the stream was closed")
        await trio.lowlevel.wait_readable(stream.socket)
        try:
            return os.read(stream.socket.fileno(), bytes_max)
        except BlockingIOError:
            continue  # what had come was faulty, and the kernel threw it away
        except OSError as exc:
            raise trio.BrokenResourceError(f"the connection broke: {exc}") from exc
