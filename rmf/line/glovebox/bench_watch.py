"""How long the slot on the bench has been at work, and what is to be done about it (R20).

Plain decisions, fed with one look after another. Only time in which the node's own loop turned is
counted: a look that comes late counts for what it should have taken.
"""

from typing import Literal

from rmf import limits

__all__ = ["BenchWatch"]

Step = Literal["interrupt", "kill"]


class BenchWatch:
    """`budget_s` is what one packet may take."""

    def __init__(self, budget_s: float) -> None:
        self._budget_s = budget_s
        self._at: tuple[int, int | None] | None = None
        self._spent_s = 0.0
        self._interrupted = False

    def look(self, run: int, slot: int | None, passed_s: float) -> Step | None:
        """Take note of the slot at work in a run (None: none), `passed_s` after the look
        before; return what is due. Outside any slot it is the box itself that hangs."""
        at = (run, slot)
        if at != self._at:
            self._at = at
            self._spent_s = 0.0
            self._interrupted = False
            return None
        self._spent_s += min(passed_s, limits.BOX_WATCH_S_MAX)
        if slot is None:
            return "kill" if self._spent_s >= limits.BOX_STUCK_S_MAX else None
        if not self._interrupted:
            if self._spent_s < self._budget_s:
                return None
            self._interrupted = True
            return "interrupt"
        late_s = self._spent_s - self._budget_s
        return "kill" if late_s >= limits.HANDLER_GRACE_S else None
