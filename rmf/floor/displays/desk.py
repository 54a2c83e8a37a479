"""The desk: where all work for displays is done, a slice at a time (R45).

Feeders share one budget: a slice of work, then all else on the loop has a turn. A slice is half as
long as that took, at least FEED_SLICE_S_MIN and at most FEED_SLICE_S: so a lone packet, which meets
several on its way, hardly waits for them, and where the line is busy displays have their share all
the same. A feeder that finds time left does its work at once; one that does not waits in a queue
that one task serves, in turn. Work is a generator that yields None where it may be laid down, else
what it has made. The work of a feeder that is cancelled meanwhile is dropped.

It belongs to the publisher's task and its feeders; it knows nothing of what the work is about.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import trio

from rmf import limits

__all__ = ["Desk", "Job"]

Made = TypeVar("Made")


class Job(Generic[Made]):
    """Work that is under way; `done` is set with what it `made`, or its `failure`."""

    def __init__(self, work: Iterator[Made | None]) -> None:
        self.work = work
        self.made: Made | None = None
        self.failure: Exception | None = None
        self.done = trio.Event()

    async def wait(self) -> Made | None:
        """Wait until it is done; no checkpoint if it is."""
        if not self.done.is_set():
            await self.done.wait()
        if self.failure is not None:
            raise self.failure
        return self.made


class Desk:
    """One for all feeders. `clock` gives seconds: of work, not of the factory."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._queue: deque[Job[Any]] = deque()
        self._wake = trio.Event()
        self._since_s = self._worked_s = -1.0  # when a slice began, and when it was worked at last
        self._left_s = 0.0

    def begin(self, work: Iterator[Made | None]) -> Job[Made]:
        """Do of this work what there is time for; the rest is done in turn."""
        job = Job(work)
        if not self._queue:
            self._go_on(job)
        if not job.done.is_set():
            self._queue.append(job)
            self._wake.set()
        return job

    async def make(self, work: Iterator[Made | None]) -> Made | None:
        """Let the work go on until it has made something, and return that; None once it is over.
        No checkpoint while there is time left."""
        job = self.begin(work)
        try:
            return await job.wait()
        finally:
            if not job.done.is_set():
                self._queue.remove(job)

    async def run(self) -> None:
        """Serve the queue until cancelled."""
        while True:
            if not self._queue:
                self._wake = trio.Event()
                await self._wake.wait()
            await trio.lowlevel.checkpoint()  # others first
            now = self._clock()
            self._renew(now, others_s=now - self._worked_s)
            while self._queue and self._left_s > 0:
                job = self._queue.popleft()
                self._go_on(job)
                if not job.done.is_set():
                    self._queue.append(job)

    def _go_on(self, job: Job[Made]) -> None:
        """Work until something is made, it is over, or the time is used up."""
        now = self._clock()
        if now - self._since_s > 2 * limits.FEED_SLICE_S:
            self._renew(now, others_s=now - self._since_s)  # a while ago: others had their turn
        until = now + self._left_s
        try:
            while job.made is None and now < until:
                job.made = next(job.work)
                now = self._clock()
        except StopIteration:
            job.done.set()
        except Exception as exc:  # noqa: BLE001 it is the feeder's whose work it is
            job.failure = exc
        if job.made is not None or job.failure is not None:
            job.done.set()
        self._worked_s = self._clock()
        self._left_s = until - self._worked_s

    def _renew(self, now: float, others_s: float) -> None:
        self._since_s = now
        self._left_s = min(max(limits.FEED_SLICE_S_MIN, others_s / 2), limits.FEED_SLICE_S)
