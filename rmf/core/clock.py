"""The factory's time (R6): from boot nanoseconds, given as arguments, to Tick numbers.

It knows no clock; the caller of the core brings CLOCK_BOOTTIME along, which counts suspend. The
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
    """What a node knows of the factory's time (R6): a clock, if any node in this boot could say how
    much time went by, and the highest tick ever heard of, which that clock may not show yet.

    Theory. Crystals differ by 100 ppm: after a month alone two nodes are minutes apart. So a node
    that follows keeps no time of its own: what the reign says sets its clock again (`follow`), and
    its own crystal counts only since then. But what is said is late by what the way took. A clock
    that is set by the quickest message of the last while is late by the shortest way alone; so a
    message that shows an earlier time than the clock is passed over, unless the clock has run alone
    for so long that its crystal may be the cause: PACE_LEAK of that time, far more than any crystal
    errs. A queue in front of a slow link thus makes no old message look new. All that holds within
    one reign: the first word of a leader sets the clock whatever it showed (`begin`). For a reign
    whose majority knew no time begins behind its last Tick, and no node may bring the time of
    before back. A leader that was silent and is heard again is no other one: a node that stood
    still has a clock that ran, and finds in its sockets what was said long ago.

    The first word may have been long on its way, too. The next one that was quicker shows by how
    much: a node that hears it has to hold all that was heard before for that much older.

    Where no node reigns, each clock runs alone; of two, that one is right which a reign set
    later (`compare`), so that a node which was cut off for a month drags no other along.
    """

    def __init__(self, clock: TickClock | None, least_tick: int = 0) -> None:
        self.clock = clock
        self.least_tick = least_tick
        self.heard_tick = clock.base_tick if clock is not None else 0
        self._anew = True
        self._term = 0  # whose leader was heard last

    @property
    def bridged(self) -> bool:
        """Whether the time since the last Tick is known; if not, ages are unknown."""
        return self.clock is not None

    def tick_at(self, boot_ns: int) -> int:
        """Return the tick that it is now, or at least was."""
        if self.clock is None:
            return self.least_tick
        return max(self.least_tick, self.clock.tick_at(boot_ns))

    def clock_at(self, boot_ns: int) -> TickClock | None:
        """Return a clock that shows the present tick, and goes on from it; None: it is unknown."""
        if self.clock is None:
            return None
        return TickClock(self.clock.period_ns, self.tick_at(boot_ns), boot_ns)

    def said_ns(self, tick: int, boot_ns: int) -> int:
        """Return the boot time at which what comes now, with this tick, was said: the shortest way
        takes no time, and where the time is unknown, no way does."""
        return boot_ns if self.clock is None else min(boot_ns, self.clock.ns_of(tick))

    def reach(self, tick: int) -> None:
        """Take note of a tick that was: it is not earlier than that."""
        self.least_tick = max(self.least_tick, tick)

    def lead(self, period_ns: int, last_tick: int, boot_ns: int) -> TickClock:
        """Return the clock of a reign whose ledger ends at `last_tick`: it goes on from what
        any node of the majority knows of the time, or begins behind that Tick if none does (R6).
        """
        clock, known = self.clock, max(self.tick_at(boot_ns), last_tick)
        # A Tick may lead its clock; were that taken for time, each reign would be ahead by as much.
        lead = limits.TICK_LEAD_NS_MAX // period_ns
        if not clock or clock.period_ns != period_ns or known > clock.tick_at(boot_ns) + lead:
            clock = TickClock(period_ns, known + 1, boot_ns)
        else:  # what waits in a socket came before this clock was set, and has aged
            back = min(clock.base_tick, limits.PACE_BACK_NS // period_ns)
            clock = TickClock(period_ns, clock.base_tick - back, clock.base_ns - back * period_ns)
        self.clock = clock
        return clock

    def differs(self, shown: TickClock | None, boot_ns: int) -> bool:
        """Whether a clock that was shown a while ago shows another time by now than this one."""
        if shown is None or self.clock is None:
            return shown is not self.clock
        clock = self.clock
        off_ns = (clock.base_tick - shown.base_tick) * clock.period_ns
        off_ns += shown.base_ns - clock.base_ns
        if self.least_tick <= shown.base_tick and abs(off_ns) < limits.CLOCK_SHOWN_NS:
            return False  # as nearly always; asked at each step
        off = abs(shown.tick_at(boot_ns) - self.tick_at(boot_ns))
        return off > 1 and off * shown.period_ns >= limits.CLOCK_SHOWN_NS

    def speak(self, boot_ns: int) -> int:
        """Return the present tick for a reign to tell: from now on it is what was heard of it."""
        self.heard_tick = self.tick_at(boot_ns)
        return self.heard_tick

    def begin(self, term: int) -> None:
        """The leader of this term is heard. If it is another one than before, its time counts from
        now on, not what this clock shows."""
        if term != self._term:
            self._term, self._anew = term, True

    def follow(self, tick: int, boot_ns: int, period_ns: int, *, bridged: bool) -> int:
        """Take note of what the reign says. Return for how many nanoseconds, beyond a period, this
        clock was late, and all that it dated: it was set by what had been longer on its way."""
        if not bridged:
            self.reach(tick)
            return 0
        clock, shown, late_ns = self.clock, self.tick_at(boot_ns), 0
        self.heard_tick = tick if self._anew else max(self.heard_tick, tick)
        if clock is not None and clock.period_ns == period_ns:
            leak = (boot_ns - clock.base_ns) // (limits.PACE_LEAK * period_ns)
            if tick < clock.tick_at(boot_ns) - leak and not self._anew:
                return 0  # it was long on its way
            late_ns = max(0, clock.ns_of(tick) - boot_ns - period_ns)
            if 0 < (shown - tick) * period_ns <= limits.PACE_HOLD_NS:
                self.reach(shown)  # stand still for a moment rather than go back
        self.clock = TickClock(period_ns, tick, boot_ns)
        self._anew = False
        return late_ns

    def compare(
        self, tick: int, heard: int, boot_ns: int, period_ns: int, *, bridged: bool
    ) -> None:
        """Take note of the clock of a node that follows, and that a reign set last at `heard`."""
        if not bridged:
            self.reach(tick)
            return
        later_ns = (heard - self.heard_tick) * period_ns
        alike = abs(later_ns) <= limits.PACE_GRAIN_NS
        if (
            self.clock is None
            or (alike and tick > self.clock.tick_at(boot_ns))
            or (not alike and later_ns > 0)
        ):
            self.clock = TickClock(period_ns, tick, boot_ns)
            self.heard_tick = max(self.heard_tick, heard)
            self._anew = True  # it may be the time of another reign than the one that is heard


def ticks_of_ms(ms: int, period_ns: int) -> int:
    """Return ceil(ms / period): the shelf life in ticks (R8)."""
    return -(-ms * 1_000_000 // period_ns)
