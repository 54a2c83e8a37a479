"""etcd as a contender: three members, puts side by side over one gRPC connection to the leader.

Its client is no library but HTTP/2 frames on a socket, with what gRPC and etcd need of them and no
more: leaner than any client there is. etcd acks what a majority has fsynced. `txn`: a hundred puts
in one transaction, which is one commit and one answer.
"""

import json
import re
import struct
import urllib.request
from collections.abc import Iterator, Sequence
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

__all__ = ["EtcdFlow", "contenders", "frame", "put", "transaction"]

_WINDOW = 500  # puts in flight; more are not faster
_TXN_PUTS = 100
_TXN_WINDOW = 20  # transactions in flight
_MISSING = "etcd is not installed (Debian etcd-server)"

# HTTP/2, RFC 9113: types of frames, and the only flags that matter here.
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _CREDIT = 0, 1, 3, 4, 6, 7, 8
_END_STREAM = _ACK = 1
_END_HEADERS = 4
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD_BYTES = 9
_CREDIT_FIRST = 65_535  # bytes of DATA that may be under way before the other side says more


def contenders() -> list[Contender]:
    """Return the etcd that is installed, with puts and with transactions."""
    found = executables("etcd")
    if not found:
        return [Contender("etcd", {}, lambda: _running(Path(), 1), _MISSING)]
    facts = {
        "version": version_of(found[0], _version),
        "nodes": 3,
        "fsync": "by a majority before the ack",
        "client": "HTTP/2 frames on a socket",
    }
    return [
        Contender("etcd", facts, lambda: _running(found[0], 1)),
        Contender("etcd-txn", facts, lambda: _running(found[0], _TXN_PUTS)),
    ]


def _version(said: str) -> str:
    found = re.search(r"etcd Version: (\S+)", said)
    return found[1] if found else "?"


class _EtcdServers:
    """Three running members."""

    def __init__(self, pids: list[int], port: int, puts: int) -> None:
        self._pids = pids
        self._port = port
        self._puts = puts

    def pids(self) -> list[int]:
        return self._pids

    def send(self, load: Load) -> Sent:
        return in_a_process(_put, self._port, self._puts, load, takes_s=load.seconds)

    def waits(self, load: Load) -> list[float]:
        return in_a_process(_put_one_by_one, self._port, load, takes_s=load.seconds)


@contextmanager
def _running(program: Path, puts: int) -> Iterator[_EtcdServers]:
    ports = free_ports(6)
    with servers(lambda directory: _commands(program, directory, ports)) as (_, pids):
        yield _EtcdServers(pids, wait_until(lambda: _leader(ports[:3]), "no member leads"), puts)


def _commands(program: Path, directory: Path, ports: list[int]) -> list[list[str]]:
    names = ["n1", "n2", "n3"]
    clients = [f"http://127.0.0.1:{port}" for port in ports[:3]]
    peers = [f"http://127.0.0.1:{port}" for port in ports[3:]]
    all_of_it = ",".join(f"{name}={peer}" for name, peer in zip(names, peers, strict=True))
    return [
        [
            *(str(program), "--name", name, "--data-dir", str(directory / name)),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", all_of_it, "--logger", "zap", "--log-level", "error"),
        ]
        for name, client, peer in zip(names, clients, peers, strict=True)
    ]


def _leader(ports: Sequence[int]) -> int | None:
    """Return the port of the member that leads."""
    for port in ports:
        said = _asked(port, "/v3/maintenance/status")
        if said.get("leader", "0") == said["header"]["member_id"]:
            return port
    return None


def _asked(port: int, path: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}{path}"
    with urllib.request.urlopen(url, data=b"{}", timeout=limits.BENCH_ASK_S_MAX) as answer:
        said: dict[str, Any] = json.loads(answer.read())
    return said


# --- In a process of its own ----------------------------------------------------------------------


def _field(number: int, value: bytes) -> bytes:
    """Return a field of bytes as protobuf writes it."""
    length, size = b"", len(value)
    while size > 0x7F:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


def put(key: bytes, value: bytes) -> bytes:
    """Return a PutRequest."""
    return _field(1, key) + _field(2, value)


