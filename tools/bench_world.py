"""A factory of three with a large World, for benchmarks: filled, asked for its steps, probed.

It knows how to fill a World with cells that perish, how to read the histogram of the Arbiter's
steps off /metrics, and how to send one packet after the other for as long as it takes, whatever
happens to the nodes. What is done to them meanwhile is the benchmarks' matter.
"""

import threading
import time
import urllib.request
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import cbor2

from rmf import limits
from rmf.client import blocking
from rmf.core import messages as m
from rmf.errors import RmfError
from tools.bench_cluster import BenchCluster, free_ports

__all__ = [
    "AGENT",
    "BUCKETS",
    "DAY_MS",
    "VALUE",
    "Packet",
    "Prober",
    "Steps",
    "WorldCluster",
    "cells",
    "differences",
    "fill",
    "key_of",
    "order_checkpoint",
    "steps_at",
]

BUCKETS = {"": "rmf_arbiter_step_seconds_bucket", "cpu_": "rmf_arbiter_step_cpu_seconds_bucket"}
DAY_MS = 86_400_000
VALUE = cbor2.dumps(21.5)
AGENT = "rmf-bench"
LINE = "tools.bench_plant:line"
_FRAMES_IN_FLIGHT = 8
_RETRY_S = 0.02
_CHECKPOINT_S_MAX = 300.0

Packet = tuple[str, bytes]  # topic, payload
Steps = dict[str, int]  # a bound in seconds, as text: how many steps took no longer


def key_of(number: int) -> str:
    """Return the key of a cell: a plant with a thousand places."""
    return f"plant/{number % 997}/sensor/{number:08d}"


class WorldCluster(BenchCluster):
    """Three nodes that run the plant's line and serve /metrics."""

    def __init__(self) -> None:
        self._http = dict(zip(("n1", "n2", "n3"), free_ports(3), strict=True))
        super().__init__(3, line=LINE, patience_s=10 * limits.BENCH_PATIENCE_S)

    def peer_options(self, name: str) -> list[str]:
        """Return the options that tell a node of the others, of itself, and where to be asked."""
        return [*super().peer_options(name), "--http", f"127.0.0.1:{self._http[name]}"]

    def steps(self, name: str) -> dict[str, Steps]:
        """Return how many steps of a node's Arbiter took at most so many seconds, by bound: of
        time, and of work on a core ("cpu_")."""
        return steps_at(f"http://127.0.0.1:{self._http[name]}/metrics")

    @contextmanager
    def watched(self) -> Iterator[dict[str, Any]]:
        """Give a dict that holds afterwards what the steps of the running nodes took meanwhile."""
        found: dict[str, Any] = {}
        before = {name: self.steps(name) for name, node in self.nodes.items() if node.runs}
        yield found
        after = {name: self.steps(name) for name in before if self.nodes[name].runs}
        for kind in BUCKETS:
            looks = [(before[name][kind], after[name][kind]) for name in after]
            found.update({f"{kind}{what}": count for what, count in differences(looks).items()})


def steps_at(url: str) -> dict[str, Steps]:
    """Return the same as the metrics of a node at this address say it."""
    with urllib.request.urlopen(url, timeout=limits.BENCH_PATIENCE_S) as answer:  # noqa: S310 ours
        lines = answer.read().decode().splitlines()
    return {
        kind: {
            line.split('"')[1]: int(float(line.rsplit(" ", 1)[1]))
            for line in lines
            if line.startswith(bucket)
        }
        for kind, bucket in BUCKETS.items()
    }


def differences(looks: list[tuple[Steps, Steps]]) -> dict[str, float | None]:
    """Return how many steps were taken between two looks at each node's histogram, how many of them
    were longer than 10, 20 and 50 ms, and within which bound the longest lay (ms; None: beyond)."""
    bounds = list(looks[0][1]) if looks else []
    counts = {b: sum(after[b] - before.get(b, 0) for before, after in looks) for b in bounds}
    steps = counts.get("+Inf", 0)
    longest = next((bound for bound in bounds if counts[bound] == steps), "+Inf")
    return {
        "steps": steps,
        "longest_ms_max": None if longest == "+Inf" else 1000 * float(longest),
        **{f"over_{ms}_ms": steps - counts.get(f"{ms / 1000:g}", steps) for ms in (10, 20, 50)},
    }


def cells(keys: Iterable[str]) -> list[Packet]:
    """Return the packets that write these cells."""
    return [(key, VALUE) for key in keys]


