"""Failover: from the last ack of a killed leader to the first of the next term (DESIGN §15).

While a producer sends one packet after the other, the leader is killed (SIGKILL), another one is
elected, the killed node is started again and catches up, and then the next leader is killed.
Afterwards the books are compared: the line counts packets, so what was lost or applied twice is
seen in the World, and all nodes must have the same digest.
"""

import time
from typing import Any

from rmf.errors import RmfError
from tools.bench_cluster import BenchCluster
from tools.bench_load import quantile_ms
from tools.bench_producer import BenchProducer, Change

__all__ = ["downtimes_s", "failover"]

_LINE = "tools.bench_counter:line"
_ACKS_BETWEEN = 20  # so many acks of a term before its leader is killed


def failover(*, nodes: int, kills: int) -> dict[str, Any]:
    """Return how long a factory of so many nodes acks nothing when its leader is killed.

    Raises RmfError if a packet was lost or applied twice, or if nodes differ afterwards.
    """
    began_s = time.monotonic()
    with BenchCluster(nodes, line=_LINE) as cluster:
        with BenchProducer(list(cluster.addresses.values())) as producer:
            killed_s = [_kill_once(cluster, producer) for _ in range(kills)]
            told = producer.stop()
        cluster.wait_equal()
    if told.counted != told.acked:
        raise RmfError(f"{told.acked} packets were acked, the World counts {told.counted}")
    down_s = sorted(downtimes_s(killed_s, told.changes))
    return {
        "payload_bytes": 1,
        "seconds": round(time.monotonic() - began_s, 3),
        "kills": kills,
        "p50_ms": quantile_ms(down_s, 0.50),
        "p99_ms": quantile_ms(down_s, 0.99),
        "max_ms": quantile_ms(down_s, 1.0),
        "packets": told.acked,
        "duplicates": told.duplicates,
        "lost": 0,
        "applied_twice": 0,
    }


def downtimes_s(killed_s: list[float], changes: list[Change]) -> list[float]:
    """Return for how long nothing was acked after each kill, up to the first ack of a newer term.

    Raises RmfError for a kill that no new term followed.
    """
    down_s = []
    for killed in killed_s:
        change = next((change for change in changes if change.first_s > killed), None)
        if change is None:
            raise RmfError("a kill was not followed by an ack of a new term")
        down_s.append(change.first_s - change.last_s)
    return down_s


def _kill_once(cluster: BenchCluster, producer: BenchProducer) -> float:
    """Kill the leader, wait for the next one's first ack, have the node back; return when."""
    goal = producer.acked + _ACKS_BETWEEN
    cluster.wait_until(lambda: producer.saw(lambda: producer.acked >= goal), "nothing is acked")
    leader, term = cluster.leader(), producer.term
    killed_s = time.monotonic()
    cluster.kill(leader)
    cluster.wait_until(lambda: producer.saw(lambda: producer.term > term), "no ack of a new term")
    cluster.restart(leader)
    cluster.wait_caught_up(leader)
    return killed_s
