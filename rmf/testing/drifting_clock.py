"""A node's clocks in a simulation: CLOCK_BOOTTIME, which drifts, and a wall clock that is any.

A boot clock never goes back within a boot; another boot begins with another one. Integers only, so
that a moment and the way back from it never disagree by rounding.
"""

from rmf import limits

__all__ = ["WALL_NS", "BootClock"]

WALL_NS = 1_764_000_000 * limits.SECOND  # on each wall when virtual time begins
_MILLION = 1_000_000


class BootClock:
    """Begun at virtual time `begun_ns` with `base_ns` on it; it gains `drift_ppm` on true time."""

    __slots__ = ("_base_ns", "_begun_ns", "_rate")

    def __init__(self, begun_ns: int, base_ns: int, drift_ppm: int) -> None:
        self._begun_ns = begun_ns
        self._base_ns = base_ns
        self._rate = _MILLION + drift_ppm

    def shows(self, true_ns: int) -> int:
        """Return what it shows at this true moment."""
        return self._base_ns + (true_ns - self._begun_ns) * self._rate // _MILLION

    def when(self, shown_ns: int) -> int:
        """Return the first true moment at which it shows this, or more."""
        return self._begun_ns + -(-(shown_ns - self._base_ns) * _MILLION // self._rate)
