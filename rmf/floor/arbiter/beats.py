"""The beats: a Beat for the Arbiter when something is due, so that it happens with no client there.

A timer of its own at each wait would cost every ack more than a pulse costs an idle node. So the
arbiter says what is due next when it has had a Beat, and the beats sleep until then, BEAT_S at
most. What becomes due suddenly (a leader that is lost) it says at once.

Errors: none. Shutdown: cancel it.
"""

import trio

from rmf import limits
from rmf.core.events import Beat
from rmf.floor.doors import Doors
from rmf.floor.node_clock import now
from rmf.floor.supervisor import InProgress

__all__ = ["run"]


async def run(doors: Doors, in_progress: InProgress) -> None:
    """Send a Beat at the boot time that the `due` door says, or after BEAT_S, unless the arbiter
    has something else to do: a busy one needs none."""
    in_progress.free()  # it holds no packets
    beat, due_ns = Beat(), None
    while True:
        with trio.move_on_after(_pause_s(due_ns)) as pause:
            due_ns = await doors.due_out.receive()
        if pause.cancelled_caught:
            due_ns = None  # until it is said again
            if not doors.events.statistics().current_buffer_used:
                doors.events.send_nowait(beat)


def _pause_s(due_ns: int | None) -> float:
    if due_ns is None:
        return limits.BEAT_S
    wait_s = (due_ns - now().boot_ns) / limits.SECOND
    return min(max(wait_s, limits.BEAT_S_MIN), limits.BEAT_S)
