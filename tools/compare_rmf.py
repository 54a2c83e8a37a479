"""RMF as a contender: three nodes, and one beside what has no replicas.

Its client is the one that `rmf-bench throughput` uses, the library's session on a socket: it dates
and encodes each packet, and judges each answer. Each packet has one outcome, however often it is
sent, which the others leave to their users.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import rmf
from rmf.client import blocking
from rmf.client.blocking import Address
from rmf.errors import UsageError
from rmf.interpreter import interpreter
from tools.bench_cluster import BenchCluster
from tools.bench_load import Load as Producing
from tools.bench_load import Probe, keys_of, payload_of
from tools.bench_node import BenchNode
from tools.compare_servers import (
    Contender,
    Load,
    Running,
    Sent,
    in_a_process,
    one_by_one,
    pipelined,
)

__all__ = ["contenders"]

_WINDOW = 8000
_MANY_KEYS = 100_000
_FILL_S = 20.0  # to write many keys once, at most

Change = Callable[[Load], Load]


def contenders(pythons: Sequence[str] = ()) -> list[Contender]:
    """Return three nodes, and one; three whose payloads are maps, and three with many keys. For
    each further interpreter that nodes are to run on, three of them and one. Raises UsageError for
    an interpreter on which RMF does not run."""
    facts = {
        "version": f"{rmf.__version__} on {interpreter()}",
        "fsync": "by a majority before the ack",
        "client": "the library's session on a socket, exactly once",
        "python": sys.executable,
    }

    def maps(load: Load) -> Load:
        return load._replace(payload=payload_of(64, "map"))

    def keys(load: Load) -> Load:
        return load._replace(keys=_MANY_KEYS)

    found = [
        _contender("rmf", {**facts, "nodes": 3}),
        _contender("rmf-map", {**facts, "nodes": 3, "payload": "a map of four fields"}, maps),
        _contender("rmf-keys", {**facts, "nodes": 3, "keys": _MANY_KEYS}, keys),
        _contender("rmf-1", {**facts, "nodes": 1}),
    ]
    for python in pythons:
        there = {**facts, "python": python, "version": f"{rmf.__version__} on {_said_by(python)}"}
        found.append(_contender(f"rmf-on-{python}", {**there, "nodes": 3}))
        found.append(_contender(f"rmf-1-on-{python}", {**there, "nodes": 1}))
    return found


def _said_by(python: str) -> str:
    """Return what an interpreter says of itself. Raises UsageError if RMF does not run there."""
    asks = "from rmf.interpreter import interpreter; import rmf.__main__; print(interpreter())"
    try:
        done = subprocess.run([python, "-c", asks], check=False, capture_output=True, text=True)  # noqa: S603
    except OSError as error:
        raise UsageError(f"{python} cannot be run: {error}") from None
    if done.returncode:
        raise UsageError(f"RMF does not run on {python}: {done.stderr.strip()[-200:]}")
    return done.stdout.strip()


def _contender(
    name: str, facts: dict[str, object], change: Change = lambda load: load
) -> Contender:
    def start() -> AbstractContextManager[Running]:
        return _running(3 if facts["nodes"] == 3 else 1, str(facts["python"]), change)

    return Contender(name, facts, start)


class _RunningNodes:
    """Running nodes, which are sent to at the leader."""

    def __init__(self, pids: list[int], address: Address, change: Change) -> None:
        self._pids = pids
        self._address = address
        self._change = change

    def pids(self) -> list[int]:
        return self._pids

    def send(self, load: Load) -> Sent:
        takes_s = load.seconds + _FILL_S
        return in_a_process(_produce, self._address, self._change(load), takes_s=takes_s)

    def waits(self, load: Load) -> list[float]:
        load = self._change(load)
        return in_a_process(_probe, self._address, load, takes_s=load.seconds)


@contextmanager
def _running(nodes: int, python: str, change: Change) -> Iterator[_RunningNodes]:
    if nodes == 1:
        with TemporaryDirectory(prefix="rmf-bench-") as path, _one_node(Path(path), python) as node:
            yield _RunningNodes([node.pid], node.address, change)
        return
    with BenchCluster(nodes, python=python) as cluster:
        pids = [node.pid for node in cluster.nodes.values()]
        yield _RunningNodes(pids, cluster.address, change)


def _one_node(directory: Path, python: str) -> BenchNode:
    return BenchNode(data=directory / "data", log=directory / "log", python=python)


# --- In a process of its own ----------------------------------------------------------------------


def _produce(address: Address, load: Load) -> Sent:
    options = {"producer": "compare"}
    with blocking.connect([address], agent="rmf-bench", timeout_s=10, options=options) as link:
        producing = Producing(link, load.payload, keys_of(load.keys))
        filled = load.keys if load.keys == _MANY_KEYS else 0
        producing.run_packets(filled, producing.block)
        sent = pipelined(producing, load.window or _WINDOW, load.seconds)
    return sent._replace(before=sent.before + filled)


def _probe(address: Address, load: Load) -> list[float]:
    probe = Probe(address, load.payload)
    try:
        return one_by_one(probe.one, load.seconds)
    finally:
        probe.close()
