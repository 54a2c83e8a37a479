"""Clocks and chance that are not those of this machine, for a child process and its line (R22).

Whatever a line asks of its surroundings is made to depend on the call alone (which Tick, which
slot) and on what was chosen here: the same wherever it is run again with the same choice, another
with another. So what changes with the clock is found to change with the clock, and with nothing
else. It has to be in place before the line is imported, which may take `from time import time`.

What cannot be chosen here is chosen by the starter of the process: the hash seed, the zone, the
locale; and what is not chosen (the process id, addresses of objects, os.urandom) differs by
itself.
"""

import datetime as dt
import random
import time
from collections.abc import Callable
from typing import Any, Protocol

from rmf import limits
from rmf.line.line import Handler, Line
from rmf.testing.violation import demand

__all__ = ["Attendant", "FalseClock", "attended", "stamp_of"]

# What one look at the clock takes: who waits for a second by looking at it sees it pass.
_LOOK_NS = limits.MS
_UTC = dt.UTC


class FalseClock:
    """Shows `wall_ns` and whatever time the factory has counted; each look takes a moment."""

    def __init__(self, wall_ns: int) -> None:
        self._wall_ns = self._now_ns = wall_ns
        self._before: list[tuple[Any, str, Any]] = []

    def set(self, elapsed_ns: int) -> None:
        """Go to so long after the beginning."""
        self._now_ns = self._wall_ns + elapsed_ns

    def look(self) -> int:
        """Return the present moment in ns."""
        self._now_ns += _LOOK_NS
        return self._now_ns

    def seconds(self) -> float:
        """Return the present moment in seconds."""
        return self.look() / limits.SECOND

    # --- In the place of the real one -----------------------------------------------------------

    def install(self) -> None:
        """Have `time` and `datetime` show this clock, for all that is imported from now on."""
        demand(not self._before, "surroundings", "one false clock is enough")
        for name in ("time", "monotonic", "perf_counter"):
            self._put(time, name, self.seconds)
            self._put(time, f"{name}_ns", self.look)
        self._put(time, "clock_gettime", lambda _clock: self.seconds())
        self._put(time, "clock_gettime_ns", lambda _clock: self.look())
        for name in ("gmtime", "localtime", "ctime"):
            self._put(time, name, self._of_now(getattr(time, name)))
        strftime, asctime, localtime = time.strftime, time.asctime, time.localtime
        self._put(time, "strftime", lambda form, at=None: strftime(form, at or localtime()))
        self._put(time, "asctime", lambda at=None: asctime(at or localtime()))
        self._put(dt, "date", _false_date(self))
        self._put(dt, "datetime", _false_datetime(self))

    def remove(self) -> None:
        """Put the real ones back."""
        while self._before:
            setattr(*self._before.pop())

    def _put(self, module: Any, name: str, value: Any) -> None:
        self._before.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    def _of_now(self, real: Callable[[float], Any]) -> Callable[..., Any]:
        return lambda seconds=None: real(self.seconds() if seconds is None else seconds)


class _Like(type):
    """A class that takes the instances of the real one for its own."""

    real: type

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls.real)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls.real)


def _false_datetime(clock: FalseClock) -> type:
    real = dt.datetime

    def now(_cls: type, tz: dt.tzinfo | None = None) -> dt.datetime:
        return real.fromtimestamp(clock.seconds(), tz)

    def utcnow(_cls: type) -> dt.datetime:
        return real.fromtimestamp(clock.seconds(), _UTC).replace(tzinfo=None)

    body = {
        "real": real,
        "now": classmethod(now),
        "today": classmethod(now),
        "utcnow": classmethod(utcnow),
    }
    return _Like("datetime", (real,), body)


def _false_date(clock: FalseClock) -> type:
    real = dt.date

    def today(_cls: type) -> dt.date:
        return real.fromtimestamp(clock.seconds())

    return _Like("date", (real,), {"real": real, "today": classmethod(today)})


# --- The line in them ---------------------------------------------------------------------------


def stamp_of(world: Any, what: Any) -> str:
    """Return what names one call of a handler, wherever it is run: its Stamp, or the Tick and the
    key of the cell that expired."""
    stamp = getattr(what, "stamp", None)
    return f"{world.term}.{world.tick}.{what.key if stamp is None else stamp.slot}"


class Attendant(Protocol):
    """What learns which handler runs, and for what."""

    def begin(self, handler: Handler, what: Any) -> None:
        """A handler is about to be called."""

    def end(self) -> None:
        """It returned, or raised."""


def attended(line: Line, clock: FalseClock, chance: int, attendant: Attendant) -> Line:
    """Return the line with clock and global chance set again before each call, by the call
    alone."""

    def wrap(handler: Handler) -> Callable[[Any, Any], Any]:
        function = handler.function

        def attended_call(world: Any, what: Any) -> Any:
            clock.set(world.tick * limits.TICK_PERIOD_NS)
            random.seed(f"{chance}/{stamp_of(world, what)}")
            attendant.begin(handler, what)
            try:
                return function(world, what)
            finally:
                attendant.end()

        return attended_call

    return line.wrapped(wrap)
