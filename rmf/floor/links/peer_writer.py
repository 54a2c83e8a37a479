"""What is written to a peer, and when: what hurries overtakes what is long, and waits for little.

Heartbeats, votes and all other messages that hurry have a door of their own; Entries and pieces of
a Checkpoint, bulk, have the other. Where something waits, what hurries goes first; what would not
be through in a moment, by the throughput that was measured, is cut into pieces, and only so much is
on its way as gets through soon: so a heartbeat waits for little even behind eight megabytes on a
slow link (PEER-23, PEER-24), and on a fast one nothing is cut. To a node that speaks version 1
messages go whole.

It is one connection's, of one link (see peer_link), which alone touches the socket. It knows no
reconnecting, and nothing of what did not find room at the doors.
"""

import trio

from rmf import limits
from rmf.core.raft import wire
from rmf.core.raft.flow import Flow
from rmf.core.raft.greetings import PIECES, Piece
from rmf.core.raft.peer_messages import PeerMessage
from rmf.core.raft.pieces import item_of

__all__ = ["PeerWriter"]


class PeerWriter:
    """Writes into a stream, to a node that speaks `version`. `writes` counts how often it did."""

    def __init__(self, stream: trio.abc.SendStream, version: int) -> None:
        self.writes = 0
        self._stream = stream
        self._version = version
        self._writing = trio.Lock()
        self._flow: Flow | None = None  # of what is counted; None: the peer does not count
        if version >= PIECES:
            self._flow = Flow(limits.PEER_PIECES_BYTES_MIN, limits.PEER_WINDOW_BYTES)
        self._counted_bytes = 0  # given to the socket
        self._room = trio.Event()

    async def write_hurrying(self, door: trio.MemoryReceiveChannel[PeerMessage]) -> None:
        """Write what hurries, as it comes, all that waits at once."""
        async for message in door:
            waiting = door.statistics().current_buffer_used
            messages = [message, *(door.receive_nowait() for _ in range(waiting))]
            await self.say(*messages)

    async def write_bulk(self, door: trio.MemoryReceiveChannel[PeerMessage]) -> None:
        """Write bulk, as it comes, between whatever hurries."""
        async for message in door:
            frame = wire.encode(message, self._version)
            if self._flow is None or len(item_of(frame)) < limits.PEER_COUNTED_BYTES_MIN:
                await self._write(frame)
            else:
                await self._write_counted(self._flow, frame)

    async def say(self, *messages: wire.Message) -> None:
        """Write this in one go, as soon as it is its turn."""
        await self._write(b"".join(wire.encode(x, self._version) for x in messages))

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
        if len(frame) <= _whole_bytes(flow):
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

    async def _write(self, data: bytes) -> None:
        """Write when it is one's turn: what hurries waits for one piece at most."""
        async with self._writing:
            self.writes += 1
            await self._stream.send_all(data)


def _whole_bytes(flow: Flow) -> int:
    """Return how much is through in a moment: a quarter of what may be on the way."""
    return max(flow.window_bytes // 4, limits.PEER_PIECE_BYTES_MIN)


def _now_ns() -> int:
    return int(trio.current_time() * limits.SECOND)
