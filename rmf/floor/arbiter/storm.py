"""The storm alarm: when so much fails that it can be no accident (faults of people, not of data).

Decides when letters come too fast, or make up too much of what was latched, and says so once: when
it begins, when it has ended. It only tells: a breaker would be one more thing that stops the line.
"""

from collections import deque

from rmf import limits
from rmf.floor import log

__all__ = ["Storm"]


class Storm:
    """Looks at the books of the factory now and then: packets latched, packets bagged. `raging`
    says whether there is a storm, `storms` counts them."""

    def __init__(self) -> None:
        self.raging = False
        self.storms = 0
        self._looks: deque[tuple[float, int, int]] = deque()

    def look(self, now_s: float, latched: int, bagged: int) -> None:
        """Compare the books with those of STORM_WINDOW_S ago; a few times per second are enough."""
        looks = self._looks
        if looks and (latched < looks[-1][1] or now_s - looks[-1][0] > limits.STORM_WINDOW_S):
            looks.clear()  # another core, or a pause: what lies between is not known
        looks.append((now_s, latched, bagged))
        while looks[0][0] < now_s - limits.STORM_WINDOW_S:
            looks.popleft()
        seconds, packets, bags = (new - old for new, old in zip(looks[-1], looks[0], strict=True))
        if self._is_one(bags, bags / limits.STORM_WINDOW_S, bags / max(packets, 1)) != self.raging:
            self._turn(int(packets), int(bags), round(seconds, 1))

    def _is_one(self, bags: float, per_s: float, ratio: float) -> bool:
        part = 0.5 if self.raging else 1.0  # it ends well below where it began: no flicker
        if bags < part * limits.STORM_LETTERS_MIN:
            return False
        return per_s >= part * limits.STORM_LETTERS_PER_S or ratio >= part * limits.STORM_RATIO

    def _turn(self, packets: int, bags: int, seconds: float) -> None:
        self.raging = not self.raging
        self.storms += self.raging
        level, event = ("warning", "letter_storm") if self.raging else ("info", "letter_storm_over")
        log.note(level, event, bagged=bags, latched=packets, seconds=seconds)
