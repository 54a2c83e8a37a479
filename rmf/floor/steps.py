"""How long the Arbiter's loop stands still for one step, and what kept it too long (R45).

Nothing else runs on the loop meanwhile: no beat, no peer, no display. So each step is counted
by its length, and one that is too long is told, with what was in it.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from rmf import limits
from rmf.floor import log
from rmf.floor.instruments import Durations

__all__ = ["Step"]


class Step:
    """One step, from now on."""

    __slots__ = ("_began_s", "_clock", "_decided_s")

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._began_s = self._decided_s = clock()

    def decided(self) -> None:
        """The core has decided; now its effects are performed."""
        self._decided_s = self._clock()

    def ended(
        self, steps: Durations, events: Sequence[object], effects: Sequence[object], cells: int
    ) -> None:
        """Count it; `cells` are those of the World, of which no step should know."""
        took_s = self._clock() - self._began_s
        steps.observe(took_s)
        if took_s > limits.LONG_STEP_S:
            log.note(
                "warning",
                "long_step",
                seconds=round(took_s, 3),
                decided=round(self._decided_s - self._began_s, 3),
                events=_kinds(events),
                effects=_kinds(effects),
                cells=cells,
            )


def _kinds(things: Sequence[object]) -> str:
    """Say how many there are of each kind."""
    counts = Counter(type(thing).__name__ for thing in things)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
