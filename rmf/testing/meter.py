"""What a piece of work costs, counted and not timed: the calls that it makes, of Python and of C.

So the same work costs the same on every machine and in every run, whatever it walks through: a
World, a table, a list. It is the interpreter's own hook for profilers, with a counter in the place
of a clock. Work that is metered takes twice as long: only some runs are (see `laws`).
"""

from collections.abc import Callable
from cProfile import Profile
from itertools import count
from typing import TypeVar

__all__ = ["Meter"]

_T = TypeVar("_T")


class Meter:
    """`calls` is what the last piece of work cost: its calls, and their returns."""

    def __init__(self) -> None:
        self.calls = 0
        self._next = count().__next__
        self._profile = Profile(self._next, 1.0, subcalls=False, builtins=True)

    def run(self, work: Callable[..., _T], *args: object) -> _T:
        """Do this work and return what it returns. Pieces of work do not nest."""
        begun = self._next()
        self._profile.enable()
        try:
            return work(*args)
        finally:
            self._profile.disable()
            self.calls = self._next() - begun
