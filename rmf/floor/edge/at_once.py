"""Writing to a socket, and reading from it, within one turn of the scheduler.

`trio.SocketStream` gives up its turn before it writes and behind it, although a socket mostly has
room for an ack; and behind what it reads, although it has it.
"""

import os

import trio

__all__ = ["read_at_once", "send_at_once"]


def send_at_once(stream: trio.abc.Stream, data: bytes) -> bytes | memoryview:
    """Write what there is room for; return the rest. Nothing may be under way on this stream.
    Raises trio.BrokenResourceError, trio.ClosedResourceError."""
    if not isinstance(stream, trio.SocketStream):
        return data
    fileno = _fileno(stream)
    try:
        sent = os.write(fileno, data)
    except BlockingIOError:
        return data
    except OSError as exc:
        raise trio.BrokenResourceError(f"the connection broke: {exc}") from exc
    return b"" if sent == len(data) else memoryview(data)[sent:]


def read_at_once(stream: trio.SocketStream, bytes_max: int) -> bytes | None:
    """Read what is there, b"" at the end of the stream; None: there is nothing yet. Raises
    trio.BrokenResourceError, trio.ClosedResourceError."""
    fileno = _fileno(stream)
    try:
        return os.read(fileno, bytes_max)
    except BlockingIOError:
        return None
    except OSError as exc:
        raise trio.BrokenResourceError(f"the connection broke: {exc}") from exc


def _fileno(stream: trio.SocketStream) -> int:
    fileno = stream.socket.fileno()
    if fileno < 0:
        raise trio.ClosedResourceError("the stream was closed")
    return fileno
