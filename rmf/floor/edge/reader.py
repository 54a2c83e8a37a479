"""The reader: one task reads the sockets of all connections, those that have something in one pass.

To wait for a socket, to be woken and to take one's turn costs a connection more than the packet
that comes. So who waits for its client is attended to here: what is read is served at once, by the
connection's own `serve`, in the reader's turn; only what has to wait for a door, or is much, wakes
the connection's task. After READS_A_PASS of them all else on the loop has a turn (R42). When time
is up for a client one wheel says for all of them.

It knows sockets and deadlines, and nothing of frames.
"""

import math
import selectors
from collections.abc import Callable
from enum import Enum, auto

import trio

from rmf import limits
from rmf.floor.edge.receiving import Inlet, Passes, SocketLooks
from rmf.floor.wheel import Alarm, Wheel

__all__ = ["Attendance", "Ending", "SocketReader"]

Serve = Callable[[bytes], float | None]


class Ending(Enum):
    """Why a connection is not attended to any more: its task has something to do, the stream is
    over, or nothing came in time."""

    LEFT = auto()
    OVER = auto()
    LATE = auto()


class Attendance:
    """Of one connection. `serve` takes what came; it returns until when more must come, of the
    scheduler's time, or None: the connection's task is to go on. It awaits nothing."""

    def __init__(self, reader: "SocketReader", inlet: Inlet, serve: Serve) -> None:
        self._reader = reader
        self._inlet = inlet
        self._serve = serve
        self._alarm = Alarm(reader.wheel, self._be_late)
        self._done = trio.Event()
        self._end: Ending | None = Ending.LEFT
        self._failure: BaseException | None = None

    async def attend(self, until_s: float) -> Ending:
        """Serve what comes, until there is an end of it. Raises what `serve` raises."""
        if not isinstance(self._inlet.stream, trio.SocketStream):
            return await self._attend_alone(until_s)
        self._done, self._end, self._failure = trio.Event(), None, None
        fileno = self._inlet.stream.socket.fileno()
        self._inlet.begin_looks()
        self._reader.sockets.register(fileno, selectors.EVENT_READ, self)
        self._alarm.set(until_s)
        try:
            await self._done.wait()
        finally:
            self._reader.sockets.unregister(fileno)
            self._alarm.set(math.inf)
            self._end = self._end or Ending.LEFT
        if self._failure is not None:
            raise self._failure
        return self._end

    async def _attend_alone(self, until_s: float) -> Ending:
        """The same of a stream that is no socket."""
        until: float | None = until_s
        while until is not None:
            with trio.move_on_at(until) as waited:
                data = await self._inlet.receive(limits.RECEIVE_BYTES)
            if waited.cancelled_caught:
                return Ending.LATE
            if not data:
                return Ending.OVER
            until = self._serve(data)
        return Ending.LEFT

    def read(self, looks: SocketLooks) -> int:
        """Serve what a look found; return how many bytes that were."""
        if self._end is not None:
            return 0  # it was found, and left meanwhile
        data = self._inlet.read(limits.RECEIVE_BYTES, looks)
        if data is None:
            return 0
        until_s = None
        try:
            until_s = self._serve(data) if data else None
        except BaseException as exc:  # noqa: BLE001, ASYNC103 its task raises it (R15)
            self._failure = exc
        if until_s is None:
            self._be_done(Ending.LEFT if data else Ending.OVER)
        else:
            self._alarm.set(until_s)
        return len(data)

    def _be_late(self) -> None:
        if self._end is None:
            self._be_done(Ending.LATE)

    def _be_done(self, end: Ending) -> None:
        self._end = end
        self._done.set()


class SocketReader:
    """For all connections of a port."""

    def __init__(self, passes: Passes) -> None:
        self.sockets = selectors.DefaultSelector()
        self.wheel = Wheel()
        self._looks = SocketLooks(passes)

    async def run(self) -> None:
        """Attend to connections until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.wheel.run)
            while True:
                self._looks.wait()
                await trio.lowlevel.wait_readable(self.sockets)
                await self._read_all()

    async def _read_all(self) -> None:
        """Read what is there."""
        self._looks.take()
        left = limits.READS_A_PASS
        for key, _ in self.sockets.select(0):
            size_bytes = key.data.read(self._looks)
            left -= 1 + size_bytes * limits.READS_A_PASS // limits.RECEIVE_BYTES
            if left <= 0:
                await trio.lowlevel.checkpoint()
                left = limits.READS_A_PASS
