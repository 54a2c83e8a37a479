"""The answers doors of all connections: who is there, and outlives a core (R15, R17).

The arbiter answers through them and closes them. A core that is read again finds them open: a
client that watches or asks notices nothing; a producer was sent off by the core before (see
core/leadership_lifecycle). Where a core ends without a word of its own, the clients learn it here.
"""

from contextlib import suppress

import trio

from rmf.core import messages as m
from rmf.core.faults import FAULTS
from rmf.core.messages import Message
from rmf.floor import log

__all__ = ["Clients"]

_ANEW = m.Goaway(
    "no_reign",
    [],
    FAULTS["no_reign"].back_off_ms,
    "what was under way here is void: the node starts over; connect again",
)


class Clients:
    """Connections by number."""

    def __init__(self) -> None:
        self._doors: dict[int, trio.MemorySendChannel[list[Message]]] = {}

    def __contains__(self, connection: int) -> bool:
        return connection in self._doors

    def open(self, connection: int, door: trio.MemorySendChannel[list[Message]]) -> None:
        """Note a connection that is there."""
        self._doors[connection] = door

    def answer(self, connection: int, messages: list[Message]) -> None:
        """Send to one of them, if it is still there; who does not read is cut (R16)."""
        door = self._doors.get(connection)
        if door is None:
            return
        try:
            door.send_nowait(messages)
        except (trio.WouldBlock, trio.BrokenResourceError) as exc:
            if isinstance(exc, trio.WouldBlock):
                log.note("warning", "slow_reader", connection=connection)
            self.close(connection)

    def answer_all(self, message: Message) -> None:
        """Send to all of them."""
        for connection in list(self._doors):
            self.answer(connection, [message])

    def close(self, connection: int) -> None:
        """Close one, once what was answered before has been sent."""
        if (door := self._doors.pop(connection, None)) is not None:
            door.close()

    def close_all(self, *, told: bool) -> None:
        """Close them all, since what they were promised is void; not without a word (RMF-11),
        unless they were `told`."""
        for connection, door in list(self._doors.items()):
            if not told:
                with suppress(trio.WouldBlock, trio.BrokenResourceError):
                    door.send_nowait([_ANEW])
            self.close(connection)
