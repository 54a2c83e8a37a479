"""The instruments: what is measured while the node works, and cannot be read off it afterwards.

They decide nothing, allocate nothing per observation, and know no metric's name: `metrics` reads
them on request. Each is written by one task or one thread and read by another: the numbers
are plain, so that a reader sees the old or the new one, and never waits.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from rmf import limits
from rmf.floor.arbiter.expiry_alarm import ExpiryAlarm
from rmf.floor.arbiter.storm import Storm

if TYPE_CHECKING:
    from rmf.core.arbiter import Arbiter

__all__ = [
    "BOUNDS_S",
    "STEP_BOUNDS_S",
    "Audits",
    "Durations",
    "Instruments",
    "LeaderChanges",
    "Owed",
    "Pulse",
    "Reasons",
    "Steps",
]

# From an fsync of a fast disk to a hung one; each about 2.5 times the one before.
BOUNDS_S: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


# A step of the Arbiter is to stay below 10 ms, and ends a reign near 200 ms (R45).
STEP_BOUNDS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


class Durations:
    """Durations, counted by size: observe once per Entry or once per fsync, never once per packet.
    `bounds_s` part the sizes."""

    __slots__ = ("_counts", "_sum_s", "bounds_s")

    def __init__(self, bounds_s: Sequence[float] = BOUNDS_S) -> None:
        self.bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)
        self._sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration; costs less than a microsecond."""
        self._counts[bisect_left(self.bounds_s, seconds)] += 1
        self._sum_s += seconds

    @property
    def counts(self) -> Sequence[int]:
        """How many lay within each of `bounds_s` and above the one before; last: beyond all."""
        return tuple(self._counts)

    @property
    def sum_s(self) -> float:
        """The sum of all of them."""
        return self._sum_s


class Reasons:
    """How many packets were bagged for each reason."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def count(self, reasons: Iterable[str]) -> None:
        """Count the bags of one Entry. The reasons are a closed set, so this stays small."""
        for reason in reasons:
            self.counts[reason] = self.counts.get(reason, 0) + 1


class LeaderChanges:
    """Strikes that began, and leaders that came, since this process started."""

    def __init__(self) -> None:
        self.strikes: dict[str, int] = {}
        self.leader_changes = 0
        self._strike: str | None = None
        self._reign: tuple[int, str] | None = None

    def see(self, strike: str | None, term: int, leader: str | None) -> None:
        """Take note of where the node stands after a step: the kind of its strike, if any, and the
        reign it knows, if any. The first reign is a change too."""
        if strike != self._strike:
            self._strike = strike
            if strike is not None:
                self.strikes[strike] = self.strikes.get(strike, 0) + 1
        if leader is not None and (term, leader) != self._reign:
            self._reign = (term, leader)
            self.leader_changes += 1


class Audits:
    """What the audit did since the start: Ticks run again, left out by reason, and differences."""

    def __init__(self) -> None:
        self.done = 0
        self.skipped: dict[str, int] = {}
        self.differences = 0

    def skip(self, why: str) -> None:
        """A Tick of the sample was left out, or its rest."""
        self.skipped[why] = self.skipped.get(why, 0) + 1


class Owed:
    """Letters of the line that were handed to the DLQ keeper, and that no word of is back yet."""

    def __init__(self) -> None:
        self.letters = 0


class Pulse:
    """When the Arbiter's loop turned last."""

    def __init__(self) -> None:
        self._at_s = time.monotonic()

    def beat(self) -> float:
        """It turns now: return when that is (monotonic s)."""
        self._at_s = time.monotonic()
        return self._at_s

    def age_s(self) -> float:
        """Return how long ago that was."""
        return time.monotonic() - self._at_s

    def is_fresh(self) -> bool:
        """Whether the loop turned lately enough to know what is live (R36)."""
        return self.age_s() < limits.LIVE_NS / limits.SECOND


class Steps:
    """The steps of the Arbiter's loop: how long it stood still, and what it used of a core."""

    def __init__(self) -> None:
        self.time = Durations(STEP_BOUNDS_S)
        self.work = Durations(STEP_BOUNDS_S)


@attrs.frozen
class Instruments:
    """All instruments of a node; they outlive reigns and cores."""

    commit: Durations = attrs.Factory(Durations)  # an Entry of the leader, latched -> committed
    fsync: Durations = attrs.Factory(Durations)  # one append with its fsync, as the disk took it
    execute: Durations = attrs.Factory(Durations)  # the line, over one Tick
    steps: Steps = attrs.Factory(Steps)
    bagged: Reasons = attrs.Factory(Reasons)  # packets, at commit
    changes: LeaderChanges = attrs.Factory(LeaderChanges)
    audits: Audits = attrs.Factory(Audits)
    owed: Owed = attrs.Factory(Owed)
    pulse: Pulse = attrs.Factory(Pulse)
    storm: Storm = attrs.Factory(Storm)
    crowd: ExpiryAlarm = attrs.Factory(ExpiryAlarm)

    def look(self, core: "Arbiter", now_s: float) -> None:
        """See who reigns and how the books stand; a few times per second are enough."""
        strike, raft, books = core.strike, core.raft, core.committed
        self.changes.see(strike and strike[0], raft.term, raft.leader)
        self.storm.look(now_s, books.latched, books.bagged)
        self.crowd.look(now_s, sum(core.settled.expiries.values()), books.latched)
