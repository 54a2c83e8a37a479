"""Writing to a socket within one turn of the scheduler, as far as it has room.

`trio.SocketStream.send_all` gives up its turn before it writes and behind it, although a socket
mostly has room for an ack.
"""

import os

import trio

__all__ = ["send_at_once"]


def send_at_once(stream: trio.abc.Stream, data: bytes) -> bytes | memoryview:
    """Write what there is room for; return the rest. Nothing may be under way on this stream.
    Raises trio.BrokenResourceError, trio.ClosedResourceError."""
    if not isinstance(stream, trio.SocketStream):
        return data
    fileno = stream.socket.fileno()
    if fileno < 0:
        raise trio.ClosedResourceError("the stream was closed")
    try:
        sent = os.write(fileno, data)
    except BlockingIOError:
        return data
    except OSError as exc:
        raise trio.BrokenResourceError(f"the connection broke: {exc}") from exc
    return b"" if sent == len(data) else memoryview(data)[sent:]
