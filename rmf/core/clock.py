"""The factory's time (R6): from boot nanoseconds, given as arguments, to Tick numbers.

It knows no clock; whoever steps the core brings CLOCK_BOOTTIME along, which counts suspend. The
number of a Tick is max(previous + 1, periods elapsed), so idle costs nothing, and a Tick may not
lead the clock by more than TICK_LEAD_NS_MAX.
"""

import attrs

from rmf import limits

__all__ = ["Pace", "TickClock", "ticks_of_ms"]


@attrs.frozen
class TickClock:
    """`base_tick` was the tick at `base_ns` (boot time); one tick takes `period_ns`."""

    period_ns: int
    base_tick: int
    base_ns: int

    def tick_at(self, boot_ns: int) -> int:
        """Return the tick that the clock shows; never before the base."""
        return self.base_tick + max(0, boot_ns - self.base_ns) // self.period_ns

    def ns_of(self, tick: int) -> int:
        """Return the boot time at which the clock first shows this tick."""
        return self.base_ns + (tick - self.base_tick) * self.period_ns

    def next_tick(self, previous: int, boot_ns: int) -> int | None:
        """Return the number of a Tick latched now, or None if it would lead the clock too far."""
        shown = self.tick_at(boot_ns)
        tick = max(previous + 1, shown)
        lead_max = limits.TICK_LEAD_NS_MAX // self.period_ns
        return tick if tick - shown <= lead_max else None

    def may_latch_at(self, previous: int) -> int:
        """Return the boot time from which `next_tick(previous, …)` gives a number."""
        return self.ns_of(previous + 1 - limits.TICK_LEAD_NS_MAX // self.period_ns)


class Pace:
    """What a node knows of the factory's time between reigns (R6): a clock, if anybody in this boot
    could say how much time went by, and the highest tick ever heard of, which no clock shows."""

    def __init__(self, clock: TickClock | None, least_tick: int = 0) -> None:
        self.clock = clock
        self.least_tick = least_tick

    @property
    def bridged(self) -> bool:
        """Whether the time since the last Tick is known; if not, ages are unknown."""
        return self.clock is not None

    def tick_at(self, boot_ns: int) -> int:
        """Return the tick that it is now, or at least was."""
        if self.clock is None:
            return self.least_tick
        return max(self.least_tick, self.clock.tick_at(boot_ns))

    def hear(self, tick: int, boot_ns: int, period_ns: int, *, bridged: bool) -> None:
        """Take note of what another node says: the later of two clocks is right, for none of them
        runs ahead of the reign that it was heard from."""
        if not bridged:
            self.least_tick = max(self.least_tick, tick)
        elif self.clock is None or tick > self.clock.tick_at(boot_ns):
            self.clock = TickClock(period_ns, tick, boot_ns)


def ticks_of_ms(ms: int, period_ns: int) -> int:
    """Return ceil(ms / period): the shelf life in ticks (R8)."""
    return -(-ms * 1_000_000 // period_ns)
