"""What a World of so many cells costs a node: `rmf-bench scale --kind world`."""

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rmf import limits
from tools.bench_cpu import threads
from tools.bench_load import Load, keys_of, payload_of
from tools.bench_node import BenchNode
from tools.bench_world import Prober, order_checkpoint

__all__ = ["node_cpu_s", "world"]

_ONCE_S_MAX = 120.0


def world(cells: int, seconds: float) -> dict[str, float]:
    """Return the figures of a node with so many cells. Raises RmfError."""
    with TemporaryDirectory(prefix="rmf-bench-") as path:
        node = BenchNode(data=Path(path) / "data", log=Path(path) / "log")
        with node:
            empty_mib = node.memory_mib()
            names = keys_of(cells)
            with node.connect(producer="fill") as link:
                load = Load(link, payload_of(64), names)
                began_s = time.perf_counter()
                load.run_packets(cells, Load.block)
                filled_s = time.perf_counter() - began_s
                full_mib = node.memory_mib()
                all_us = _traffic_us(node, load, seconds)
            with node.connect(producer="hot") as link:
                hot_us = _traffic_us(node, Load(link, payload_of(64), names[:1000]), seconds)
            del names
            wait_ms, took_s = _checkpoint(node)
            found = {
                "fill_per_s": round(cells / filled_s),
                "bytes_a_cell": round((full_mib - empty_mib) * limits.MIB / cells),
                "hot_us": hot_us,
                "all_us": all_us,
                "checkpoint_s": took_s,
                "wait_ms": wait_ms,
                "cat_once_s": _once(node),
            }
            began_s = time.perf_counter()
            node.stop()
            found["stop_s"] = round(time.perf_counter() - began_s, 2)
            node.start()
            node.wait_ready()
            found["restart_s"] = round(node.ready_s, 2)
    return found


def node_cpu_s(node: BenchNode) -> float:
    """Return the seconds that the threads of a node have run: its boxes are not in it."""
    return sum(thread.cpu_s for thread in threads(node.pid).values())


def _traffic_us(node: BenchNode, load: Load, seconds: float) -> float:
    """Return the µs of CPU a packet that traffic on the keys of a load costs the node."""
    before_s = node_cpu_s(node)
    packets, _ = load.run(seconds, Load.block, 16)
    return round(1e6 * (node_cpu_s(node) - before_s) / packets, 2)


def _checkpoint(node: BenchNode) -> tuple[int, float]:
    """Have a Checkpoint written; return the longest time in which a producer with one packet in
    flight heard no ack meanwhile, ms, and how long it took, s."""
    with Prober([node.address]) as prober:
        prober.wait_for_an_ack()
        began_s = time.monotonic()
        order_checkpoint(node.address)
        end_s = time.monotonic()
        return round(1000 * prober.longest_s(began_s, end_s)), round(end_s - began_s, 2)


def _once(node: BenchNode) -> float:
    """Return how long `rmf-cat --once` takes to show all cells."""
    host, port = node.address
    command = [sys.executable, "-m", "tools.rmf_cat", "--once", "-c", f"{host}:{port}", "#"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RMF_")}
    began_s = time.perf_counter()
    subprocess.run(  # noqa: S603 ours
        command, check=True, stdout=subprocess.DEVNULL, env=environment, timeout=_ONCE_S_MAX
    )
    return round(time.perf_counter() - began_s, 2)
