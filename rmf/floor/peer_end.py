"""The sending end of one peer's two doors: into the socket where it has room, else through them.

Heartbeats, votes and all other messages that hurry have a door of their own; Entries and pieces of
a Checkpoint, bulk, have the other. A lone message leaves at once, without a hop through another
task: each Entry crosses it twice, there and back. Where something waits, what hurries goes first;
what would not be through in a moment, by the throughput that was measured, is cut into pieces, and
only so much is on its way as gets through soon: so a heartbeat waits for little even behind eight
megabytes on a slow link (PEER-23, PEER-24), and on a fast one nothing is cut. To a node that speaks
version 1 messages go whole.

Lossy and bounded (R16): while the link is down, or once its bound is reached, a message is dropped,
because Raft sends again what still matters. It knows one socket, and no reconnecting (see
peer_link).
"""

import os
from typing import NamedTuple

import trio

from rmf import limits
from rmf.core.raft import wire
from rmf.core.raft.flow import Flow
from rmf.core.raft.greetings import PIECES, VERSION_MAX, Piece
from rmf.core.raft.pieces import BULK, item_of

__all__ = ["Frames", "Lane", "PeerEnd"]

Frames = bytes | memoryview  # whole frames, or what a socket left of one


class Lane(NamedTuple):
    """A door, and its other end."""

    door: trio.MemorySendChannel[Frames]
    waiting: trio.MemoryReceiveChannel[Frames]

    def take(self) -> list[Frames]:
        """Take all that waits."""
        count = self.waiting.statistics().current_buffer_used
        return [self.waiting.receive_nowait() for _ in range(count)]


