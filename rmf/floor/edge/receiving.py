"""Receiving from a socket within one turn of the scheduler: what an ack waits for must not wait.

`trio.SocketStream.receive_some` tries to read before it waits. Where mostly nothing is there yet
that is a call in vain; and where something is, it gives up its turn although it has it.

Also since when what is received can have been there (R8). A packet ages while it waits in a socket,
behind a node that is paused or does not read, and nothing says when it came. But it is known when
it was not there yet, and that is nearly free:

    a read that was not full    drained the socket
    a pass of the scheduler     looked at every socket that is waited for, and found this one empty
    a look of the reader        the same (see reader)
    what a full read leaves     is counted, once it is read: what comes behind it came later
"""

import fcntl
import sys
import termios
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

from rmf import limits
from rmf.floor.edge.at_once import read_at_once
from rmf.floor.node_clock import boot_clock

__all__ = ["Inlet", "Passes", "SocketLooks", "receive"]


async def receive(stream: trio.abc.Stream, bytes_max: int) -> bytes:
    """Receive as `receive_some` does. Raises trio.BrokenResourceError, trio.ClosedResourceError."""
    if not isinstance(stream, trio.SocketStream):
        return bytes(await stream.receive_some(bytes_max))
    while True:
        if stream.socket.fileno() < 0:
            raise trio.ClosedResourceError("the stream was closed")
        await trio.lowlevel.wait_readable(stream.socket)
        data = read_at_once(stream, bytes_max)
        if data is not None:
            return data
        # What had come was faulty, and the kernel threw it away.


