"""Reboot: a factory of three with a large World loses its power, and is back (R6, DESIGN §15).

Three processes with many perishable cells are killed, and started again as if their machines had
booted since: the age of the cells is unknown, so all of them have to go. Measured are the
time from the last start to the first ack, and the longest time without one in the minute after it.
"""

import os
import time
from typing import Any

from tools.bench_world import VALUE, Prober, WorldCluster, cells, fill, key_of, order_checkpoint

__all__ = ["reboot"]


def reboot(*, keys: int, checkpoint: bool, seconds: float) -> dict[str, Any]:
    """Return how long a factory of so many cells acks nothing after a power cut. With `checkpoint`
    each node has written one before; else it reads all of its ledger. Raises RmfError."""
    with WorldCluster() as cluster:
        began_s = time.monotonic()
        fill(list(cluster.addresses.values()), cells(map(key_of, range(keys))))
        filled_s = time.monotonic() - began_s
        cluster.wait_equal()
        if checkpoint:
            for name in cluster.nodes:
                order_checkpoint(cluster.addresses[name])
        for name in cluster.nodes:
            cluster.kill(name)
        for node in cluster.nodes.values():
            node.program = ["-m", "rmf.floor.rebooted", os.urandom(16).hex()]
            node.start()
        started_s = time.monotonic()
        with Prober(list(cluster.addresses.values())) as prober:
            first_s = cluster.wait_until(lambda: prober.first_s(started_s), "nothing is acked")
            time.sleep(seconds)
        left = cluster.wait_equal()["world"]["cells"]
        steps = {name: cluster.steps(name) for name in cluster.nodes}
    return {
        "payload_bytes": len(VALUE),
        "seconds": seconds,
        "keys": keys,
        "checkpoint": checkpoint,
        "filled_s": round(filled_s, 1),
        "first_ack_s": round(first_s - started_s, 2),
        "longest_gap_ms": round(1000 * prober.longest_s(first_s, first_s + seconds)),
        "packets": len(prober.acks_s),
        "cells_left": left,
        "steps": steps,
    }