class PeerEnd:
    """What the arbiter sends by and the link writes from. `hurrying` and `bulk` are the doors;
    `sent` counts what was taken, `dropped` what was not; `hurry` is set when the peer is known to
    be there, so that a link that waits to dial again need not."""

    def __init__(self, hurrying: Lane, bulk: Lane) -> None:
        self.hurrying = hurrying
        self.bulk = bulk
        self.sent = 0
        self.dropped = 0
        self.hurry = trio.Event()
        self._stream: trio.abc.Stream | None = None
        self._version = VERSION_MAX
        self._writing = trio.Lock()
        self._torn: Frames = b""  # what the socket left of a frame: it goes before all else
        self._hurrying_count = 0  # at their door
        self._bulk_bytes = 0  # at theirs, or in the writer's hands
        self._flow: Flow | None = None  # of what is counted; None: the peer does not count
        self._counted_bytes = 0  # given to the socket
        self._room = trio.Event()

    @property
    def is_up(self) -> bool:
        """Whether there is a link: else everything is dropped."""
        return self._stream is not None

    @property
    def bulk_bytes(self) -> int:
        """How many bytes of bulk wait to be written."""
        return self._bulk_bytes

    def send_nowait(self, message: wire.Message) -> None:
        """Send; raises trio.WouldBlock if it is dropped."""
        if self._stream is None:
            self.dropped += 1
            raise trio.WouldBlock
        frame = wire.encode(message, self._version)
        try:
            if isinstance(message, BULK):
                self._send_bulk(frame)
            else:
                self._send_hurrying(frame)
        except trio.WouldBlock:
            self.dropped += 1
            raise
        self.sent += 1

    def _send_hurrying(self, frame: bytes) -> None:
        if self._hurrying_count or not self._write_now(frame):
            self.hurrying.door.send_nowait(frame)
            self._hurrying_count += 1

    def _send_bulk(self, frame: bytes) -> None:
        flow = self._flow
        waits = self._bulk_bytes or self._hurrying_count
        if flow is not None and not waits:
            waits = _is_cut(flow, frame) or (_is_counted(frame) and not flow.has_room)
        if not waits and self._write_now(frame):
            if flow is not None and _is_counted(frame):
                self._count(flow, len(item_of(frame)))
            return
        if self._bulk_bytes + len(frame) > limits.PEER_QUEUE_BYTES_MAX:
            raise trio.WouldBlock
        self.bulk.door.send_nowait(frame)
        self._bulk_bytes += len(frame)

    def _write_now(self, frame: bytes) -> bool:
        """Write what the socket takes, and leave the rest to the link; False: nothing was written,
        because another writes, or nobody may here."""
        if not isinstance(self._stream, trio.SocketStream) or self._torn or self._writing.locked():
            return False
        try:
            written = os.write(self._stream.socket.fileno(), frame)
        except OSError:
            return False  # no room, or the peer is gone: the writer finds out which
        if written < len(frame):
            self._torn = memoryview(frame)[written:]
            self._wake()
        return True

    def _wake(self) -> None:
        """Have what is torn written, whatever comes later."""
        self.hurrying.door.send_nowait(b"")  # there is room: nothing waits at this door
        self._hurrying_count += 1

    # --- The link's side --------------------------------------------------------------------------

    def open(self, stream: trio.abc.Stream, version: int = VERSION_MAX) -> None:
        """The link is up: messages go into this stream, to a node that speaks `version`."""
        self.close()
        self._stream, self._version = stream, version
        if version >= PIECES:
            self._flow = Flow(limits.PEER_PIECES_BYTES_MIN, limits.PEER_WINDOW_BYTES)

    def close(self) -> None:
        """The link is down: what waits is void."""
        self._stream = self._flow = None
        self._writing = trio.Lock()
        self._torn = b""
        self._hurrying_count = self._bulk_bytes = self._counted_bytes = 0
        self.hurrying.take()
        self.bulk.take()

    async def write_hurrying(self) -> None:
        """Write what hurries, as it comes, all that waits at once."""
        async for frame in self.hurrying.waiting:
            frames = [frame, *self.hurrying.take()]
            self._hurrying_count -= len(frames)
            await self._write(b"".join(frames))

    async def write_bulk(self) -> None:
        """Write bulk, as it comes, between whatever hurries."""
        async for frame in self.bulk.waiting:
            flow = self._flow
            if flow is None or not _is_counted(frame):
                await self._write(frame)
            else:
                await self._write_counted(flow, bytes(frame))
            self._bulk_bytes -= len(frame)

    def taken(self, size_bytes: int) -> None:
        """The peer has so many bytes of what is counted."""
        if self._flow is not None:
            self._flow.came(size_bytes, _now_ns())
            self._room.set()

    def _count(self, flow: Flow, size: int) -> None:
        self._counted_bytes += size
        flow.sent(self._counted_bytes, size, _now_ns())

    async def _write_counted(self, flow: Flow, frame: bytes) -> None:
        """Write what is long, whole or in pieces, as soon as there is room for it."""
        await self._has_room(flow)
        item = item_of(frame)
        if not _is_cut(flow, frame):
            self._count(flow, len(item))
            await self._write(frame)
            return
        while len(item):
            await self._has_room(flow)
            size = min(_whole_bytes(flow), limits.PEER_PIECE_BYTES_MAX)
            data, item = item[:size], item[size:]
            self._count(flow, len(data))
            await self._write(wire.encode(Piece(not len(item), bytes(data))))

    async def _has_room(self, flow: Flow) -> None:
        while not flow.has_room:
            self._room = trio.Event()
            await self._room.wait()

    async def _write(self, data: Frames) -> None:
        """Write when it is one's turn: whoever hurries waits for one piece at most."""
        assert self._stream is not None
        async with self._writing:
            torn, self._torn = self._torn, b""
            await self._stream.send_all(b"".join((torn, data)) if torn else data)

    def hasten(self) -> None:
        """The peer is there: dial now rather than later."""
        self.hurry.set()
        self.hurry = trio.Event()


def _is_counted(frame: Frames) -> bool:
    return len(item_of(frame)) >= limits.PEER_COUNTED_BYTES_MIN


def _whole_bytes(flow: Flow) -> int:
    """Return how much is through in a moment: a quarter of what may be on the way."""
    return max(flow.window_bytes // 4, limits.PEER_PIECE_BYTES_MIN)


def _is_cut(flow: Flow, frame: Frames) -> bool:
    return len(frame) > _whole_bytes(flow)


def _now_ns() -> int:
    return int(trio.current_time() * limits.SECOND)
