"""What a packet costs real nodes, by process: CPU of the leader's main thread and of its others, of
its glove boxes, of a follower, of the client.

It is read off /proc from outside, while a producer sends as much as it can, or one packet after the
other. What of it is in which stage, budget_stages says; the rest is syscalls, hand-overs between
threads and processes, trio.
"""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from rmf.client import blocking
from rmf.client.blocking import Address
from tools.bench_cluster import BenchCluster
from tools.bench_cpu import family, threads
from tools.bench_load import Load, Probe, keys_of, quantile_ms
from tools.bench_node import BenchNode
from tools.compare_servers import in_a_process

__all__ = ["NodesCost", "nodes_cost"]

_BATCH = 500
_WARM_S = 1.0
_Times = dict[tuple[int, int], tuple[str, float]]  # by process and thread: its part, and s of CPU


class NodesCost(NamedTuple):
    """µs of CPU a packet by part; packets a second, and the median wait of one, ms (0: not one
    after the other)."""

    parts: dict[str, float]
    packets_per_s: float
    p50_ms: float


class _Client(NamedTuple):
    packets: int
    seconds: float
    cpu_s: float
    p50_ms: float


def nodes_cost(nodes: int, seconds: float, payload: bytes, *, lone: bool, window: int) -> NodesCost:
    """Measure so many nodes; `lone`: one packet after the other. Raises RmfError."""
    if nodes == 1:
        with BenchNode() as node:
            return _measured({"leader": node.pid}, node.address, seconds, payload, lone, window)
    with BenchCluster(nodes) as cluster:
        leads = cluster.leader()
        pids = {
            "leader" if name == leads else f"follower {name}": node.pid
            for name, node in cluster.nodes.items()
        }
        address = cluster.addresses[leads]
        return _measured(pids, address, seconds, payload, lone, window)


def _measured(
    pids: Mapping[str, int],
    address: Address,
    seconds: float,
    payload: bytes,
    lone: bool,
    window: int,
) -> NodesCost:
    client: Callable[..., _Client] = _one_by_one if lone else _batches
    in_a_process(client, address, _WARM_S, payload, window, "warm", takes_s=_WARM_S)
    before = _times(pids)
    done = in_a_process(client, address, seconds, payload, window, "timed", takes_s=seconds)
    after = _times(pids)
    parts: dict[str, float] = {}
    for thread, (part, cpu_s) in after.items():
        used_s = cpu_s - before.get(thread, (part, 0.0))[1]
        parts[part] = parts.get(part, 0.0) + used_s
    followers = len(pids) - 1
    for part in [x for x in parts if x.startswith("follower")]:
        parts[part] /= followers
    parts["client"] = done.cpu_s
    micros = {part: round(1e6 * used_s / done.packets, 3) for part, used_s in parts.items()}
    return NodesCost(micros, round(done.packets / done.seconds), done.p50_ms)


def _times(pids: Mapping[str, int]) -> _Times:
    """Return which part each thread belongs to, and how long it has run."""
    found: _Times = {}
    for name, pid in pids.items():
        role = name.split()[0]
        for member in family(pid):
            for thread, ran in threads(member).items():
                part = f"{role}, boxes"
                if member == pid:
                    part = f"{role}, main thread" if thread == pid else f"{role}, other threads"
                found[member, thread] = (part, ran.cpu_s)
    return found


# --- In a process of its own ----------------------------------------------------------------------


def _batches(
    address: Address, seconds: float, payload: bytes, window: int, producer: str
) -> _Client:
    options = {"producer": producer}
    with blocking.connect([address], agent="rmf-bench", timeout_s=10, options=options) as link:
        load = Load(link, payload, keys_of(1000))
        cpu_s = time.process_time()
        packets, took_s = load.run(seconds, _BATCH, window)
        return _Client(packets, took_s, time.process_time() - cpu_s, 0.0)


def _one_by_one(
    address: Address, seconds: float, payload: bytes, _window: int, producer: str
) -> _Client:
    probe = Probe(address, payload, producer)
    waits = []
    cpu_s, began = time.process_time(), time.perf_counter()
    while (took_s := time.perf_counter() - began) < seconds:
        waits.append(probe.one())
    cpu_s = time.process_time() - cpu_s
    probe.close()
    return _Client(len(waits), took_s, cpu_s, quantile_ms(sorted(waits), 0.5))