def fill(
    addresses: list[blocking.Address],
    packets: list[Packet],
    *,
    producer: str = "fill",
    ttl_ms: Callable[[], int] = lambda: 10 * DAY_MS,
    frame_packets: int = 2000,
    patience_s: float = 20 * limits.BENCH_PATIENCE_S,
) -> None:
    """Send these packets, batched; return when all are acked. A reign that ends meanwhile is
    followed by the next. Raises RmfError when that takes too long."""
    deadline = time.monotonic() + patience_s
    acked = attempts = 0
    while acked < len(packets):
        if time.monotonic() > deadline:
            raise RmfError(f"only {acked} of {len(packets)} packets were acked")
        address = addresses[attempts % len(addresses)]
        attempts += 1
        with suppress(RmfError, OSError, TimeoutError):
            acked = _fill_at(address, packets, producer, ttl_ms, frame_packets)


def _fill_at(
    address: blocking.Address,
    packets: list[Packet],
    producer: str,
    ttl_ms: Callable[[], int],
    frame_packets: int,
) -> int:
    """Go on at one node where this producer stands; return how many packets are acked once it
    takes no more."""
    options = {"producer": producer}
    with blocking.connect([address], agent=AGENT, timeout_s=5, options=options) as link:
        acked = at = int(link.welcome["last_seq"])
        while acked < len(packets):
            while at < len(packets) and at - acked < _FRAMES_IN_FLIGHT * frame_packets:
                now_ns, ttl = time.time_ns(), ttl_ms()
                part = packets[at : at + frame_packets]
                rows = [[key, at + i, now_ns, ttl, value] for i, (key, value) in enumerate(part, 1)]
                link.send(m.Send(rows))
                at += len(part)
            message = link.receive(limits.BENCH_PATIENCE_S)
            if not isinstance(message, m.Ack):
                time.sleep(_RETRY_S)
                break
            acked += sum(run.packets for run in message.runs)
    return acked


def order_checkpoint(address: blocking.Address) -> None:
    """Have a node write a Checkpoint; return when it is written. Raises RmfError."""
    with blocking.connect([address], agent=AGENT, timeout_s=10) as link:
        for _ in link.query("admin.checkpoint", {}, _CHECKPOINT_S_MAX):
            pass


class Prober:
    """Sends one packet after the other to the leader, and notes when they are acked; use it as a
    context manager. A thread for each node, of which only the leader's is let in: so none waits
    for a node that does not answer."""

    def __init__(self, addresses: list[blocking.Address]) -> None:
        self.acks_s: list[float] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(address, f"probe-{number}"), daemon=True)
            for number, address in enumerate(addresses)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(limits.BENCH_PATIENCE_S)

    def first_s(self, since_s: float) -> float | None:
        """Return when the first packet was acked after a moment (monotonic s)."""
        at = bisect_right(self.acks_s, since_s)
        return self.acks_s[at] if at < len(self.acks_s) else None

    def wait_for_an_ack(self, patience_s: float = limits.BENCH_PATIENCE_S) -> float:
        """Return when the next packet was acked (monotonic s). Raises RmfError."""
        began_s = time.monotonic()
        while (found := self.first_s(began_s)) is None:
            if time.monotonic() > began_s + patience_s:
                raise RmfError(f"nothing was acked for {patience_s:g} s")
            time.sleep(limits.BENCH_POLL_S)
        return found

    def longest_s(self, since_s: float, until_s: float) -> float:
        """Return the longest time without an ack between two moments."""
        marks = [since_s, *(at for at in self.acks_s if since_s < at < until_s), until_s]
        return max(later - earlier for earlier, later in pairwise(marks))

    def _run(self, address: blocking.Address, name: str) -> None:
        while not self._stop.is_set():
            with suppress(RmfError, OSError, TimeoutError):
                self._send_to(address, name)
            self._stop.wait(_RETRY_S)

    def _send_to(self, address: blocking.Address, name: str) -> None:
        """Send to one node as long as it acks. Raises whatever ends that."""
        options = {"producer": name}
        with blocking.connect([address], agent=AGENT, timeout_s=2, options=options) as link:
            seq = int(link.welcome["last_seq"])
            while not self._stop.is_set():
                seq += 1
                link.send(m.Send([["plant/probe", seq, time.time_ns(), DAY_MS, VALUE]]))
                if not isinstance(link.receive(2), m.Ack):
                    return
                self.acks_s.append(time.monotonic())
