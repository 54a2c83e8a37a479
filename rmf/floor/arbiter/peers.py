"""The other nodes as the Arbiter's loop knows them: who is here, and by which doors each hears.

It outlives a core (R15): links stay as they are when a core is loaded again, and the new one has to
learn who is here before it hears anything they say.

Lossy and bounded (R16): without a link, or where a door is full, a message is dropped, because Raft
sends again what still matters. A door is bounded by its capacity; that of bulk by bytes, too, since
Raft's window is of what may be on its way, and what was lost on a link that hangs is sent again.
"""

from collections import deque

import trio

from rmf import limits
from rmf.core.events import PeerMet
from rmf.core.raft.peer_messages import Append, Chunk, PeerMessage
from rmf.core.raft.pieces import BULK
from rmf.floor.items import Linked

__all__ = ["Peers"]


class Peers:
    """Peers by name. `dropped` counts the messages that found no link, or no room."""

    def __init__(self) -> None:
        self.dropped = 0
        self._ways: dict[str, _Way] = {}
        self._here: dict[str, PeerMet] = {}

    def link(self, linked: Linked) -> None:
        """Use these doors from now on; nothing waits in them yet. Those of links that broke go."""
        self._ways = {name: way for name, way in self._ways.items() if way.holds}
        self._ways[linked.peer] = _Way(linked.hurrying, linked.bulk)

    def tell(self, peer: str, message: PeerMessage) -> None:
        """Send, or drop."""
        way = self._ways.get(peer)
        if way is None:
            self.dropped += 1
            return
        try:
            way.send(message)
        except trio.WouldBlock:
            self.dropped += 1
        except trio.BrokenResourceError:
            self.dropped += 1
            del self._ways[peer]

    def meet(self, met: PeerMet) -> None:
        """Note who is here, if it was let in."""
        if met.linked:
            self._here[met.peer] = met

    def part(self, peer: str) -> None:
        """It is here no more."""
        self._here.pop(peer, None)

    def present(self) -> list[PeerMet]:
        """Return who is here: what a core that was loaded again has to learn before anything."""
        return list(self._here.values())


class _Way:
    """The two doors of one link."""

    def __init__(
        self,
        hurrying: "trio.MemorySendChannel[PeerMessage]",
        bulk: "trio.MemorySendChannel[PeerMessage]",
    ) -> None:
        self._hurrying = hurrying
        self._bulk = bulk
        self._sizes: deque[int] = deque()  # of what waits in `bulk`, and of what waited lately
        self._bytes = 0

    @property
    def holds(self) -> bool:
        """Whether the link is still there."""
        return self._bulk.statistics().open_receive_channels > 0

    def send(self, message: PeerMessage) -> None:
        """Send. Raises trio.WouldBlock, BrokenResourceError."""
        if not isinstance(message, BULK):
            self._hurrying.send_nowait(message)
            return
        waiting = self._bulk.statistics().current_buffer_used
        while len(self._sizes) > waiting:
            self._bytes -= self._sizes.popleft()
        size = _size_of(message)
        if self._bytes + size > limits.PEER_QUEUE_BYTES_MAX:
            raise trio.WouldBlock
        self._bulk.send_nowait(message)
        self._sizes.append(size)
        self._bytes += size


def _size_of(message: Append | Chunk) -> int:
    if isinstance(message, Chunk):
        return len(message.data)
    return sum(len(entry.body) for entry in message.entries)
