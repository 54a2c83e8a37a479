"""The glove box of the reign: the arbiter's batches go in, what came of them back to it (R19, R20).

Errors: NoBox, when none can be had; the supervisor tries again, and strikes in the end.
Shutdown: cancel it; its boxes are killed.
"""

from contextlib import suppress

import trio

from rmf.core.events import BoxLost, Executed
from rmf.floor.boxes.box_keeper import BoxKeeper, BoxState
from rmf.floor.doors import Doors
from rmf.floor.instruments import Durations
from rmf.floor.supervisor import InProgress

__all__ = ["run"]


async def run(doors: Doors, bench: BoxState, execute: Durations, in_progress: InProgress) -> None:
    """Serve the bench door. `execute` measures."""
    in_progress.free()  # the packets on the bench are the arbiter's to explain

    def tell(executed: Executed) -> None:
        try:
            doors.events.send_nowait(executed)
        except trio.WouldBlock:  # the arbiter is far behind: it waits its turn
            keeper.nursery.start_soon(doors.events.send, executed)

    def lost(restarts: int) -> None:
        with suppress(trio.WouldBlock):  # the next one tells it, too
            doors.events.send_nowait(BoxLost(restarts))

    keeper = BoxKeeper(bench, execute, tell=tell, lost=lost)
    await keeper.serve(doors.bench_out)
