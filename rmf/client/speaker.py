"""Who speaks on a Link: what the Link asks of those that use it.

Types only, and the clock that both sides measure on. What sends packets, asks, or subscribes is
a Speaker (see producing, asking, watching); it knows no socket, and a Link knows no packets.
"""

import time
from typing import Any, Protocol

from rmf.core import messages as m

__all__ = ["Speaker", "clock_ns"]


def clock_ns() -> int:
    """Return the clock that shelf lives are measured on: it counts suspend, as the node's (R6)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Speaker(Protocol):
    """Who speaks on a Link. An RmfError raised by any of these is final: `run` raises it."""

    def hello(self) -> dict[str, Any]:
        """Return the options of the next HELLO."""

    def welcomed(self, welcome: m.Welcome) -> None:
        """A connection is up."""

    async def took(self, message: m.Message) -> None:
        """A message came. What waits here makes the node wait."""

    def outgoing(self, now_ns: int) -> list[bytes]:
        """Return the frames to send now; asked again once they are sent, and after each `wake`."""

    def owed(self) -> bool:
        """Return whether the node should have said something by now, or must say something soon."""

    def due_ns(self) -> int | None:
        """Return when to ask again though nothing happened, or None."""

    def leaving(self) -> None:
        """The node will close this connection (GOAWAY): send no more packets on it."""

    def lost(self) -> None:
        """The connection is gone."""
