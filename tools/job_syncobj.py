"""The job on PySyncObj: the handler is a replicated method, the state an attribute of the object,
and the subscriber reads it where another process applies the method.

Packets are handed over within the leader's process, its fastest use; while the leader is to be
killed, within another's, which sends those again whose outcome is a failure or does not come: it
has nothing by which doubles would be found. In memory: nothing is written to a disk. Killed is the
leader, and with it a handler; it is not started again.
"""

import time
from array import array
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rmf import limits
from tools import compare_syncobj
from tools.compare_syncobj import Order, Replicas
from tools.job_processes import JobContender, due
from tools.job_values import Phase, Produced, Row, Sightings, counted, key_of, payload_of

__all__ = ["contenders"]

_RESEND_S = 2.0  # without an outcome
_TICK_S = 0.001


def contenders() -> list[JobContender]:
    """Return PySyncObj, if it is installed."""
    (peer,) = compare_syncobj.contenders()
    facts = {**peer.facts, "made of": "a replicated method", "killed": "the leader"}
    return [JobContender("pysyncobj", facts, _running, peer.missing)]


class _JobOfReplicas:
    """Three processes: the leader, one that produces once the leader is to be killed, and one that
    watches."""

    def __init__(self, stack: ExitStack) -> None:
        self._replicas = Replicas(stack, _counter, _serve)
        self._leader = self._replicas.leader()
        self._other, self._watching = (n for n in range(3) if n != self._leader)
        self._producing = self._leader

    def pids(self) -> list[int]:
        return [process.pid for process in self._replicas.processes if process.pid is not None]

    def prepare_kill(self) -> None:
        self._producing = self._other

    def produce(self, phase: Phase) -> Produced:
        patience_s = phase.seconds + 4 * limits.BENCH_PATIENCE_S
        produced: Produced = self._replicas.ask(self._producing, ("produce", phase), patience_s)
        return produced

    def kill(self) -> None:
        self._replicas.processes[self._leader].kill()

    def total(self) -> int:
        total: int = self._replicas.ask(self._watching, ("total", None))
        return total

    def rows(self) -> list[Row]:
        return Sightings.rows(self._replicas.ask(self._watching, ("rows", None)))


@contextmanager
def _running() -> Iterator[_JobOfReplicas]:
    with ExitStack() as stack:
        yield _JobOfReplicas(stack)


# --- In each of the processes ---------------------------------------------------------------------


def _counter(address: str, others: list[str], settings: Any) -> Any:
    from pysyncobj import SyncObj, replicated

    class Counter(SyncObj):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(address, others, settings)
            self.states: dict[int, dict[str, int]] = {}
            self.sightings = Sightings()

        @replicated  # type: ignore[untyped-decorator]
        def packet(self, key: int, payload: dict[str, Any]) -> None:
            self.states[key] = counted(self.states.get(key), payload)
            self.sightings.see(key, self.states[key])

    return Counter()


def _serve(node: Any, order: Order) -> Any:
    what, phase = order
    if what == "total":
        return node.sightings.total
    if what == "rows":
        return node.sightings.noted()
    return _Producing(node, phase).run()


class _Producing:
    """A producer in the loop of a node."""

    def __init__(self, node: Any, phase: Phase) -> None:
        self._node = node
        self._phase = phase
        self._sent_ns = array("q")
        self._open: dict[int, float] = {}  # packets without an outcome: sent when, last
        self._failed: deque[int] = deque()
        self._acked = 0

    def run(self) -> Produced:
        phase, began_s = self._phase, time.monotonic()
        while (now_s := time.monotonic()) - began_s < phase.seconds:
            room = phase.window - len(self._open)
            ready = due(phase, began_s, len(self._sent_ns)) if phase.rate else 100
            for _ in range(min(room, ready)):
                self._sent_ns.append(time.monotonic_ns())
                self._call(phase.first + len(self._sent_ns) - 1, now_s)
            self._turn(now_s)
        deadline_s = now_s + limits.BENCH_PATIENCE_S
        while self._open and (now_s := time.monotonic()) < deadline_s:
            self._turn(now_s)
        return Produced(phase.first, self._sent_ns, self._acked)

    def _turn(self, now_s: float) -> None:
        """Let the node tick; send again what has failed, or has no outcome for long."""
        self._node.doTick(_TICK_S)
        while self._failed:
            self._call(self._failed.popleft(), now_s)
        if self._open and now_s - next(iter(self._open.values())) > _RESEND_S:
            for number in [n for n, sent_s in self._open.items() if now_s - sent_s > _RESEND_S]:
                self._call(number, now_s)

    def _call(self, number: int, now_s: float) -> None:
        self._open.pop(number, None)
        self._open[number] = now_s  # the oldest stands first

        def outcome(_result: object, reason: int) -> None:
            if reason:
                self._failed.append(number)
            elif self._open.pop(number, None) is not None:
                self._acked += 1

        key = key_of(number, self._phase.keys)
        self._node.packet(key, payload_of(number), callback=outcome)
