"""Receiving from a socket within one turn of the scheduler: what an ack waits for must not wait.

`trio.SocketStream.receive_some` tries to read before it waits. Where mostly nothing is there yet
that is a call in vain; and where something is, it gives up its turn although it has it.

Also since when what is received can have been there (R8). A packet ages while it waits in a socket,
behind a node that is paused or does not read, and nothing says when it came. But it is known when
it was not there yet, and that is nearly free:

    a read that was not full    drained the socket
    a pass of the scheduler     looked at every socket that is waited for, and found this one empty
    what a full read leaves     is counted, once it is read: what comes behind it came later
"""

import fcntl
import os
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

from rmf import limits
from rmf.floor.node_clock import boot_ns

__all__ = ["Inlet", "Passes", "receive"]


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


class Passes(trio.abc.Instrument):
    """The passes of the scheduler: each looks at all sockets that are waited for.

    `number` counts them, from 1 on; 0: they are not watched. What the last one found on a socket on
    which the one before found nothing came after the boot time `quiet_ns`: within the last pass and
    what its tasks took. While it waits for sockets it is woken at once, so that much of its wait is
    no age; but no more, for then the whole process stood still. A stop that ends before the wait
    would have (BEAT_S) is not seen.

    A wait that is interrupted by the end of a stop is over without a look at any socket: what is
    found right behind a pass that was late may have been there before.
    """

    def __init__(self, clock: Callable[[], int] = boot_ns) -> None:
        self.clock = clock
        self.number = 0
        self.quiet_ns = 0
        self._at_ns = self._late_ns = 0
        self._watching = 0

    def after_io_wait(self, timeout: float) -> None:
        """Note that a pass begins: the sockets were looked at, for at most `timeout` s."""
        now_ns = self.clock()
        took_ns = now_ns - self._at_ns
        waited_s = min(limits.BEAT_S, timeout)
        late_ns = took_ns - int(waited_s * limits.SECOND)
        late_ns = max(late_ns, 0)
        if self._late_ns > limits.PASS_LATE_NS and took_ns < 10 * limits.PASS_LATE_NS:
            self.quiet_ns = self._at_ns - self._late_ns
        else:
            self.quiet_ns = now_ns - late_ns
        self._at_ns, self._late_ns = now_ns, late_ns
        self.number += 1

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch them while the block runs, or another one. Each pass costs for it, so that a node
        without clients leaves it be."""
        if not self._watching:
            self._at_ns, self._late_ns, self.number = self.clock(), 0, 1
            trio.lowlevel.add_instrument(self)
        self._watching += 1
        try:
            yield
        finally:
            self._watching -= 1
            if not self._watching:
                trio.lowlevel.remove_instrument(self)
                self.number = 0


class Inlet:
    """The receiving side of one connection. Of what was received last nothing was there before the
    boot time `since_ns`; where the passes are not watched, it counts as come just now."""

    def __init__(self, stream: trio.abc.Stream, passes: Passes) -> None:
        self.since_ns = self._empty_ns = passes.clock()
        self._stream = stream
        self._passes = passes
        self._behind_bytes = 0  # that were in the socket at `_counted_ns`, and are not read yet
        self._counted_ns = 0

    async def receive(self, bytes_max: int) -> bytes:
        """Receive as `receive` does; nothing at the end of the stream, and where it is broken."""
        passes, before = self._passes, self._passes.number
        try:
            data = await receive(self._stream, bytes_max)
        except trio.BrokenResourceError:
            return b""
        now_ns = passes.clock()
        if not passes.number or not isinstance(self._stream, trio.SocketStream):
            self.since_ns = now_ns
            return data
        if passes.number > before + 1:  # the pass before found nothing here
            self._empty_ns, self._behind_bytes = max(self._empty_ns, passes.quiet_ns), 0
        self.since_ns = self._empty_ns
        if len(data) < bytes_max:
            self._empty_ns, self._behind_bytes = now_ns, 0
        else:
            self._count(len(data), self._stream.socket.fileno(), now_ns)
        return data

    def _count(self, size_bytes: int, fileno: int, now_ns: int) -> None:
        """Count what a full read left, unless what was counted before is not read yet."""
        self._behind_bytes -= size_bytes
        if self._behind_bytes > 0:
            return
        if self._counted_ns:
            self._empty_ns = max(self._empty_ns, self._counted_ns)
        left = fcntl.ioctl(fileno, termios.FIONREAD, bytes(4))
        self._behind_bytes, self._counted_ns = int.from_bytes(left, sys.byteorder), now_ns
