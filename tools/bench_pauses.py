"""Pauses: how long a producer waits while a node does what is large in a World of many cells (R45).

One node, and beside it a process that has one packet in flight. The World is filled, shown as a
whole (`rmf-cat --once`, alone and two at once), written as a Checkpoint; the node is stopped and
started again, and last it is started as after a power cut, so that all cells have to go. Reported
for each: how long it took, the acks' p50, p99 and maximum meanwhile, and how long the steps of the
Arbiter's loop were, in time and in work on a core, which other processes do not lengthen.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from rmf import limits
from rmf.errors import RmfError
from tools.bench_cluster import free_ports
from tools.bench_load import KEYS, Load, Probe, keys_of, payload_of, quantile_ms
from tools.bench_node import BenchNode
from tools.bench_world import BUCKETS, Steps, differences, order_checkpoint, steps_at

__all__ = ["pauses"]

_PAYLOAD_BYTES = 64
_BATCH = 500
_FIGURES = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}


def pauses(*, keys: int, seconds: float) -> dict[str, Any]:
    """Return what each phase took in a World of so many cells. The producer's own figures, with
    nothing else to do, are taken for so many seconds. Raises RmfError."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="rmf-bench-") as path:
        data = Path(path)
        http = f"127.0.0.1:{free_ports(1)[0]}"
        node = BenchNode(data=data / "data", options=["--http", http], log=data / "log")
        phases: dict[str, Any] = {}
        with node, _Watch(node, http, phases) as watch:
            with watch.phase("fill"), node.connect(producer="fill") as connection:
                Load(connection, payload_of(_PAYLOAD_BYTES), keys_of(keys)).run_packets(
                    keys, _BATCH
                )
            with watch.phase("quiet"):
                time.sleep(seconds)
            with watch.phase("picture"):
                _show(node, 1)
            with watch.phase("two_pictures"):
                _show(node, 2)
            memory_mib = node.memory_mib()
            with watch.phase("checkpoint"):
                order_checkpoint(node.address)
        figures = {"memory_mib": round(memory_mib, 1), **_starts(node, http, phases, keys)}
        return {
            "payload_bytes": _PAYLOAD_BYTES,
            "seconds": round(time.perf_counter() - began, 3),
            "keys": keys,
            **figures,
            **{f"{name}_{what}": x for name, found in phases.items() for what, x in found.items()},
        }


def _starts(node: BenchNode, http: str, phases: dict[str, Any], keys: int) -> dict[str, Any]:
    """Stop and start the node again, behind its Checkpoint, without one, and without a memory of
    how old its cells are."""
    found = {}
    for name in ("checkpoint", "ledger"):
        if name == "ledger":
            for file in (node.data / "checkpoints").glob("*.ckpt"):
                file.unlink()
        node.start()
        node.wait_ready()
        found[f"ready_by_{name}_s"] = round(node.ready_s, 3)
        began = time.perf_counter()
        node.stop()
        found[f"stop_{name}_s"] = round(time.perf_counter() - began, 3)
    node.program = ["-m", "rmf.floor.rebooted", os.urandom(16).hex()]
    with node, _Watch(node, http, phases) as watch, watch.phase("all_go"):
        _wait_for_the_end_of(keys, node)
    return found


def _wait_for_the_end_of(keys: int, node: BenchNode) -> None:
    deadline = time.monotonic() + limits.BENCH_PATIENCE_S + keys / 1000
    with node.connect() as connection:
        while time.monotonic() < deadline:
            (status,) = connection.query("status", {}, limits.BENCH_PATIENCE_S)
            if status["world"]["cells"] <= len(KEYS):  # the producer's own
                return
            time.sleep(limits.BENCH_POLL_S)
    raise RmfError("not all cells went")


def _show(node: BenchNode, count: int) -> None:
    """Have so many `rmf-cat --once` show everything. Raises RmfError."""
    host, port = node.address
    cat = [sys.executable, "-m", "tools.rmf_cat", "--once", "-c", f"{host}:{port}", "-W", "5m", "#"]
    cats = [subprocess.Popen(cat, stdout=subprocess.DEVNULL) for _ in range(count)]  # noqa: S603 ours
    codes = [one.wait(limits.BENCH_PATIENCE_S * 10) for one in cats]
    if any(codes):
        raise RmfError("rmf-cat --once failed")


class _Watch:
    """Notes of each phase what it took, and what became of the producer beside it."""

    def __init__(self, node: BenchNode, http: str, phases: dict[str, Any]) -> None:
        self._node = node
        self._url = f"http://{http}/metrics"
        self._phases = phases
        self._ours, theirs = multiprocessing.Pipe()
        spawn = multiprocessing.get_context("spawn")
        self._producer = spawn.Process(target=_produce, args=(node.address, theirs))

    def __enter__(self) -> "_Watch":
        self._producer.start()
        self._ours.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._producer.join(limits.BENCH_EXIT_S_MAX)
        self._producer.kill()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Everything in here belongs to the phase."""
        self._acks()
        before, cpu_s, began = self._steps(), self._node.cpu_s(), time.perf_counter()
        yield
        took_s = time.perf_counter() - began
        taken = self._acks()
        quantiles = _FIGURES.items() if taken else ()
        figures: dict[str, Any] = {what: quantile_ms(taken, x) for what, x in quantiles}
        after = self._steps()
        for kind in BUCKETS:
            found = differences([(before[kind], after[kind])])
            figures |= {f"{kind}{what}": x for what, x in found.items() if what != "steps"}
        cpu_s = self._node.cpu_s() - cpu_s
        self._phases[name] = {"s": round(took_s, 3), "node_cpu_s": round(cpu_s, 3), **figures}

    def _acks(self) -> list[float]:
        """Return how long the acks since the last call took, in order, in s."""
        self._ours.send(None)
        found: list[float] = self._ours.recv()
        return sorted(found)

    def _steps(self) -> dict[str, Steps]:
        return steps_at(self._url)


def _produce(address: tuple[str, int], pipe: Pipe) -> None:
    """Be the producer: one packet after the other, until the other end of the pipe is closed."""
    probe, taken = Probe(address, payload_of(_PAYLOAD_BYTES)), list[float]()
    pipe.send(None)
    try:
        while True:
            taken.append(probe.one())
            if pipe.poll():
                pipe.recv()
                pipe.send(taken)
                taken = []
    except (EOFError, RmfError, OSError):
        probe.close()
