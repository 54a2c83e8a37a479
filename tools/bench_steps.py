"""Steps: how long the Arbiter's loop stands still, whatever is done to a large World (R45).

A factory of three with many cells goes through what used to cost the World: a Checkpoint while many
cells are removed under it, many expiries at once, a thousand producers, a display that begins, the
leader's death. Reported for each: how long the steps of all nodes took (the histograms of /metrics:
in time, and in work on a core, which other processes do not lengthen), and the longest time in
which a producer with one packet in flight heard no ack.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Thread
from typing import Any

import cbor2

from rmf import limits
from rmf.client import blocking
from rmf.core import messages as m
from rmf.errors import RmfError
from tools.bench_world import (
    AGENT,
    DAY_MS,
    VALUE,
    Packet,
    Prober,
    WorldCluster,
    cells,
    fill,
    key_of,
    order_checkpoint,
)

__all__ = ["steps"]

_KEYS_A_REMOVAL = 100
_ENDS_IN_S = 5.0  # the cells that are to end at once are all written by then
_WRITTEN_PER_S = 4000  # at least, on a machine that has other things to do
_ROUNDS = 10


def steps(*, keys: int, changes: int, producers: int) -> dict[str, Any]:
    """Return what the steps took in a World of so many cells while `changes` cells were removed,
    ended at once, and while so many producers sent. Raises RmfError."""
    began_s = time.monotonic()
    figures: dict[str, Any] = {"payload_bytes": len(VALUE), "keys": keys, "changes": changes}
    with WorldCluster() as cluster:
        addresses = list(cluster.addresses.values())
        fill(addresses, cells(map(key_of, range(keys))))
        cluster.wait_equal()
        with Prober(addresses) as prober:
            prober.wait_for_an_ack()
            watch = _Watch(cluster, prober, figures)
            with watch.phase("checkpoint_with_removals"):
                _remove_under_a_checkpoint(cluster, addresses, changes)
            end_s, before = _write_brief(cluster, addresses, changes)
            with watch.phase("expiries_at_once"):
                _let_end(cluster, end_s, before)
            with watch.phase("producers"):
                _crowd(cluster, producers)
            with watch.phase("display_begins"):
                _watch_all(cluster.address)
            with watch.phase("failover"):
                term = _term(cluster)
                cluster.kill(cluster.leader())
                cluster.wait_until(lambda: _term(cluster) > term or None, "no node reigns")
                prober.wait_for_an_ack()
    figures["seconds"] = round(time.monotonic() - began_s, 1)
    return figures


class _Watch:
    """Notes what the steps of a phase took, and how long nothing was acked in it."""

    def __init__(self, cluster: WorldCluster, prober: Prober, figures: dict[str, Any]) -> None:
        self._cluster = cluster
        self._prober = prober
        self._figures = figures

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Everything in here belongs to the phase."""
        began_s = time.monotonic()
        with self._cluster.watched() as found:
            yield
        gap_s = self._prober.longest_s(began_s, time.monotonic())
        self._figures[name] = {**found, "longest_gap_ms": round(1000 * gap_s)}


def _term(cluster: WorldCluster) -> int:
    return max((s["term"] for s in cluster.statuses().values() if s["role"] == "leader"), default=0)


def _remove_under_a_checkpoint(
    cluster: WorldCluster, addresses: list[blocking.Address], count: int
) -> None:
    """Remove so many cells while each node writes a Checkpoint that holds them."""
    keys = list(map(key_of, range(count)))
    parts = [keys[at : at + _KEYS_A_REMOVAL] for at in range(0, count, _KEYS_A_REMOVAL)]
    removals: list[Packet] = [("remove", cbor2.dumps(part)) for part in parts]
    writers = [Thread(target=order_checkpoint, args=(address,)) for address in addresses]
    for writer in writers:
        writer.start()
    fill(addresses, removals, producer="remover", frame_packets=1)
    for writer in writers:
        writer.join()
    cluster.wait_equal()


def _write_brief(
    cluster: WorldCluster, addresses: list[blocking.Address], count: int
) -> tuple[float, int]:
    """Write cells that all end at one moment; return when that is (monotonic s), and how many
    cells there were before."""
    before: int = cluster.wait_equal()["world"]["cells"]
    end_s = time.monotonic() + _ENDS_IN_S + count / _WRITTEN_PER_S

    def ttl_ms() -> int:
        return max(1, int(1000 * (end_s - time.monotonic())))

    brief = cells(f"plant/brief/{number:07d}" for number in range(count))
    fill(addresses, brief, producer="brief", ttl_ms=ttl_ms)
    return end_s, before


def _let_end(cluster: WorldCluster, end_s: float, before: int) -> None:
    """Wait until these cells have ended on all nodes."""
    time.sleep(max(0.0, end_s - time.monotonic()))

    def gone() -> bool | None:
        status = cluster.statuses().values()
        there = [x for x in status if x["world"]["cells"] <= before]
        return len(there) == len(cluster.nodes) or None

    cluster.wait_until(gone, "the cells did not end")


def _crowd(cluster: WorldCluster, count: int) -> None:
    """Connect so many producers; each sends a packet, again and again, all at once. A reign that
    ends meanwhile is followed by the next."""
    acked = dict.fromkeys(range(count), 0)
    deadline = time.monotonic() + 10 * limits.BENCH_PATIENCE_S
    while min(acked.values()) < _ROUNDS:
        if time.monotonic() > deadline:
            raise RmfError(f"of {count} producers {sum(acked.values())} packets were acked")
        with suppress(RmfError, OSError, TimeoutError), ExitStack() as stack:
            _send_all(stack, cluster.address, acked)


def _send_all(stack: ExitStack, address: blocking.Address, acked: dict[int, int]) -> None:
    """Send what is left at one node. Raises whatever ends that."""
    links = {}
    for number in acked:
        options = {"producer": f"crowd-{number}"}
        link = blocking.connect([address], agent=AGENT, timeout_s=10, options=options)
        links[number] = stack.enter_context(link)
        acked[number] = int(link.welcome["last_seq"])
    while min(acked.values()) < _ROUNDS:
        for number, link in links.items():
            row = [f"plant/crowd/{number}", acked[number] + 1, time.time_ns(), DAY_MS, VALUE]
            link.send(m.Send([row]))
        for number, link in links.items():
            message = link.receive(limits.BENCH_PATIENCE_S)
            if not isinstance(message, m.Ack):
                return
            acked[number] += 1


def _watch_all(address: blocking.Address) -> None:
    """Be a display of all that there is; stay until the first whole picture was shown."""
    with blocking.connect([address], agent=AGENT, timeout_s=10) as link:
        link.send(m.Subscribe(1, ["#"], {}))
        while True:
            message = link.receive(limits.BENCH_PATIENCE_S)
            if isinstance(message, m.Snapshot) and not message.more:
                return
