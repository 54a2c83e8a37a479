"""Redis Streams as a contender: one server that fsyncs before it answers, commands pipelined.

Redis has no replication that waits for disks, so it stands beside RMF's one node. Its client is no
library but prebuilt bytes on a socket.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path

from rmf import limits
from rmf.errors import RmfError
from tools.bench_cluster import free_ports
from tools.compare_servers import (
    Contender,
    Load,
    Sent,
    connect,
    executables,
    in_a_process,
    one_by_one,
    one_of,
    pipelined,
    servers,
    version_of,
    wait_until,
)

__all__ = ["RedisFlow", "command", "contenders", "started"]

_MISSING = "redis-server is not installed (Debian redis-server)"
_BLOCK = 500
_WINDOW = 5000


def contenders() -> list[Contender]:
    """Return the redis-server that is installed."""
    found = executables("redis-server")
    if not found:
        return [Contender("redis-streams", {}, lambda: _running(Path()), _MISSING)]
    facts = {
        "version": version_of(found[0], _version),
        "program": str(found[0]),
        "nodes": 1,
        "fsync": "appendfsync always",
        "client": "prebuilt XADDs on a socket",
    }
    return [Contender("redis-streams", facts, lambda: _running(found[0]))]


def _version(said: str) -> str:
    found = re.search(r"v=(\S+)", said)
    return found[1] if found else "?"


class _RedisServer:
    """A running server."""

    def __init__(self, pids: list[int], port: int) -> None:
        self._pids = pids
        self._port = port

    def pids(self) -> list[int]:
        return self._pids

    def send(self, load: Load) -> Sent:
        return in_a_process(_add, self._port, load, takes_s=load.seconds)

    def waits(self, load: Load) -> list[float]:
        return in_a_process(_add_one_by_one, self._port, load, takes_s=load.seconds)


@contextmanager
def _running(program: Path) -> Iterator[_RedisServer]:
    with started(program) as (pids, port):
        yield _RedisServer(pids, port)


@contextmanager
def started(program: Path) -> Iterator[tuple[list[int], int]]:
    """Run a server that fsyncs every command; give its process id, and its port."""
    (port,) = free_ports(1)

    def commands(directory: Path) -> list[list[str]]:
        always = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        where = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory)]
        return [[str(program), *where, *always]]

    with servers(commands) as (_, pids):
        wait_until(lambda: _pong(port), "the server does not answer")
        yield pids, port


def _pong(port: int) -> bool:
    with connect(port) as sock:
        sock.sendall(command(b"PING"))
        return sock.recv(limits.RECEIVE_BYTES) == b"+PONG\r\n"


def command(*words: bytes) -> bytes:
    """Return a command as it goes over the wire."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


# --- In a process of its own ----------------------------------------------------------------------


class RedisFlow:
    """Entries to a stream; each is answered with its id, a string."""

    block = _BLOCK

    def __init__(self, port: int, load: Load) -> None:
        additions = [
            command(b"XADD", b"packets", b"*", b"t", b"room/%d/temp" % number, b"v", load.payload)
            for number in range(load.keys)
        ]
        every = cycle(additions)
        self._ones = cycle(additions)
        self._blocks = cycle(
            [b"".join(next(every) for _ in range(_BLOCK)) for _ in range(len(additions) // _BLOCK)]
            or [b"".join(next(every) for _ in range(_BLOCK))]
        )
        self._last = b"\n"  # an answer that begins with a minus is an error
        self._socket = connect(port)

    def send(self, messages: int) -> None:
        """Send so many: `block`, or one."""
        self._socket.sendall(next(self._blocks if messages == _BLOCK else self._ones))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def receive(self) -> int:
        """Wait for acks; return of how many. Raises RmfError for any other answer."""
        data = self._socket.recv(limits.RECEIVE_BYTES)
        if not data or b"\n-" in self._last + data:
            raise RmfError(f"expected ids, found {data[:200]!r}")
        self._last = data[-1:]
        return data.count(b"$")


def _add(port: int, load: Load) -> Sent:
    return pipelined(RedisFlow(port, load), load.window or _WINDOW, load.seconds)


def _add_one_by_one(port: int, load: Load) -> list[float]:
    return one_by_one(partial(one_of, RedisFlow(port, load)), load.seconds)
