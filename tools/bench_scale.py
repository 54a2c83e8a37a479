"""`rmf-bench scale`: how a figure grows with what it is a figure of, one size after the other.

    world       cells: bytes each, CPU of traffic on 1,000 and on all of them, a Checkpoint and what
                one packet waits meanwhile, `rmf-cat --once`, stop, restart
    producers   names that are known: memory each, how fast they join, the wait of one more
    displays    displays of a part each, at 10 Hz: the wait of one packet beside them (edges)
    letters     of the DLQ: how fast they are bagged, memory, bytes each, questions, restart
    ticks       packets of a Tick: bytes of the ledger, and CPU of all stages of three nodes, each
    ledger      packets in it: how fast a killed node replays them
    overload    producers that push as hard as they can: memory of the node, meanwhile and behind

The last row says by which factor each figure grew from the first size to the last.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from tools.bench_edges import edges
from tools.bench_load import payload_of, recovery
from tools.budget_stages import STAGES, Pipeline
from tools.compare_servers import in_a_process
from tools.scale_letters import letters
from tools.scale_overload import overload
from tools.scale_producers import producers
from tools.scale_world import world
from tools.text_table import aligned

__all__ = ["SIZES", "as_lines", "growth", "scale"]

Figures = dict[str, float]

# What is measured, and at which sizes where no others are named: less than five minutes of it.
SIZES = {
    "world": (1_000, 10_000, 100_000, 1_000_000),
    "producers": (100, 1_000, 9_000),
    "displays": (1, 10, 100, 1_000),
    "letters": (1_000, 10_000, 100_000),
    "ticks": (1, 10, 100, 1_000, 4_000),
    "ledger": (10_000, 100_000, 1_000_000),
    "overload": (1, 10),
}
_TICK_ROUNDS = 60


def scale(kind: str, sizes: Sequence[int], seconds: float) -> dict[str, Any]:
    """Return the figures of each size, and by which factor each grew. Raises RmfError."""
    measures: dict[str, Callable[[int, float], Figures]] = {
        "world": world,
        "producers": producers,
        "displays": _displays,
        "letters": letters,
        "ticks": _ticks,
        "ledger": _ledger,
        "overload": overload,
    }
    wanted = sizes or SIZES[kind]
    rows = {size: measures[kind](size, seconds) for size in wanted}
    return {
        "payload_bytes": 64,
        "seconds": seconds,
        "kind": kind,
        "sizes": {str(size): figures for size, figures in rows.items()},
        "growth": growth(rows[wanted[0]], rows[wanted[-1]]),
    }


def growth(first: Figures, last: Figures) -> Figures:
    """Return by which factor each figure grew; those that were nothing at first are left out."""
    return {name: round(last[name] / value, 2) for name, value in first.items() if value}


def as_lines(figures: dict[str, Any]) -> list[str]:
    """Return a row for each size, and the growth."""
    names = list(next(iter(figures["sizes"].values())))
    rows = [[figures["kind"], *names]]
    for size, found in figures["sizes"].items():
        rows.append([f"{int(size):,}", *(f"{found[name]:,g}" for name in names)])
    rows.append(["growth", *(f"x {figures['growth'].get(name, 0):g}" for name in names)])
    return aligned(rows)


# --- What is measured elsewhere, too --------------------------------------------------------------


def _displays(size: int, seconds: float) -> Figures:
    found = edges(seconds=seconds, clients=size, kind="own")
    names = ("before_p99_ms", "p50_ms", "p99_ms", "cpu_percent", "display_kib_per_s", "memory_mib")
    return {name: found[name] for name in names}


def _ledger(size: int, _seconds: float) -> Figures:
    found = recovery(packets=size, batch=500, payload=payload_of(64))
    return {"restart_s": found["seconds"], "packets_per_s": found["packets_per_s_with_start"]}


def _ticks(size: int, _seconds: float) -> Figures:
    return in_a_process(_stages, size, takes_s=60)


def _stages(packets: int) -> Figures:
    """Return what a packet of such a Tick costs, by payload, in a process of its own."""
    found: Figures = {}
    for kind in ("bytes", "map"):
        pipeline = Pipeline(3, payload_of(64, kind))
        frames = [min(packets, 500)] * max(1, packets // 500)
        took = []
        for _ in range(_TICK_ROUNDS):
            times = pipeline.round(len(frames), frames[0])
            took.append(sum(times[stage] * often for stage, (_, often) in STAGES.items()))
        each = sum(frames)
        found[f"{kind}_ledger_bytes"] = round(pipeline.ledger_bytes / each, 1)
        found[f"{kind}_cpu_us"] = round(statistics.quantiles(took, n=10)[0] / each / 1000, 2)
    return found
