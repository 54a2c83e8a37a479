"""Throughput, latency, recovery, start and idleness: what is measured, and how.

Producers use the client library's sans-IO connection on blocking sockets, each in a process of its
own. Packets go to 1,000 keys in turn. Every figure is taken from the acks, which are commits (R2):
there is no mode without fsync. With several nodes the load goes to the leader, and CPU and memory
are those of all nodes together.
"""

import math
import multiprocessing
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cbor2

from rmf import limits
from rmf.client import blocking
from rmf.client.blocking import BlockingConnection
from rmf.client.client_session import ClientSession
from rmf.core import messages as m
from rmf.errors import RmfError, UsageError
from tools.bench_cluster import BenchCluster
from tools.bench_node import BenchNode

__all__ = [
    "idle",
    "keys_of",
    "latency",
    "packets_of",
    "payload_of",
    "quantile_ms",
    "recovery",
    "start",
    "throughput",
]

MAP_PAYLOAD = cbor2.dumps(
    {"celsius": 21.53, "humidity": 40.25, "unit": "degC", "site": "greenhouse-3"}
)
assert len(MAP_PAYLOAD) == 64
KEYS = [f"room/{number}/temp" for number in range(1000)]
TTL_MS = 3_600_000
_WINDOW = 16


def keys_of(count: int) -> list[str]:
    """Return so many keys."""
    return KEYS if count == len(KEYS) else [f"room/{number}/temp" for number in range(count)]


def packets_of(
    first_seq: int, count: int, payload: bytes, names: list[str] = KEYS
) -> list[list[Any]]:
    """Return so many rows with seqs from the first on, dated now, for the keys in turn."""
    now_ns = time.time_ns()
    keys = len(names)
    return [
        [names[seq % keys], seq, now_ns, TTL_MS, payload]
        for seq in range(first_seq, first_seq + count)
    ]


def _acked(connection: BlockingConnection) -> int:
    """Return how many packets the next message acknowledges; they must all be applied."""
    message = connection.receive(30)
    if not isinstance(message, m.Ack):
        raise RmfError(f"expected an ACK, found {message!r}")
    for run in message.runs:
        if run.outcome != m.APPLIED:
            raise RmfError(f"expected packets to be applied, found {run!r}")
    return sum(run.packets for run in message.runs)


class Load:
    """One producer that keeps a window of frames in flight."""

    block = 500  # packets that go out at once, where the caller does not say

    def __init__(
        self, connection: BlockingConnection, payload: bytes, names: list[str] = KEYS
    ) -> None:
        self._connection = connection
        self._payload = payload
        self._names = names
        self._seq = 1

    def run(self, seconds: float, batch: int, window: int) -> tuple[int, float]:
        """Send for that long; return packets acked and the seconds until the last ack."""
        began = time.perf_counter()
        in_flight = acked = 0
        while True:
            while in_flight < window * batch and time.perf_counter() - began < seconds:
                self.send(batch)
                in_flight += batch
            if not in_flight:
                return acked, time.perf_counter() - began
            count = self.receive()
            in_flight -= count
            acked += count

    def run_packets(self, packets: int, batch: int) -> None:
        """Send that many packets and wait for all acks."""
        in_flight = 0
        end = self._seq + packets
        while self._seq < end or in_flight:
            while self._seq < end and in_flight < _WINDOW * batch:
                count = min(batch, end - self._seq)
                self.send(count)
                in_flight += count
            in_flight -= self.receive()

    def send(self, packets: int) -> None:
        """Send the next so many packets, in one frame."""
        self._connection.send(m.Send(packets_of(self._seq, packets, self._payload, self._names)))
        self._seq += packets

    def receive(self) -> int:
        """Wait for the next ack; return of how many packets. Raises RmfError if one is not."""
        return _acked(self._connection)


