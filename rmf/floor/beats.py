"""The beats: a Beat for the Arbiter every BEAT_S, so that what is due happens with nobody there.

A timer of its own at each wait would cost every ack more than a pulse costs an idle node.

Errors: none. Shutdown: cancel it.
"""

import trio

from rmf import limits
from rmf.core.events import Beat
from rmf.floor.doors import Doors
from rmf.floor.supervisor import Hands

__all__ = ["run"]


async def run(doors: Doors, hands: Hands, *, period_s: float = limits.BEAT_S) -> None:
    """Send a Beat whenever the arbiter has nothing else to do; a busy one needs none."""
    hands.free()  # it holds no packets
    beat = Beat()
    while True:
        await trio.sleep(period_s)
        if not doors.events.statistics().current_buffer_used:
            doors.events.send_nowait(beat)
