"""The alarm of a crowd of ends: when more cells end than packets come, and many do (R9).

Cells and packets share the Ticks, so nothing stands still; but handlers that renew what ends, or
shelf lives that are too short for their sources, fill the ledger and cost the time of packets. It
decides when to say so, once as it begins and once when it is over, and only tells.
"""

from collections import deque

from rmf import limits
from rmf.floor import log

__all__ = ["ExpiryAlarm"]


class ExpiryAlarm:
    """Looks at the books now and then: cells that ended, packets that were latched. `here` says
    whether there is a crowd."""

    def __init__(self) -> None:
        self.here = False
        self._looks: deque[tuple[float, int, int]] = deque()

    def look(self, now_s: float, ended: int, latched: int) -> None:
        """Compare the books with those of CROWD_WINDOW_S ago; a few times per second are enough."""
        looks = self._looks
        if looks and (ended < looks[-1][1] or now_s - looks[-1][0] > limits.CROWD_WINDOW_S):
            looks.clear()  # another core, or a pause: what lies between is not known
        looks.append((now_s, ended, latched))
        while looks[0][0] < now_s - limits.CROWD_WINDOW_S:
            looks.popleft()
        cells, packets = looks[-1][1] - looks[0][1], looks[-1][2] - looks[0][2]
        older = next(ended for at_s, ended, _ in looks if at_s >= now_s - limits.CROWD_WINDOW_S / 2)
        lasting = 2 * min(older - looks[0][1], looks[-1][1] - older)  # many at once are no crowd
        part = 0.5 if self.here else 1.0  # it is over well below where it began: no flicker
        least = max(limits.CROWD_ENDS_PER_S * limits.CROWD_WINDOW_S, packets)
        if (lasting >= part * least) != self.here:
            self.here = not self.here
            level, event = ("warning", "expiries_crowd") if self.here else ("info", "crowd_over")
            log.note(level, event, expiries=cells, packets=packets, seconds=limits.CROWD_WINDOW_S)
