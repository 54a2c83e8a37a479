"""Edges that scale: what many clients of a lone node cost it, and whom they hold up (R45).

    producers   each with one packet in flight: the node's CPU time a packet
    idle        displays of a cell each, nothing changes: the node's CPU time for their keepalives
    one, own    displays of everything, or of a part each, at 10 Hz, while 1,000 keys a second
                change: how long the ack of a probe takes (200 packets/s), before them and beside

The clients are sockets in processes of their own, which judge nothing of what they are sent. CPU
time is that of the node's threads: its box is not in it.
"""

import multiprocessing
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection as Pipe
from typing import Any

from rmf import limits
from rmf.client import blocking
from rmf.client.client_session import ClientSession
from rmf.core import codec
from rmf.core import messages as m
from tools.bench_cpu import threads
from tools.bench_load import Load, Probe, payload_of, quantile_ms
from tools.bench_node import BenchNode

__all__ = ["KINDS", "edges"]

KINDS = ("producers", "idle", "one", "own")
_RATE_HZ = 10.0
_KEYS = 1000
_CHANGES_A_STEP = 50
_STEPS_PER_S = 20
_PROBE_PAUSE_S = 0.005
_ACK = codec.encode(m.Ack([]))[5]

Address = tuple[str, int]
Clients = Callable[[Address], Iterator[int]]  # what they have counted since, again and again


def edges(*, seconds: float, clients: int, kind: str) -> dict[str, Any]:
    """Return what so many clients of this kind cost."""
    measure = {"producers": _producers, "idle": _idle}.get(kind, _beside)
    with BenchNode() as node:
        found = measure(node, seconds, clients, kind)
        memory_mib = round(node.memory_mib(), 1)
    asked = {"seconds": seconds, "payload_bytes": 64, "kind": kind, "clients": clients}
    return {**asked, **found, "memory_mib": memory_mib}


def _producers(node: BenchNode, seconds: float, clients: int, _kind: str) -> dict[str, Any]:
    with _Beside(partial(_send_alone, count=clients), node.address) as beside:
        before, before_s, began_s = beside.counted(), _cpu_s(node), time.perf_counter()
        time.sleep(seconds)
        used_s, took_s = _cpu_s(node) - before_s, time.perf_counter() - began_s
        acked = beside.counted() - before
    return {
        "packets_per_s": round(acked / took_s, 1),
        "cpu_us_a_packet": round(used_s / acked * 1e6, 1),
    }


def _idle(node: BenchNode, seconds: float, clients: int, kind: str) -> dict[str, Any]:
    before = _cpu_percent(node, seconds)
    with _Beside(partial(_look_on, count=clients, kind=kind), node.address):
        time.sleep(1.0)  # their first pictures are sent
        return {"cpu_percent": _cpu_percent(node, seconds), "before_cpu_percent": before}


def _beside(node: BenchNode, seconds: float, clients: int, kind: str) -> dict[str, Any]:
    with _Beside(_change, node.address):
        probe = Probe(node.address, payload_of(64))
        alone = _probed(node, probe, seconds)
        with _Beside(partial(_look_on, count=clients, kind=kind), node.address) as displays:
            begin, began_s = displays.counted(), time.perf_counter()
            found = _probed(node, probe, seconds)
            sent_bytes, took_s = displays.counted() - begin, time.perf_counter() - began_s
        probe.close()
    return {
        **{f"before_{name}": figure for name, figure in alone.items()},
        **found,
        "p99_ratio": round(found["p99_ms"] / alone["p99_ms"], 2),
        "display_kib_per_s": round(sent_bytes / took_s / limits.KIB, 1),
    }


def _probed(node: BenchNode, probe: Probe, seconds: float) -> dict[str, float]:
    before_s, began_s = _cpu_s(node), time.perf_counter()
    waits_s = []
    while time.perf_counter() - began_s < seconds:
        waits_s.append(probe.one())
        time.sleep(_PROBE_PAUSE_S)
    used_s, took_s = _cpu_s(node) - before_s, time.perf_counter() - began_s
    waits_s.sort()
    return {
        "p50_ms": quantile_ms(waits_s, 0.5),
        "p99_ms": quantile_ms(waits_s, 0.99),
        "cpu_percent": round(100 * used_s / took_s, 1),
    }


def _cpu_percent(node: BenchNode, seconds: float) -> float:
    before_s, began_s = _cpu_s(node), time.perf_counter()
    time.sleep(seconds)
    return round(100 * (_cpu_s(node) - before_s) / (time.perf_counter() - began_s), 2)


