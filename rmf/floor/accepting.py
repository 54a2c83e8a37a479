"""How every port of a node takes connections in: for clients, for peers, for HTTP.

It knows sockets and nothing of what is said over them, nor who is too many: each port knows that.
"""

import errno

import trio

from rmf import limits
from rmf.floor import log

__all__ = ["accept", "open_listeners"]

_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


async def accept(listener: trio.SocketListener, event: str = "accept_failed") -> trio.SocketStream:
    """Return the next connection; without file descriptors, note the event and wait for some
    (faults.md §7, trap 1). Raises OSError if the listener fails."""
    while True:
        try:
            return await listener.accept()
        except OSError as exc:
            if exc.errno not in _SHORT:
                raise
            log.note("error", event, error=str(exc))
            await trio.sleep(limits.ACCEPT_RETRY_S)


async def open_listeners(host: str, port: int) -> list[trio.SocketListener]:
    """Return bound listeners. Port 0 gives one: a name with several addresses would get several
    ports. Raises OSError."""
    bound = await trio.open_tcp_listeners(port, host=host)
    if port == 0:
        for listener in bound[1:]:
            await listener.aclose()
        bound = bound[:1]
    return bound
