"""A core that is driven by calls: everything that comes of one is done before it returns.

What came of Effects waits, and is a step of its own; a core that has more to do is stepped until it
has not. Who drives one says what time it is and who performs (see performer).
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.arbiter import Arbiter

__all__ = ["DrivenCore"]


class DrivenCore(ABC):
    """`core` may be another one after each step; `waiting` is for it."""

    core: Arbiter
    perform: Callable[[list[ef.Effect]], None]

    def __init__(self) -> None:
        self.waiting: deque[ev.Event] = deque()

    @abstractmethod
    def now(self) -> ev.Now:
        """The time as a step receives it."""

    def begin(self, core: Arbiter) -> None:
        """Drive this core from now on."""
        self.core = core
        self.waiting.clear()
        self.perform(core.start(self.now()))
        self.settle()

    def happen(self, *events: ev.Event) -> None:
        """Let the core take these events in one step, and everything come of it that comes."""
        self.step(list(events))
        self.settle()

    def step(self, events: list[ev.Event]) -> None:
        """Let the core take a step, and do what it wants done."""
        self.perform(self.core.step(events, self.now()))

    def settle(self) -> None:
        """Let everything come of what happened that comes without time going by."""
        while (event := self.next()) is not None or self.core.has_more:
            self.step([] if event is None else [event])

    def next(self) -> ev.Event | None:
        """Return what the core learns next, if it learns anything."""
        return self.waiting.popleft() if self.waiting else None
