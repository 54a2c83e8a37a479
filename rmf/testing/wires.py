"""What carries the messages of one link where bandwidth is finite: two lanes, each in order.

As on the floor's links (R28), what may be long has a lane of its own, and what hurries overtakes
it, between two of its parts. A wire knows sizes and times, no nodes; whether what it carries still
reaches any node, the network decides.
"""

from collections import deque
from collections.abc import Callable

from rmf import limits
from rmf.core.raft.peer_messages import Append, Chunk, PeerMessage
from rmf.core.raft.pieces import BULK
from rmf.testing.agenda import Agenda

__all__ = ["SimulatedWire", "is_bulk", "size_of"]

_HEAD_BYTES = 80  # of a frame with its headers
_PART_BYTES = 1_400  # what leaves at once: a packet of the network below


def size_of(message: PeerMessage) -> int:
    """Return about how many bytes a message takes."""
    if isinstance(message, Append):
        rows = message.entries
        return _HEAD_BYTES + sum(limits.ENTRY_HEAD_BYTES + len(row.body) for row in rows)
    return _HEAD_BYTES + (len(message.data) if isinstance(message, Chunk) else 0)


def is_bulk(message: PeerMessage) -> bool:
    """Return whether a message may be long, so that what hurries need not wait for it."""
    return isinstance(message, BULK)


class _Load:
    """A message on its way: what it takes, what of that has not left, whom to tell once it has."""

    __slots__ = ("arrive", "left_bytes", "size_bytes")

    def __init__(self, size_bytes: int, arrive: Callable[[], None]) -> None:
        self.size_bytes = self.left_bytes = size_bytes
        self.arrive = arrive


class SimulatedWire:
    """One direction of one link. `bytes_a_second` may be changed at any time."""

    def __init__(self, agenda: Agenda, bytes_a_second: int, part_bytes: int = _PART_BYTES) -> None:
        self.bytes_a_second = bytes_a_second
        self._agenda = agenda
        self._part_bytes = part_bytes
        self._hurrying: deque[_Load] = deque()
        self._bulk: deque[_Load] = deque()
        self._bulk_bytes = 0
        self._busy = False

    def carry(self, message: PeerMessage, arrive: Callable[[], None]) -> bool:
        """Take a message; `arrive` is called once its last byte has left. False: there is no room,
        and it is dropped (R16)."""
        load = _Load(size_of(message), arrive)
        if not is_bulk(message):
            self._hurrying.append(load)
        elif self._bulk_bytes + load.size_bytes > limits.PEER_QUEUE_BYTES_MAX:
            return False
        else:
            self._bulk.append(load)
            self._bulk_bytes += load.size_bytes
        if not self._busy:
            self._go_on()
        return True

    def _go_on(self) -> None:
        lane = self._hurrying or self._bulk
        self._busy = bool(lane)
        if lane:
            part = min(lane[0].left_bytes, self._part_bytes)
            self._agenda.after(part * limits.SECOND // self.bytes_a_second, self._left, lane, part)

    def _left(self, lane: deque[_Load], part: int) -> None:
        load = lane[0]
        load.left_bytes -= part
        if not load.left_bytes:
            lane.popleft()
            if lane is self._bulk:
                self._bulk_bytes -= load.size_bytes
            load.arrive()
        self._go_on()
