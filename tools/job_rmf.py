"""The job on RMF: three nodes that run the line, `rmf.connect` to produce and to watch.

Killed is the leader, and with it the handler; the others go on, and it is not started again.
"""

import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import trio

import rmf
from rmf.client.blocking import Address
from rmf.core import messages as m
from rmf.interpreter import interpreter
from tools.bench_cluster import BenchCluster
from tools.job_processes import JobContender, Subscriber, due, produced_by
from tools.job_values import Phase, Produced, Sightings, key_of, payload_of

__all__ = ["contenders"]

_LINE = "tools.job_line:line"
_BATCH = 500
_TTL_MS = 3_600_000


def contenders() -> list[JobContender]:
    """Return three nodes."""
    facts = {
        "version": f"{rmf.__version__} on {interpreter()}",
        "nodes": 3,
        "fsync": "by a majority before the ack",
        "made of": "a line; rmf.connect to send and to watch",
        "killed": "the leader, with its handler",
    }
    return [JobContender("rmf", facts, _running)]


class _JobOfNodes:
    """Three nodes and a subscriber."""

    def __init__(self, cluster: BenchCluster, stack: ExitStack) -> None:
        self._cluster = cluster
        self._addresses = list(cluster.addresses.values())
        self._subscriber = Subscriber(stack, _watch, self._addresses)
        self.total = self._subscriber.total
        self.rows = self._subscriber.rows

    def pids(self) -> list[int]:
        return [node.pid for node in self._cluster.nodes.values() if node.runs]

    def produce(self, phase: Phase) -> Produced:
        return produced_by(_produce, self._addresses, phase)

    def prepare_kill(self) -> None:
        pass  # its producer is a process of its own

    def kill(self) -> None:
        self._cluster.kill(self._cluster.leader())


@contextmanager
def _running() -> Iterator[_JobOfNodes]:
    with BenchCluster(3, line=_LINE) as cluster, ExitStack() as stack:
        yield _JobOfNodes(cluster, stack)


# --- In processes of their own --------------------------------------------------------------------


def _watch(addresses: list[Address], sightings: Sightings) -> None:
    async def watch() -> None:
        async with (
            rmf.connect(addresses) as factory,
            factory.watch("job/#", mode="delta", rate_hz=1000) as snapshots,
        ):
            async for snapshot in snapshots:
                for key, cell in snapshot.cells.items():
                    sightings.see(int(key[4:]), cell.value)

    trio.run(watch)


def _produce(addresses: list[Address], phase: Phase) -> Produced:
    return trio.run(_produced, addresses, phase)


async def _produced(addresses: list[Address], phase: Phase) -> Produced:
    sent_ns = array("q")
    acked = 0
    began_s = time.monotonic()

    def packets(count: int) -> list[tuple[str, Any, int]]:
        numbers = range(phase.first + len(sent_ns), phase.first + len(sent_ns) + count)
        sent_ns.extend([time.monotonic_ns()] * count)
        return [(f"job/{key_of(n, phase.keys)}", payload_of(n), _TTL_MS) for n in numbers]

    async def send(factory: rmf.Factory, count: int) -> None:
        nonlocal acked
        runs = await (await factory.post(packets(count))).runs()
        acked += sum(run.packets for run in runs if run.outcome == m.APPLIED)

    async def one_after_the_other(factory: rmf.Factory) -> None:
        while time.monotonic() - began_s < phase.seconds:
            await send(factory, _BATCH)

    async with rmf.connect(addresses, producer="job") as factory, trio.open_nursery() as nursery:
        for _ in range(0 if phase.rate else max(1, phase.window // _BATCH)):
            nursery.start_soon(one_after_the_other, factory)
        while phase.rate and time.monotonic() - began_s < phase.seconds:
            if count := due(phase, began_s, len(sent_ns)):
                nursery.start_soon(send, factory, count)
            await trio.sleep(0.001)
    return Produced(phase.first, sent_ns, acked)
