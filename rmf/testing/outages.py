"""When no node reigned: what was due then could not be done, and all of it waits for the first
Ticks of the next reign, which hold so much each and no more (R9, R45).
"""

from collections import deque

__all__ = ["Outages"]

_KEPT = 256  # more than a run has of them in the time that any cell is late


class Outages:
    """From the last Entry of a reign to the Accession of the next, on one clock of any unit."""

    def __init__(self) -> None:
        self._spans: deque[tuple[int, int]] = deque(maxlen=_KEPT)

    def note(self, begun: int, ended: int) -> None:
        """There was one. They are noted in their order; what one has counted, the next does not."""
        if self._spans:
            begun = max(begun, self._spans[-1][1])
        self._spans.append((begun, ended))

    def reigned(self, since: int, until: int) -> int:
        """Return for how much of that time a node reigned."""
        out = sum(max(0, min(until, end) - max(since, begun)) for begun, end in self._spans)
        return until - since - out
