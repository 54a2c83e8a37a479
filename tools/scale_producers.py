"""What many known producers cost a node: `rmf-bench scale --kind producers`.

A node serves so many connections at once and no more, so they come in waves: each says its name,
sends a packet, has it acked, and is gone without a word; its name stays.
"""

import time

from rmf import limits
from rmf.client import blocking
from tools.bench_load import Load, Probe, payload_of, quantile_ms
from tools.bench_node import BenchNode

__all__ = ["producers"]

_WAVE = 200


def producers(names: int, seconds: float) -> dict[str, float]:
    """Return the figures of a node that knows so many producers. Raises RmfError."""
    with BenchNode() as node:
        empty_mib = node.memory_mib()
        began_s = time.perf_counter()
        for first in range(0, names, _WAVE):
            _wave(node.address, range(first, min(names, first + _WAVE)))
        joined_s = time.perf_counter() - began_s
        full_mib = node.memory_mib()
        probe = Probe(node.address, payload_of(64))
        waits_s = []
        end_s = time.perf_counter() + seconds
        while time.perf_counter() < end_s:
            waits_s.append(probe.one())
        probe.close()
        with node.connect() as link:
            known = next(iter(link.query("status", {}, limits.BENCH_PATIENCE_S)))["producers"]
    waits_s.sort()
    return {
        "known": known,
        "kib_each": round((full_mib - empty_mib) * limits.KIB / names, 2),
        "joins_per_s": round(names / joined_s),
        "p50_ms": quantile_ms(waits_s, 0.5),
        "p99_ms": quantile_ms(waits_s, 0.99),
    }


def _wave(address: blocking.Address, numbers: range) -> None:
    links = [
        blocking.connect(
            [address], agent="rmf-bench", timeout_s=10, options={"producer": f"crowd-{number}"}
        )
        for number in numbers
    ]
    loads = [Load(link, payload_of(64)) for link in links]
    for load in loads:
        load.send(1)
    for load in loads:
        load.receive()
    for link in links:
        link.close()
