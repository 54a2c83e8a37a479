"""How long the Arbiter's loop stands still for one step, and what kept it too long (R45).

Nothing else runs on the loop meanwhile: no beat, no peer, no display. So each step is counted
by its length and by what it used of a core, and one that is too long is told, with what was in it.
Long, but short of work: then it was the machine that did not let it run.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from rmf import limits
from rmf.floor import log
from rmf.floor.instruments import Steps

__all__ = ["Step"]


class Step:
    """One step, from now on. The clocks: of time, and of this thread's work."""

    __slots__ = ("_began_s", "_clock", "_decided_s", "_work", "_work_s")

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        work: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock, self._work = clock, work
        self._began_s = self._decided_s = clock()
        self._work_s = work()

    def decided(self) -> None:
        """The core has decided; now its effects are performed."""
        self._decided_s = self._clock()

    def ended(
        self, steps: Steps, events: Sequence[object], effects: Sequence[object], cells: int
    ) -> None:
        """Count it; `cells` are those of the World, of which no step should know."""
        took_s, work_s = self._clock() - self._began_s, self._work() - self._work_s
        steps.time.observe(took_s)
        steps.work.observe(work_s)
        if took_s > limits.LONG_STEP_S:
            log.note(
                "warning",
                "long_step",
                seconds=round(took_s, 3),
                work=round(work_s, 3),
                decided=round(self._decided_s - self._began_s, 3),
                events=_kinds(events),
                effects=_kinds(effects),
                cells=cells,
            )


def _kinds(things: Sequence[object]) -> str:
    """Say how many there are of each kind."""
    counts = Counter(type(thing).__name__ for thing in things)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
