"""PySyncObj as a contender: three processes that replicate calls of a method by Raft, in memory.

Its fastest use is from within the leader's process, in the loop that ticks it, and that is what is
measured; what the client costs is part of what the leader costs.
"""

import importlib.metadata
import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from itertools import cycle
from multiprocessing.connection import Connection as Pipe
from typing import Any

from rmf import limits
from rmf.errors import RmfError
from tools.bench_cluster import free_ports
from tools.compare_servers import Contender, Load, Sent, one_by_one, one_of, pipelined, wait_until

__all__ = ["MISSING", "Replicas", "connected", "contenders"]

MISSING = "pysyncobj is not installed (PyPI pysyncobj)"
_SPAWN = multiprocessing.get_context("spawn")
_WINDOW = 4000
_TICK_S = 0.001
# What was fastest: a batch is sent so often, and nothing is compacted meanwhile.
_BATCH_S = 0.01
_AT_ONCE_S = 0.0002
_SETTINGS: dict[str, Any] = {
    "autoTick": False,
    "appendEntriesPeriod": _BATCH_S,
    "raftMinTimeout": 0.4,
    "raftMaxTimeout": 1.4,
    "connectionRetryTime": 0.2,
    "commandsQueueSize": 200_000,
    "logCompactionMinEntries": 10_000_000,
    "logCompactionMinTime": 100_000,
}


def contenders() -> list[Contender]:
    """Return PySyncObj, if it is installed."""
    if find_spec("pysyncobj") is None:
        return [Contender("pysyncobj", {}, _running, MISSING)]
    facts = {
        "version": importlib.metadata.version("pysyncobj"),
        "nodes": 3,
        "fsync": "none: kept in memory",
        "client": "in the leader's process and loop",
    }
    return [Contender("pysyncobj", facts, _running)]


Order = tuple[str, Any]
Serve = Callable[[Any, Order], Any]


class Replicas:
    """Three processes that replicate one object; `serve` is what they do when asked."""

    def __init__(self, stack: ExitStack, made: Callable[..., Any], serve: Serve) -> None:
        addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
        self.asked: list[Pipe] = []
        self.processes = []
        for address in addresses:
            ours, theirs = _SPAWN.Pipe()
            others = [other for other in addresses if other != address]
            what = (theirs, made, serve, address, others)
            process = _SPAWN.Process(target=_be_a_node, args=what, daemon=True)
            process.start()
            stack.callback(process.join)
            stack.callback(process.kill)
            self.asked.append(ours)
            self.processes.append(process)

    def ask(self, number: int, order: Order, patience_s: float = limits.BENCH_PATIENCE_S) -> Any:
        """Ask a process; return its answer. Raises RmfError if there is none."""
        with suppress(EOFError, BrokenPipeError, ConnectionResetError):
            self.asked[number].send(order)
            if self.asked[number].poll(patience_s):
                return self.asked[number].recv()
        raise RmfError(f"a process does not answer {order[0]!r}")

    def leader(self) -> int:
        """Return which process leads, of those that run. Raises RmfError."""
        running = [n for n, process in enumerate(self.processes) if process.is_alive()]
        leads = wait_until(
            lambda: [n for n in running if self.ask(n, ("leads", None))], "no process leads"
        )
        return leads[0]


def connected(made: Callable[..., Any], address: str, others: Sequence[str], **more: Any) -> Any:
    """Return a replicated object of a class that is made by a function."""
    from pysyncobj import SyncObjConf

    return made(address, list(others), SyncObjConf(**_SETTINGS, **more))


class _RunningReplicas:
    """The replicas of the bench."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._leads = replicas.leader()

    def pids(self) -> list[int]:
        return [process.pid for process in self._replicas.processes if process.pid is not None]

    def send(self, load: Load) -> Sent:
        sent: Sent = self._ask("send", load)
        return sent

    def waits(self, load: Load) -> list[float]:
        waited: list[float] = self._ask("waits", load)
        return waited

    def _ask(self, what: str, load: Load) -> Any:
        return self._replicas.ask(
            self._leads, (what, load), 2 * load.seconds + limits.BENCH_PATIENCE_S
        )


@contextmanager
def _running() -> Iterator[_RunningReplicas]:
    with ExitStack() as stack:
        yield _RunningReplicas(Replicas(stack, _board, _serve))


# --- In each of the processes ---------------------------------------------------------------------


def _board(address: str, others: list[str], settings: Any) -> Any:
    """Return an object that keeps a value for each key."""
    from pysyncobj import SyncObj, replicated

    class Board(SyncObj):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(address, others, settings)
            self.values: dict[str, bytes] = {}

        @replicated  # type: ignore[untyped-decorator]
        def put(self, key: str, value: bytes) -> None:
            self.values[key] = value

    return Board()


def _be_a_node(
    pipe: Pipe, made: Callable[..., Any], serve: Serve, address: str, others: Sequence[str]
) -> None:
    logging.disable(logging.ERROR)  # it complains of each batch that came twice
    node = connected(made, address, others)
    while True:
        node.doTick(_TICK_S)
        while pipe.poll():
            order = pipe.recv()
            leads = node._isLeader() and node.isReady()
            pipe.send(leads if order[0] == "leads" else serve(node, order))


def _serve(node: Any, order: Order) -> Sent | list[float]:
    what, load = order
    flow = _SyncObjFlow(node, load)
    node.conf.appendEntriesPeriod = _BATCH_S if what == "send" else _AT_ONCE_S
    if what == "send":
        sent = pipelined(flow, load.window or _WINDOW, load.seconds)
        return sent._replace(client_cpu_s=0.0)
    return one_by_one(partial(one_of, flow), load.seconds)


class _SyncObjFlow:
    """Calls, made and acknowledged in the loop of the node."""

    block = 100

    def __init__(self, node: Any, load: Load) -> None:
        self._node = node
        self._keys = cycle([f"room/{number}/temp" for number in range(load.keys)])
        self._payload = load.payload
        self._acked = 0

    def send(self, messages: int) -> None:
        for _ in range(messages):
            self._node.put(next(self._keys), self._payload, callback=self._ack)

    def _ack(self, _result: object, reason: int) -> None:
        if reason:
            raise RmfError(f"expected a call to be applied, found reason {reason}")
        self._acked += 1

    def receive(self) -> int:
        self._node.doTick(_TICK_S)
        acked, self._acked = self._acked, 0
        return acked
