"""What a DLQ of so many letters costs a node: `rmf-bench scale --kind letters`.

The packets have topics that no handler wants: each becomes a letter.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rmf import limits
from rmf.client.blocking import BlockingConnection
from tools.bench_load import payload_of
from tools.bench_node import BenchNode
from tools.bench_world import fill
from tools.compare_servers import wait_until

__all__ = ["letters"]

_LINE = "tools.bench_counter:line"
_TOPICS = 100


def letters(count: int, _seconds: float) -> dict[str, float]:
    """Return the figures of a node with so many letters. Raises RmfError."""
    payload = payload_of(64)
    packets = [(f"lost/{number % _TOPICS}", payload) for number in range(count)]
    with TemporaryDirectory(prefix="rmf-bench-") as path:
        node = BenchNode(data=Path(path) / "data", line=_LINE, log=Path(path) / "log")
        with node:
            began_s = time.perf_counter()
            fill([node.address], packets, producer="loses", frame_packets=500)
            with node.connect() as link:
                wait_until(lambda: _stored(link) >= count, "not all letters are stored")
                bagged_s = time.perf_counter() - began_s
                found = {
                    "bagged_per_s": round(count / bagged_s),
                    "node_mib": round(node.memory_mib(), 1),
                    "bytes_each": round(_dlq_bytes(node.data) / count),
                    **_questions(link),
                }
            node.stop()
            node.start()
            node.wait_ready()
            found["restart_s"] = round(node.ready_s, 2)
    return found


def _stored(link: BlockingConnection) -> int:
    stored: int = _ask(link, "dlq.stats")[0]["letters"]
    return stored


def _dlq_bytes(data: Path) -> int:
    return sum(file.stat().st_size for file in data.glob("dlq.sqlite*"))


def _ask(link: BlockingConnection, subject: str, **args: Any) -> list[dict[str, Any]]:
    return list(link.query(subject, args, limits.BENCH_PATIENCE_S))


def _questions(link: BlockingConnection) -> dict[str, float]:
    """Return how long questions take that people ask first, ms."""
    (newest,) = _ask(link, "dlq.list", newest_first=True, limit=1)
    asked: dict[str, Callable[[], Any]] = {
        "stats_ms": lambda: _ask(link, "dlq.stats"),
        "groups_ms": lambda: _ask(link, "dlq.groups"),
        "list_ms": lambda: _ask(link, "dlq.list", newest_first=True, limit=50),
        "of_topic_ms": lambda: _ask(link, "dlq.list", topic="lost/7", producer="loses", limit=50),
        "show_ms": lambda: _ask(link, "dlq.show", letter=newest["letter"]),
    }
    found = {}
    for name, ask in asked.items():
        began_s = time.perf_counter()
        ask()
        found[name] = round(1000 * (time.perf_counter() - began_s), 1)
    return found
