"""What happens when: one heap of things to do, in virtual nanoseconds.

Two things of the same moment happen in the order in which they were put down. It knows nothing of
what it calls, and reads no clock.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

__all__ = ["Agenda"]


class Agenda:
    """`now_ns` is the present moment; `done` counts what has happened."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.done = 0
        self._heap: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._count = 0

    def after(self, wait_ns: int, call: Callable[..., object], *args: Any) -> None:
        """Call this so many ns from now."""
        self._count += 1
        heappush(self._heap, (self.now_ns + wait_ns, self._count, call, args))

    def at(self, when_ns: int, call: Callable[..., object], *args: Any) -> None:
        """Call this at a moment that is not past."""
        self._count += 1
        heappush(self._heap, (max(when_ns, self.now_ns), self._count, call, args))

    def run_until(self, end_ns: int) -> None:
        """Let everything happen that is due before this moment, which is then the present one."""
        heap = self._heap
        while heap and heap[0][0] < end_ns:
            self.now_ns, _, call, args = heappop(heap)
            self.done += 1
            call(*args)
        self.now_ns = end_ns