class Probe:
    """One packet at a time over a plain socket: the leanest client, so that the node is timed."""

    def __init__(self, address: tuple[str, int], payload: bytes, producer: str = "bench") -> None:
        self._payload = payload
        self._seq = 0
        self._link = ClientSession({"agent": "rmf-bench", "producer": producer})
        self._socket = socket.create_connection(address, timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(self._link.opening())
        while self._link.welcome is None:
            self._receive()
        self._seq = int(self._link.welcome.facts["last_seq"])  # of a run before on the same node

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def one(self) -> float:
        """Send one packet and wait for its ack; return the seconds from write to decoded ack."""
        self._seq += 1
        frame = self._link.encode(m.Send(packets_of(self._seq, 1, self._payload)))
        began = time.perf_counter()
        self._socket.sendall(frame)
        (ack,) = self._receive()
        took_s = time.perf_counter() - began
        if not (isinstance(ack, m.Ack) and ack.runs[0].outcome == m.APPLIED):
            raise RmfError(f"expected the packet to be applied, found {ack!r}")
        return took_s

    def _receive(self) -> list[m.Message]:
        messages: list[m.Message] = []
        while not messages:
            data = self._socket.recv(limits.RECEIVE_BYTES)
            if not data:
                raise RmfError("the node closed the connection")
            messages = self._link.receive(data)
        return messages


def payload_of(size: int, kind: str = "bytes") -> bytes:
    """Return a payload of so many bytes: an opaque CBOR byte string, as other systems' benchmarks
    send, or a map of four fields (64 bytes only), which costs the line more."""
    if kind == "map":
        if size != len(MAP_PAYLOAD):
            raise UsageError(
                f"the map has {len(MAP_PAYLOAD)} bytes; --payload-bytes {size} has none"
            )
        return MAP_PAYLOAD
    for filling in range(max(0, size - 9), size):
        payload = cbor2.dumps(bytes(filling))
        if len(payload) == size:
            return payload
    raise UsageError(f"no CBOR byte string has {size} bytes; try {size + 1}")


def _produce(
    address: tuple[str, int],
    number: int,
    batch: int,
    window: int,
    payload: bytes,
    seconds: float,
    keys: int = len(KEYS),
) -> tuple[int, int, float]:
    """Be one producer, in a process of its own; return packets warming up, then packets and s.
    Many keys are all written before anything is measured."""
    options = {"producer": f"bench-{number}"}
    with blocking.connect([address], agent="rmf-bench", timeout_s=10, options=options) as link:
        load = Load(link, payload, keys_of(keys))
        filled = 0 if keys == len(KEYS) else keys
        load.run_packets(filled, batch)
        warm, _ = load.run(min(1.0, seconds / 4), batch, window)
        packets, took_s = load.run(seconds, batch, window)
    return filled + warm, packets, took_s


def _factory(nodes: int, glovebox: str, line: str | None = None) -> BenchNode | BenchCluster:
    options = ["--glovebox", glovebox]
    if nodes == 1:
        return BenchNode(options=options, line=line)
    return BenchCluster(nodes, options=options, line=line)


def throughput(
    *,
    seconds: float,
    producers: int,
    batch: int,
    window: int,
    payload: bytes,
    nodes: int = 1,
    glovebox: str = "process",
    line: str | None = None,
    keys: int = len(KEYS),
) -> dict[str, Any]:
    """Return committed and acked packets per second with batching producers."""
    with _factory(nodes, glovebox, line) as node, multiprocessing.Pool(producers) as pool:
        cpu_s = node.cpu_s()
        address = node.address
        jobs = [(address, n, batch, window, payload, seconds, keys) for n in range(producers)]
        done = pool.starmap(_produce, jobs)
        cpu_s = node.cpu_s() - cpu_s
        memory_mib = node.memory_mib()
    packets = sum(count for _, count, _ in done)
    took_s = max(s for _, _, s in done)
    all_packets = packets + sum(warm for warm, _, _ in done)
    return {
        "payload_bytes": len(payload),
        "glovebox": glovebox,
        "seconds": round(took_s, 3),
        "producers": producers,
        "batch": batch,
        "window": window,
        "keys": keys,
        "packets": packets,
        "packets_per_s": round(packets / took_s),
        "node_cpu_us_per_packet": round(cpu_s / all_packets * 1e6, 2),
        "node_memory_mib": round(memory_mib, 1),
    }


def latency(
    *,
    seconds: float,
    payload: bytes,
    nodes: int = 1,
    glovebox: str = "process",
    line: str | None = None,
) -> dict[str, Any]:
    """Return the time from send to ack with one packet in flight."""
    with _factory(nodes, glovebox, line) as node:
        probe = Probe(node.address, payload)
        for _ in range(200):
            probe.one()
        began = time.perf_counter()
        taken: list[float] = []
        while time.perf_counter() - began < seconds:
            taken.append(probe.one())
        probe.close()
    taken.sort()
    return {
        "payload_bytes": len(payload),
        "glovebox": glovebox,
        "seconds": seconds,
        "packets": len(taken),
        "p50_ms": quantile_ms(taken, 0.50),
        "p99_ms": quantile_ms(taken, 0.99),
        "max_ms": quantile_ms(taken, 1.0),
    }


def quantile_ms(ordered: list[float], quantile: float) -> float:
    """Return a quantile of ordered seconds, in ms."""
    return round(ordered[max(0, math.ceil(quantile * len(ordered)) - 1)] * 1000, 3)


def recovery(*, packets: int, batch: int, payload: bytes) -> dict[str, Any]:
    """Return how fast a killed node replays its ledger at the next start."""
    with tempfile.TemporaryDirectory(prefix="rmf-bench-") as path:
        data = Path(path) / "data"
        with BenchNode(data=data) as empty:
            empty_s = empty.ready_s
            with empty.connect(producer="bench") as connection:
                load = Load(connection, payload)
                load.run_packets(packets, batch)
            empty.stop(kill=True)
        with BenchNode(data=data) as node:
            ready_s = node.ready_s
    return {
        "payload_bytes": len(payload),
        "seconds": round(ready_s, 3),
        "packets": packets,
        "batch": batch,
        "empty_ready_s": round(empty_s, 3),
        "packets_per_s": round(packets / max(1e-9, ready_s - empty_s)),
        "packets_per_s_with_start": round(packets / ready_s),
    }


def start(*, runs: int) -> dict[str, Any]:
    """Return how long an empty node takes to be ready, and `rmf-cat --once` to answer."""
    ready: list[float] = []
    answers: list[float] = []
    for _ in range(runs):
        with BenchNode() as node:
            ready.append(node.ready_s)
            with node.connect(producer="bench") as connection:
                Load(connection, MAP_PAYLOAD).run_packets(len(KEYS), 100)
            host, port = node.address
            cat = [sys.executable, "-m", "tools.rmf_cat", "--once", "-c", f"{host}:{port}", "#"]
            for _ in range(5):
                began = time.perf_counter()
                subprocess.run(cat, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 ours
                answers.append(time.perf_counter() - began)
    return {
        "payload_bytes": len(MAP_PAYLOAD),
        "seconds": round(sum(ready), 3),
        "runs": runs,
        "ready_s": round(sorted(ready)[len(ready) // 2], 3),
        "ready_s_max": round(max(ready), 3),
        "cat_once_cells": len(KEYS),
        "cat_once_p50_ms": quantile_ms(sorted(answers), 0.5),
        "cat_once_max_ms": quantile_ms(sorted(answers), 1.0),
    }


def idle(*, seconds: float) -> dict[str, Any]:
    """Return how much of a core and of memory a node takes that has nothing to do."""
    with BenchNode() as node, node.connect(producer="bench") as connection:
        Load(connection, MAP_PAYLOAD).run_packets(len(KEYS), 100)
        time.sleep(1)
        cpu_s, began = node.cpu_s(), time.perf_counter()
        time.sleep(seconds)
        share = (node.cpu_s() - cpu_s) / (time.perf_counter() - began)
        memory_mib = node.memory_mib()
    return {
        "payload_bytes": len(MAP_PAYLOAD),
        "seconds": seconds,
        "core_percent": round(share * 100, 2),
        "memory_mib": round(memory_mib, 1),
    }
