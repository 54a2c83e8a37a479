"""How long the Arbiter's loop stands still for one step, and what kept it too long (R45).

Nothing else runs on the loop meanwhile: no beat, no peer, no display. So each step is counted
by its length and by what it used of a core, and one that is too long is logged, with what was in
it. Long, but short of work: then it was the machine that did not let it run.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from rmf import limits
from rmf.floor import log
from rmf.floor.instruments import Steps

__all__ = ["StepWatch"]


class StepWatch:
    """The watch of one loop, for one step after the other. The clocks: of time, and of this
    thread's work, in seconds.

    To read the clock of work costs as much as a small step. So it is read only now and then
    (STEP_MARK_S), and behind a step that took longer than that: what it says of such a step may
    include what the thread did since the reading before, at most so much. A shorter step counts
    as work from end to end.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        work: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock, self._work = clock, work
        self._marked_s = self._began_s = self._decided_s = clock()
        self._mark_s = work()
        self._took_s = self._work_s = 0.0

    def begin(self) -> None:
        """A step begins."""
        self._began_s = self._clock()
        if self._began_s - self._marked_s > limits.STEP_MARK_S:
            self._marked_s, self._mark_s = self._began_s, self._work()

    def decided(self) -> None:
        """The core has decided; now its effects are performed."""
        self._decided_s = self._clock()

    def end(self, steps: Steps) -> bool:
        """Count it; return whether it was too long."""
        took_s = work_s = self._clock() - self._began_s
        if took_s > limits.STEP_MARK_S:
            work_s = min(took_s, self._work() - self._mark_s)
        steps.time.observe(took_s)
        steps.work.observe(work_s)
        self._took_s, self._work_s = took_s, work_s
        return took_s > limits.LONG_STEP_S

    def tell(self, events: Sequence[object], effects: Sequence[object], cells: int) -> None:
        """Tell in the log what was in the last one; `cells` are those of the World, of which no
        step should know."""
        log.note(
            "warning",
            "long_step",
            seconds=round(self._took_s, 3),
            work=round(self._work_s, 3),
            decided=round(self._decided_s - self._began_s, 3),
            events=_kinds(events),
            effects=_kinds(effects),
            cells=cells,
        )


def _kinds(things: Sequence[object]) -> str:
    """Say how many there are of each kind."""
    counts = Counter(type(thing).__name__ for thing in things)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
