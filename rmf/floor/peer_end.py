"""The sending end of one peer's door: into the socket where it has room, else through the door.

A lone message leaves at once, without a hop through another task: each Entry crosses it twice,
there and back. Lossy and bounded (R16): while the link is down, or once its bound is reached, a
message is dropped, because Raft sends again what still matters. It knows one socket, and no
reconnecting (see peer_link).
"""

import os

import trio

from rmf import limits
from rmf.core.raft import wire
from rmf.core.raft.greetings import VERSION_MAX

__all__ = ["Frames", "PeerEnd"]

Frames = bytes | memoryview  # whole frames, or what a socket left of one


class PeerEnd:
    """What the arbiter sends by and the link writes from. `waiting` is the door's other end;
    `sent` counts what was taken, `dropped` what was not; `hurry` is set when the peer is known to
    be there, so that a link that waits to dial again need not."""

    def __init__(
        self, door: trio.MemorySendChannel[Frames], waiting: trio.MemoryReceiveChannel[Frames]
    ) -> None:
        self.waiting = waiting
        self.sent = 0
        self.dropped = 0
        self.hurry = trio.Event()
        self._door = door
        self._stream: trio.abc.Stream | None = None
        self._version = VERSION_MAX
        self._unwritten_bytes = 0

    @property
    def is_up(self) -> bool:
        """Whether there is a link: else everything is dropped."""
        return self._stream is not None

    def send_nowait(self, message: wire.Message) -> None:
        """Send; raises trio.WouldBlock if it is dropped."""
        if self._stream is None:
            self.dropped += 1
            raise trio.WouldBlock
        frame = wire.encode(message, self._version)
        try:
            self._queue(frame if self._unwritten_bytes else self._write_now(frame))
        except trio.WouldBlock:
            self.dropped += 1
            raise
        self.sent += 1

    def _queue(self, frame: Frames) -> None:
        if not len(frame):
            return
        if self._unwritten_bytes + len(frame) > limits.PEER_QUEUE_BYTES_MAX:
            raise trio.WouldBlock
        self._door.send_nowait(frame)
        self._unwritten_bytes += len(frame)

    def _write_now(self, frame: bytes) -> Frames:
        """Write what the socket takes; return the rest, which goes through the empty door."""
        if not isinstance(self._stream, trio.SocketStream):
            return frame
        try:
            written = os.write(self._stream.socket.fileno(), frame)
        except OSError:
            return frame  # no room, or the peer is gone: the writer finds out which
        return memoryview(frame)[written:]

    # --- The link's side --------------------------------------------------------------------------

    def open(self, stream: trio.abc.Stream, version: int = VERSION_MAX) -> None:
        """The link is up: messages go into this stream, to a node that speaks `version`."""
        self.close()
        self._stream, self._version = stream, version

    def close(self) -> None:
        """The link is down: what waits is void."""
        self._stream = None
        self._unwritten_bytes = 0
        while self.waiting.statistics().current_buffer_used:
            self.waiting.receive_nowait()

    def take(self) -> list[Frames]:
        """Take all that waits at the door."""
        count = self.waiting.statistics().current_buffer_used
        return [self.waiting.receive_nowait() for _ in range(count)]

    def written(self, size_bytes: int) -> None:
        """So much of what came through the door is in the socket."""
        self._unwritten_bytes -= size_bytes

    def hasten(self) -> None:
        """The peer is there: dial now rather than later."""
        self.hurry.set()
        self.hurry = trio.Event()