def transaction(puts: Sequence[bytes]) -> bytes:
    """Return a TxnRequest of these PutRequests, without a condition."""
    return b"".join(_field(2, _field(2, one)) for one in puts)


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    """Return a frame of HTTP/2."""
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def _headers(path: bytes) -> bytes:
    """Return the headers of a call: from the static table, and literals that are not indexed."""
    length = bytes([len(path)])
    return (
        b"\x83\x86\x04" + length + path
        + b"\x01\x09127.0.0.1"
        + b"\x0f\x10\x10application/grpc"
        + b"\x00\x02te\x08trailers"
    )  # fmt: skip


class EtcdFlow:
    """Calls to a member, each a stream of its own; `per_call` messages go with each."""

    def __init__(self, port: int, path: bytes, bodies: Sequence[bytes], per_call: int) -> None:
        self._headers = _headers(path)
        self._calls = cycle([b"\0" + struct.pack(">I", len(body)) + body for body in bodies])
        self.block = per_call
        self._stream = -1
        self._credit = _CREDIT_FIRST
        self._heard = b""
        self._ended = self._answers = 0
        self._socket = connect(port)
        more = struct.pack(">I", 2**31 - 1 - _CREDIT_FIRST)
        self._socket.sendall(_PREFACE + frame(_SETTINGS, 0, 0, b"") + frame(_CREDIT, 0, 0, more))

    def send(self, messages: int) -> None:  # noqa: ARG002 a call is all that can be sent
        """Send one call."""
        body = next(self._calls)
        while self._credit < len(body):
            self._ended += self._take()
        self._credit -= len(body)
        self._stream += 2
        head = frame(_HEADERS, _END_HEADERS, self._stream, self._headers)
        self._socket.sendall(head + frame(_DATA, _END_STREAM, self._stream, body))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def receive(self) -> int:
        """Wait for answers; return of how many messages. Raises RmfError."""
        ended, self._ended = self._ended, 0
        return (ended or self._take()) * self.block

    def _take(self) -> int:
        """Take what has come; return how many calls have ended. One that ends without an answer
        has failed."""
        data = self._heard + self._socket.recv(limits.PEER_RECEIVE_BYTES)
        at = ends = 0
        while len(data) - at >= _HEAD_BYTES:
            size = int.from_bytes(data[at : at + 3])
            end = at + _HEAD_BYTES + size
            if end > len(data):
                break
            kind, flags = data[at + 3], data[at + 4]
            if kind == _DATA:
                self._answers += 1
            elif kind == _HEADERS:
                ends += flags & _END_STREAM
            else:
                self._control(kind, flags, data[at + 5 : at + 9], data[at + _HEAD_BYTES : end])
            at = end
        self._heard = data[at:]
        self._answers -= ends
        if self._answers < 0:
            raise RmfError(f"expected answers, found only ends of calls: {data[:200]!r}")
        return ends

    def _control(self, kind: int, flags: int, stream: bytes, body: bytes) -> None:
        if kind in {_RESET, _GOAWAY}:
            raise RmfError(f"etcd gave up: {body!r}")
        if kind == _CREDIT and stream == bytes(4):
            self._credit += int.from_bytes(body)
        elif kind in {_SETTINGS, _PING} and not flags & _ACK:
            self._socket.sendall(frame(kind, _ACK, 0, body if kind == _PING else b""))


def _flow(port: int, puts: int, load: Load) -> EtcdFlow:
    ones = [put(b"room/%d/temp" % number, load.payload) for number in range(load.keys)]
    if puts == 1:
        return EtcdFlow(port, b"/etcdserverpb.KV/Put", ones, 1)
    if load.keys < puts:
        raise RmfError(f"a transaction writes {puts} keys, each once; there are {load.keys}")
    every = [transaction(ones[at : at + puts]) for at in range(0, load.keys - puts + 1, puts)]
    return EtcdFlow(port, b"/etcdserverpb.KV/Txn", every, puts)


def _put(port: int, puts: int, load: Load) -> Sent:
    window = load.window or (_WINDOW if puts == 1 else _TXN_WINDOW * puts)
    return pipelined(_flow(port, puts, load), window, load.seconds)


def _put_one_by_one(port: int, load: Load) -> list[float]:
    return one_by_one(partial(one_of, _flow(port, 1, load)), load.seconds)
