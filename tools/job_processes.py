"""The processes of a job: a producer for each phase, a subscriber for all of them, and what runs
the handler where the system does not.

Each runs a function of a module. They are killed when the job ends.
"""

import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple, Protocol

from rmf import limits
from rmf.errors import RmfError
from tools.compare_servers import in_a_process
from tools.job_values import Phase, Produced, Row, Sightings

__all__ = [
    "ConsumedJob",
    "JobContender",
    "RunningJob",
    "Subscriber",
    "Worker",
    "due",
    "produced_by",
]

_SPAWN = multiprocessing.get_context("spawn")  # with nothing of this process in it


class RunningJob(Protocol):
    """A system that runs, with the job's handler in it, or beside it."""

    def pids(self) -> list[int]:
        """Return all processes of it, but the client's."""

    def produce(self, phase: Phase) -> Produced:
        """Produce as the phase says. Raises RmfError."""

    def prepare_kill(self) -> None:
        """Have the next phase produced so that it outlives the kill."""

    def kill(self) -> None:
        """Kill (SIGKILL) the process that runs the handler, and have it started again at once,
        where that is not what the system does."""

    def total(self) -> int:
        """Return how many packets the states count that the subscriber has seen."""

    def rows(self) -> list[Row]:
        """Return what the subscriber has seen so far."""


class JobContender(NamedTuple):
    """A system that can do the job; as a Contender of compare_servers."""

    name: str
    facts: dict[str, Any]
    start: Callable[[], Any]
    missing: str = ""


def due(phase: Phase, began_s: float, sent: int) -> int:
    """Return how many packets are due by now, of a phase with a rate."""
    return int(phase.rate * min(phase.seconds, time.monotonic() - began_s)) + 1 - sent


def produced_by(function: Callable[..., Produced], where: Any, phase: Phase) -> Produced:
    """Return what a producer did in a process of its own. Raises RmfError."""
    return in_a_process(function, where, phase, takes_s=phase.seconds)


class Worker:
    """A process that runs a function until it is killed."""

    def __init__(self, stack: ExitStack, function: Callable[..., object], *args: Any) -> None:
        self._what = (function, args)
        self.process = self._started()
        stack.callback(self.kill)

    def _started(self) -> BaseProcess:
        function, args = self._what
        process = _SPAWN.Process(target=function, args=args, daemon=True)
        process.start()
        return process

    def kill(self) -> None:
        """End it, as a power cut would."""
        self.process.kill()
        self.process.join()

    def start_again(self) -> None:
        """Start what was killed."""
        self.process = self._started()

    def pids(self) -> list[int]:
        """Return its process id."""
        return [self.process.pid] if self.process.pid is not None else []


class Subscriber:
    """A process that subscribes, and notes what it sees."""

    def __init__(
        self, stack: ExitStack, function: Callable[[Any, Sightings], None], where: Any
    ) -> None:
        """`function` subscribes at `where` and notes what comes, for ever."""
        self._total: Any = _SPAWN.RawValue("q", 0)
        self._asking, theirs = _SPAWN.Pipe()
        self._worker = Worker(stack, _subscribe, function, where, theirs, self._total)
        theirs.close()

    def total(self) -> int:
        """Return how many packets the states seen last count."""
        return int(self._total.value)

    def rows(self) -> list[Row]:
        """Return what it has seen so far. Raises RmfError if it has ended."""
        try:
            self._asking.send(None)
            if self._asking.poll(limits.BENCH_PATIENCE_S):
                return Sightings.rows(self._asking.recv())
        except (EOFError, OSError):
            pass
        raise RmfError("the subscriber has ended; its words above say why")


class ConsumedJob:
    """A running job (see RunningJob): servers, a consumer that runs the handler beside them, and a
    subscriber; `produce`, `consume` and `watch` are given `where` the servers are."""

    def __init__(
        self,
        stack: ExitStack,
        pids: list[int],
        where: Any,
        produce: Callable[..., Produced],
        consume: Callable[[Any], None],
        watch: Callable[[Any, Sightings], None],
    ) -> None:
        self._pids = pids
        self._where = where
        self._produce = produce
        self._consumer = Worker(stack, consume, where)
        self._subscriber = Subscriber(stack, watch, where)
        self.total = self._subscriber.total
        self.rows = self._subscriber.rows

    def pids(self) -> list[int]:
        """Return all processes, but the client's."""
        return [*self._pids, *self._consumer.pids()]

    def produce(self, phase: Phase) -> Produced:
        """Produce as the phase says. Raises RmfError."""
        return produced_by(self._produce, self._where, phase)

    def prepare_kill(self) -> None:
        """Do nothing: its producer is a process of its own."""

    def kill(self) -> None:
        """Kill the consumer, and start it again."""
        self._consumer.kill()
        self._consumer.start_again()


def _subscribe(
    function: Callable[[Any, Sightings], None], where: Any, pipe: Pipe, total: Any
) -> None:
    sightings = Sightings()
    threading.Thread(target=_tell, args=(sightings, pipe, total), daemon=True).start()
    function(where, sightings)


def _tell(sightings: Sightings, pipe: Pipe, total: Any) -> None:
    """Tell what was seen: the total again and again, all of it when asked."""
    while True:
        total.value = sightings.total
        if pipe.poll(limits.BENCH_POLL_S):
            pipe.recv()
            noted = sightings.noted()
            pipe.send(noted[: len(noted) // 4 * 4])