class Passes(trio.abc.Instrument):
    """The passes of the scheduler: each looks at all sockets that are waited for.

    `number` counts them, from 1 on; 0: they are not watched. What the last one found on a socket on
    which the one before found nothing came after the boot time `quiet_ns`: within the last pass and
    what its tasks took. While it waits for sockets it is woken at once, so that much of its wait is
    no age; but no more, for then the whole process stood still. A stop that ends before the wait
    would have (BEAT_S) is not seen.

    A wait that is interrupted by the end of a stop is over without a look at any socket: what is
    found right behind a pass that was late may have been there before.

    Each pass costs for it: it is noted when it was and for how long it might wait, the rest is
    worked out where something was found.
    """

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        self.clock = clock or boot_clock()
        self.number = 0
        self._watching = 0
        self._noted: deque[tuple[int, float]] = deque(((0, 0.0),), maxlen=3)
        self._note = self._noted.append

    def after_io_wait(self, timeout: float) -> None:
        """Note that a pass begins: the sockets were looked at, for at most `timeout` s."""
        self._note((self.clock(), timeout))
        self.number += 1

    @property
    def quiet_ns(self) -> int:
        """Nothing that the last pass alone found was there before then."""
        noted = self._noted
        at_ns, before_ns, late_before_ns = noted[-1][0], noted[-2][0], self._late_ns(-2)
        if late_before_ns > limits.PASS_LATE_NS and at_ns - before_ns < 10 * limits.PASS_LATE_NS:
            return before_ns - late_before_ns
        return at_ns - self._late_ns(-1)

    def _late_ns(self, place: int) -> int:
        """Return how much longer than it was to wait a pass took."""
        if len(self._noted) + place < 1:
            return 0
        at_ns, timeout = self._noted[place]
        took_ns = at_ns - self._noted[place - 1][0]
        return max(0, took_ns - int(min(limits.BEAT_S, timeout) * limits.SECOND))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch them while the block runs, or another one. Each pass costs for it, so that a node
        without clients leaves it be."""
        if not self._watching:
            self._noted.clear()
            self._note((self.clock(), 0.0))
            self.number = 1
            trio.lowlevel.add_instrument(self)
        self._watching += 1
        try:
            yield
        finally:
            self._watching -= 1
            if not self._watching:
                trio.lowlevel.remove_instrument(self)
                self.number = 0


class SocketLooks:
    """The looks of one task at many sockets. Whatever this one found, and the one before did not,
    was not there before: between the two are the passes of the scheduler, which woke the task as
    soon as there was something."""

    def __init__(self, passes: Passes) -> None:
        self._passes = passes
        self._waits_from = 0  # a pass
        self._idle_pass = self._idle_ns = 0  # the last one that found nothing, and till when
        self._last = self._before = (0, 0)  # of this look and the one before: the pass, and when

    def wait(self) -> None:
        """The task begins to wait for any of them."""
        self._waits_from = self._passes.number

    def take(self) -> None:
        """It is about to look."""
        passes = self._passes
        waited = passes.number > self._waits_from + 1
        self._idle_pass = passes.number - 1 if waited else 0
        self._idle_ns = passes.quiet_ns if waited else 0
        self._before, self._last = self._last, (passes.number, passes.clock())

    def quiet_ns(self, looked_at_from: int) -> int | None:
        """Return until when a socket that is looked at since that pass, and had something now, had
        nothing; None: that is not known."""
        if looked_at_from < self._idle_pass:
            return self._idle_ns
        return self._before[1] if looked_at_from < self._before[0] else None


class Inlet:
    """The receiving side of one connection. Of what was received last nothing was there before the
    boot time `since_ns`; where the passes are not watched, it counts as come just now."""

    def __init__(self, stream: trio.abc.Stream, passes: Passes) -> None:
        self.since_ns = self._empty_ns = passes.clock()
        self.stream = stream
        self._passes = passes
        self._behind_bytes = 0  # that were in the socket at `_counted_ns`, and are not read yet
        self._counted_ns = 0
        self._looked_at_from = 0  # a pass; what later ones did not find here was not here

    async def receive(self, bytes_max: int) -> bytes:
        """Receive as `receive` does; nothing at the end of the stream, and where it is broken."""
        passes, before = self._passes, self._passes.number
        try:
            data = await receive(self.stream, bytes_max)
        except trio.BrokenResourceError:
            return b""
        if passes.number > before + 1:  # the pass before found nothing here
            self._was_empty(passes.quiet_ns)
        self._note(len(data), bytes_max)
        return data

    def begin_looks(self) -> None:
        """From now on a reader looks at this socket in each of its passes."""
        self._looked_at_from = self._passes.number

    def read(self, bytes_max: int, looks: "SocketLooks") -> bytes | None:
        """Read of a socket what a look found; None: there is nothing. b"" as `receive` does."""
        if (quiet_ns := looks.quiet_ns(self._looked_at_from)) is not None:
            self._was_empty(quiet_ns)
        assert isinstance(self.stream, trio.SocketStream)
        try:
            data = read_at_once(self.stream, bytes_max)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""
        if data is not None:
            self._note(len(data), bytes_max)
        return data

    def _was_empty(self, at_ns: int) -> None:
        self._empty_ns, self._behind_bytes = max(self._empty_ns, at_ns), 0

    def _note(self, size_bytes: int, bytes_max: int) -> None:
        """Date what was read now."""
        now_ns = self._passes.clock()
        if not self._passes.number or not isinstance(self.stream, trio.SocketStream):
            self.since_ns = now_ns
            return
        self.since_ns = self._empty_ns
        if size_bytes < bytes_max:
            self._empty_ns, self._behind_bytes = now_ns, 0
        else:
            self._looked_at_from = self._passes.number
            self._count(size_bytes, self.stream.socket.fileno(), now_ns)

    def _count(self, size_bytes: int, fileno: int, now_ns: int) -> None:
        """Count what a full read left, unless what was counted before is not read yet."""
        self._behind_bytes -= size_bytes
        if self._behind_bytes > 0:
            return
        if self._counted_ns:
            self._empty_ns = max(self._empty_ns, self._counted_ns)
        left = fcntl.ioctl(fileno, termios.FIONREAD, bytes(4))
        self._behind_bytes, self._counted_ns = int.from_bytes(left, sys.byteorder), now_ns
