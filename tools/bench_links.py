"""Slow and far links: how a factory of three reigns and acks over them, and how a node catches up.

Each link between two nodes goes through a proxy that shapes it (see shaped_links); clients are not
shaped. The load is as much as is taken. A reign that ends is seen in the term.
"""

import time
from typing import Any

from rmf import limits
from tools.bench_cluster import BenchCluster
from tools.bench_load import quantile_ms
from tools.bench_stream import BenchStream, Streamed
from tools.shaped_links import ShapedLinks

__all__ = ["catch_up", "links"]

_WINDOW = 32  # batches in flight
_BACKGROUND_PER_S = 2.0  # batches, while a node catches up


class _Cluster(BenchCluster):
    """Three nodes, each of which reaches the others over shaped links."""

    def __init__(self, shaped: ShapedLinks, patience_s: float) -> None:
        self._shaped = shaped
        super().__init__(3, options=["--glovebox", "inline"], patience_s=patience_s)

    def peer_options(self, name: str) -> list[str]:
        known = {
            peer: address if peer == name else self._shaped.between(name, peer, address)
            for peer, address in self.peer_addresses.items()
        }
        return ["--peers", ",".join(f"{peer}={address}" for peer, address in known.items())]

    def term(self) -> int:
        """Return the newest term that any node knows."""
        return max((status["term"] for status in self.statuses().values()), default=0)


def links(
    mbit: float, round_trip_ms: float, batch: int, payload: bytes, *, seconds: float
) -> dict[str, Any]:
    """Return how many reigns there were under full load, and how packets were acked."""
    with (
        ShapedLinks(mbit, round_trip_ms) as shaped,
        _Cluster(shaped, limits.BENCH_PATIENCE_S) as cluster,
    ):
        addresses = list(cluster.addresses.values())
        before = cluster.term()
        with BenchStream(addresses, payload=payload, batch=batch, window=_WINDOW) as stream:
            told = stream.stop(seconds)
        reigns = 1 + cluster.term() - before
        cluster.wait_equal()
    return {
        **_way(mbit, round_trip_ms, payload, batch),
        "seconds": round(told.seconds, 3),
        "reigns": reigns,
        **_acks(told),
    }


def catch_up(
    mbit: float, round_trip_ms: float, batch: int, payload: bytes, *, mib: float, patience_s: float
) -> dict[str, Any]:
    """Return how long a node takes that was away while so many MiB were written, over links that
    are slow to it and from it alone, while the others go on at a slow pace."""
    fast = 1000.0
    with ShapedLinks(fast, round_trip_ms) as shaped, _Cluster(shaped, patience_s) as cluster:
        addresses = list(cluster.addresses.values())
        away = next(name for name in cluster.nodes if name != cluster.leader())
        cluster.kill(away)
        written = 0
        with BenchStream(addresses, payload=payload, batch=batch, window=_WINDOW) as stream:
            while written < mib * limits.MIB:
                time.sleep(limits.STATUS_WATCH_S)
                status = cluster.status(cluster.leader()) or {"packets": {"latched": 0}}
                written = status["packets"]["latched"] * len(payload)
            stream.stop()
        shaped.set(away, mbit)
        before, carried = cluster.term(), shaped.carried(away)
        began_s = time.monotonic()
        with BenchStream(
            addresses, payload=payload, batch=1, window=1, rate=_BACKGROUND_PER_S
        ) as stream:
            cluster.restart(away)
            cluster.wait_caught_up(away)
            took_s, carried = time.monotonic() - began_s, shaped.carried(away) - carried
            told = stream.stop()
        reigns = 1 + cluster.term() - before
        cluster.wait_equal()
    return {
        **_way(mbit, round_trip_ms, payload, batch),
        "seconds": round(took_s, 3),
        "mib": round(written / limits.MIB, 1),
        "carried_mib": round(carried / limits.MIB, 1),  # Entries say what was written, too
        "mbit_per_s": round(carried * 8e-6 / took_s, 2),
        "reigns": reigns,
        **_acks(told),
    }


def _way(mbit: float, round_trip_ms: float, payload: bytes, batch: int) -> dict[str, Any]:
    return {
        "payload_bytes": len(payload),
        "batch": batch,
        "mbit": mbit,
        "round_trip_ms": round_trip_ms,
    }


def _acks(told: Streamed) -> dict[str, Any]:
    waits_s = sorted(told.waits_s)
    return {
        "packets": told.packets,
        "packets_per_s": round(told.packets / told.seconds, 1),
        "p50_ms": quantile_ms(waits_s, 0.50),
        "p99_ms": quantile_ms(waits_s, 0.99),
        "max_ms": quantile_ms(waits_s, 1.0),
        "longest_gap_ms": round(told.gap_s * 1000, 3),
    }
