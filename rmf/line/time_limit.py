"""A bound of time for handlers that are run again in this very process: a timer and the marker.

A what-if runs millions of packets through an untried line; one that loops must not
hang the tool. A timer looks at the marker now and then: a slot that was there for too long gets
Overtime raised into it, as in the glove box (R20), and is bagged as `handler_timeout`. What loops
inside one call of C is not reached: Ctrl-C ends that.

Decides when a slot has been on the bench for too long. Only in the main thread, where signals are.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rmf import limits
from rmf.line.glovebox.marker import BATCH, NO_SLOT, OVERTIME, SLOT, Mark, Overtime

__all__ = ["patience"]


@contextmanager
def patience(mark: Mark, budget_s: float = limits.HANDLER_NS / limits.SECOND) -> Iterator[None]:
    """Interrupt each slot that `mark` shows for longer than the budget, while in this block. Each
    batch must have a number of its own."""
    seen: tuple[int, int] = (NO_SLOT, NO_SLOT)
    since = 0.0

    def look(_signal: int, _frame: FrameType | None) -> None:
        """Raise Overtime if the slot at work was there at the looks of a whole budget."""
        nonlocal seen, since
        now, here = time.monotonic(), (mark[BATCH], mark[SLOT])
        if here != seen or here[1] == NO_SLOT:
            seen, since = here, now
        elif now - since >= budget_s and mark[OVERTIME] == NO_SLOT:
            mark[OVERTIME] = here[1]
            raise Overtime

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, budget_s / 4, budget_s / 4)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
