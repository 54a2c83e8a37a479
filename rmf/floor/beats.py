"""The beats: a Beat for the Arbiter when something is due, so that it happens with nobody there.

A timer of its own at each wait would cost every ack more than a pulse costs an idle node. So the
beats look at what is due and sleep until then, BEAT_S at most; only what becomes due suddenly (a
leader that is lost) rings the alarm.

Errors: none. Shutdown: cancel it.
"""

from collections.abc import Callable

from rmf import limits
from rmf.core.events import Beat
from rmf.floor.doors import Doors
from rmf.floor.present import now
from rmf.floor.supervisor import Hands

__all__ = ["run"]


async def run(doors: Doors, due_ns: Callable[[], int | None], hands: Hands) -> None:
    """Send a Beat when it is due by boot time `due_ns()`, or after BEAT_S, unless the arbiter has
    something else to do: a busy one needs none."""
    hands.free()  # it holds no packets
    beat = Beat()
    while True:
        await doors.alarm.wait(_pause_s(due_ns()))
        if not doors.events.statistics().current_buffer_used:
            doors.events.send_nowait(beat)


def _pause_s(due_ns: int | None) -> float:
    if due_ns is None:
        return limits.BEAT_S
    wait_s = (due_ns - now().boot_ns) / limits.SECOND
    return min(max(wait_s, limits.BEAT_S_MIN), limits.BEAT_S)
