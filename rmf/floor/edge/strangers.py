"""Clients that have not said a valid HELLO: what they send is counted and kept in a bounded ring,
never in the DLQ (R39).
"""

from collections import Counter, deque

from rmf import limits

__all__ = ["Strangers"]


class Strangers:
    """Faults of peers that never said HELLO: counted by code, the last ones kept (R39)."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.last: deque[tuple[str, str, bytes]] = deque(maxlen=limits.STRANGERS_RING)

    def note(self, peer: str, code: str, data: bytes) -> None:
        """Count a fault and keep the first bytes of what was sent."""
        self.counts[code] += 1
        self.last.append((peer, code, data[: limits.STRANGER_BYTES_KEPT]))
