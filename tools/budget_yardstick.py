"""A fixed piece of work in Python, by which stages are measured: what they take is said in times of
what this takes on the same machine at the same moment.

It is like the hot path: small lists built and taken apart, dicts written, CBOR and a hash by C
libraries. It uses nothing of RMF, and is never changed: all ratios that were ever committed would
mean something else.
"""

import time
from hashlib import blake2b
from typing import Any

import cbor2

__all__ = ["yardstick_ns"]

_KEYS = [f"room/{number}/temp" for number in range(250)]
_PAYLOAD = cbor2.dumps(bytes(62))


def yardstick_ns() -> int:
    """Return the ns of CPU that the work took now."""
    began_ns = time.thread_time_ns()
    _work()
    return time.thread_time_ns() - began_ns


def _work() -> int:
    rows: list[list[Any]] = [
        [key, seq, 1_764_000_000_000_000_000 + seq, 3_600_000, _PAYLOAD]
        for seq, key in enumerate(_KEYS)
    ]
    data = cbor2.dumps([4, rows])
    cells: dict[str, tuple[Any, ...]] = {}
    total = 0
    for key, seq, at, ttl, payload in cbor2.loads(data)[1]:
        cell = (payload, seq, at, ttl)
        cells[key] = cell
        total += len(payload) + (seq & 7)
    return total + len(cells) + blake2b(data, digest_size=16).digest()[0]
