"""Fan-out: what displays cost the line, and what a display that begins costs (R45).

One producer keeps a lone node busy while displays look on, each over a connection of its own: all
of everything (`all`), each a part of the World (`own`), each a single cell (`one`), or all of them
every Tick (`every`). A process of its own reads what they are sent, and judges nothing of it. Now
and then another display begins there: it asks for the whole picture.
"""

import multiprocessing
import selectors
import socket
import time
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from typing import Any

from rmf import limits
from rmf.client.client_session import ClientSession
from rmf.core import messages as m
from tools.bench_load import Load, keys_of, payload_of, quantile_ms
from tools.bench_node import BenchNode

__all__ = ["KINDS", "fanout"]

KINDS = ("all", "own", "one", "every")
_KEYS = 1000
_PARTS = 100  # of the World, one a display in turn


def fanout(*, seconds: float, displays: int, kind: str, batch: int) -> dict[str, Any]:
    """Return packets per second, the node's CPU time per packet, what was sent to displays, and how
    long a display that begins waited for its whole picture."""
    payload = payload_of(64)
    names = [f"part/{i % _PARTS}/{name}" for i, name in enumerate(keys_of(_KEYS))]
    with BenchNode() as node:
        ours, theirs = multiprocessing.Pipe()
        audience = multiprocessing.get_context("spawn").Process(
            target=_look_on, args=(node.address, displays, kind, names, seconds, theirs)
        )
        audience.start()
        try:
            ours.recv()  # all of them have had their first picture
            with node.connect(producer="bench") as connection:
                before_s = node.cpu_s()
                packets, took_s = Load(connection, payload, names).run(seconds, batch, 16)
                used_s = node.cpu_s() - before_s
            ours.send(None)
            sent_bytes, begins_s = ours.recv()
        finally:
            audience.join(limits.BENCH_EXIT_S_MAX)
            if audience.is_alive():
                audience.kill()
        return {
            "seconds": round(took_s, 3),
            "payload_bytes": len(payload),
            "displays": displays,
            "kind": kind,
            "packets": packets,
            "packets_per_s": round(packets / took_s, 1),
            "cpu_us_a_packet": round(used_s / packets * 1e6, 2),
            "display_mib_per_s": round(sent_bytes / took_s / limits.MIB, 2),
            "begin_p50_ms": quantile_ms(begins_s, 0.5),
            "begin_max_ms": quantile_ms(begins_s, 1.0),
            "memory_mib": round(node.memory_mib(), 1),
        }


# --- In a process of its own ----------------------------------------------------------------------


def _look_on(
    address: tuple[str, int],
    displays: int,
    kind: str,
    names: list[str],
    seconds: float,
    pipe: Pipe,
) -> None:
    """Read what the displays are sent until told to stop; tell how many bytes, and how long new
    displays waited."""
    with selectors.DefaultSelector() as waiting:
        for number in range(displays):
            options = {"every_tick": True} if kind == "every" else {}
            sock = _subscribed(address, _filter_of(kind, number, names), options)
            sock.setblocking(False)
            waiting.register(sock, selectors.EVENT_READ)
        pipe.send(None)
        sent_bytes, begins_s = 0, []
        began_s = next_s = time.perf_counter()
        while not pipe.poll():
            for key, _ in waiting.select(0.05):
                with suppress(BlockingIOError):
                    sent_bytes += len(key.fileobj.recv(limits.PEER_RECEIVE_BYTES))  # type: ignore[union-attr]
            now_s = time.perf_counter()
            if now_s >= next_s and now_s - began_s < seconds:
                begins_s.append(_begin(address))
                next_s = now_s + seconds / 10
        pipe.send((sent_bytes, sorted(begins_s)))
        for key in list(waiting.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]


def _filter_of(kind: str, number: int, names: list[str]) -> str:
    if kind == "own":
        return f"part/{number % _PARTS}/#"
    return names[number % len(names)] if kind == "one" else "#"


def _subscribed(address: tuple[str, int], pattern: str, options: dict[str, Any]) -> socket.socket:
    """Return the socket of a display that has had the beginning of its first picture."""
    link = ClientSession({"agent": "rmf-bench"})
    sock = socket.create_connection(address, timeout=limits.BENCH_PATIENCE_S)
    sock.sendall(link.opening())
    _hear(sock, link, m.Welcome)
    sock.sendall(link.encode(m.Subscribe(1, [pattern], options)))
    _hear(sock, link, m.Snapshot)
    return sock


def _hear(sock: socket.socket, link: ClientSession, kind: type[m.Message]) -> None:
    while not any(isinstance(x, kind) for x in link.receive(sock.recv(limits.RECEIVE_BYTES))):
        pass


def _begin(address: tuple[str, int]) -> float:
    """Return the seconds until a display has the beginning of its first picture."""
    began_s = time.perf_counter()
    _subscribed(address, "#", {"mode": "full"}).close()
    return time.perf_counter() - began_s