def _cpu_s(node: BenchNode) -> float:
    return sum(thread.cpu_s for thread in threads(node.pid).values())


class _Beside:
    """Clients in a process of their own, which are there once the block begins."""

    def __init__(self, clients: Clients, address: Address) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        start = multiprocessing.get_context("spawn").Process
        self._process = start(target=_be, args=(clients, address, theirs), daemon=True)

    def __enter__(self) -> "_Beside":
        self._process.start()
        self._ours.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def counted(self) -> int:
        """Return what they have counted so far."""
        self._ours.send(None)
        found: int = self._ours.recv()
        return found


# --- In a process of its own ----------------------------------------------------------------------


def _be(clients: Clients, address: Address, pipe: Pipe) -> None:
    total = 0
    for place, count in enumerate(clients(address)):
        total += count
        if not place:
            pipe.send(None)
        elif pipe.poll():
            pipe.recv()
            pipe.send(total)


def _welcomed(address: Address, count: int, name: str = "") -> list[socket.socket]:
    """Return clients that have had their WELCOME: producers, if they have a name."""
    sockets = []
    for number in range(count):
        link = ClientSession(
            {"agent": "rmf-bench", **({"producer": f"{name}{number}"} if name else {})}
        )
        sock = socket.create_connection(address, timeout=limits.BENCH_PATIENCE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(link.opening())
        sockets.append((link, sock))
    for link, sock in sockets:
        while link.welcome is None:
            link.receive(sock.recv(limits.RECEIVE_BYTES))
    return [sock for _, sock in sockets]


def _send_alone(address: Address, count: int) -> Iterator[int]:
    """Be producers with one packet in flight each; count the acks: each read brings one. They cost
    less than what is measured: a frame is put together from its key and what is behind it."""
    frames = _Frames()
    seqs = dict.fromkeys(range(count), 1)
    with selectors.DefaultSelector() as waiting:
        for number, sock in enumerate(_welcomed(address, count, "bench-")):
            sock.sendall(frames.of(number, 1))
            waiting.register(sock, selectors.EVENT_READ, (sock, number))
        while True:
            found = waiting.select(0.05)
            for ready, _ in found:
                sock, number = ready.data
                assert sock.recv(limits.RECEIVE_BYTES)[5] == _ACK
                seqs[number] += 1
                sock.sendall(frames.of(number, seqs[number]))
            yield len(found)


class _Frames:
    """SEND frames of one packet: of a seq all are alike, but for their keys of one length."""

    def __init__(self) -> None:
        self._payload = payload_of(64)
        self._pieces: dict[int, tuple[bytes, bytes]] = {}

    def of(self, number: int, seq: int) -> bytes:
        """Return the frame of a producer."""
        pieces = self._pieces.get(seq)
        if pieces is None:
            row = ["room/0000/temp", seq, time.time_ns(), 3_600_000, self._payload]
            before, _, behind = codec.encode(m.Send([row])).partition(b"0000")
            pieces = self._pieces[seq] = before, behind
        return b"%b%04d%b" % (pieces[0], number % _KEYS, pieces[1])


def _look_on(address: Address, count: int, kind: str) -> Iterator[int]:
    """Be displays; count the bytes that they are sent."""
    with selectors.DefaultSelector() as waiting:
        for number, sock in enumerate(_welcomed(address, count)):
            pattern = {"one": "#", "own": f"room/{number}/+"}.get(kind, f"room/{number}/temp")
            sock.sendall(codec.encode(m.Subscribe(1, [pattern], {"rate_hz": _RATE_HZ})))
            waiting.register(sock, selectors.EVENT_READ, sock)
        while True:
            found = waiting.select(0.05)
            yield sum(len(ready.data.recv(limits.PEER_RECEIVE_BYTES)) for ready, _ in found)


def _change(address: Address) -> Iterator[int]:
    """Change all keys once, then so many a second."""
    with blocking.connect(
        [address], agent="rmf-bench", timeout_s=10, options={"producer": "changes"}
    ) as link:
        load = Load(link, payload_of(64))
        load.run_packets(_KEYS, Load.block)
        began_s = time.perf_counter()
        step = 0
        while True:
            step += 1
            yield _CHANGES_A_STEP
            load.run_packets(_CHANGES_A_STEP, _CHANGES_A_STEP)
            time.sleep(max(0.0, began_s + step / _STEPS_PER_S - time.perf_counter()))
