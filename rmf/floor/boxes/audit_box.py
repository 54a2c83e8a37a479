"""A glove box for the past: it runs again what other nodes executed (R21).

A box of its own, at low priority, that is started when the first sample comes. The same rules hold
in it as in the one of the reign: what hangs is interrupted or killed, and said to be so; it is not
run again. It knows nothing of the ledger, nor what its answers are compared with.
"""

import attrs
import trio

from rmf.core.effects import Batch
from rmf.core.events import Executed
from rmf.floor.boxes.box_keeper import BoxKeeper, BoxState
from rmf.floor.instruments import Durations
from rmf.floor.supervisor import InProgress
from rmf.line.glovebox.handle import LineFacts

__all__ = ["AuditBox"]


class AuditBox:
    """Runs one batch at a time, for as long as `serve` runs."""

    def __init__(self, bench: BoxState, facts: LineFacts) -> None:
        self._facts = facts
        self._number = 0
        self._executed: Executed | None = None
        self._told = trio.Event()
        self._keeper = BoxKeeper(bench, Durations(), tell=self._tell, lost=lambda _: None)

    async def serve(self, in_progress: InProgress) -> None:
        """Keep the box, until cancelled. Raises NoBox."""
        in_progress.free()  # whatever it runs has its outcome already
        await self._keeper.serve()

    async def run(self, batch: Batch) -> Executed:
        """Run a batch; waits for a box that is being started."""
        self._told = trio.Event()
        # Each is of a World of its own: what the box knows of another one must not be believed.
        self._number += 1 << 32
        alone = attrs.evolve(batch, number=self._number)
        self._keeper.put(alone)
        await self._told.wait()
        assert self._executed is not None
        return attrs.evolve(self._executed, batch=batch.number)

    def where(self, topic: str, *, expired: bool) -> str:
        """Return the place of the handler for a topic, or for the expiry of a key."""
        return self._facts.where(topic, expired=expired)

    def _tell(self, executed: Executed) -> None:
        if executed.batch == self._number:  # else the asker is gone
            self._executed = executed
            self._told.set()
